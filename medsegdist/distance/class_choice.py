"""How many fake classes a dataset has, by the three methods that the paper names (Sec. 4.2.1)."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from medsegdist.distance.clusterer import Partition
from medsegdist.distance.elbow import elbow

ClassRule = Literal["elbow", "bic", "gap"]
CLASS_RULES: tuple[str, ...] = get_args(ClassRule)

REFERENCES = 20
"""Sets without clusters that the gap statistic compares with."""

Points = NDArray[np.float64]


def choose_classes(
    points: Points,
    masses: Points,
    rule: ClassRule,
    partition: Partition,
    *,
    most: int = 8,
    observations: float,
    seed: int = 0,
) -> int:
    """The number of clusters of weighted points.

    W is the mean squared distance of a point to the center of its cluster.

    - `elbow`: where W bends most as the number grows; :func:`medsegdist.distance.elbow.elbow` says how.
    - `bic` (Schwarz 1978): the least of p log(n) - 2 n L, where L is the mean log-likelihood of the points under
      Gaussians of one common spherical variance, each point in its own cluster, and p = k - 1 + k d + 1. Features
      that vary much and have no clusters make it take too many.
    - `gap` (Tibshirani, Walther and Hastie 2001): the least number whose log(W) lies as far below that of sets without
      clusters as the next number's, within one standard error. Such a set has as many points, with the same masses,
      evenly spread over the box around the points along their principal axes.

    With as many clusters as points W is 0 and the last two say nothing; they choose fewer.

    Args:
        points: (h, d) distinct points.
        masses: (h,) positive.
        rule: how to choose.
        partition: divides points into clusters.
        most: the most clusters.
        observations: n of `bic`, see :func:`medsegdist.distance.effective_size.effective_patients`. More clusters
            than that are not looked at.
        seed: of the reference sets.
    """
    masses = masses / masses.sum()
    points = points[:, np.ptp(points, axis=0) > 0]
    most = min(most, len(points) if rule == "elbow" else len(points) - 1)
    if rule == "bic":
        most = min(most, math.floor(observations + 1e-9))
    if most < 2:
        return 1
    numbers = range(1, most + 1)
    labels = [partition(points, masses, k) for k in numbers]
    spreads = np.array([_spread(points, masses, of_k) for of_k in labels])
    if rule == "elbow":
        return elbow(spreads.tolist())
    if rule == "bic":
        d = points.shape[1]
        criteria = []
        for k, of_k, spread in zip(numbers, labels, spreads, strict=True):
            share = np.bincount(np.unique(of_k, return_inverse=True)[1], weights=masses)
            likelihood = share @ np.log(share) - 0.5 * d * (math.log(2 * math.pi * max(spread, 1e-300) / d) + 1)
            criteria.append((k - 1 + k * d + 1) * math.log(observations) - 2 * observations * likelihood)
        return int(np.argmin(criteria)) + 1
    return _first_gap(points, masses, spreads, partition, seed)


def _first_gap(points: Points, masses: Points, spreads: Points, partition: Partition, seed: int) -> int:
    """The first number whose gap statistic is as large as that of the next one, within a standard error."""
    center = masses @ points
    axes = np.linalg.svd((points - center) * np.sqrt(masses)[:, None], full_matrices=False)[2]
    along = (points - center) @ axes.T
    rng = np.random.default_rng(seed)
    low, high = along.min(axis=0), along.max(axis=0)
    references = [rng.uniform(low, high, size=along.shape) @ axes for _ in range(REFERENCES)]
    before = -math.inf
    for k, spread in enumerate(spreads, start=1):
        logs = [_log(_spread(reference, masses, partition(reference, masses, k))) for reference in references]
        gap = float(np.mean(logs)) - _log(spread)
        if before >= gap - float(np.std(logs)) * math.sqrt(1 + 1 / REFERENCES):
            return k - 1
        before = gap
    return len(spreads)


def _log(spread: float) -> float:
    # Copies of a point may differ by rounding only.
    return math.log(max(spread, 1e-300))


def _spread(points: Points, masses: Points, labels: NDArray[np.int64]) -> float:
    index = np.unique(labels, return_inverse=True)[1]
    held = np.bincount(index, weights=masses)
    centers = np.stack([np.bincount(index, weights=masses * axis) for axis in points.T], axis=1) / held[:, None]
    return float(masses @ np.square(points - centers[index]).sum(axis=1))
