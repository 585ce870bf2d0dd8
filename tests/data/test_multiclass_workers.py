"""Masks of several classes, read in several processes: what reading in one gives, or its errors."""

from __future__ import annotations

import numpy as np
import pytest

from medsegdist.data.collect import collect_classes, load_class_samples
from medsegdist.data.manifest import Preprocessing
from medsegdist.errors import DataError
from tests.data.making import task_manifest
from tests.data.test_multiclass import CLASSES, write_organs
from tests.data.test_workers import GRID, Items, assert_equal, item


def two_classes(k: int) -> object:
    """Lists of two samples; the second class is too small in every second one, and the case 4 has nothing large."""
    label = np.zeros((2, *GRID), dtype=np.uint8)
    label[0, 1:3, 1:4] = k != 4
    label[1, 4, : 6 if k % 2 else 2] = 1
    return [item(k) | {"label": label}, item(k) | {"label": label[::-1].copy()}]


def of_three_channels(k: int) -> object:
    return item(k) | {"label": np.ones((3, *GRID), dtype=np.uint8)} if k == 3 else two_classes(k)


def test_classes_are_read_alike():
    one, samples = (
        collect_classes(Items(7, two_classes), ("x", "y"), name="tiny", workers=workers, min_pixels=5)
        for workers in (1, 2)
    )
    assert_equal(one, samples)
    assert samples.sizes.tolist() == [
        size for k in (0, 1, 2, 3, 5, 6) for size in ([[6, 6], [6, 6]] if k % 2 else [[6, 0], [0, 6]])
    ]


def test_files_with_classes_are_read_alike(tmp_path):
    manifest = task_manifest(write_organs(tmp_path / "task"), classes=CLASSES)
    preprocessing = Preprocessing(grid=(10, 12), min_pixels=2)
    one, two = (load_class_samples(manifest, preprocessing, workers=workers) for workers in (1, 2))
    assert two.classes == one.classes
    assert_equal(two, one)
    absent = task_manifest(manifest.layout.root, classes={"liver": [1, 5], "kidney": 2})
    messages = []
    for workers in (1, 2):
        with pytest.raises(DataError, match="label 5 of class 'liver' is in none of the 4 cases") as caught:
            load_class_samples(absent, preprocessing, workers=workers)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_a_bad_case_has_the_same_error():
    messages = []
    for workers in (1, 2):
        with pytest.raises(DataError, match="expected 2 channels, one for each class") as caught:
            collect_classes(Items(7, of_three_channels), ("x", "y"), name="tiny", workers=workers)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
