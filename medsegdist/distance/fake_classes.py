"""Fake classes: clusters of masks that stand in for the labels a binary task does not have (paper, Sec. 4.2.1)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from medsegdist.distance.choices import check_count
from medsegdist.distance.class_choice import CLASS_RULES, ClassRule, choose_classes
from medsegdist.distance.clusterer import Clusterer, partition_by

MOST_STEPS = 300
"""Steps of k-means at most, as in scikit-learn."""


Scaling = Callable[[Tensor], Tensor]
"""(n, d) features -> (n, d) points, between which distances have a meaning."""


def unit_scaled(features: Tensor) -> Tensor:
    """(n, d) features, each of them stretched to [0, 1]; one that does not vary becomes 0."""
    low, high = features.amin(0), features.amax(0)
    return (features - low) / torch.where(high > low, high - low, 1.0)


def fake_classes(
    features: Tensor,
    weights: Tensor,
    *,
    classes: int | ClassRule = 3,
    seed: int = 0,
    max_classes: int = 8,
    observations: float | None = None,
    clusterer: Clusterer | None = None,
    scaling: Scaling = unit_scaled,
) -> Tensor:
    """The fake class of every sample: k-means++ on features scaled to [0, 1] (the paper's Eq. 15).

    Equal samples are merged and sorted first, so that the order of the samples and a common factor of the weights
    change nothing. There are no more classes than distinct samples, and no empty ones.

    Args:
        features: (n, d) float64, as :func:`medsegdist.distance.segment_features.segment_features` makes them.
        weights: (n,) float64, positive.
        classes: largest number of classes, or the rule that chooses it.
        seed: of the starts.
        max_classes: the most that a rule may choose.
        observations: how many independent ones there are, for the rule `bic`; None takes Kish's effective number of
            distinct samples.
        clusterer: another one than k-means++; :class:`medsegdist.distance.clusterer.Clusterer` says what it must do.
        scaling: another one than that to [0, 1].

    Returns:
        (n,) int64 CPU tensor of classes 0, 1, ..., ordered by the position of their centers.
    """
    check_count("class", classes, CLASS_RULES)
    scaled = scaling(features).cpu().numpy()
    distinct, membership = np.unique(scaled, axis=0, return_inverse=True)
    mass = np.bincount(membership, weights=(weights / weights.sum()).cpu().numpy()).astype(np.float64)
    partition = partition_by(clusterer, seed)
    if not isinstance(classes, int):
        observations = 1 / float(np.square(mass).sum()) if observations is None else observations
        options = {"most": max_classes, "seed": seed}
        classes = choose_classes(distinct, mass, classes, partition, observations=observations, **options)
    of_distinct = partition(distinct, mass, classes)
    centers = np.stack([np.average(distinct[of_distinct == c], axis=0) for c in np.unique(of_distinct)])
    order = np.lexsort(centers.T[::-1])
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    names = np.unique(of_distinct, return_inverse=True)[1]
    return torch.from_numpy(rank[names[membership]]).to(torch.int64)


def refit_classes(features: Tensor, classes: Tensor, weights: Tensor, *, scaling: Scaling = unit_scaled) -> Tensor:
    """The fake classes under other weights of the samples: k-means from the centers of the given classes.

    Features stay scaled as they are by all samples.

    Args:
        features: (n, d) float64.
        classes: (n,) int64, the classes of all samples.
        weights: (r, n) float64 on the CPU; a sample of weight 0 is not there.
        scaling: that of the given classes.

    Returns:
        (r, n) int64 CPU tensor: the class that each sample's class has moved to, -1 for samples that are not there. A
        class may have lost all its samples.
    """
    points, mass = scaling(features).cpu(), weights.unsqueeze(-1)
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
