"""LogME: how well a linear model on a network's features explains labels (You et al. 2021)."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import BayesianRidge

from medsegdist.transfer.comparators.features import Array, as_features, as_labels

MOST_STEPS = 1000
TINY_SCALE = 1e-10
"""Keeps precisions finite where a linear model explains the labels without a rest."""


def log_maximum_evidence(features: Array, labels: Array) -> float:
    """Logarithm of the maximum evidence of a label, per row, mean over the classes; more is better.

    For each class a Bayesian linear regression of "is of this class" (1 or 0) on the features, weights and noise
    Gaussian, without an intercept; the evidence is maximized over both variances. You, Liu, Wang and Long, "LogME:
    Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021. It is scikit-learn's BayesianRidge
    that finds the maximum.

    Args:
        features: (n, d) of pixels, regions or images; of many millions of pixels a sample will do.
        labels: (n,) their classes.

    Returns:
        Natural logarithm, per row. It has no scale of its own: compare networks on one set of rows.

    Raises:
        ValueError: features or labels are not what is expected.
    """
    rows = as_features(features)
    classes, index = as_labels(labels, len(rows))
    # One scale for all channels changes no evidence, but where the iterations of the model begin and end.
    rows = rows / (float(np.sqrt(np.mean(rows**2))) or 1.0)
    model = BayesianRidge(
        fit_intercept=False,
        compute_score=True,
        max_iter=MOST_STEPS,
        tol=1e-8,
        alpha_1=0,
        alpha_2=TINY_SCALE,
        lambda_1=0,
        lambda_2=TINY_SCALE,
    )
    evidences = [model.fit(rows, (index == k).astype(np.float64)).scores_[-1] for k in range(len(classes))]
    return float(np.mean(evidences)) / len(rows)
