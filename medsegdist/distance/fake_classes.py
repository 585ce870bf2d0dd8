"""Fake classes: clusters of masks that stand in for the labels a binary task does not have (paper, Sec. 4.2.1)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor

RESTARTS = 10
"""k-means++ starts, of which the best counts."""

MOST_STEPS = 300
"""Steps of k-means at most, as in scikit-learn."""


def fake_classes(features: Tensor, weights: Tensor, *, classes: int = 3, seed: int = 0) -> Tensor:
    """The fake class of every sample: k-means++ on features scaled to [0, 1] (the paper's Eq. 15).

    Equal samples are merged and sorted first, so that the order of the samples and a common factor of the weights
    change nothing. There are no more classes than distinct samples, and no empty ones.

    Args:
        features: (n, d) float64, as :func:`medsegdist.distance.segment_features.segment_features` makes them.
        weights: (n,) float64, positive.
        classes: largest number of classes.
        seed: of the starts.

    Returns:
        (n,) int64 CPU tensor of classes 0, 1, ..., ordered by the position of their centers.
    """
    if classes < 1:
        raise ValueError(f"expected at least 1 class, found {classes}.")
    scaled = _scaled(features)
    distinct, membership = np.unique(scaled, axis=0, return_inverse=True)
    mass = np.bincount(membership, weights=(weights / weights.sum()).cpu().numpy())
    kmeans = KMeans(n_clusters=min(classes, len(distinct)), n_init=RESTARTS, random_state=seed)
    of_distinct = kmeans.fit(distinct, sample_weight=mass * len(scaled)).labels_
    centers = np.stack([np.average(distinct[of_distinct == c], axis=0) for c in np.unique(of_distinct)])
    order = np.lexsort(centers.T[::-1])
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    names = np.unique(of_distinct, return_inverse=True)[1]
    return torch.from_numpy(rank[names[membership]]).to(torch.int64)


def refit_classes(features: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """The fake classes under other weights of the samples: k-means from the centers of the given classes.

    Features stay scaled as they are by all samples.

    Args:
        features: (n, d) float64.
        classes: (n,) int64, the classes of all samples.
        weights: (r, n) float64 on the CPU; a sample of weight 0 is not there.

    Returns:
        (r, n) int64 CPU tensor: the class that each sample's class has moved to, -1 for samples that are not there. A
        class may have lost all its samples.
    """
    points, mass = torch.from_numpy(_scaled(features)), weights.unsqueeze(-1)
    member = torch.nn.functional.one_hot(classes.cpu()).double()
    centers = (member.T @ points / member.sum(0).unsqueeze(-1)).expand(len(weights), -1, -1)
    found = classes.cpu().expand(len(weights), -1)
    # Lloyd's algorithm, all replicates side by side; each replicate alone would mostly wait for scikit-learn's threads.
    for _ in range(MOST_STEPS):
        held = torch.nn.functional.one_hot(found, member.shape[1]) * mass
        total = held.sum(1).unsqueeze(-1)
        centers = torch.where(total > 0, held.mT @ points / total.clamp(min=1e-300), centers)
        nearest = torch.cdist(points, centers, compute_mode="donot_use_mm_for_euclid_dist").argmin(-1)
        if torch.equal(nearest, found):
            break
        found = nearest
    return torch.where(weights > 0, found, -1)


def numbered(classes: Tensor) -> Tensor:
    """(n,) int64 classes with the numbers 0, 1, ... of those that are there, in their order."""
    numbers: Tensor = torch.unique(classes, return_inverse=True)[1]
    return numbers


def _scaled(features: Tensor) -> NDArray[np.float64]:
    points = features.cpu().numpy()
    low, high = points.min(axis=0), points.max(axis=0)
    return np.asarray((points - low) / np.where(high > low, high - low, 1.0))
