"""CC-FV, on features whose distances are known."""

import math

import numpy as np
import pytest
from scipy.linalg import sqrtm

from medsegdist.transfer.comparators.cc_fv import LayerFeatures, cc_fv, class_consistency, feature_variety


def features(n=20, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def moved(rows, *shift):
    return rows + np.array(shift)


def test_cases_that_are_shifted_are_as_far_apart_as_the_shift():
    one = features()
    assert class_consistency([one, moved(one, 3, 0, 4)]) == pytest.approx(5)
    # Three cases on a line: 1, 1 and 2.
    assert class_consistency([one, moved(one, 1, 0, 0), moved(one, 2, 0, 0)]) == pytest.approx(4 / 3)


def test_it_is_the_distance_of_gaussians_as_scipy_has_it():
    one, other = features(), 2 * features(30, seed=1) + 1
    s, t = np.cov(one.T), np.cov(other.T)
    root = sqrtm(s)
    squared = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(s + t - 2 * sqrtm(root @ t @ root).real)
    assert class_consistency([one, other]) == pytest.approx(math.sqrt(squared), rel=1e-6)


def test_in_one_channel_deviations_differ_plainly():
    one = features(50, 1)
    assert class_consistency([one, one.mean() + 3 * (one - one.mean())]) == pytest.approx(2 * one.std(ddof=1))


def test_variety_of_directions_that_are_known():
    opposite, right_angle = np.array([[1, 0], [-5, 0]]), np.array([[1, 0], [0, 7]])
    assert feature_variety(opposite) == pytest.approx(2)
    assert feature_variety(right_angle) == pytest.approx(math.sqrt(2))
    assert feature_variety(right_angle, s=2) == pytest.approx(2)
    triangle = np.array([[1, 0], [-0.5, math.sqrt(0.75)], [-0.5, -math.sqrt(0.75)]])
    assert feature_variety(triangle) == pytest.approx(math.sqrt(3))


def test_variety_is_of_directions_and_not_of_lengths():
    rows = features(30)
    scaled = rows * np.random.default_rng(1).uniform(0.1, 10, (30, 1))
    assert feature_variety(scaled) == pytest.approx(feature_variety(rows))
    assert feature_variety(rows + 100) < feature_variety(rows)


def test_the_number_of_features_does_not_matter_much():
    assert feature_variety(features(2000)) == pytest.approx(feature_variety(features(500, seed=1)), rel=0.1)


def test_collapsed_features_have_no_variety():
    assert feature_variety(np.ones((3, 2))) == 0
    assert feature_variety(np.array([[0, 0], [1, 1.0]])) == 0


def test_the_score_is_the_mean_of_logarithms_over_layers():
    one = features()
    far, near = (LayerFeatures([one, moved(one, shift, 0, 0)], [[1, 0], [-1, 0]]) for shift in (8, 2))
    assert cc_fv([far]) == pytest.approx(math.log(2 / 8))
    assert cc_fv([near]) == pytest.approx(0, abs=1e-12)
    assert cc_fv([near, far]) == pytest.approx(math.log(2 / 8) / 2)


def test_its_ends():
    one = features()
    assert cc_fv([LayerFeatures([one, one], features())]) == math.inf
    assert cc_fv([LayerFeatures([one, one + 1], np.ones((3, 2)))]) == -math.inf


def test_what_is_refused():
    with pytest.raises(ValueError, match="expected foreground features of at least 2 cases, found 1"):
        class_consistency([features()])
    with pytest.raises(
        ValueError, match=r"expected at least 2 pixels with 3 channels for case 1, found .* shape \(1, 3\)"
    ):
        class_consistency([features(), features(1)])
    with pytest.raises(ValueError, match="with 3 channels for case 1"):
        class_consistency([features(), features(d=4)])
    with pytest.raises(ValueError, match="expected at least 2 features and s > 0, found 20 and s = 0"):
        feature_variety(features(), s=0)
    with pytest.raises(ValueError, match="expected features of at least 1 layer, found none"):
        cc_fv([])
