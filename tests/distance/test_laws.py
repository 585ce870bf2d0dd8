"""The laws hold for every metric and option, on slices and on volumes, and the harness finds who breaks one."""

from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch

from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.features import FeatureScale
from medsegdist.distance.metrics import (
    PAPER_METHODS,
    BoundaryMetric,
    CosineMetric,
    DiceMetric,
    EuclideanMetric,
    FakeClassGmmMetric,
    FakeClassMetric,
    FingerprintMetric,
    GmmMetric,
    HausdorffMetric,
    MmdMetric,
    OtddMetric,
    PatchesMetric,
    PixelsMetric,
    SlicedMetric,
    make_metric,
)
from tests.laws import (
    LAWS,
    check_dataset_distance,
    check_mask_metric,
    ignores_the_order_of_samples,
    takes_a_sample_twice_as_a_sample_of_twice_the_weight,
)
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


def by_size(samples, most=150):
    """A class for samples with small segments, one for the others."""
    return [int(size) > most for size in samples.masks.flatten(1).sum(1)]


OF_MASKS_ALONE = [
    DiceMetric(),
    DiceMetric(jaccard=True),
    HausdorffMetric(),
    HausdorffMetric(percentile=95, power=2.0),
    CosineMetric(),
    CosineMetric(angular=True),
    OtddMetric(by_size),
    BoundaryMetric(),
    BoundaryMetric(reach=2, shape_weight=2.0, power=2.0),
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


FEW = {
    name: (
        blobs("a", grid=grid, n=5, center=[0.4] * len(grid), seed=1),
        blobs("b", grid=grid, n=6, center=[0.6] * len(grid), radius=7, brightness=180, seed=2),
    )
    for name, grid in {"slices": (14, 16), "volumes": (5, 9, 10)}.items()
}
COLUMNS = ("regions", "mean_area", "mean_perimeter", "mean_volume", "mean_surface")
SCALE = FeatureScale(COLUMNS, (1.0,) + 4 * (0.0,), (3.0,) + 4 * (500.0,))

METRICS = {
    "bic": GmmMetric(components="bic", max_components=2, intensity=False),
    "elbow": GmmMetric(components="elbow", max_components=2, intensity=False),
    "silhouette": GmmMetric(components="silhouette", max_components=2, intensity=False),
    "classes by elbow": FakeClassMetric(classes="elbow", max_classes=4),
    "classes by bic": FakeClassMetric(classes="bic", max_classes=4),
    "classes by gap": FakeClassMetric(classes="gap", max_classes=3),
    "texture": FakeClassMetric(features=("texture",)),
    "feature weights": FakeClassMetric(feature_weights={"shape": 3.0, "location": 0.5}),
    "joint scale": FakeClassMetric(features=("shape",), scale=SCALE),
    "all at once": FakeClassGmmMetric(
        classes="elbow",
        max_classes=3,
        components="bic",
        max_components=2,
        features=("shape", "texture"),
        intensity=False,
    ),
    "angle to a delta of HU": CosineMetric(angular=True, delta=-2048.0, power=2.0),
    "three slices": SlicedMetric(directions=3, max_bins=32, seed=5, power=1.0),
    "patches of edges, squared": PatchesMetric(width=1, count=60, mix=(1.0, 0.0, 0.0), power=2.0),
}


@pytest.mark.parametrize("sets", [FEW["slices"], pytest.param(FEW["volumes"], marks=pytest.mark.slow)], ids=FEW)
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
def test_options_of_metrics_keep_the_laws(metric, sets):
    check_mask_metric(metric, *sets)


DISTANCES = {
    "p = 2": DatasetDistance(EuclideanMetric(), p=2.0),
    "p = 3 and a constant": DatasetDistance(GmmMetric(components=1, intensity=False), p=3.0),
    "normalized": DatasetDistance(EuclideanMetric(), normalize=True),
    "normalized and a constant": DatasetDistance(GmmMetric(components=1, intensity=False), normalize=True),
    "masks alone": DatasetDistance(PixelsMetric(), image_weight=0),
    "images alone": DatasetDistance(EuclideanMetric(), mask_weight=0, p=2.0),
    "weights": DatasetDistance(FakeClassGmmMetric(components=1), image_weight=0.01, mask_weight=3.0, p=1.5),
    "embedding, normalized": DatasetDistance(
        OtddMetric(partial(by_size, most=60)), embedding=lambda x: x.flatten(1)[:, ::7], normalize=True
    ),
}


@pytest.mark.parametrize("sets", FEW.values(), ids=FEW.keys())
@pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES.keys())
def test_options_of_the_formula_keep_the_laws(distance, sets):
    check_dataset_distance(distance, *sets)


@pytest.mark.parametrize("sets", FEW.values(), ids=FEW.keys())
@pytest.mark.parametrize(
    "metric", [EuclideanMetric(), FakeClassMetric(), PixelsMetric()], ids=lambda metric: metric.name
)
def test_a_choice_of_samples_keeps_the_laws_that_a_choice_can(metric, sets):
    """Which samples are compared hangs on their places: another order is another choice, all else stays."""
    distance = DatasetDistance(metric, max_samples=4)
    of_all_samples = {ignores_the_order_of_samples, takes_a_sample_twice_as_a_sample_of_twice_the_weight}
    reference = distance(*sets)
    assert (reference.n_source, reference.n_target) == (4, 4)
    assert reference.value == DatasetDistance(metric)(*(distance.subsample(one) for one in sets)).value
    for law in LAWS:
        if law not in of_all_samples:
            law(distance, *sets, reference.value)
