"""Every option keeps the laws, on slices and on volumes."""

import pytest
from sklearn.cluster import AgglomerativeClustering, MiniBatchKMeans
from sklearn.mixture import GaussianMixture

from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.feature_scale import FeatureScale
from medsegdist.distance.mask_metrics import EuclideanMetric, FakeClassGmmMetric, FakeClassMetric, GmmMetric
from tests.laws import check_dataset_distance, check_mask_metric
from tests.synthetic import blobs

GRIDS = {"slices": (14, 16), "volumes": (5, 9, 10)}
SETS = {
    name: (
        blobs("a", grid=grid, n=5, center=[0.4] * len(grid), seed=1),
        blobs("b", grid=grid, n=6, center=[0.6] * len(grid), radius=7, brightness=180, seed=2),
    )
    for name, grid in GRIDS.items()
}
COLUMNS = ("regions", "mean_area", "mean_perimeter", "mean_volume", "mean_surface")
SCALE = FeatureScale(COLUMNS, (1.0,) + 4 * (0.0,), (3.0,) + 4 * (500.0,))

METRICS = {
    "diag": GmmMetric(components=2, covariance="diag", intensity=False),
    "spherical": GmmMetric(components=2, covariance="spherical"),
    "tied": GmmMetric(components=2, covariance="tied", intensity=False),
    "bic": GmmMetric(components="bic", max_components=2, intensity=False),
    "elbow": GmmMetric(components="elbow", max_components=2, intensity=False),
    "silhouette": GmmMetric(components="silhouette", max_components=2, intensity=False),
    "classes by elbow": FakeClassMetric(classes="elbow", max_classes=4),
    "classes by bic": FakeClassMetric(classes="bic", max_classes=4),
    "classes by gap": FakeClassMetric(classes="gap", max_classes=3),
    "texture": FakeClassMetric(features=("texture",)),
    "feature weights": FakeClassMetric(feature_weights={"shape": 3.0, "location": 0.5}),
    "joint scale": FakeClassMetric(features=("shape",), scale=SCALE),
    "agglomerative": FakeClassMetric(clusterer=AgglomerativeClustering()),
    "Gaussian mixture": FakeClassMetric(clusterer=GaussianMixture(reg_covar=1e-3)),
    "mini-batch k-means": FakeClassMetric(clusterer=MiniBatchKMeans(n_init=3)),
    "all at once": FakeClassGmmMetric(
        classes="elbow",
        max_classes=3,
        components="bic",
        max_components=2,
        covariance="diag",
        features=("shape", "texture"),
        clusterer=AgglomerativeClustering(),
        intensity=False,
    ),
}


@pytest.mark.parametrize("sets", [SETS["slices"], pytest.param(SETS["volumes"], marks=pytest.mark.slow)], ids=SETS)
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
def test_options_of_metrics_keep_the_laws(metric, sets):
    check_mask_metric(metric, *sets)


DISTANCES = {
    "p = 2": DatasetDistance(EuclideanMetric(), p=2.0),
    "p = 3 and a constant": DatasetDistance(GmmMetric(components=1, intensity=False), p=3.0),
    "normalized": DatasetDistance(EuclideanMetric(), normalize=True),
    "normalized, p = 2": DatasetDistance(FakeClassMetric(), normalize=True, p=2.0, image_weight=0.5),
    "normalized and a constant": DatasetDistance(GmmMetric(components=1, intensity=False), normalize=True),
}


@pytest.mark.parametrize("sets", SETS.values(), ids=SETS.keys())
@pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES.keys())
def test_options_of_the_formula_keep_the_laws(distance, sets):
    check_dataset_distance(distance, *sets)
