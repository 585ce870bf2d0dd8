"""LogME, against the evidence itself, maximized by another program."""

import numpy as np
import pytest
from scipy import optimize, stats

from medsegdist.transfer.comparators.logme import log_maximum_evidence


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


def test_features_that_explain_more_have_more():
    features, _ = data()
    scores = []
    for noise in (0.1, 1.0, 10.0):
        rng = np.random.default_rng(1)
        labels = features[:, 0] + noise * rng.normal(size=len(features)) > 0.2
        scores.append(log_maximum_evidence(features, labels))
    assert scores[0] > scores[1] > scores[2]


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
