"""Wasserstein distance between the image distributions of fake classes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.class_transport import ClassedSamples, class_distances, drawn_classes
from medsegdist.distance.fake_classes import fake_classes, refit_classes
from medsegdist.distance.segment_features import segment_features


@dataclass(frozen=True, slots=True)
class FakeClassMetric:
    """d_Y(k, l) = W_p(alpha_c(k), alpha'_c'(l)) between the images of two fake classes (the paper's Eq. 15 to 17).

    W_p is exact optimal transport on the block of the image cost that belongs to the two classes.

    Args:
        classes: number of k-means clusters per dataset (paper: 3).
        p: order of the Wasserstein distance (paper: 2).
        power: q of the dataset distance; 1 is what the paper's Table 8 decodes to.
        seed: of the clustering.
    """

    classes: int = 3
    p: float = 2.0
    power: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.classes < 1:
            raise ValueError(f"expected at least 1 class, found {self.classes}.")
        if self.p < 1:
            raise ValueError(f"expected an order p >= 1, found {self.p}.")

    @property
    def name(self) -> str:
        """What tables call it."""
        return "fake_classes"

    def summarize(self, samples: SegmentationSamples, /) -> ClassedSamples:
        """The fake class of every sample, clustered within the dataset."""
        features = segment_features(samples.masks)
        return ClassedSamples(
            classes=fake_classes(features, samples.weights, classes=self.classes, seed=self.seed),
            mass=samples.mass,
        )

    def resummarize(
        self, samples: SegmentationSamples, summary: ClassedSamples, weights: Tensor, /
    ) -> list[ClassedSamples]:
        """The classes that the whole dataset's classes move to when its samples are weighed anew."""
        refitted = refit_classes(segment_features(samples.masks), summary.classes, weights)
        return drawn_classes(refitted, weights)

    def compare(self, source: ClassedSamples, target: ClassedSamples, image_cost: Tensor, /) -> Tensor:
        """(n, m) Wasserstein distances in the unit of the image cost, constant within a pair of classes."""
        return class_distances(source, target, image_cost, self.p)
