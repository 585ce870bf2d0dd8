"""Folders whose images and masks pair up by their names, and those that are nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.data.inspect import inspect, recognize
from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.errors import DataError


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
        # Pairs beside many images without a mask.
        (["images/{}.png", "masks/{}.png", "unlabeled/{}_1.png", "unlabeled/{}_2.png", "unlabeled/{}_3.png"], "images"),
    ],
)
def test_one_dataset_is_not_taken_for_several(tmp_path, planted, images):
    plant(tmp_path, *(pattern.format(key) for key in ("p1", "p2", "p3") for pattern in planted))
    assert recognize(tmp_path).layout["images"].startswith(images)


def test_a_mask_that_is_missing_is_told_of_by_the_layout(tmp_path):
    plant(tmp_path, "images/a.png", "images/b.png", "masks/a.png")
    with pytest.raises(DataError, match="b: the image has no mask"):
        FolderLayout(root=tmp_path, **recognize(tmp_path).layout).cases()


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


def test_an_empty_folder_holds_nothing(tmp_path):
    with pytest.raises(DataError, match=r"Found: nothing;"):
        recognize(tmp_path)


def test_the_folder_of_several_tasks_is_told_to_name_one(tmp_path):
    plant(tmp_path, "Task01_A/dataset.json", "Task02_B/dataset.json")
    with pytest.raises(DataError, match=r"have a dataset\.json: Task01_A, Task02_B; name one of them"):
        recognize(tmp_path)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match=r"the folder .*nowhere does not exist; name the folder that holds"):
        inspect(str(tmp_path / "nowhere"))


def test_a_file_that_is_no_list_is_told(tmp_path):
    with pytest.raises(DataError, match=r"Found: a file of another kind"):
        recognize(plant(tmp_path, "a.png") / "a.png")
