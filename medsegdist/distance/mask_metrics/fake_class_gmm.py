"""Wasserstein distance between the mixtures of fake classes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.expectation_maximization import fit_mixture
from medsegdist.distance.fake_classes import fake_classes, numbered, refit_classes
from medsegdist.distance.mixture import GaussianMixture
from medsegdist.distance.mixture_refit import refit_mixtures
from medsegdist.distance.mixture_transport import mixture_wassersteins
from medsegdist.distance.pixel_histogram import pixel_histogram
from medsegdist.distance.sample_histograms import sample_histograms
from medsegdist.distance.segment_features import segment_features


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
class FakeClassGmmMetric:
    """d_Y(k, l) = MW2(g_c(k), g'_c'(l)) between one mixture per fake class (the paper's Eq. 18, 19).

    Args:
        classes: number of k-means clusters per dataset (paper: 3).
        components: number of Gaussians per class (paper: 5); a class with fewer distinct pixels gets that many.
        intensity: True fits (row, column, intensity), as the paper does.
        intensity_bin: width of the intensity bins the pixels are counted in; None takes 1/256 of their span.
        power: q of the dataset distance; 1 is what the paper's Table 9 decodes to.
        seed: of the clustering and the fits.
    """

    classes: int = 3
    components: int = 5
    intensity: bool = True
    intensity_bin: float | None = None
    power: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.classes < 1 or self.components < 1:
            raise ValueError(f"expected at least 1 class and component, found {self.classes} and {self.components}.")

    @property
    def name(self) -> str:
        """What tables call it."""
        return "fake_class_gmm"

    def summarize(self, samples: SegmentationSamples, /) -> ClassMixtures:
        """Fake classes, and the mixture of the segment pixels of each."""
        features = segment_features(samples.masks)
        classes = fake_classes(features, samples.weights, classes=self.classes, seed=self.seed)
        mixtures = []
        for c in range(int(classes.max()) + 1):
            histogram = pixel_histogram(
                samples,
                intensity=self.intensity,
                intensity_bin=self.intensity_bin,
                sample_index=(classes == c).nonzero()[:, 0],
            )
            components = min(self.components, len(histogram.points))
            mixtures.append(fit_mixture(histogram, components, seed=self.seed).mixture)
        return ClassMixtures(classes=classes, mixtures=tuple(mixtures))

    def resummarize(
        self, samples: SegmentationSamples, summary: ClassMixtures, weights: Tensor, /
    ) -> list[ClassMixtures]:
        """What the whole dataset's classes and their mixtures move to when its samples are weighed anew."""
        classes = refit_classes(segment_features(samples.masks), summary.classes, weights)
        histograms = sample_histograms(samples, intensity=self.intensity, intensity_bin=self.intensity_bin)
        mixtures: list[dict[int, GaussianMixture]] = [{} for _ in weights]
        for c, start in enumerate(summary.mixtures):
            of_class = weights * (classes == c)
            there = of_class.any(1).nonzero()[:, 0]
            for b, mixture in zip(there.tolist(), refit_mixtures(histograms, of_class[there], start), strict=True):
                mixtures[b][c] = mixture
        return [
            ClassMixtures(numbered(of_sample[row > 0]), tuple(found.values()))
            for of_sample, row, found in zip(classes, weights, mixtures, strict=True)
        ]

    def compare(self, source: ClassMixtures, target: ClassMixtures, image_cost: Tensor, /) -> Tensor:
        """(n, m) MW2 in pixels (and intensity units), constant within a pair of classes."""
        between = mixture_wassersteins(source.mixtures, target.mixtures)
        return between[source.classes][:, target.classes].to(image_cost.device)
