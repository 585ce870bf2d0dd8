"""Fake classes: clusters of masks, how many, and the options of the metrics that use them."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from medsegdist.distance import classes as clustering
from medsegdist.distance.classes import CLASS_RULES, unit_scaled
from medsegdist.distance.metrics import FakeClassGmmMetric, FakeClassMetric


def fake_classes(features, weights, **options):
    return clustering.fake_classes(unit_scaled(features), weights, **options)


def refit_classes(features, classes, weights):
    return clustering.refit_classes(unit_scaled(features), classes, weights)


def three_groups(n=90, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    centers = np.array([[0.0, 0, 0], [10, 0, 500], [0, 3, 900]])
    return torch.from_numpy(centers[truth] + rng.normal(0, [0.3, 0.1, 10], size=(n, 3))), truth


def test_planted_groups_are_found_whatever_the_scale_of_a_feature():
    features, truth = three_groups()
    scales = torch.tensor([1e-3, 1.0, 1e4], dtype=torch.float64)
    for scaled in (features, features * scales):
        found = fake_classes(scaled, torch.ones(90))
        assert adjusted_rand_score(truth, found) == 1


def test_never_more_classes_than_distinct_samples_and_none_empty():
    same = torch.ones(8, 4, dtype=torch.float64)
    assert fake_classes(same, torch.ones(8)).tolist() == [0] * 8
    two = torch.cat([same, same + 1])
    assert fake_classes(two, torch.ones(16), classes=5).tolist() == [0] * 8 + [1] * 8


@pytest.mark.parametrize("seed", range(5))
def test_refitted_classes_are_those_of_scikit_learn_from_the_same_centers(seed):
    rng = np.random.default_rng(seed)
    features = torch.from_numpy(rng.uniform(size=(50, 4)))
    features[0], features[1] = 0.0, 1.0  # scaling to [0, 1] then changes nothing
    classes = fake_classes(features, torch.ones(50))
    weights = torch.from_numpy(rng.multinomial(50, np.full(50, 1 / 50), size=20).astype(float))
    found = refit_classes(features, classes, weights)
    for row, mass in zip(found, weights, strict=True):
        drawn = (mass > 0).numpy()
        points, own = features.numpy()[drawn], classes.numpy()[drawn]
        centers = np.stack(
            [np.average(points[own == c], axis=0, weights=mass.numpy()[drawn][own == c]) for c in range(3)]
        )
        expected = KMeans(3, init=centers, n_init=1, tol=0).fit(points, sample_weight=mass.numpy()[drawn]).labels_
        assert np.array_equal(row.numpy()[drawn], expected)
        assert (row.numpy()[~drawn] == -1).all()


def test_refitting_with_the_own_weights_changes_nothing():
    rng = np.random.default_rng(9)
    features = torch.from_numpy(rng.uniform(size=(40, 5)))
    weights = torch.from_numpy(rng.uniform(0.2, 3, size=40))
    classes = fake_classes(features, weights)
    assert torch.equal(refit_classes(features, classes, weights[None])[0], classes)


def groups(k, n=120, seed=0):
    """Round groups, in as many dimensions as there are groups."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(10 * np.eye(k)[np.arange(n) % k] + rng.normal(0, 0.7, size=(n, k)))


def count(features, rule, weights=None, **options):
    weights = torch.ones(len(features)).double() if weights is None else weights
    return int(fake_classes(features, weights, classes=rule, **options).max()) + 1


@pytest.mark.parametrize("rule", CLASS_RULES)
@pytest.mark.parametrize("k", [2, 3, 4])
def test_planted_groups_are_found(rule, k):
    assert count(groups(k, seed=k), rule) == k


@pytest.mark.parametrize("rule", ["bic", "gap"])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_spread_evenly_is_one_class(rule, seed):
    features = torch.from_numpy(np.random.default_rng(seed).uniform(size=(150, 3)))
    assert count(features, rule, seed=seed) == 1


def test_the_gap_of_an_elongated_cloud_is_that_of_one_class():
    rng = np.random.default_rng(1)
    along = rng.uniform(size=(200, 1))
    assert count(torch.from_numpy(along @ [[1.0, 0.9, -1.1]] + rng.uniform(-0.02, 0.02, size=(200, 3))), "gap") == 1


@pytest.mark.parametrize(
    "rule", [pytest.param(rule, marks=pytest.mark.slow if rule == "gap" else ()) for rule in CLASS_RULES]
)
def test_order_copies_and_a_factor_of_the_weights_change_nothing(rule):
    features = groups(3, n=30, seed=7)
    rng = np.random.default_rng(2)
    weights = torch.from_numpy(rng.integers(1, 4, size=30)).double()
    order = torch.from_numpy(rng.permutation(30))
    found = fake_classes(features, weights, classes=rule)
    assert torch.equal(fake_classes(features[order], 5 * weights[order], classes=rule), found[order])
    copies = weights.long()
    expanded = fake_classes(features.repeat_interleave(copies, 0), torch.ones(int(copies.sum())), classes=rule)
    assert torch.equal(expanded, found.repeat_interleave(copies))


def test_few_observations_support_few_classes():
    assert count(groups(4), "bic", observations=1.0) == 1
    assert count(groups(4), "bic", observations=2.2) <= 2
    assert count(groups(4), "gap", max_classes=3) == 3


@pytest.mark.parametrize("rule", CLASS_RULES)
def test_equal_samples_are_one_class(rule):
    assert count(torch.ones(9, 3).double(), rule) == 1
    two = torch.arange(2).repeat(4).double()[:, None]
    assert count(two, rule) == {"elbow": 2, "bic": 1, "gap": 1}[rule]


@pytest.mark.parametrize("metric", [FakeClassMetric, FakeClassGmmMetric])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": "gab"}, "the number of class.* one of elbow, bic, gap, found 'gab'; did you mean 'gap'"),
        ({"classes": 0}, "at least 1 class, found 0"),
        ({"classes": "gap", "max_classes": 0}, "at least 1 class, found 0"),
    ],
)
def test_what_is_no_number_is_refused(metric, options, message):
    with pytest.raises(ValueError, match=message):
        metric(**options)
