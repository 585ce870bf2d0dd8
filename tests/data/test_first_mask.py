"""Plain `check` reads masks until one holds foreground, and says what the masks hold if none does."""

from __future__ import annotations

import numpy as np
import pytest

from medsegdist.data import readers
from medsegdist.data.check import check_dataset
from medsegdist.data.collect import load_samples
from medsegdist.data.export import export_task
from medsegdist.errors import DataError
from tests.data.making import (
    PREPROCESSING,
    labels,
    pictures_manifest,
    task_manifest,
    write_picture,
    write_pictures,
    write_task,
    write_volume,
)

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


@DEPTHS
def test_volumes_and_several_other_labels(tmp_path, full):
    manifest = task_manifest(write_task(tmp_path, values=(1, 2)), foreground=(3, 4))
    assert [str(problem) for problem in check_dataset(manifest, PREPROCESSING, full=full).problems] == [
        f"all cases: label {label} is in none of the 3 masks, which hold 1, 2 besides 0; "
        "write those that are meant, as `foreground: [1]`."
        for label in (3, 4)
    ]


@DEPTHS
def test_classes_by_labels_that_no_mask_holds(tmp_path, full):
    manifest = task_manifest(write_task(tmp_path, values=(2,)), classes={"a": (3,)})
    (problem,) = check_dataset(manifest, PREPROCESSING, full=full).problems
    assert str(problem) == (
        "all cases: label 3 of class 'a' is in none of the 3 masks, which hold 2 besides 0; "
        "correct `classes` to labels that exist."
    )


def test_masks_are_read_until_one_holds_foreground(tmp_path, monkeypatch):
    """The first mask is empty and the second one holds another label: neither is wrong."""
    root = write_task(tmp_path, ("a", "b", "c", "d"), values=(2,))
    write_volume(root / "labelsTr" / "a.nii.gz", labels() * 0)
    write_volume(root / "labelsTr" / "b.nii.gz", labels())
    seen, read = [], readers.read_pair

    def watched(item, *, keys, **options):
        seen.extend([item["case_id"]] if keys == ("label",) else [])
        return read(item, keys=keys, **options)

    monkeypatch.setattr(readers, "read_pair", watched)
    layout = task_manifest(root).layout.model_copy(update={"patient_pattern": None})
    manifest = task_manifest(root, foreground=(2,), layout=layout)
    assert check_dataset(manifest, PREPROCESSING, full=False).problems == ()
    assert seen == ["a", "b", "c"]


@pytest.mark.parametrize("foreground", [None, (1,)])
def test_masks_that_are_all_empty(tmp_path, foreground):
    root = write_pictures(tmp_path)
    for name in "ab":
        write_picture(root / "masks" / f"{name}.png", np.zeros((10, 12), dtype=np.uint8))
    (problem,) = check_dataset(pictures_manifest(root, foreground=foreground), PREPROCESSING, full=False).problems
    assert str(problem) == (
        "all cases: all masks are empty, 2 cases read; check the masks, and which labels are foreground."
        if foreground is None
        else "all cases: label 1 is in none of the 2 cases; correct `foreground` to labels that exist."
    )


def test_a_damaged_first_mask_is_told_and_the_next_one_read(tmp_path):
    root = write_pictures(tmp_path, ("a", "b", "c"))
    path = root / "masks" / "a.png"
    path.write_bytes(path.read_bytes()[:-30])
    (problem,) = check_dataset(pictures_manifest(root), PREPROCESSING, full=False).problems
    assert problem.case == "a"
    assert problem.problem.startswith(f"label {path}: the file cannot be read")
