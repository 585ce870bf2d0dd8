"""How the samples of a dataset are put into fake classes: the options that all metrics with fake classes share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.choices import check_count
from medsegdist.distance.class_choice import CLASS_RULES, ClassRule
from medsegdist.distance.clusterer import Clusterer, check_clusterer
from medsegdist.distance.effective_size import effective_patients
from medsegdist.distance.fake_classes import fake_classes, refit_classes, unit_scaled
from medsegdist.distance.feature_scale import FeatureScale
from medsegdist.distance.segment_features import feature_factors, feature_names, segment_features


@dataclass(frozen=True, slots=True)
class ClassOptions:
    """Fake classes by clusters of segment features; by default as in the paper.

    Args:
        classes: number of clusters per dataset (paper: 3); or "elbow", "bic" or "gap", by which each dataset chooses
            its own, see :func:`medsegdist.distance.class_choice.choose_classes`.
        max_classes: the most that a rule may choose.
        clusterer: None is k-means++ (paper); or any clusterer of scikit-learn, see
            :class:`medsegdist.distance.clusterer.Clusterer` for those that know no weights.
        features: names of features or of their groups `shape`, `location`, `texture`; None is the paper's, shape and
            location. See :func:`medsegdist.distance.segment_features.segment_features`.
        feature_weights: factors of scaled features, by the name of a feature or group: with 2, a difference in it
            counts as one twice as long.
        scale: None scales the features of each dataset to [0, 1] by itself (paper); or one scale for all datasets, from
            :func:`medsegdist.distance.feature_scale.joint_scale`.
        seed: of the clustering.

    Raises:
        ValueError: an option is unknown or out of range.
    """

    classes: int | ClassRule = 3
    max_classes: int = 8
    clusterer: Clusterer | None = None
    features: Sequence[str] | None = None
    feature_weights: Mapping[str, float] | None = None
    scale: FeatureScale | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("class", self.classes, CLASS_RULES)
        check_count("class", self.max_classes)
        check_clusterer(self.clusterer, number_chosen=not isinstance(self.classes, int))
        feature_factors(2, self.features, self.feature_weights)

    def classify(self, samples: SegmentationSamples) -> Tensor:
        """(n,) int64 CPU tensor: the fake class of every sample."""
        return fake_classes(
            self._features_of(samples),
            samples.weights,
            classes=self.classes,
            seed=self.seed,
            max_classes=self.max_classes,
            observations=effective_patients(samples),
            clusterer=self.clusterer,
            scaling=self._scaling_for(samples),
        )

    def reclassify(self, samples: SegmentationSamples, classes: Tensor, weights: Tensor) -> Tensor:
        """Fake classes under other weights of the samples.

        Features stay scaled as they are by all samples, and there are no more classes than all samples have. k-means
        goes on from the centers of the given classes; another clusterer starts anew.

        Args:
            samples: n samples.
            classes: (n,) `classify(samples)`.
            weights: (r, n) float64 on the CPU; a sample of weight 0 is not there.

        Returns:
            (r, n) int64 CPU tensor; -1 for samples that are not there.
        """
        features, scaling = self._features_of(samples), self._scaling_for(samples)
        if self.clusterer is None:
            return refit_classes(features, classes, weights, scaling=scaling)
        points, count = scaling(features), int(classes.max()) + 1
        found = torch.full(weights.shape, -1, dtype=torch.int64)
        for of_replicate, row in zip(found, weights, strict=True):
            there = row > 0
            of_replicate[there] = fake_classes(
                points[there],
                row[there],
                classes=count,
                seed=self.seed,
                clusterer=self.clusterer,
                scaling=lambda scaled: scaled,
            )
        return found

    def _features_of(self, samples: SegmentationSamples) -> Tensor:
        return segment_features(samples.masks, samples.images, self.features)

    def _scaling_for(self, samples: SegmentationSamples) -> _Scaling:
        dimensions = len(samples.grid)
        columns = feature_names(dimensions, self.features)
        return _Scaling(self.scale, columns, feature_factors(dimensions, self.features, self.feature_weights))


@dataclass(frozen=True, slots=True, eq=False)
class _Scaling:
    scale: FeatureScale | None
    columns: tuple[str, ...]
    factors: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        scaled = unit_scaled(features) if self.scale is None else self.scale.scaled(features, self.columns)
        return scaled * self.factors
