"""Fake classes: clusters of masks that stand in for the labels a binary task does not have (paper, Sec. 4.2.1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.features import FeatureScale, feature_factors, feature_names, segment_features
from medsegdist.distance.mixture.choice import check_count, effective_patients, elbow
from medsegdist.distance.transport import solve_transport

ClassRule = Literal["elbow", "bic", "gap"]
CLASS_RULES: tuple[str, ...] = get_args(ClassRule)

RESTARTS = 10  # k-means++ starts, of which the best is taken
MOST_STEPS = 300  # steps of k-means at most, as in scikit-learn
REFERENCES = 20  # sets without clusters that the gap statistic compares with

Points = NDArray[np.float64]


@dataclass(frozen=True)
class ClassOptions:
    """Fake classes by clusters of segment features; by default as in the paper.

    Args:
        classes: number of clusters per dataset (paper: 3); or "elbow", "bic" or "gap", by which each dataset chooses
            its own, see :func:`choose_classes`.
        max_classes: the most that a rule may choose.
        features: names of features or of their groups `shape`, `location`, `texture`; None is the paper's, shape and
            location. See :func:`medsegdist.distance.features.segment_features`.
        feature_weights: factors of scaled features, by the name of a feature or group: with 2, a difference in it
            counts as one twice as long.
        scale: None scales the features of each dataset to [0, 1] by itself (paper); or one scale for all datasets, from
            :func:`medsegdist.distance.features.joint_scale`.
        seed: of the clustering.

    Raises:
        ValueError: an option is unknown or out of range.
    """

    classes: int | ClassRule = 3
    max_classes: int = 8
    features: Sequence[str] | None = None
    feature_weights: Mapping[str, float] | None = None
    scale: FeatureScale | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("class", self.classes, CLASS_RULES)
        check_count("class", self.max_classes)
        feature_factors(2, self.features, self.feature_weights)

    def classify(self, samples: SegmentationSamples) -> Tensor:
        """(n,) int64 CPU tensor: the fake class of every sample."""
        return fake_classes(
            self.points(samples),
            samples.weights,
            classes=self.classes,
            max_classes=self.max_classes,
            observations=effective_patients(samples),
            seed=self.seed,
        )

    def points(self, samples: SegmentationSamples) -> Tensor:
        """(n, d) float64 CPU tensor: the features of every sample, scaled and weighted."""
        features, dimensions = segment_features(samples.masks, samples.images, self.features), len(samples.grid)
        if self.scale is None:
            scaled = unit_scaled(features)
        else:
            scaled = self.scale.scaled(features, feature_names(dimensions, self.features))
        return scaled * feature_factors(dimensions, self.features, self.feature_weights)


def unit_scaled(features: Tensor) -> Tensor:
    """(n, d) features, each of them stretched to [0, 1]; one that does not vary becomes 0."""
    low, high = features.amin(0), features.amax(0)
    return (features - low) / torch.where(high > low, high - low, 1.0)


def fake_classes(
    points: Tensor,
    weights: Tensor,
    *,
    classes: int | ClassRule = 3,
    max_classes: int = 8,
    observations: float | None = None,
    seed: int = 0,
) -> Tensor:
    """(n,) int64 fake class of every sample: k-means++ on its (n, d) scaled features (the paper's Eq. 15).

    Equal samples are merged and sorted first, so that the order of the samples and a common factor of the (n,) positive
    weights change nothing. There are no more classes than distinct samples, and no empty ones; they are numbered by the
    position of their centers. `observations` are those of the rule `bic`; None takes Kish's effective number of
    distinct samples.
    """
    distinct, membership = np.unique(points.cpu().numpy(), axis=0, return_inverse=True)
    mass = np.bincount(membership, weights=(weights / weights.sum()).cpu().numpy()).astype(np.float64)
    if not isinstance(classes, int):
        observations = 1 / float(np.square(mass).sum()) if observations is None else observations
        classes = choose_classes(distinct, mass, classes, most=max_classes, observations=observations, seed=seed)
    of_distinct = _kmeans(distinct, mass, classes, seed)
    centers = np.stack([np.average(distinct[of_distinct == c], axis=0) for c in range(of_distinct.max() + 1)])
    rank = np.argsort(np.lexsort(centers.T[::-1]))
    return torch.from_numpy(rank[of_distinct[membership]]).to(torch.int64)


def refit_classes(points: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """(r, n) int64 fake classes under (r, n) other weights: k-means from the centers of the (n,) given classes.

    A sample of weight 0 is left out, and has the class -1. A class may have lost all its samples.
    """
    points, mass = points.cpu(), weights.unsqueeze(-1)
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


def choose_classes(
    points: Points, masses: Points, rule: ClassRule, *, most: int = 8, observations: float, seed: int = 0
) -> int:
    """The number of clusters of (h, d) distinct points with (h,) masses, by the three methods that the paper names.

    W is the mean squared distance of a point to the center of its cluster.

    - `elbow`: where W bends most as the number grows, see :func:`medsegdist.distance.mixture.choice.elbow`.
    - `bic` (Schwarz 1978): the least of p log(n) - 2 n L, where L is the mean log-likelihood of the points under
      Gaussians of one common spherical variance, each point in its own cluster, and p = k - 1 + k d + 1. Features
      that vary much and have no clusters make it take too many. It looks at no more clusters than observations.
    - `gap` (Tibshirani, Walther and Hastie 2001): the least number whose log(W) is as far below that of sets without
      clusters as the next number's, within one standard error. Such a set has as many points, with the same masses,
      evenly spread over the box around the points along their principal axes.

    With as many clusters as points W is 0 and the last two say nothing; they choose fewer.
    """
    masses = masses / masses.sum()
    points = points[:, np.ptp(points, axis=0) > 0]
    most = min(most, len(points) if rule == "elbow" else len(points) - 1)
    if rule == "bic":
        most = min(most, math.floor(observations + 1e-9))
    if most < 2:
        return 1
    numbers = range(1, most + 1)
    labels = [_kmeans(points, masses, k, seed) for k in numbers]
    spreads = np.array([_spread(points, masses, of_k) for of_k in labels])
    if rule == "elbow":
        return elbow(spreads.tolist())
    if rule == "gap":
        return _first_gap(points, masses, spreads, seed)
    d = points.shape[1]
    criteria = []
    for k, of_k, spread in zip(numbers, labels, spreads, strict=True):
        share = np.bincount(of_k, weights=masses)
        likelihood = share @ np.log(share) - 0.5 * d * (math.log(2 * math.pi * max(spread, 1e-300) / d) + 1)
        criteria.append((k - 1 + k * d + 1) * math.log(observations) - 2 * observations * likelihood)
    return int(np.argmin(criteria)) + 1


def _first_gap(points: Points, masses: Points, spreads: Points, seed: int) -> int:
    """The first number whose gap statistic is as large as that of the next one, within a standard error."""
    center = masses @ points
    axes = np.linalg.svd((points - center) * np.sqrt(masses)[:, None], full_matrices=False)[2]
    along = (points - center) @ axes.T
    rng = np.random.default_rng(seed)
    low, high = along.min(axis=0), along.max(axis=0)
    references = [rng.uniform(low, high, size=along.shape) @ axes for _ in range(REFERENCES)]
    before = -math.inf
    for k, spread in enumerate(spreads, start=1):
        found = [_spread(reference, masses, _kmeans(reference, masses, k, seed)) for reference in references]
        # Copies of a point may differ by rounding only.
        *logs, own = np.log(np.maximum([*found, spread], 1e-300)).tolist()
        gap = float(np.mean(logs)) - own
        if before >= gap - float(np.std(logs)) * math.sqrt(1 + 1 / REFERENCES):
            return k - 1
        before = gap
    return len(spreads)


def _spread(points: Points, masses: Points, labels: NDArray[np.intp]) -> float:
    held = np.bincount(labels, weights=masses)
    centers = np.stack([np.bincount(labels, weights=masses * axis) for axis in points.T], axis=1) / held[:, None]
    return float(masses @ np.square(points - centers[labels]).sum(axis=1))


def _kmeans(points: Points, masses: Points, clusters: int, seed: int) -> NDArray[np.intp]:
    """(h,) labels from 0 of (h, d) distinct points, none of them without a point."""
    kmeans = KMeans(n_clusters=min(clusters, len(points)), n_init=RESTARTS, random_state=seed)
    labels = kmeans.fit(points, sample_weight=masses / masses.mean()).labels_
    return np.unique(labels, return_inverse=True)[1]


@dataclass(frozen=True, slots=True, eq=False)
class ClassedSamples:
    """Class and mass of every sample of one dataset."""

    classes: Tensor  # (n,) int64, 0 to the number of classes - 1
    mass: Tensor  # (n,) float64, sums to 1


def class_distances(source: ClassedSamples, target: ClassedSamples, image_cost: Tensor, p: float) -> Tensor:
    """(n, m) W_p between the images of the classes of every source and target sample (the paper's Eq. 4, 16).

    Exact optimal transport on the block of the (n, m) image cost that belongs to each pair of classes.
    """
    source_members, target_members = (
        [(side.classes == c).nonzero()[:, 0] for c in side.classes.unique()] for side in (source, target)
    )
    between = image_cost.new_zeros((len(source_members), len(target_members)))
    for i, rows in enumerate(source_members):
        for j, columns in enumerate(target_members):
            block = image_cost[rows][:, columns] ** p
            transport = solve_transport(block, source.mass[rows], target.mass[columns])
            between[i, j] = transport.value ** (1 / p)
    return between[source.classes][:, target.classes]


def drawn_classes(classes: Iterable[Tensor], weights: Tensor) -> list[ClassedSamples]:
    """The samples that are left, with their classes, under each of (r, n) weights; a sample of weight 0 is left out."""
    return [
        ClassedSamples(torch.unique(of_sample[row > 0], return_inverse=True)[1], row[row > 0] / row.sum())
        for of_sample, row in zip(classes, weights, strict=True)
    ]
