"""What a folder is recognized as: by a JSON file, by DICOM, by names that pair up, or as nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.data.inspect import inspect, recognize
from medsegdist.data.layouts.dicom import DicomLayout
from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.layouts.listing import labels_of, modality_of
from medsegdist.data.proposal import propose
from medsegdist.errors import DataError
from tests.data.making import labels, voxels, write_task, write_volume
from tests.data.making_dicom import (
    rectangle,
    segmentation,
    slice_of,
    stack,
    stored_values,
    structure_set,
    write,
    write_slices,
)
from tests.data.test_datalist import write_files
from tests.data.test_nnunet import write_raw


def test_a_decathlon_task(tmp_path):
    root = write_task(tmp_path / "Task07_Liver_and_more", values=(1, 2))
    listing = json.loads((root / "dataset.json").read_text())
    more = {
        "name": "Liver",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "liver", "2": "tumor"},
        "licence": "CC-BY",
        "description": "Two\n lines",
    }
    (root / "dataset.json").write_text(json.dumps(listing | more))
    found = recognize(root)
    assert (found.layout, found.name, found.modality) == ({"kind": "decathlon"}, "Liver", "CT")
    assert found.labels == {"liver": (1,), "tumor": (2,)}
    assert (found.license, found.description) == ("CC-BY", "Two lines")
    assert len(inspect(str(root)).statistics.sizes) == 3


def test_an_nnunet_dataset(tmp_path):
    found = recognize(write_raw(tmp_path / "Dataset005_Prostate"))
    assert found.what == "an nnU-Net v2 dataset (dataset.json)"
    assert found.layout == {"kind": "nnunet", "channel": 0}
    assert found.labels == {"PZ": (1,), "prostate": (1, 2)}
    assert propose(inspect(str(tmp_path / "Dataset005_Prostate")))[0].name == "Prostate"


@pytest.mark.parametrize("given_as", ["", "datalist.json"])
def test_a_datalist_by_its_folder_or_by_itself(tmp_path, given_as):
    inspection = inspect(str(write_files(tmp_path) / given_as))
    assert inspection.layout == {"kind": "datalist", "file": "datalist.json", "patient_key": "subject"}
    assert inspection.statistics.cases == 3


def test_a_datalist_of_other_words_beside_json_that_is_none(tmp_path):
    write_volume(tmp_path / "a.nii.gz", voxels(0))
    write_volume(tmp_path / "b.nii.gz", labels())
    (tmp_path / "cases.json").write_text(json.dumps({"train": [{"image": "a.nii.gz", "mask": "b.nii.gz"}]}))
    (tmp_path / "another.json").write_text("[1]")
    (tmp_path / "broken.json").write_text("{")
    inspection = inspect(str(tmp_path))
    expected = {"kind": "datalist", "file": "cases.json", "section": "train", "label_key": "mask"}
    assert inspection.layout == expected


def test_a_dataset_json_that_is_broken_is_told(tmp_path):
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(DataError, match=r"dataset\.json cannot be read as JSON"):
        recognize(tmp_path)


def test_structure_sets(tmp_path):
    slices = stack(stored_values((4, 30, 30)))
    write_slices(tmp_path / "ct", slices)
    drawn = {"body": [rectangle(1, 20, 1)], "liver": [rectangle(3, 9, 1)]}
    write(tmp_path / "rt.dcm", structure_set(drawn, slices))
    inspection = inspect(str(tmp_path))
    assert inspection.layout == {"kind": "dicom", "segmentation": "rtstruct", "roi": "body"}
    assert inspection.choices == ("body", "liver")
    assert (inspection.found.modality, inspection.found.modality_reason) == ("CT", "the DICOM headers say CT")


def test_segmentation_objects(tmp_path):
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    slices = stack(stored_values((4, 8, 8)))
    write_slices(tmp_path / "ct", slices)
    mask = np.zeros((4, 8, 8, 1), dtype=bool)
    mask[1, 2:5, 2:5] = True
    write(tmp_path / "seg.dcm", segmentation(slices, mask, ["liver"]))
    inspection = inspect(str(tmp_path))
    assert inspection.layout == {"kind": "dicom", "segmentation": "seg"}
    assert inspection.statistics.values == {1: 1}


def test_fractions_get_a_threshold_and_the_reason(tmp_path):
    """Those from one half on count, and a segmentation of yes and no in the same folder stays what it is."""
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    drawn = np.zeros((4, 12, 10, 1), dtype=np.float32)
    drawn[1:3, 2:8, 3:8] = 0.45
    drawn[1:3, 4:6, 3:8] = 0.55
    for name, kind, mask in (("a", "FRACTIONAL", drawn), ("b", "BINARY", drawn > 0)):
        slices = stack(stored_values((4, 12, 10)), series=name)
        write_slices(tmp_path / name, slices)
        write(tmp_path / name / "seg.dcm", segmentation(slices, mask, ["liver"], kind))
    inspection = inspect(str(tmp_path))
    assert inspection.layout == {"kind": "dicom", "segmentation": "seg", "fractional_threshold": 0.5}
    assert inspection.remarks[0] == (
        "fractions (FRACTIONAL) in 1 of 2 segmentation objects: voxels count from half of the largest possible one on; "
        "`fractional_threshold` changes that"
    )
    layout = DicomLayout.model_validate({"root": tmp_path, **inspection.layout})
    assert [int(layout.load(case.as_item())["label"].sum()) for case in layout.cases()] == [2 * 2 * 5, 2 * 6 * 5]


def test_dicom_images_without_a_drawing_are_no_dataset(tmp_path):
    write(tmp_path / "a.dcm", slice_of(np.zeros((4, 4), dtype=np.int16), (0, 0, 0)))
    with pytest.raises(DataError, match=r"Found: 1 \.dcm;"):
        recognize(tmp_path)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["CT"], "CT"),
        (["MRI"], "MR"),
        (["T1w"], "MR"),
        (["FLAIR"], "MR"),
        (["msd_liver_ct2d"], "CT"),
        (["la2018_heart_mr3d"], "MR"),
        (["montgomery_lung_cxr2d"], "other"),
        (["ct and mr"], None),
        (["noNorm"], None),
        (["actor"], None),
        ([], None),
    ],
)
def test_words_for_modalities(words, expected):
    assert modality_of(words) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"0": "background", "1": "liver"}, {"liver": (1,)}),
        ({"background": 0, "liver": 1, "ignore": 3}, {"liver": (1,)}),
        ({"background": 0, "whole": [1, 2], "core": [2]}, {"whole": (1, 2), "core": (2,)}),
        ({"1": 1}, {"1": (1,)}),
        ({"²": "superscript", "--1": "twice", "9" * 5000: "long"}, {}),
        ({"a": "b", "c": None, "d": []}, {}),
        (["a"], {}),
    ],
)
def test_labels_as_listings_write_them(written, expected):
    assert labels_of(written) == expected


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_no_json_makes_labels_stumble(content):
    assert all(name and values and 0 not in values for name, values in labels_of(content).items())


def test_a_refused_mask_is_shown_by_a_value_that_is_not_whole(tmp_path):
    logits = labels().astype(np.float32) * 0.3 - np.float32(8 - 2**-21)
    write_volume(tmp_path / "images" / "a.nii.gz", voxels(0))
    write_volume(tmp_path / "masks" / "a.nii.gz", logits)
    with pytest.raises(DataError, match=r"expected a mask of whole numbers, found -7\.[1-9]"):
        inspect(str(tmp_path))


def plant(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


@pytest.mark.parametrize(
    ("images", "masks", "expected"),
    [
        ("images/{}.png", "masks/{}.png", ("images/*.png", "masks/*.png")),
        ("images/{}.jpg", "masks/{}_mask.png", ("images/*.jpg", "masks/*_mask.png")),
        ("imagesTr/{}_0000.nii.gz", "labelsTr/{}.nii.gz", ("imagesTr/*_0000.nii.gz", "labelsTr/*.nii.gz")),
        ("{}.nii.gz", "{}_seg.nii.gz", ("*.nii.gz", "*_seg.nii.gz")),
        ("{}_image.nrrd", "{}_label.nrrd", ("*_image.nrrd", "*_label.nrrd")),
        ("{}.nrrd", "{}-label.nrrd", ("*.nrrd", "*-label.nrrd")),
        ("img_{}.tif", "mask_{}.tif", ("img_*.tif", "mask_*.tif")),
        ("{}/image.nii.gz", "{}/mask.nii.gz", ("*/image.nii.gz", "*/mask.nii.gz")),
        ("{}/ct.nii.gz", "{}/seg.nii.gz", ("*/ct.nii.gz", "*/seg.nii.gz")),
        ("vol/volume-{}.nii", "seg/segmentation-{}.nii", ("vol/volume-*.nii", "seg/segmentation-*.nii")),
        ("{}.png", "masks/{}.png", ("*.png", "masks/*.png")),
        ("train/Images/{}.BMP", "train/Ground Truth/{}.BMP", ("train/Images/*.BMP", "train/Ground Truth/*.BMP")),
    ],
)
@pytest.mark.parametrize("keys", [["one"], ["p1", "p2", "p3"], ["a_1", "b_22"]])
def test_names_that_pair_are_recognized(tmp_path, images, masks, expected, keys):
    plant(tmp_path, *(pattern.format(key) for key in keys for pattern in (images, masks)), "README.txt")
    layout = FolderLayout.recognize(tmp_path).layout
    assert (layout["images"], layout["masks"]) == expected
    assert [case.id for case in FolderLayout(root=tmp_path, **layout).cases()] == sorted(keys)


@given(
    keys=st.sets(st.from_regex(r"[a-z]{1,3}[0-9]{1,3}", fullmatch=True), min_size=1, max_size=6),
    image=st.sampled_from(["", "_0000", "_image", "-ct"]),
    mask=st.sampled_from(["_seg", "_mask", "-label", "_gt"]),
    ending=st.sampled_from([".nii.gz", ".nrrd", ".png"]),
)
def test_whatever_the_cases_are_called_each_finds_its_mask(tmp_path_factory, keys, image, mask, ending):
    root = tmp_path_factory.mktemp("planted")
    plant(root, *(f"{key}{end}{ending}" for key in keys for end in (image, mask)))
    cases = FolderLayout(root=root, **FolderLayout.recognize(root).layout).cases()
    assert len(cases) == len(keys)
    for case in cases:
        key = case.id.removesuffix(image) if image else case.id
        assert (case.image, case.label) == (str(root / f"{key}{image}{ending}"), str(root / f"{key}{mask}{ending}"))


def test_patterns_without_a_file_alone_come_before_those_that_match_more(tmp_path):
    plant(tmp_path, "a_image.nrrd", "a_label.nrrd", "b.nrrd", "b-label.nrrd", "c.nrrd", "c-label.nrrd")
    found = FolderLayout.recognize(tmp_path)
    assert found.layout["images"] == "*_image.nrrd"
    assert found.remarks == ("4 other images are here that fit neither pattern",)


def test_the_folder_of_several_datasets_of_pairs_is_told_to_name_one(tmp_path):
    for name, keys in (("liver", "abc"), ("lung", "ade"), ("spleen", "afg")):
        plant(tmp_path, *(f"{name}/{kind}/{key}.png" for kind in ("images", "masks") for key in keys))
    with pytest.raises(
        DataError,
        match=r"expected the folder of one dataset, found \d pairs? of .* among 18 images, and datasets in its "
        r"subfolders; name one of its subfolders: liver, lung, spleen\.$",
    ):
        recognize(tmp_path)
    assert recognize(tmp_path / "lung").layout["images"] == "images/*.png"


@pytest.mark.parametrize(
    ("planted", "images"),
    [
        # One dataset with a folder for each case, of whose images one is read.
        (["{}/x_flair.nii.gz", "{}/x_t1.nii.gz", "{}/x_t2.nii.gz", "{}/x_dwi.nii.gz", "{}/x_seg.nii.gz"], "*/x_"),
        # Pairs next to many images without a mask.
        (["images/{}.png", "masks/{}.png", "unlabeled/{}_1.png", "unlabeled/{}_2.png", "unlabeled/{}_3.png"], "images"),
    ],
)
def test_one_dataset_is_not_taken_for_several(tmp_path, planted, images):
    plant(tmp_path, *(pattern.format(key) for key in ("p1", "p2", "p3") for pattern in planted))
    assert recognize(tmp_path).layout["images"].startswith(images)


def test_an_unrecognized_folder_is_told_with_all_that_was_looked_for_and_found(tmp_path):
    plant(tmp_path, "a.nii.gz", "b.nii.gz", "notes.txt", "more/c.txt", ".hidden")
    with pytest.raises(DataError) as caught:
        recognize(tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}: no layout was recognized. Looked for:\n")
    for family in ("(Decathlon)", "(nnU-Net v2)", "(MONAI datalist)", "SEG or RTSTRUCT", "images/*.png + masks/*.png"):
        assert family in said
    assert "Found: 2 .nii.gz, 1 .txt, 1 folder (more/)" in said
    assert "or describe the dataset by hand" in said


def test_the_folder_of_several_tasks_is_told_to_name_one(tmp_path):
    plant(tmp_path, "Task01_A/dataset.json", "Task02_B/dataset.json")
    with pytest.raises(DataError, match=r"have a dataset\.json: Task01_A, Task02_B; name one of them"):
        recognize(tmp_path)
