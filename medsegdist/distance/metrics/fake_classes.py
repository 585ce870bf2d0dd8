"""Distances between fake classes: of their images, and of their mixtures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.classes import ClassedSamples, ClassOptions, class_distances, drawn_classes, refit_classes
from medsegdist.distance.metrics.gmm import MixtureOptions
from medsegdist.distance.mixture.fit import refit_mixtures
from medsegdist.distance.mixture.gaussian import GaussianMixture, mixture_wassersteins
from medsegdist.distance.transport import EXACT_REPLICATES
from medsegdist.errors import DataError


@dataclass(frozen=True)
class FakeClassMetric(ClassOptions):
    """d_Y(k, l) = W_p(alpha_c(k), alpha'_c'(l)) between the images of two fake classes (the paper's Eq. 15 to 17).

    W_p is exact optimal transport on the block of the image cost that belongs to the two classes. How samples are put
    into classes is set by the options of :class:`~medsegdist.distance.classes.ClassOptions`.

    Args:
        p: order of the Wasserstein distance (paper: 2).
        power: q of the dataset distance; 1 is what the paper's Table 8 decodes to.

    Raises:
        ValueError: p is less than 1, or an option of the classes is unknown or out of range.
    """

    name: ClassVar[str] = "fake_classes"
    p: float = 2.0
    power: float = 1.0

    def __post_init__(self) -> None:
        ClassOptions.__post_init__(self)
        if not 1 <= self.p < math.inf:
            raise ValueError(f"expected a finite order p >= 1, found {self.p}.")

    def summarize(self, samples: SegmentationSamples, /) -> ClassedSamples:
        """The fake class of every sample, clustered within the dataset."""
        return ClassedSamples(classes=self.classify(samples), mass=samples.mass)

    def resample(
        self, samples: SegmentationSamples, summary: ClassedSamples, weights: Tensor, /
    ) -> list[ClassedSamples]:
        """The classes of the whole dataset, clustered on under the first of other weights of its samples."""
        weights = weights[: 1 + EXACT_REPLICATES]
        return drawn_classes(refit_classes(self.points(samples), summary.classes, weights), weights)

    def compare(self, source: ClassedSamples, target: ClassedSamples, image_cost: Tensor, /) -> Tensor:
        """(n, m) Wasserstein distances in the unit of the image cost, constant within a pair of classes."""
        return class_distances(source, target, image_cost, self.p)


@dataclass(frozen=True, slots=True, eq=False)
class ClassMixtures:
    """Fake class of every sample of one dataset, and one mixture of foreground pixels per class."""

    classes: Tensor  # (n,) int64, 0 to len(mixtures) - 1
    mixtures: tuple[GaussianMixture, ...]  # one per class


@dataclass(frozen=True)
class FakeClassGmmMetric(ClassOptions, MixtureOptions):
    """d_Y(k, l) = MW2(g_c(k), g'_c'(l)) between one mixture per fake class (the paper's Eq. 18, 19).

    Classes have the options of :class:`~medsegdist.distance.classes.ClassOptions`, their mixtures those of
    :class:`~medsegdist.distance.metrics.gmm.MixtureOptions`; a class with fewer distinct pixels than components gets
    that many.

    Args:
        power: q of the dataset distance; 1 is what the paper's Table 9 decodes to.

    Raises:
        ValueError: an option is unknown or out of range.
    """

    name: ClassVar[str] = "fake_class_gmm"
    power: float = 1.0

    def __post_init__(self) -> None:
        ClassOptions.__post_init__(self)
        MixtureOptions.__post_init__(self)

    def summarize(self, samples: SegmentationSamples, /) -> ClassMixtures:
        """Fake classes, and the mixture of the foreground pixels of each.

        Raises:
            DataError: the pixels of a class are such that no mixture can be computed.
        """
        classes = self.classify(samples)
        mixtures = []
        for c in range(int(classes.max()) + 1):
            try:
                mixtures.append(self.fit(samples, (classes == c).nonzero()[:, 0], fewer=True))
            except DataError as error:
                error.problem = f"fake class {c + 1}: {error.problem}"
                raise
        return ClassMixtures(classes=classes, mixtures=tuple(mixtures))

    def resample(self, samples: SegmentationSamples, summary: ClassMixtures, weights: Tensor, /) -> list[ClassMixtures]:
        """The whole dataset's classes and their mixtures, fitted on under the first of other weights of its samples."""
        weights = weights[: 1 + EXACT_REPLICATES]
        classes = refit_classes(self.points(samples), summary.classes, weights)
        counts = self.count_by_sample(samples)
        mixtures: list[dict[int, GaussianMixture]] = [{} for _ in weights]
        for c, start in enumerate(summary.mixtures):
            of_class = weights * (classes == c)
            held = of_class.any(1).nonzero()[:, 0]
            refitted = refit_mixtures(counts, of_class[held], start)
            for b, mixture in zip(held.tolist(), refitted, strict=True):
                mixtures[b][c] = mixture
        return [
            ClassMixtures(torch.unique(of_sample[row > 0], return_inverse=True)[1], tuple(found.values()))
            for of_sample, row, found in zip(classes, weights, mixtures, strict=True)
        ]

    def compare(self, source: ClassMixtures, target: ClassMixtures, image_cost: Tensor, /) -> Tensor:
        """(n, m) MW2 in pixels (and intensity units), constant within a pair of classes."""
        between = mixture_wassersteins(source.mixtures, target.mixtures)
        return between[source.classes][:, target.classes].to(image_cost.device)
