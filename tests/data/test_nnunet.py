from __future__ import annotations

import json

import numpy as np
import pytest

from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.layouts.listing import Case
from medsegdist.data.layouts.nnunet import NnunetLayout
from medsegdist.errors import DataError, ManifestError
from tests.data.making import labels, voxels, write_picture, write_volume

CHANNELS = ("T2", "ADC")


def write_json(root, cases=2, **changes):
    root.mkdir(parents=True, exist_ok=True)
    content = {
        "channel_names": {str(k): name for k, name in enumerate(CHANNELS)},
        "labels": {"background": 0, "PZ": 1, "prostate": [1, 2]},
        "numTraining": cases,
        "file_ending": ".nii.gz",
        "regions_class_order": [1, 2],
        "overwrite_image_reader_writer": "SimpleITKIO",
    }
    content = {key: value for key, value in (content | changes).items() if value is not None}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def write_raw(root, names=("p1_a", "p1_b"), **changes):
    """An nnU-Net dataset of two channels, whose second channel is the first one of the next case."""
    for k, name in enumerate(names):
        for channel in range(len(CHANNELS)):
            write_volume(root / "imagesTr" / f"{name}_{channel:04d}.nii.gz", voxels(k + channel))
        write_volume(root / "labelsTr" / f"{name}.nii.gz", labels())
    return write_json(root, len(names), **changes)


def problems_of(layout):
    with pytest.raises(DataError, match=r"dataset\.json: \d problems? with its files") as caught:
        layout.cases()
    assert len(str(caught.value).splitlines()) == len(caught.value.unlisted) + 1
    return [f"{one.case}: {one.problem}".removeprefix(": ") for one in caught.value.unlisted]


@pytest.mark.parametrize("channel", [0, 1])
def test_cases_and_their_channels(tmp_path, channel):
    write_raw(tmp_path, ("p2_a", "p1_b"))
    layout = NnunetLayout(root=tmp_path, channel=channel, patient_pattern=r"^(p\d)_")
    assert layout.cases() == [
        Case(
            id=name,
            patient_id=name[:2],
            image=str(tmp_path / "imagesTr" / f"{name}_000{channel}.nii.gz"),
            label=str(tmp_path / "labelsTr" / f"{name}.nii.gz"),
        )
        for name in ("p1_b", "p2_a")
    ]
    item = layout.load(layout.cases()[1].as_item())
    np.testing.assert_array_equal(item["image"][0], voxels(channel))
    np.testing.assert_array_equal(item["label"][0], labels())


def test_names_may_hold_anything(tmp_path):
    write_raw(tmp_path, ("a_0001", "b[1]*", "c.d"))
    (tmp_path / "imagesTr" / "._a_0001_0000.nii.gz").write_bytes(b"left by a Mac")
    (tmp_path / "labelsTr" / "notes.txt").write_text("of another ending")
    assert [case.id for case in NnunetLayout(root=tmp_path).cases()] == ["a_0001", "b[1]*", "c.d"]


def test_all_that_does_not_agree_is_listed(tmp_path):
    write_raw(tmp_path, ("a", "b", "c", "d", "e"))
    (tmp_path / "imagesTr" / "a_0001.nii.gz").unlink()
    (tmp_path / "labelsTr" / "b.nii.gz").unlink()
    for channel in (0, 1):
        (tmp_path / "imagesTr" / f"c_000{channel}.nii.gz").unlink()
    write_volume(tmp_path / "imagesTr" / "d_0002.nii.gz", voxels(0))
    write_volume(tmp_path / "imagesTr" / "f.nii.gz", voxels(0))
    assert problems_of(NnunetLayout(root=tmp_path)) == [
        "imagesTr/f.nii.gz has no channel in its name, as in f_0000.nii.gz",
        "a: missing channel files a_0001.nii.gz",
        "b: image without label: expected labelsTr/b.nii.gz",
        "c: label without image: expected imagesTr/c_0000.nii.gz",
        "d: channels 0002 are not in 'channel_names'",
        "'numTraining' is 5, but 4 cases have images",
    ]


def test_missing_folders_and_no_cases(tmp_path):
    write_json(tmp_path, cases=0)
    assert problems_of(NnunetLayout(root=tmp_path)) == [
        "the folder imagesTr does not exist",
        "the folder labelsTr does not exist",
    ]
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    assert problems_of(NnunetLayout(root=tmp_path)) == ["imagesTr and labelsTr hold no file *.nii.gz"]


def test_a_channel_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"expected channel 2, found the channels \[0, 1\]; set `channel` to one"):
        NnunetLayout(root=write_raw(tmp_path), channel=2).cases()


EXPLICIT = {
    "x": {"images": ["ct/1.nii.gz", "pet/1.nii.gz"], "label": "seg/1.nii.gz"},
    "a": {"images": ["ct/2.nii.gz", "pet/2.nii.gz"], "label": "seg/2.nii.gz"},
}


def write_explicit(root):
    for k, number in enumerate(("1", "2")):
        write_volume(root / "ct" / f"{number}.nii.gz", voxels(k))
        write_volume(root / "pet" / f"{number}.nii.gz", voxels(k + 5))
        write_volume(root / "seg" / f"{number}.nii.gz", labels())
    return write_json(root, dataset=EXPLICIT)


def test_explicit_paths(tmp_path):
    layout = NnunetLayout(root=write_explicit(tmp_path), channel=1)
    assert [(case.id, case.image, case.label) for case in layout.cases()] == [
        ("a", str(tmp_path / "pet/2.nii.gz"), str(tmp_path / "seg/2.nii.gz")),
        ("x", str(tmp_path / "pet/1.nii.gz"), str(tmp_path / "seg/1.nii.gz")),
    ]


def test_explicit_paths_that_are_not_there_are_listed(tmp_path):
    write_explicit(tmp_path)
    (tmp_path / "pet" / "1.nii.gz").unlink()
    (tmp_path / "seg" / "2.nii.gz").unlink()
    listed = EXPLICIT | {"b": {"images": ["ct/1.nii.gz"], "label": "seg/1.nii.gz"}}
    write_json(tmp_path, dataset=listed, cases=3)
    assert problems_of(NnunetLayout(root=tmp_path)) == [
        "x: pet/1.nii.gz does not exist",
        "a: seg/2.nii.gz does not exist",
        "b: missing channel files b_0001.nii.gz",
    ]


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.nii.gz"])
@pytest.mark.parametrize("key", ["images", "label"])
def test_no_explicit_path_leaves_the_folder(tmp_path, key, path):
    write_explicit(tmp_path)
    changed = EXPLICIT["x"] | {key: ["ct/1.nii.gz", path] if key == "images" else path}
    write_json(tmp_path, dataset=EXPLICIT | {"x": changed})
    with pytest.raises(
        ManifestError, match=r"dataset\.json: paths that leave the folder:\n  case 'x': expected a path"
    ):
        NnunetLayout(root=tmp_path).cases()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channel_names": None}, r"channel_names: this key is missing"),
        ({"channel_names": None, "modality": {"0": "CT"}}, r"found the 'modality' of the Decathlon and .*v1; use"),
        ({"labels": {"PZ": "one"}}, r"labels\.PZ"),
        ({"file_ending": ".npz"}, r"expected a file_ending of \.nii\.gz, .*, found '\.npz'; convert the files"),
        ({"numTraining": -1}, r"numTraining: expected a number greater than or equal to 0, found -1\.$"),
        ({"dataset": {"x": {"images": "a.nii.gz", "label": "b.nii.gz"}}}, r"dataset\.x\.images: .*found 'a\.nii\.gz'"),
    ],
)
def test_wrong_dataset_json(tmp_path, changes, message):
    with pytest.raises(DataError, match=message) as caught:
        NnunetLayout(root=write_raw(tmp_path, **changes)).cases()
    assert str(tmp_path / "dataset.json") in str(caught.value)


def write_colors(root):
    """Natural images as nnU-Net has them: three channel names, one file."""
    pixels = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    for name in ("a", "b"):
        write_picture(root / "imagesTr" / f"{name}_0000.png", pixels)
        write_picture(root / "labelsTr" / f"{name}.png", labels()[:, :, 1].T)
    write_json(root, file_ending=".png", channel_names={"0": "R", "1": "G", "2": "B"})
    return pixels


def test_pictures_keep_their_colors_in_one_file(tmp_path):
    pixels = write_colors(tmp_path)
    layout = NnunetLayout(root=tmp_path, color="blue")
    item = layout.load(layout.cases()[1].as_item())
    np.testing.assert_array_equal(item["image"][0], pixels[..., 2])
    with pytest.raises(DataError, match=r"expected channel 1, found the channels \[0\]"):
        NnunetLayout(root=tmp_path, channel=1).cases()


@pytest.mark.realdata
def test_a_real_task_written_as_nnunet_converts_it(tmp_path, data_root):
    """`nnUNetv2_convert_MSD_dataset` renames the images and turns the labels around; nothing else."""
    task = data_root / "Task04_Hippocampus"
    names = sorted(path.name for path in (task / "labelsTr").glob("hippocampus_*.nii.gz"))[:5]
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
        for name in names:
            target = name.replace(".nii.gz", "_0000.nii.gz") if folder == "imagesTr" else name
            (tmp_path / folder / target).symlink_to(task / folder / name)
    write_json(
        tmp_path,
        cases=5,
        channel_names={"0": "MRI"},
        labels={"background": 0, "Anterior": 1, "Posterior": 2},
    )
    cases = NnunetLayout(root=tmp_path).cases()
    decathlon = DecathlonLayout(root=task)
    expected = {case.id: case for case in decathlon.cases()}
    for case in cases:
        item = NnunetLayout(root=tmp_path).load(case.as_item())
        other = decathlon.load(expected[case.id].as_item())
        for key in ("image", "label"):
            np.testing.assert_array_equal(item[key], other[key])
            np.testing.assert_array_equal(item[key].affine, other[key].affine)
