"""Wasserstein distance between Gaussian mixtures of all foreground pixels, and the options of mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.mixture.choice import (
    COMPONENT_RULES,
    ComponentRule,
    check_count,
    component_count,
    effective_patients,
)
from medsegdist.distance.mixture.fit import fit_mixture, refit_mixtures
from medsegdist.distance.mixture.gaussian import GaussianMixture, mixture_wassersteins, paired_mixture_wassersteins
from medsegdist.distance.mixture.pixel_counts import SampleCounts, count_by_sample, count_pixels
from medsegdist.errors import DataError


@dataclass(frozen=True)
class MixtureOptions:
    """Mixtures of foreground pixels; by default as in the paper.

    Args:
        components: number of Gaussians (paper: 5); or "bic", "elbow" or "silhouette", by which each mixture chooses its
            own, see :func:`medsegdist.distance.mixture.choice.component_count`.
        max_components: the most that a rule may choose.
        intensity: True fits (row, column, intensity), the paper's GMM 3D; False (row, column), its GMM 2D. Volumes
            have the slice before the row.
        seed: of the starts of the fit.

    Raises:
        ValueError: an option is unknown or out of range.
    """

    components: int | ComponentRule = 5
    max_components: int = 10
    intensity: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("component", self.components, COMPONENT_RULES)
        check_count("component", self.max_components)

    def fit(
        self, samples: SegmentationSamples, sample_index: Tensor | Sequence[int] | None = None, *, fewer: bool = False
    ) -> GaussianMixture:
        """The mixture of the foreground pixels of all or some samples, in pixels (and intensity units).

        With `fewer` it has as many components as there are distinct pixels if these are fewer.
        """
        pixels = count_pixels(samples, intensity=self.intensity, sample_index=sample_index)
        components = component_count(
            pixels,
            self.components,
            most=self.max_components,
            observations=effective_patients(samples, sample_index),
            seed=self.seed,
        )
        if fewer:
            components = min(components, len(pixels))
        try:
            return fit_mixture(pixels, components, seed=self.seed).mixture
        except DataError as error:
            error.dataset = samples.name
            raise

    def count_by_sample(self, samples: SegmentationSamples) -> SampleCounts:
        """The foreground pixels of every sample in cells, for :func:`refit_mixtures`."""
        return count_by_sample(samples, intensity=self.intensity)


@dataclass(frozen=True)
class GmmMetric(MixtureOptions):
    """d_Y = MW2(g, g') between one mixture per dataset, the same for all samples (the paper's Eq. 10 to 14).

    How the mixtures are fitted is set by the options of :class:`MixtureOptions`.

    Args:
        power: q of the dataset distance; 2 is what the paper's Tables 6 and 7 decode to.

    Raises:
        ValueError: an option is unknown or out of range.
    """

    power: float = 2.0

    @property
    def name(self) -> str:
        """The name of the method in tables: "gmm3d" with intensities, "gmm2d" without."""
        return "gmm3d" if self.intensity else "gmm2d"

    def summarize(self, samples: SegmentationSamples, /) -> GaussianMixture:
        """The mixture of all foreground pixels of the dataset, in pixels (and intensity units).

        Raises:
            DataError: fewer distinct pixels than components.
        """
        return self.fit(samples)

    def resample(
        self, samples: SegmentationSamples, summary: GaussianMixture, weights: Tensor, /
    ) -> list[GaussianMixture]:
        """The mixture of the whole dataset, refitted under other weights of its samples."""
        return refit_mixtures(self.count_by_sample(samples), weights, summary)

    def compare(self, source: GaussianMixture, target: GaussianMixture, image_cost: Tensor, /) -> Tensor:
        """(1, 1) MW2 in pixels (and intensity units), not squared."""
        return mixture_wassersteins([source], [target]).to(image_cost.device)

    def compare_replicates(
        self, pairs: Sequence[tuple[GaussianMixture, GaussianMixture]], image_cost: Tensor, /
    ) -> Sequence[Tensor]:
        """(1, 1) MW2 of each of the `pairs`, on the device of `image_cost`."""
        return list(paired_mixture_wassersteins(pairs).to(image_cost.device)[:, None, None])
