"""Which cases gave no sample, of datasets on a disk and in a cache."""

from __future__ import annotations

import numpy as np

from medsegdist.data.dataset import load_dataset_samples
from medsegdist.data.manifest import Preprocessing
from tests.data.making import (
    PREPROCESSING,
    SHAPE,
    labels,
    task_manifest,
    write_task,
    write_volume,
)


def test_cases_without_a_sample_are_told_again_by_the_cache(tmp_path):
    root = write_task(tmp_path / "task")
    write_volume(root / "labelsTr" / "p2_a.nii.gz", labels(2))
    manifest = task_manifest(root, foreground=(1,))
    told = []
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        load_dataset_samples(manifest, PREPROCESSING, cache=cache, tallied=told.append)
    assert [(tally.cases, tally.without_sample) for tally in told] == [(3, {"p2_a": "mask without foreground"})] * 3


def test_a_segment_that_a_crop_leaves_outside_is_told_as_such(tmp_path):
    root = write_task(tmp_path / "task")
    corner = np.zeros(SHAPE, dtype=np.uint8)
    corner[0, 0, 1:3] = 1
    write_volume(root / "labelsTr" / "p2_a.nii.gz", corner)
    told = []
    preprocessing = Preprocessing(grid=(8, 10), spacing=(1.0, 1.0), min_pixels=1)
    load_dataset_samples(task_manifest(root, foreground=(1,)), preprocessing, tallied=told.append)
    assert told[0].without_sample == {"p2_a": "no foreground left on the grid"}
