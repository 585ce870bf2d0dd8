"""Fake classes: clusters of masks that stand in for the labels a binary task does not have (paper, Sec. 4.2.1)."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

RESTARTS = 10
"""k-means++ starts, of which the best counts."""


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
    points = features.cpu().numpy()
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1.0)
    distinct, membership = np.unique(scaled, axis=0, return_inverse=True)
    mass = np.bincount(membership, weights=(weights / weights.sum()).cpu().numpy())
    kmeans = KMeans(n_clusters=min(classes, len(distinct)), n_init=RESTARTS, random_state=seed)
    of_distinct = kmeans.fit(distinct, sample_weight=mass * len(points)).labels_
    centers = np.stack([np.average(distinct[of_distinct == c], axis=0) for c in np.unique(of_distinct)])
    order = np.lexsort(centers.T[::-1])
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    names = np.unique(of_distinct, return_inverse=True)[1]
    return torch.from_numpy(rank[names[membership]]).to(torch.int64)
