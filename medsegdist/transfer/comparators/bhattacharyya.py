"""GBC: how little the classes overlap in a network's features (Pandy et al. 2022)."""

from __future__ import annotations

from itertools import combinations
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from medsegdist.distance.choices import check_choice
from medsegdist.transfer.comparators.features import Array, as_features, as_labels

Covariance = Literal["full", "diagonal", "spherical"]

FLOOR = 1e-9
"""Added to the variances of every class, as a part of the mean variance of all rows: no class is infinitely sharp."""


def gaussian_bhattacharyya(
    features: Array, labels: Array, *, covariance: Covariance = "diagonal", components: int | None = 64
) -> float:
    """Minus the sum of the Bhattacharyya coefficients of every two classes: 0 where none overlap; more is better.

    A Gaussian stands for each class; exp(-D_B) is 1 for two equal ones, and every pair counts in both orders, so that c
    classes that are all alike have -c (c - 1). Pandy, Agostinelli, Uijlings, Ferrari and Mensink, "Transferability
    Estimation using Bhattacharyya Class Separability", CVPR 2022.

    Args:
        features: (n, d) of pixels, regions or images.
        labels: (n,) their classes, each of which needs two rows.
        covariance: of the Gaussians.
        components: principal components to reduce the features to, where there are more; None takes them as they are.

    Raises:
        ValueError: features, labels or covariance are not what is expected, or a class has one row.
    """
    check_choice("the covariance", covariance, get_args(Covariance))
    rows = as_features(features)
    classes, index = as_labels(labels, len(rows))
    counts = np.bincount(index)
    if counts.min() < 2:
        raise ValueError(f"expected at least 2 rows of each class, found 1 of class {classes[counts.argmin()]}.")
    if components is not None and rows.shape[1] > components:
        rows = PCA(min(components, len(rows)), svd_solver="full").fit_transform(rows)
    floor = FLOOR * float(rows.var(axis=0).mean()) or FLOOR
    gaussians = [_gaussian(rows[index == k], covariance, floor) for k in range(len(classes))]
    return -2 * sum(_coefficient(*one, *other) for one, other in combinations(gaussians, 2))


def _gaussian(
    rows: NDArray[np.float64], covariance: Covariance, floor: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (d,), and covariance (d, d) or variances (d,)."""
    mean = rows.mean(axis=0)
    if covariance == "full":
        return mean, np.atleast_2d(np.cov(rows, rowvar=False)) + floor * np.eye(len(mean))
    variances = rows.var(axis=0, ddof=1)
    if covariance == "spherical":
        variances = np.full_like(variances, variances.mean())
    return mean, variances + floor


def _coefficient(
    mean: NDArray[np.float64],
    spread: NDArray[np.float64],
    other_mean: NDArray[np.float64],
    other_spread: NDArray[np.float64],
) -> float:
    """exp(-D_B) of two Gaussians."""
    shift, middle = mean - other_mean, (spread + other_spread) / 2
    if middle.ndim == 2:
        squared = shift @ np.linalg.solve(middle, shift)
        logs = [float(np.linalg.slogdet(one)[1]) for one in (middle, spread, other_spread)]
    else:
        squared = (shift**2 / middle).sum()
        logs = [float(np.log(one).sum()) for one in (middle, spread, other_spread)]
    return float(np.exp(-squared / 8 - (logs[0] - (logs[1] + logs[2]) / 2) / 2))
