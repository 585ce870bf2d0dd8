"""Every option keeps the laws, on slices and on volumes."""

import pytest

from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.features import FeatureScale
from medsegdist.distance.metrics import (
    BoundaryMetric,
    CosineMetric,
    EuclideanMetric,
    FakeClassGmmMetric,
    FakeClassMetric,
    GmmMetric,
    HausdorffMetric,
    OtddMetric,
    PatchesMetric,
    PixelsMetric,
    SlicedMetric,
)
from tests.laws import (
    LAWS,
    check_dataset_distance,
    check_mask_metric,
    ignores_the_order_of_samples,
    takes_a_sample_twice_as_a_sample_of_twice_the_weight,
)
from tests.synthetic import blobs

GRIDS = {"slices": (14, 16), "volumes": (5, 9, 10)}
SETS = {
    name: (
        blobs("a", grid=grid, n=5, center=[0.4] * len(grid), seed=1),
        blobs("b", grid=grid, n=6, center=[0.6] * len(grid), radius=7, brightness=180, seed=2),
    )
    for name, grid in GRIDS.items()
}


def by_size(samples):
    """A class for samples with small segments, one for the others."""
    return [int(size) > 60 for size in samples.masks.flatten(1).sum(1)]


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
    "delta of HU": EuclideanMetric(delta=-2048.0),
    "angle to a delta of HU": CosineMetric(angular=True, delta=-2048.0, power=2.0),
    "median of surfaces": HausdorffMetric(percentile=50.0, power=2.0),
    "boundary squared, shape counting twice": BoundaryMetric(shape_weight=2.0, power=2.0),
    "coarse pixels": PixelsMetric(max_bins=64, power=1.0),
    "three slices": SlicedMetric(directions=3, max_bins=32, seed=5, power=1.0),
    "patches of edges, squared": PatchesMetric(width=1, count=60, mix=(1.0, 0.0, 0.0), power=2.0),
}


@pytest.mark.parametrize("sets", [SETS["slices"], pytest.param(SETS["volumes"], marks=pytest.mark.slow)], ids=SETS)
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
        OtddMetric(by_size), embedding=lambda x: x.flatten(1)[:, ::7], normalize=True
    ),
}


@pytest.mark.parametrize("sets", SETS.values(), ids=SETS.keys())
@pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES.keys())
def test_options_of_the_formula_keep_the_laws(distance, sets):
    check_dataset_distance(distance, *sets)


@pytest.mark.parametrize("sets", SETS.values(), ids=SETS.keys())
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
