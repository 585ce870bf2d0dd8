"""Distances between fake classes: of their images, and of their mixtures."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.choices import check_choice, check_count
from medsegdist.distance.class_options import ClassOptions
from medsegdist.distance.class_transport import ClassedSamples, class_distances, drawn_classes
from medsegdist.distance.component_choice import COMPONENT_RULES, ComponentRule, component_count
from medsegdist.distance.covariance_types import COVARIANCE_TYPES, CovarianceType
from medsegdist.distance.effective_size import effective_patients
from medsegdist.distance.expectation_maximization import fit_mixture
from medsegdist.distance.fake_classes import numbered
from medsegdist.distance.mixture import GaussianMixture
from medsegdist.distance.mixture_refit import refit_mixtures
from medsegdist.distance.mixture_transport import mixture_wassersteins
from medsegdist.distance.pixel_histogram import pixel_histogram
from medsegdist.distance.sample_histograms import sample_histograms
from medsegdist.errors import DataError


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
        """The name of the method in tables."""
        return "fake_classes"

    def summarize(self, samples: SegmentationSamples, /) -> ClassedSamples:
        """The fake class of every sample, clustered within the dataset."""
        return ClassedSamples(classes=self.classify(samples), mass=samples.mass)

    def resample(
        self, samples: SegmentationSamples, summary: ClassedSamples, weights: Tensor, /
    ) -> list[ClassedSamples]:
        """The classes that the whole dataset's classes move to when its samples are weighed anew."""
        return drawn_classes(self.reclassify(samples, summary.classes, weights), weights)

    def compare(self, source: ClassedSamples, target: ClassedSamples, image_cost: Tensor, /) -> Tensor:
        """(n, m) Wasserstein distances in the unit of the image cost, constant within a pair of classes."""
        return class_distances(source, target, image_cost, self.p)


@dataclass(frozen=True, slots=True, eq=False)
class ClassMixtures:
    """Fake class of every sample of one dataset, and one mixture of segment pixels per class.

    Args:
        classes: (n,) int64, 0 to len(mixtures) - 1.
        mixtures: one per class.
    """

    classes: Tensor
    mixtures: tuple[GaussianMixture, ...]


@dataclass(frozen=True, slots=True)
class FakeClassGmmMetric(ClassOptions):
    """d_Y(k, l) = MW2(g_c(k), g'_c'(l)) between one mixture per fake class (the paper's Eq. 18, 19).

    How samples are put into classes is said by the options of :class:`~medsegdist.distance.class_options.ClassOptions`.

    Args:
        components: number of Gaussians per class (paper: 5), or the rule by which each class chooses its own, as in
            :class:`~medsegdist.distance.metrics.gmm.GmmMetric`; a class with fewer distinct pixels gets that many.
        max_components: the most that a rule may choose.
        covariance: "full" (paper), "diag", "spherical" or "tied" within a class.
        intensity: True fits (row, column, intensity), as the paper does.
        intensity_bin: width of the intensity bins the pixels are counted in; None takes 1/256 of their span.
        power: q of the dataset distance; 1 is what the paper's Table 9 decodes to.

    Raises:
        ValueError: an option is unknown or out of range.
    """

    components: int | ComponentRule = 5
    max_components: int = 10
    covariance: CovarianceType = "full"
    intensity: bool = True
    intensity_bin: float | None = None
    power: float = 1.0

    def __post_init__(self) -> None:
        ClassOptions.__post_init__(self)
        check_count("component", self.components, COMPONENT_RULES)
        check_count("component", self.max_components)
        check_choice("the type of covariance", self.covariance, COVARIANCE_TYPES)

    @property
    def name(self) -> str:
        """The name of the method in tables."""
        return "fake_class_gmm"

    def summarize(self, samples: SegmentationSamples, /) -> ClassMixtures:
        """Fake classes, and the mixture of the segment pixels of each.

        Raises:
            DataError: the pixels of a class are such that no mixture can be computed.
        """
        classes = self.classify(samples)
        mixtures = []
        for c in range(int(classes.max()) + 1):
            members = (classes == c).nonzero()[:, 0]
            histogram = pixel_histogram(
                samples, intensity=self.intensity, intensity_bin=self.intensity_bin, sample_index=members
            )
            components = component_count(
                histogram,
                self.components,
                most=self.max_components,
                observations=effective_patients(samples, members),
                covariance=self.covariance,
                seed=self.seed,
            )
            components = min(components, len(histogram.points))
            try:
                fit = fit_mixture(histogram, components, seed=self.seed, covariance=self.covariance)
            except DataError as error:
                raise DataError(f"dataset '{samples.name}', fake class {c + 1}: {error}") from error
            mixtures.append(fit.mixture)
        return ClassMixtures(classes=classes, mixtures=tuple(mixtures))

    def resample(self, samples: SegmentationSamples, summary: ClassMixtures, weights: Tensor, /) -> list[ClassMixtures]:
        """What the whole dataset's classes and their mixtures move to when its samples are weighed anew."""
        classes = self.reclassify(samples, summary.classes, weights)
        histograms = sample_histograms(
            samples,
            intensity=self.intensity,
            intensity_bin=self.intensity_bin,
            isotropic=self.covariance == "spherical",
        )
        mixtures: list[dict[int, GaussianMixture]] = [{} for _ in weights]
        for c, start in enumerate(summary.mixtures):
            of_class = weights * (classes == c)
            there = of_class.any(1).nonzero()[:, 0]
            refitted = refit_mixtures(histograms, of_class[there], start, covariance=self.covariance)
            for b, mixture in zip(there.tolist(), refitted, strict=True):
                mixtures[b][c] = mixture
        return [
            ClassMixtures(numbered(of_sample[row > 0]), tuple(found.values()))
            for of_sample, row, found in zip(classes, weights, mixtures, strict=True)
        ]

    def compare(self, source: ClassMixtures, target: ClassMixtures, image_cost: Tensor, /) -> Tensor:
        """(n, m) MW2 in pixels (and intensity units), constant within a pair of classes."""
        between = mixture_wassersteins(source.mixtures, target.mixtures)
        return between[source.classes][:, target.classes].to(image_cost.device)
