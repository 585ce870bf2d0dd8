"""Where things lie counts by the way between them, on slices and on volumes: laws that not every metric has."""

import math
from dataclasses import replace

import pytest
import torch

from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import METHODS, GmmMetric, HausdorffMetric, PixelsMetric, SlicedMetric, make_metric
from tests.synthetic import blobs

GRIDS = {"slices": (48, 52), "volumes": (40, 42, 44)}
STEP = 12
"""A whole number of bins, whatever their width is here."""


def moved(samples, shift, name):
    """Everything moved, in an image whose segments and their surroundings stay clear of its border."""
    axes = tuple(range(1, 1 + len(samples.grid)))
    return replace(
        samples,
        name=name,
        images=torch.roll(samples.images, shift, axes),
        masks=torch.roll(samples.masks, shift, axes),
    )


def two(grid):
    low = [0.3] * len(grid)
    return (
        blobs("a", grid=grid, n=5, center=low, radius=3, seed=1),
        blobs("b", grid=grid, n=6, center=[0.35] * len(grid), radius=4, brightness=180, seed=2),
    )


OF_SHIFTS = {
    "gmm2d": (GmmMetric(components=2, intensity=False), 1),
    "gmm3d": (GmmMetric(components=2), 1),
    "gmm2d by bic": (GmmMetric(components="bic", max_components=3, intensity=False), 1),
    "pixels": (PixelsMetric(), 1),
    "pixels with intensities": (PixelsMetric(intensity=True), 1),
    "sliced": (SlicedMetric(intensity=False), 2),
    "hausdorff": (HausdorffMetric(power=2.0), 1),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
@pytest.mark.parametrize(("metric", "share"), OF_SHIFTS.values(), ids=OF_SHIFTS.keys())
def test_what_is_moved_lies_at_the_squared_length_of_the_way(metric, share, grid):
    shift = (STEP, STEP // 2, STEP)[: len(grid)]
    samples = two(grid)[0].take([2])
    found = DatasetDistance(metric, image_weight=0)(samples, moved(samples, shift, "moved"))
    squared = math.fsum(step**2 for step in shift) / (len(grid) if share == 2 else 1)
    assert found.mask_term == pytest.approx(squared, rel=1e-6)


# Centers of patches are drawn by the bytes of an image, so that moving it draws others.
TOGETHER = {name: make_metric(name) for name in METHODS if name != "patches"}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
@pytest.mark.parametrize("metric", TOGETHER.values(), ids=TOGETHER.keys())
def test_moving_both_datasets_together_changes_nothing(metric, grid):
    if hasattr(metric, "components"):
        metric = replace(metric, components=1)
    distance = DatasetDistance(metric, image_weight=0)
    a, b = two(grid)
    shift = (STEP,) * len(grid)
    found = distance(moved(a, shift, "a"), moved(b, shift, "b"))
    assert found.value == pytest.approx(distance(a, b).value, rel=1e-6)
