"""The laws hold for all five methods, on slices and on volumes, and the harness finds a metric that breaks one."""

from dataclasses import dataclass, replace

import pytest
import torch

from medsegdist.distance.metrics import (
    PAPER_METHODS,
    BoundaryMetric,
    CosineMetric,
    DiceMetric,
    FingerprintMetric,
    HausdorffMetric,
    MmdMetric,
    OtddMetric,
    PatchesMetric,
    PixelsMetric,
    SlicedMetric,
    make_metric,
)
from tests.laws import check_mask_metric
from tests.synthetic import blobs, two_places

GRIDS = {"slices": (32, 40), "volumes": (10, 20, 24)}
SETS = {
    name: (
        blobs("a", grid=grid, n=10, center=[0.4] * len(grid), seed=1),
        blobs("b", grid=grid, n=13, center=[0.6] * len(grid), radius=7, brightness=180, seed=2),
    )
    for name, grid in GRIDS.items()
}
SMALL = {
    "slices": (two_places("a", seed=1), two_places("b", n=14, radius=5.0, seed=7)),
    "volumes": (
        two_places("a", grid=(8, 10, 12), seed=1),
        two_places("b", n=14, grid=(8, 10, 12), radius=5.0, seed=7),
    ),
}


# Fits of segments that overlap creep to their optimum.
@pytest.mark.parametrize(
    "sets",
    [*SMALL.values(), *(pytest.param(sets, marks=pytest.mark.slow) for sets in SETS.values())],
    ids=[*SMALL, *(f"overlapping {name}" for name in SETS)],
)
@pytest.mark.parametrize("method", PAPER_METHODS)
def test_the_papers_methods_obey_the_laws(method, sets):
    metric = make_metric(method)
    if hasattr(metric, "components"):
        # The laws do not depend on it, the time does.
        metric = replace(metric, components=1 if hasattr(metric, "classes") and sets in SMALL.values() else 2)
    check_mask_metric(metric, *sets)


@dataclass(frozen=True)
class MeanArea:
    """A third party's metric: ten lines, nothing registered."""

    name: str = "mean_area"
    power: float = 1.0

    def summarize(self, samples, /):
        return (samples.mass * samples.masks.flatten(1).sum(1)).sum()

    def compare(self, source, target, image_cost, /):
        return (source - target).abs().reshape(1, 1)


def test_a_third_partys_metric_passes_too():
    check_mask_metric(MeanArea(), blobs("a", seed=1), blobs("b", radius=8, seed=2))


@dataclass(frozen=True)
class FirstMask(MeanArea):
    name: str = "first_mask"

    def summarize(self, samples, /):
        return samples.masks[0].sum().to(torch.float64)


def test_the_harness_names_the_broken_law():
    with pytest.raises(AssertionError, match="first_mask breaks the law 'ignores_the_order_of_samples'"):
        check_mask_metric(FirstMask(), blobs("a", seed=1), blobs("b", radius=8, seed=2))


@dataclass(frozen=True)
class Lopsided(MeanArea):
    name: str = "lopsided"

    def compare(self, source, target, image_cost, /):
        return (source - target).clamp(min=0).reshape(1, 1) * 1.0


def test_the_harness_finds_asymmetry():
    with pytest.raises(AssertionError, match="lopsided breaks the law 'is_symmetric'"):
        check_mask_metric(Lopsided(), blobs("a", seed=1), blobs("b", radius=8, seed=2))


def by_size(samples):
    """A class for samples with small segments, one for the others."""
    return [int(size) > 150 for size in samples.masks.flatten(1).sum(1)]


OF_MASKS_ALONE = [
    DiceMetric(),
    DiceMetric(jaccard=True),
    HausdorffMetric(),
    HausdorffMetric(percentile=95),
    CosineMetric(),
    CosineMetric(angular=True),
    OtddMetric(by_size),
    BoundaryMetric(),
    BoundaryMetric(reach=2, shape_weight=0.0),
    FingerprintMetric(),
    FingerprintMetric(intensity_unit=32),
]


@pytest.mark.parametrize("image_weight", [0, 1], ids=["masks", "images and masks"])
@pytest.mark.parametrize("sets", SETS.values(), ids=SETS.keys())
@pytest.mark.parametrize("metric", OF_MASKS_ALONE, ids=lambda metric: metric.name)
def test_comparators_obey_the_laws(metric, sets, image_weight):
    check_mask_metric(metric, *sets, image_weight=image_weight)


OF_PIXELS_AND_PATCHES = {
    "pixels": PixelsMetric(),
    "pixels with intensities": PixelsMetric(intensity=True, max_bins=64),
    "mmd": MmdMetric(),
    "mmd of places": MmdMetric(intensity=False, max_bins=64),
    "sliced": SlicedMetric(),
    "sliced places": SlicedMetric(intensity=False, max_bins=64),
    "patches": PatchesMetric(width=5, count=120),
    "fewer patches than samples": PatchesMetric(width=5, count=12),
    "patches by slices": PatchesMetric(width=5, count=120, solver="sliced"),
}


@pytest.mark.parametrize("sets", SETS.values(), ids=SETS.keys())
@pytest.mark.parametrize("metric", OF_PIXELS_AND_PATCHES.values(), ids=OF_PIXELS_AND_PATCHES.keys())
def test_the_distributions_of_pixels_and_patches_obey_the_laws(metric, sets):
    check_mask_metric(metric, *sets)
