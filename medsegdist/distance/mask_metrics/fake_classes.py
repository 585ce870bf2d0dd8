"""Wasserstein distance between the image distributions of fake classes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.class_options import ClassOptions
from medsegdist.distance.class_transport import ClassedSamples, class_distances, drawn_classes


@dataclass(frozen=True, slots=True)
class FakeClassMetric(ClassOptions):
    """d_Y(k, l) = W_p(alpha_c(k), alpha'_c'(l)) between the images of two fake classes (the paper's Eq. 15 to 17).

    W_p is exact optimal transport on the block of the image cost that belongs to the two classes. How samples are put
    into classes is said by the options of :class:`~medsegdist.distance.class_options.ClassOptions`.

    Args:
        p: order of the Wasserstein distance (paper: 2).
        power: q of the dataset distance; 1 is what the paper's Table 8 decodes to.

    Raises:
        ValueError: p is less than 1, or an option of the classes is unknown or out of range.
    """

    p: float = 2.0
    power: float = 1.0

    def __post_init__(self) -> None:
        ClassOptions.__post_init__(self)
        if not 1 <= self.p < math.inf:
            raise ValueError(f"expected a finite order p >= 1, found {self.p}.")

    @property
    def name(self) -> str:
        """What tables call it."""
        return "fake_classes"

    def summarize(self, samples: SegmentationSamples, /) -> ClassedSamples:
        """The fake class of every sample, clustered within the dataset."""
        return ClassedSamples(classes=self.classify(samples), mass=samples.mass)

    def resummarize(
        self, samples: SegmentationSamples, summary: ClassedSamples, weights: Tensor, /
    ) -> list[ClassedSamples]:
        """The classes that the whole dataset's classes move to when its samples are weighed anew."""
        return drawn_classes(self.reclassify(samples, summary.classes, weights), weights)

    def compare(self, source: ClassedSamples, target: ClassedSamples, image_cost: Tensor, /) -> Tensor:
        """(n, m) Wasserstein distances in the unit of the image cost, constant within a pair of classes."""
        return class_distances(source, target, image_cost, self.p)
