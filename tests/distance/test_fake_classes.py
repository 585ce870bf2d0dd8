"""Clustering of masks into classes."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from medsegdist.distance.fake_classes import fake_classes


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


def test_order_and_weight_factor_change_nothing():
    rng = np.random.default_rng(3)
    features = torch.from_numpy(rng.uniform(size=(60, 5)))
    weights = torch.from_numpy(rng.uniform(0.5, 2, size=60))
    order = torch.from_numpy(rng.permutation(60))
    found = fake_classes(features, weights, seed=1)
    assert torch.equal(fake_classes(features[order], weights[order] * 7, seed=1), found[order])


def test_a_heavier_sample_counts_like_copies_of_it():
    rng = np.random.default_rng(5)
    features = torch.from_numpy(rng.uniform(size=(30, 2)))
    copies = torch.from_numpy(rng.integers(1, 4, size=30))
    expanded = fake_classes(features.repeat_interleave(copies, dim=0), torch.ones(int(copies.sum())))
    assert torch.equal(fake_classes(features, copies.double()).repeat_interleave(copies), expanded)


def test_never_more_classes_than_distinct_samples_and_none_empty():
    same = torch.ones(8, 4, dtype=torch.float64)
    assert fake_classes(same, torch.ones(8)).tolist() == [0] * 8
    two = torch.cat([same, same + 1])
    assert fake_classes(two, torch.ones(16), classes=5).tolist() == [0] * 8 + [1] * 8


def test_no_class_is_refused():
    with pytest.raises(ValueError, match="at least 1 class, found 0"):
        fake_classes(torch.ones(2, 2), torch.ones(2), classes=0)
