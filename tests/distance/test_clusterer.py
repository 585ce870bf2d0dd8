"""Other clusterers than k-means++, and what becomes of weights."""

import numpy as np
import pytest
import torch
from sklearn.cluster import DBSCAN, AgglomerativeClustering, BisectingKMeans, KMeans, MiniBatchKMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from medsegdist.distance.class_options import ClassOptions
from medsegdist.distance.fake_classes import fake_classes, unit_scaled
from medsegdist.distance.metrics import FakeClassGmmMetric, FakeClassMetric
from medsegdist.distance.resampling import resample_patients
from tests.synthetic import blobs

CLUSTERERS = {
    "k-means": KMeans(n_init=3),
    "mini-batch k-means": MiniBatchKMeans(n_init=3),
    "bisecting k-means": BisectingKMeans(n_init=3),
    "agglomerative": AgglomerativeClustering(),
    "Gaussian mixture": GaussianMixture(n_init=3),
}
EACH = pytest.mark.parametrize("clusterer", CLUSTERERS.values(), ids=CLUSTERERS.keys())


def three_groups(n=90, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    centers = np.array([[0.0, 0, 0], [10, 0, 500], [0, 3, 900]])
    return torch.from_numpy(centers[truth] + rng.normal(0, [0.3, 0.1, 10], size=(n, 3))), truth


@EACH
def test_planted_groups_are_found(clusterer):
    features, truth = three_groups()
    before = repr(clusterer.get_params())
    assert adjusted_rand_score(truth, fake_classes(features, torch.ones(90), clusterer=clusterer)) == 1
    assert repr(clusterer.get_params()) == before, "the estimator itself is left alone"


@EACH
def test_order_copies_and_a_factor_of_the_weights_change_nothing(clusterer):
    rng = np.random.default_rng(3)
    features = torch.from_numpy(rng.uniform(size=(40, 3)))
    weights = torch.from_numpy(rng.integers(1, 4, size=40)).double()
    order = torch.from_numpy(rng.permutation(40))
    found = fake_classes(features, weights, clusterer=clusterer)
    assert torch.equal(fake_classes(features[order], 3 * weights[order], clusterer=clusterer), found[order])
    expanded = features.repeat_interleave(weights.long(), 0)
    copies = fake_classes(expanded, torch.ones(len(expanded)), clusterer=clusterer)
    assert torch.equal(copies, found.repeat_interleave(weights.long()))


def test_weights_reach_the_clusterers_that_take_them_and_no_others():
    # One heavy outlier is worth a cluster of its own only if it is heavy.
    line = torch.tensor([[0.0], [0.1], [0.2], [0.5], [0.8], [0.9], [1.0]]).double()
    heavy = torch.tensor([1, 1, 1, 100, 1, 1, 1]).double()
    equal = torch.ones(7).double()
    found = {
        name: [fake_classes(line, weights, classes=2, clusterer=clusterer).tolist() for weights in (equal, heavy)]
        for name, clusterer in (("k-means", KMeans(n_init=5)), ("agglomerative", AgglomerativeClustering()))
    }
    assert found["agglomerative"][0] == found["agglomerative"][1]
    own = KMeans(2, n_init=5, random_state=0).fit(line, sample_weight=heavy).inertia_
    by_class = fake_classes(line, heavy, classes=2, clusterer=KMeans(n_init=5))
    centers = torch.stack(
        [torch.sum((heavy * (by_class == c))[:, None] * line) / heavy[by_class == c].sum() for c in (0, 1)]
    )
    assert float((heavy * (line[:, 0] - centers[by_class]) ** 2).sum()) == pytest.approx(own, rel=1e-9)


def test_noise_is_a_class_of_its_own_and_the_number_is_the_clusterers():
    line = torch.tensor([[0.0], [0.01], [0.02], [0.5], [0.98], [0.99], [1.0]]).double()
    found = fake_classes(line, torch.ones(7), classes=5, clusterer=DBSCAN(eps=0.05, min_samples=2))
    assert found.tolist() == [0, 0, 0, 1, 2, 2, 2]


@EACH
def test_one_sample_is_one_class(clusterer):
    assert fake_classes(torch.ones(4, 2).double(), torch.ones(4), clusterer=clusterer).tolist() == [0] * 4


def test_replicates_are_clustered_anew():
    samples = blobs(n=20, patients=10, seed=3)
    options = ClassOptions(clusterer=AgglomerativeClustering(), features=("area", "texture"))
    classes = options.classify(samples)
    weights = resample_patients(samples, 6, seed=1).weights
    found = options.reclassify(samples, classes, weights)
    assert torch.equal(found[0], classes)
    points = unit_scaled(options._features_of(samples))
    for row, of_replicate in zip(weights, found, strict=True):
        there = row > 0
        assert (of_replicate[~there] == -1).all()
        expected = AgglomerativeClustering(n_clusters=3).fit_predict(points[there])
        assert adjusted_rand_score(expected, of_replicate[there]) == 1


@pytest.mark.parametrize("metric", [FakeClassMetric, FakeClassGmmMetric])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"clusterer": "k-means"}, TypeError, "expected a clusterer of scikit-learn with fit_predict.*found 'k-means'"),
        ({"clusterer": KMeans}, TypeError, r"such as AgglomerativeClustering\(\), found <class"),
        ({"clusterer": DBSCAN(), "classes": "gap"}, ValueError, r"n_clusters or n_components.*found DBSCAN\(\)"),
    ],
)
def test_what_cannot_cluster_is_refused(metric, options, error, message):
    with pytest.raises(error, match=message):
        metric(**options)
