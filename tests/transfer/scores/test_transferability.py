"""LogME, GBC, NCE and CC-FV against formulas and references."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from scipy.linalg import sqrtm

from medsegdist.transfer.scores.transferability import (
    cc_fv,
    gaussian_bhattacharyya,
    log_maximum_evidence,
    negative_conditional_entropy,
)


def data(n=60, d=4, *, signal=1.0, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, d)) + 0.3
    return features, (signal * features[:, 0] + rng.normal(size=n) > 0.2).astype(int)


def best_evidence(features, target):
    """max over both precisions of log N(target; 0, I / beta + F F^T / alpha)."""

    def negative(logs):
        covariance = np.eye(len(target)) / np.exp(logs[1]) + features @ features.T / np.exp(logs[0])
        return -stats.multivariate_normal.logpdf(target, cov=covariance)

    return -optimize.minimize(negative, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}).fun


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_is_the_maximum_of_the_evidence(seed):
    features, labels = data(seed=seed)
    expected = np.mean([best_evidence(features, (labels == k).astype(float)) for k in (0, 1)]) / len(labels)
    assert log_maximum_evidence(features, labels) == pytest.approx(expected, abs=1e-6)


def test_scale_and_rotation_of_the_features_and_names_of_the_classes_change_nothing():
    features, labels = data()
    expected = log_maximum_evidence(features, labels)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    assert log_maximum_evidence(1e3 * features @ rotation, labels) == pytest.approx(expected, abs=1e-6)
    assert log_maximum_evidence(features, 7 - 3 * labels) == pytest.approx(expected, abs=1e-12)


def test_more_channels_than_rows_and_labels_explained_without_a_rest():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(10, 30))
    labels = np.arange(10) % 2
    assert np.isfinite(log_maximum_evidence(wide, labels))
    exact = np.stack([labels, 1 - labels], axis=1)
    assert log_maximum_evidence(exact, labels) > log_maximum_evidence(wide, labels)


def with_moments(mean, deviation, n=50):
    """n numbers of exactly this mean and sample deviation."""
    values = stats.norm.ppf((np.arange(n) + 0.5) / n)
    return mean + deviation * (values - values.mean()) / values.std(ddof=1)


def test_in_one_dimension_it_is_the_integral_of_the_root_of_both_densities():
    features = np.concatenate([with_moments(0.0, 1.0), with_moments(1.5, 2.0)])[:, None]
    overlap = integrate.quad(lambda x: np.sqrt(stats.norm.pdf(x) * stats.norm.pdf(x, 1.5, 2)), -20, 20)[0]
    found = gaussian_bhattacharyya(features, np.repeat([0, 1], 50))
    assert found == pytest.approx(-2 * overlap, rel=1e-7)


def test_classes_that_are_alike_have_the_least_and_those_far_apart_0():
    rows = np.random.default_rng(0).normal(size=(40, 3))
    for classes in (2, 3):
        alike = np.concatenate([rows] * classes)
        labels = np.repeat(np.arange(classes), 40)
        assert gaussian_bhattacharyya(alike, labels) == pytest.approx(-classes * (classes - 1))
        apart = alike + 1e3 * labels[:, None]
        assert gaussian_bhattacharyya(apart, labels) == pytest.approx(0, abs=1e-12)


def test_components_keep_what_varies_most():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 50)
    features = np.concatenate([20 * labels[:, None] + rng.normal(size=(100, 1)), 0.01 * rng.normal(size=(100, 99))], 1)
    assert gaussian_bhattacharyya(features, labels) == pytest.approx(0, abs=1e-6)


def test_a_channel_that_never_changes_breaks_nothing():
    features = np.stack([with_moments(0, 1, 20), np.full(20, 3.0)], 1)
    found = gaussian_bhattacharyya(np.concatenate([features, features]), np.repeat([0, 1], 20))
    assert found == pytest.approx(-2)
    assert gaussian_bhattacharyya(np.ones((4, 2)), [0, 0, 1, 1]) == pytest.approx(-2)


def test_labels_that_tell_all_and_labels_that_tell_nothing():
    target = np.array([0, 1] * 8)
    assert negative_conditional_entropy(target, target) == 0
    assert negative_conditional_entropy(["b" if one else "a" for one in target], target) == 0
    assert negative_conditional_entropy(np.zeros(16), target) == pytest.approx(-np.log(2))
    assert negative_conditional_entropy(np.repeat([0, 1], 8), target) == pytest.approx(-np.log(2))


def test_a_noisy_channel_has_its_entropy():
    """Of 10 pixels that the source calls 1, 9 are 1: H(0.1); those that it calls 0 are 0."""
    source = torch.tensor([[1] * 10, [0] * 10])
    target = torch.tensor([[1] * 9 + [0], [0] * 10])
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert negative_conditional_entropy(source, target) == pytest.approx(-entropy / 2)


def features(n=20, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def moved(rows, *shift):
    return rows + np.array(shift)


OPPOSITE = np.array([[1, 0], [-5, 0]])
"""Two directions at a distance of 2, whose variety is 2."""


def consistency(*cases):
    return 2 / math.exp(cc_fv(cases, OPPOSITE))


def test_consistency_is_the_mean_distance_of_gaussians():
    one, other = features(), 2 * features(30, seed=1) + 1
    s, t = np.cov(one.T), np.cov(other.T)
    root = sqrtm(s)
    squared = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(s + t - 2 * sqrtm(root @ t @ root).real)
    assert consistency(one, other) == pytest.approx(math.sqrt(squared), rel=1e-6)
    # Three cases on a line: 1, 1 and 2.
    assert consistency(one, moved(one, 1, 0, 0), moved(one, 2, 0, 0)) == pytest.approx(4 / 3)
    assert cc_fv([one, one], OPPOSITE) == math.inf


@pytest.mark.parametrize(
    ("directions", "variety"),
    [
        (OPPOSITE, 2),
        ([[1, 0], [0, 7]], math.sqrt(2)),
        ([[1, 0], [-0.5, math.sqrt(0.75)], [-0.5, -math.sqrt(0.75)]], math.sqrt(3)),
        (np.ones((3, 2)), 0),
        ([[0, 0], [1, 1]], 0),
    ],
)
def test_variety_is_of_directions_that_are_known(directions, variety):
    found = math.exp(cc_fv([features(), moved(features(), 1, 0, 0)], directions))
    assert found == pytest.approx(variety, rel=1e-9)


@pytest.mark.parametrize(
    ("score", "arguments", "message"),
    [
        *(
            (log_maximum_evidence, (np.zeros(shape), [0, 1]), message)
            for shape, message in ((3, "2D array"), ((0, 2), "0 sample"), ((2, 0), "0 feature"), ((2, 2, 2), "dim 3"))
        ),
        (log_maximum_evidence, ([[1, np.nan], [2, 3], [np.inf, 1]], [0, 1, 1]), "contains NaN"),
        (log_maximum_evidence, (np.eye(3), [0, 1]), r"inconsistent numbers of samples: \[3, 2\]"),
        (log_maximum_evidence, (np.eye(2), [1, 1]), r"expected labels of at least 2 classes, found only \[1\]"),
        (gaussian_bhattacharyya, (np.zeros((3, 2)), [0, 0, 7]), r"at least 2 rows of each class, found \[2, 1\] of"),
        (negative_conditional_entropy, ([0, 1, 1], [0, 1]), "both labels of the same pixels, found 3 and 2 of them"),
        (negative_conditional_entropy, ([], []), "found 0 and 0 of them"),
        (cc_fv, ([features()], OPPOSITE), r"the same channels in at least 2 cases, found \[3\]"),
        (cc_fv, ([features(), features(1)], OPPOSITE), "1 sample.* minimum of 2 is required"),
        (cc_fv, ([features(), features(d=4)], OPPOSITE), r"at least 2 cases, found \[3, 4\]"),
        (cc_fv, ([features(), features()], [[1, 0]]), "1 sample.* minimum of 2 is required"),
    ],
)
def test_what_is_refused(score, arguments, message):
    with pytest.raises(ValueError, match=message):
        score(*arguments)
