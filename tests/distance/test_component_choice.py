"""How many Gaussians: against scikit-learn's criteria, and planted mixtures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_score
from sklearn.mixture import GaussianMixture as ReferenceMixture

from medsegdist.distance.metrics import FakeClassGmmMetric, GmmMetric
from medsegdist.distance.mixture.choice import (
    COMPONENT_RULES,
    component_count,
    effective_patients,
    elbow,
    information_criterion,
    silhouette,
)
from medsegdist.distance.mixture.fit import fit_mixture
from medsegdist.distance.mixture.pixel_counts import PixelCounts
from medsegdist.errors import DataError
from tests.synthetic import blobs

CENTERS = {1: [[50.0, 50]], 2: [[20.0, 30], [70, 80]], 3: [[20.0, 30], [70, 40], [45, 90]]}


def planted(k, n=450, seed=0):
    rng = np.random.default_rng(seed)
    points = np.array(CENTERS[k])[rng.integers(k, size=n)] + rng.normal(size=(n, 2)) * [4, 3]
    return points, PixelCounts(points=torch.from_numpy(points), masses=torch.ones(n).double())


@pytest.mark.parametrize(
    ("rule", "k"), [("bic", 1), ("bic", 2), ("bic", 3), ("elbow", 3), ("silhouette", 2), ("silhouette", 3)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_planted_number_is_found(rule, k, seed):
    _, histogram = planted(k, seed=seed)
    assert component_count(histogram, rule, most=6, observations=450, seed=seed) == k


def test_the_criterion_is_that_of_scikit_learn():
    points, histogram = planted(3)
    reference = ReferenceMixture(3, n_init=3, tol=1e-8, max_iter=1000, random_state=0).fit(points)
    found = information_criterion(reference.score(points), 3, 2, len(points))
    assert found == pytest.approx(reference.bic(points), rel=1e-12)
    fit = fit_mixture(histogram, 3)
    assert information_criterion(fit.log_likelihood, 3, 2, 450) <= reference.bic(points) + 1e-3


def test_fewer_observations_support_fewer_components():
    _, histogram = planted(3)
    chosen = [component_count(histogram, "bic", most=6, observations=n) for n in (1.0, 2.5, 450.0)]
    assert chosen[0] == 1
    assert chosen[1] <= 2
    assert chosen[2] == 3


@pytest.mark.parametrize("seed", range(3))
def test_silhouettes_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(60, 3))
    labels = rng.integers(4, size=60)
    labels[0] = 7  # one that is alone
    found = silhouette(torch.from_numpy(points), torch.full((60,), 1 / 60).double(), torch.from_numpy(labels))
    assert found == pytest.approx(silhouette_score(points, labels), rel=1e-9)


def test_silhouettes_of_weighted_points_by_brute_force():
    rng = np.random.default_rng(0)
    points, labels, masses = rng.normal(size=(20, 2)), np.arange(20) % 3, rng.uniform(0.2, 3, size=20)
    values = []
    for i in range(20):
        mean = {
            c: np.average(
                [np.linalg.norm(points[i] - points[j]) for j in range(20) if labels[j] == c and j != i],
                weights=[masses[j] for j in range(20) if labels[j] == c and j != i],
            )
            for c in range(3)
        }
        inside, outside = mean[labels[i]], min(mean[c] for c in range(3) if c != labels[i])
        values.append((outside - inside) / max(inside, outside))
    for factor in (1, 7):
        found = silhouette(torch.from_numpy(points), torch.from_numpy(factor * masses), torch.from_numpy(labels))
        assert found == pytest.approx(np.average(values, weights=masses), rel=1e-9)
    assert silhouette(torch.from_numpy(points), torch.ones(20).double(), torch.zeros(20).long()) == -1


def test_n_is_the_number_of_patients_where_all_weigh_the_same():
    samples = blobs(n=12, patients=4)
    equal = replace(samples, weights=torch.ones(12).double())
    assert effective_patients(equal) == pytest.approx(4)
    assert effective_patients(equal, [0, 4, 8]) == pytest.approx(1)
    copied = samples.take([0, *range(12)])
    heavier = replace(samples, weights=samples.weights * torch.where(torch.arange(12) == 0, 2.0, 1.0))
    assert effective_patients(copied) == pytest.approx(effective_patients(heavier), rel=1e-12)
    assert effective_patients(copied) < effective_patients(replace(samples, weights=7 * samples.weights)) < 4


@pytest.mark.parametrize("rule", COMPONENT_RULES)
def test_a_chosen_number_gives_the_mixture_of_that_number(rule):
    samples = blobs(n=8, patients=8, grid=(20, 20), seed=2)
    chosen = GmmMetric(components=rule, max_components=3, intensity=False).summarize(samples)
    given = GmmMetric(components=len(chosen.weights), intensity=False).summarize(samples)
    assert torch.equal(chosen.means, given.means)
    assert torch.equal(chosen.covariances, given.covariances)


def test_every_class_chooses_its_own_number():
    samples = blobs(n=10, patients=5, grid=(20, 20), seed=5)
    metric = FakeClassGmmMetric(classes=2, components="bic", max_components=3, intensity=False)
    summary = metric.summarize(samples)
    for c, mixture in enumerate(summary.mixtures):
        members = (summary.classes == c).nonzero()[:, 0]
        assert 1 <= len(mixture.weights) <= min(3, effective_patients(samples, members) + 1e-9)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([10, 2, 1.5, 1.2, 1], 2),
        ([10, 8, 2, 1.9, 1.8], 3),
        ([3, 3, 3], 1),
        ([4, 3, 2, 1], 1),
        ([5, 4.9, 4, 1], 1),
        ([7], 1),
        ([7, 3], 2),
        ([7, 7], 1),
    ],
)
def test_the_elbow_is_where_a_curve_lies_farthest_below_its_chord(curve, expected):
    assert elbow(curve) == expected
    assert elbow([1e-6 * value for value in curve]) == expected


@pytest.mark.parametrize("metric", [GmmMetric, FakeClassGmmMetric])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"components": "bci"}, "the number of components.* one of bic, elbow, silhouette, found 'bci'; did you mean"),
        ({"components": 0}, "at least 1 component, found 0"),
        ({"components": True}, "found True"),
        ({"components": 2.5}, "found 2.5"),
        ({"components": "bic", "max_components": 0}, "at least 1 component, found 0"),
    ],
)
def test_what_is_no_number_is_refused(metric, options, message):
    with pytest.raises(ValueError, match=message):
        metric(**options)


def test_more_components_than_distinct_pixels_are_refused():
    masks = torch.zeros(3, 8, 8, dtype=torch.bool)
    masks[:, 3, 3:5] = True
    tiny = replace(blobs(n=3, grid=(8, 8)), name="tiny", masks=masks)
    with pytest.raises(DataError, match=r"dataset 'tiny'.*found 2 pixels for 5 components"):
        GmmMetric(intensity=False).summarize(tiny)
    assert len(GmmMetric(components="elbow", intensity=False).summarize(tiny).weights) <= 2
