"""How many fake classes: planted groups, and data without any."""

import numpy as np
import pytest
import torch

from medsegdist.distance.classes import CLASS_RULES, fake_classes
from medsegdist.distance.metrics import FakeClassGmmMetric, FakeClassMetric


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
