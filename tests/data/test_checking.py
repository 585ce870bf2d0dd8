"""Cases and datasets that cannot be used: what `check` says, with and without every voxel, and `rank` refuses."""

from __future__ import annotations

import numpy as np
import pytest

from medsegdist.data.check import check_dataset
from medsegdist.data.collect import load_samples
from medsegdist.data.export import export_task
from medsegdist.data.manifest import Preprocessing
from medsegdist.data.problems import SkippedCasesWarning
from medsegdist.data.readers import read_pair
from medsegdist.errors import DataError
from tests.data.making import (
    AFFINE,
    PREPROCESSING,
    SHAPE,
    labels,
    pictures_manifest,
    task_manifest,
    voxels,
    write_listing,
    write_pictures,
    write_task,
    write_volume,
)

FOLDERS = {"image": "imagesTr", "label": "labelsTr"}
IMAGE, LABEL = "imagesTr/p1_b.nii.gz", "labelsTr/p1_b.nii.gz"


def truncate(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def with_value(array, value):
    array = array.astype(np.float32)
    array[3, 3, 1] = value
    return array


moved = AFFINE.copy()
moved[:3, 3] = [0, 0, 1]

BAD_CASES = {
    "missing image": (
        lambda r: (r / IMAGE).unlink(),
        r"image .*p1_b.*: the file does not exist",
        "restore it, or take",
    ),
    "empty file": (lambda r: (r / IMAGE).write_bytes(b""), r"image .*the file is empty", "copy or download it again"),
    "truncated image": (lambda r: truncate(r / IMAGE), r"image .*cannot be read \(EOFError", "copy or download"),
    "no NIfTI": (
        lambda r: (r / IMAGE).write_text("<html>"),
        r"image .*cannot be read .*not a NIfTI",
        "copy or download",
    ),
    "other shape": (
        lambda r: write_volume(r / LABEL, labels()[:, :, :3]),
        r"'image' and 'label': expected the same shape, found \(12, 10, 4\) and \(12, 10, 3\)",
        "pair each image with the mask that was drawn on it",
    ),
    "other affine": (
        lambda r: write_volume(r / LABEL, labels(), moved),
        r"'image' and 'label': expected the same affine, found two that place the volume up to 1 mm apart",
        "resample one to the other",
    ),
    "fractional mask": (
        lambda r: write_volume(r / LABEL, with_value(labels(), 0.5)),
        r"expected whole numbers as label values, found 0\.5",
        "threshold it first",
    ),
    "NaN mask": (
        lambda r: write_volume(r / LABEL, with_value(labels(), np.nan)),
        "expected whole numbers as label values, found NaN",
        "repair the label map",
    ),
    "several labels": (
        lambda r: write_volume(r / LABEL, labels(1, 2)),
        "expected a mask of 0 and one other value, found 0, 1, 2",
        "name the values that are foreground",
    ),
    "NaN": (
        lambda r: write_volume(r / IMAGE, with_value(voxels(1), np.nan)),
        "'image': expected finite intensities, found 1 of 480 that are NaN or infinite",
        "repair the image",
    ),
    "constant image": (
        lambda r: write_volume(r / IMAGE, np.full(SHAPE, 3, np.float32)),
        r"expected an image with contrast, found the same intensity 3 at percentiles 0\.5 and 99\.5",
        "leave this image out, or widen the percentiles",
    ),
    "channels": (
        lambda r: write_volume(r / IMAGE, np.stack([voxels(1)] * 2, axis=-1)),
        r"found 2 channels, shape \(12, 10, 4, 2\)",
        "say which one by `channel: 0` to 1",
    ),
}


@pytest.mark.parametrize("kind", BAD_CASES)
def test_a_bad_case_is_one_clear_problem(tmp_path, kind):
    spoil, problem, remedy = BAD_CASES[kind]
    root = write_task(tmp_path / "task")
    manifest = task_manifest(root)
    assert check_dataset(manifest, PREPROCESSING).problems == ()
    spoil(root)
    (found,) = check_dataset(manifest, PREPROCESSING).problems
    assert (found.dataset, found.case) == ("tiny", "p1_b")
    with pytest.raises(DataError, match=problem) as caught:
        load_samples(manifest, PREPROCESSING, cache=tmp_path / "cache")
    assert str(caught.value) == f"dataset 'tiny': 1 of 3 cases cannot be used:\n  {found}"
    assert remedy in found.remedy
    with pytest.warns(SkippedCasesWarning, match="case 'p1_b': "):
        samples = load_samples(manifest, PREPROCESSING, cache=tmp_path / "cache", on_bad_case="skip")
    assert samples.case_ids == ("p1_a", "p1_a", "p2_a", "p2_a")


@pytest.mark.parametrize(
    ("values", "foreground", "absent"), [((1,), (2,), [2]), ((1, 3), (1, 2, 3), [2]), ((1,), (1, 4, 5), [4, 5])]
)
def test_a_label_that_no_case_has(tmp_path, values, foreground, absent):
    manifest = task_manifest(write_task(tmp_path, values=values), foreground=foreground)
    problems = check_dataset(manifest, PREPROCESSING).problems
    said = "cases; correct `foreground` to labels that exist"
    if len(absent) == len(foreground):
        said = "masks, which hold 1 besides 0; write `foreground: [1]`"
    assert [str(problem) for problem in problems] == [
        f"all cases: label {label} is in none of the 3 {said}." for label in absent
    ]
    with pytest.raises(DataError, match=f"dataset 'tiny':\n  all cases: label {absent[0]} is in none of the 3 "):
        load_samples(manifest, PREPROCESSING, on_bad_case="skip")


def test_a_label_that_a_broken_case_may_have_is_not_called_absent(tmp_path):
    root = write_task(tmp_path)
    truncate(root / IMAGE)
    (problem,) = check_dataset(task_manifest(root, foreground=(1, 2)), PREPROCESSING).problems
    assert problem.case == "p1_b"


@pytest.mark.parametrize("dimensions", [2, 3])
def test_masks_that_mean_different_things_in_different_cases(tmp_path, dimensions):
    root = write_task(tmp_path)
    write_volume(root / LABEL, labels(2))
    grid = (10, 12) if dimensions == 2 else (4, 10, 12)
    (problem,) = check_dataset(
        task_manifest(root), Preprocessing(grid=grid, dimensions=dimensions, min_pixels=1)
    ).problems
    assert str(problem) == (
        "all cases: expected masks of 0 and one other value, the same in every case, found 1 (case 'p1_a'), "
        "2 (case 'p1_b'); name the values that are foreground."
    )


@pytest.mark.parametrize("foreground", [None, (1,)])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_all_masks_empty(tmp_path, foreground, dimensions):
    root = write_task(tmp_path)
    for path in (root / "labelsTr").iterdir():
        write_volume(path, np.zeros(SHAPE, np.uint8))
    grid = (10, 12) if dimensions == 2 else (4, 10, 12)
    preprocessing = Preprocessing(grid=grid, dimensions=dimensions, min_pixels=1)
    manifest = task_manifest(root, foreground=foreground)
    for full in (False, True):
        (problem,) = check_dataset(manifest, preprocessing, full=full).problems
        assert str(problem).startswith("all cases: all masks are empty, 3 cases read; check the masks")


@pytest.mark.parametrize("foreground", [None, (1,)])
def test_all_masks_lost_on_the_grid(tmp_path, foreground):
    root = write_task(tmp_path)
    for path in (root / "labelsTr").iterdir():
        mask = np.zeros(SHAPE, np.uint8)
        mask[1, 1, 1] = 1
        write_volume(path, mask)
    manifest = task_manifest(root, foreground=foreground)
    (problem,) = check_dataset(manifest, Preprocessing(grid=(2, 2, 2), dimensions=3, min_pixels=1)).problems
    assert str(problem) == "all cases: no foreground is left on the grid, 3 cases read; take a finer one."


@pytest.mark.parametrize("foreground", [None, (1,)])
def test_one_empty_mask_is_a_warning(tmp_path, foreground):
    root = write_task(tmp_path)
    write_volume(root / LABEL, np.zeros(SHAPE, np.uint8))
    manifest = task_manifest(root, foreground=foreground)
    (problem,) = check_dataset(manifest, PREPROCESSING).problems
    assert str(problem) == "case 'p1_b': mask without foreground; check the mask; the case gives no sample."
    assert problem.severity == "warning"
    assert set(load_samples(manifest, PREPROCESSING).case_ids) == {"p1_a", "p2_a"}


def test_one_pixel_on_one_slice_is_a_dataset(tmp_path):
    label = np.zeros((12, 10, 1), np.uint8)
    label[4, 5] = 1
    write_volume(tmp_path / "a.nii.gz", voxels(0)[..., :1])
    write_volume(tmp_path / "b.nii.gz", label)
    write_listing(tmp_path, [{"image": "a.nii.gz", "label": "b.nii.gz"}])
    manifest = task_manifest(tmp_path).model_copy(
        update={"layout": task_manifest(tmp_path).layout.model_copy(update={"patient_pattern": None})}
    )
    assert check_dataset(manifest, PREPROCESSING).problems == ()
    samples = load_samples(manifest, PREPROCESSING)
    assert samples.masks.nonzero().tolist() == [[0, 5, 4]]


def test_delta_inside_the_range_of_hounsfield_units(tmp_path):
    preprocessing = Preprocessing(grid=(10, 12), min_pixels=1, intensity="hounsfield", delta=0)
    root = write_task(tmp_path)
    write_volume(root / IMAGE, voxels(1) - 2000)
    manifest = task_manifest(root, modality="CT")
    problem, *warnings = check_dataset(manifest, preprocessing).problems
    assert (problem.case, problem.severity) == ("p1_b", "error")
    assert {warning.severity for warning in warnings} == {"warning"}
    assert str(problem).startswith("case 'p1_b': expected intensities above delta = 0 in the segment, found -")


def test_what_is_wrong_with_the_listing_is_a_problem_too(tmp_path):
    (problem,) = check_dataset(task_manifest(tmp_path), PREPROCESSING).problems
    assert problem.case == ""
    assert "dataset.json does not exist" in problem.problem
    assert problem.remedy == "set `root` to the folder that holds dataset.json"
    write_listing(tmp_path, [{"image": "/a.nii.gz", "label": "b.nii.gz"}])
    (problem,) = check_dataset(task_manifest(tmp_path), PREPROCESSING).problems
    assert "expected a path inside" in problem.problem
    (problem,) = check_dataset(task_manifest(tmp_path), Preprocessing(grid=(8, 8), intensity="hounsfield")).problems
    assert "expected a CT in HU" in problem.problem


@pytest.mark.parametrize("full", [False, True])
def test_a_mask_that_is_listed_as_its_own_image(tmp_path, full):
    root = write_task(tmp_path)
    names = ("p1_a", "p1_b", "p2_a")
    entries = [{key: f"{folder}/{name}.nii.gz" for key, folder in FOLDERS.items()} for name in names]
    entries[1]["image"] = "./labelsTr/p1_b.nii.gz"
    write_listing(root, entries)
    (problem,) = check_dataset(task_manifest(root), PREPROCESSING, full=full).problems
    said = f"expected an image and its mask, found one file as both, {root / LABEL}"
    assert (problem.case, problem.problem, problem.remedy) == ("p1_b", said, "correct the list")


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("lost", ["image", "label"])
def test_a_copy_of_one_file_as_image_and_mask(tmp_path, lost, full):
    root = write_task(tmp_path)
    files = {key: root / folder / "p1_b.nii.gz" for key, folder in FOLDERS.items()}
    kept = files["label" if lost == "image" else "image"]
    files[lost].write_bytes(kept.read_bytes())
    (problem,) = check_dataset(task_manifest(root, foreground=(1,)), PREPROCESSING, full=full).problems
    said = f"expected an image and its mask, found copies of one file as both, {files['image']} and {files['label']}"
    assert (problem.severity, problem.case, problem.problem) == ("error", "p1_b", said)
    assert problem.remedy == "put back the one that was replaced"


def test_two_headers_alike_whose_voxels_differ_are_image_and_mask(tmp_path):
    header = "ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementType = MET_UCHAR\nElementDataFile = a.raw\n"
    for folder, content in (("images", bytes(range(24))), ("masks", bytes([1] + [0] * 23))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.mhd").write_text(header)
        (tmp_path / folder / "a.raw").write_bytes(content)
    paths = {key: str(tmp_path / folder / "a.mhd") for key, folder in (("image", "images"), ("label", "masks"))}
    assert read_pair(paths)["label"].sum() == 1
    (tmp_path / "images" / "a.raw").write_bytes(content)
    with pytest.raises(DataError, match="found copies of one file as both"):
        read_pair(paths)


def test_a_label_beyond_eight_bits_is_found_in_no_mask_of_eight_bits(tmp_path):
    # 257 is 1 modulo 256, which is what torch compares 8-bit labels with.
    (problem,) = check_dataset(task_manifest(write_task(tmp_path), foreground=[257]), PREPROCESSING).problems
    assert problem.problem == "label 257 is in none of the 3 masks, which hold 1 besides 0"


ABSENT = "all cases: label 1 is in none of the 2 masks, which hold 255 besides 0; write `foreground: [255]`."
DEPTHS = pytest.mark.parametrize("full", [False, True])


@DEPTHS
def test_masks_of_0_and_255_whose_foreground_is_said_to_be_1(tmp_path, full):
    manifest = pictures_manifest(write_pictures(tmp_path), foreground=(1,))
    assert [str(problem) for problem in check_dataset(manifest, PREPROCESSING, full=full).problems] == [ABSENT]
    right = pictures_manifest(tmp_path, foreground=(255,))
    assert check_dataset(right, PREPROCESSING, full=full).problems == ()


def test_whoever_reads_the_masks_says_the_same(tmp_path):
    manifest = pictures_manifest(write_pictures(tmp_path / "data"), foreground=(1,))
    for read in (
        lambda: load_samples(manifest, PREPROCESSING),
        lambda: export_task(manifest, tmp_path / "Task01_Tiny"),
    ):
        with pytest.raises(DataError) as caught:
            read()
        assert str(caught.value) == f"dataset 'pictures':\n  {ABSENT}"


def test_a_damaged_first_mask_is_told_and_the_next_one_read(tmp_path):
    root = write_pictures(tmp_path, ("a", "b", "c"))
    path = root / "masks" / "a.png"
    path.write_bytes(path.read_bytes()[:-30])
    (problem,) = check_dataset(pictures_manifest(root), PREPROCESSING, full=False).problems
    assert problem.case == "a"
    assert problem.problem.startswith(f"label {path}: the file cannot be read")
