from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import LoadImage

from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.layouts.listing import Case
from medsegdist.errors import DataError, ManifestError
from tests.data.making import AFFINE, SHAPE, labels, voxels, write_listing, write_task, write_volume


def loaded(root, **options):
    layout = DecathlonLayout(root=root, **options)
    return [layout.load(case.as_item()) for case in layout.cases()]


def test_cases_are_the_labeled_ones_in_their_order(tmp_path):
    write_task(tmp_path, ("p2_a", "p1_b", "p1_a"))
    assert DecathlonLayout(root=tmp_path, patient_pattern=r"^(p\d+)_").cases() == [
        Case(
            id=name,
            patient_id=name[:2],
            image=str(tmp_path / "imagesTr" / f"{name}.nii.gz"),
            label=str(tmp_path / "labelsTr" / f"{name}.nii.gz"),
        )
        for name in ("p2_a", "p1_b", "p1_a")
    ]


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.nii.gz"])
@pytest.mark.parametrize("key", ["image", "label"])
def test_no_path_leaves_the_folder(tmp_path, path, key):
    good = {"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}
    write_listing(tmp_path, [good, good | {key: path}])
    with pytest.raises(ManifestError) as caught:
        DecathlonLayout(root=tmp_path).cases()
    assert f"entry 1: expected a path inside {tmp_path}, found '{path}'" in str(caught.value)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (None, "expected a list 'training' of labeled cases, found None"),
        ([], r"found \[\]"),
        ({"image": "a"}, "found {'image': 'a'}"),
        (["a.nii.gz"], 'entry 0: expected {"image": "path", "label": "path"}, found \'a.nii.gz\''),
        ([{"image": "a.nii.gz"}], "entry 0: .* found {'image': 'a.nii.gz'}"),
        ([{"image": ["a.nii.gz", "b.nii.gz"], "label": "c.nii.gz"}], "entry 0: expected"),
        (
            [{"image": "x/a.nii.gz", "label": "b"}, {"image": "y/a.nii.gz", "label": "c"}],
            r"a: the image is listed more",
        ),
    ],
)
def test_malformed_listing(tmp_path, training, message):
    with pytest.raises(DataError, match=message):
        DecathlonLayout(root=write_listing(tmp_path, training)).cases()


def test_missing_and_broken_listing(tmp_path):
    with pytest.raises(DataError, match=r"dataset\.json does not exist; set `root` to the folder"):
        DecathlonLayout(root=tmp_path).cases()
    (tmp_path / "dataset.json").write_text(json.dumps(["training"]))
    with pytest.raises(DataError, match=r"expected a list 'training'"):
        DecathlonLayout(root=tmp_path).cases()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, ">i2", np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_volumes_agree_with_monais_own_reader(tmp_path, dtype, suffix):
    affine = np.array([[0, -1.5, 0, 7], [-1, 0, 0.2, 8], [0, 0.1, 3, -9], [0, 0, 0, 1]])
    image = write_volume(tmp_path / f"a{suffix}", (voxels(0) / 4).astype(dtype), affine)
    label = write_volume(tmp_path / f"b{suffix}", labels(1, 2), affine)
    write_listing(tmp_path, [{"image": image.name, "label": label.name}])
    (item,) = loaded(tmp_path)
    for key, path in (("image", image), ("label", label)):
        expected = LoadImage(ensure_channel_first=True)(path)
        np.testing.assert_array_equal(item[key], expected)
        np.testing.assert_array_equal(item[key].affine, expected.affine)
        assert item[key].meta["space"] == expected.meta["space"]
    # MONAI makes float32 of everything; small integers take a quarter or half of its memory.
    assert item["image"].dtype == {np.uint8: torch.uint8, np.int16: torch.int16, ">i2": torch.int16}.get(
        dtype, torch.float32
    )
    assert item["label"].dtype == torch.uint8


def test_scaled_integers_are_read_in_their_unit(tmp_path):
    image = nib.Nifti1Image(voxels(0).astype(np.int16), AFFINE)
    image.header.set_slope_inter(2.0, -1024.0)
    nib.save(image, tmp_path / "a.nii.gz")
    write_volume(tmp_path / "b.nii.gz", labels())
    write_listing(tmp_path, [{"image": "a.nii.gz", "label": "b.nii.gz"}])
    np.testing.assert_array_equal(loaded(tmp_path)[0]["image"][0], voxels(0) * 2 - 1024)


def test_flat_and_padded_shapes_are_volumes(tmp_path):
    write_volume(tmp_path / "a.nii.gz", voxels(0)[..., :1, None])
    write_volume(tmp_path / "b.nii.gz", labels()[..., 0])
    write_listing(tmp_path, [{"image": "a.nii.gz", "label": "b.nii.gz"}])
    (item,) = loaded(tmp_path)
    assert item["image"].shape == item["label"].shape == (1, 12, 10, 1)


@pytest.mark.parametrize(
    ("image", "channel", "message"),
    [
        (np.zeros((*SHAPE, 2), np.float32), None, r"found 2 channels, shape \(12, 10, 4, 2\); say which one by"),
        (np.zeros((*SHAPE, 2), np.float32), 2, r"expected channel 2, found 2 channels; set `channel` below that"),
        (np.zeros(SHAPE, np.float32), 1, r"expected a volume with channels, found shape \(12, 10, 4\); leave"),
        (np.zeros((*SHAPE, 2, 2), np.float32), 0, r"expected \(x, y, z\) or \(x, y, z, channels\), found shape"),
    ],
)
def test_wrong_channels(tmp_path, image, channel, message):
    write_volume(tmp_path / "a.nii.gz", image)
    write_volume(tmp_path / "b.nii.gz", labels())
    write_listing(tmp_path, [{"image": "a.nii.gz", "label": "b.nii.gz"}])
    with pytest.raises(DataError, match=message):
        loaded(tmp_path, channel=channel)


def test_a_damaged_byte_is_noticed(tmp_path):
    write_task(tmp_path, ("a",))
    path = tmp_path / "imagesTr" / "a.nii.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.nii\.gz: the file cannot be read"):
        loaded(tmp_path)


@pytest.mark.realdata
def test_real_task(data_root):
    layout = DecathlonLayout(root=data_root / "Task04_Hippocampus", patient_pattern=r"_(\d+)$")
    cases = layout.cases()
    assert len(cases) == 260
    assert (cases[0].id, cases[0].patient_id) == ("hippocampus_001", "001")
    item = layout.load(cases[0].as_item())
    assert item["image"].shape == item["label"].shape == (1, 35, 51, 35)
    assert item["label"].unique().tolist() == [0, 1, 2]
