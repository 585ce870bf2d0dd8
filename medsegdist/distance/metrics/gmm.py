"""Wasserstein distance between Gaussian mixtures of all segment pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.choices import check_choice, check_count
from medsegdist.distance.component_choice import COMPONENT_RULES, ComponentRule, component_count
from medsegdist.distance.covariance_types import COVARIANCE_TYPES, CovarianceType
from medsegdist.distance.effective_size import effective_patients
from medsegdist.distance.expectation_maximization import fit_mixture
from medsegdist.distance.mixture import GaussianMixture
from medsegdist.distance.mixture_refit import refit_mixtures
from medsegdist.distance.mixture_transport import mixture_wasserstein
from medsegdist.distance.pixel_histogram import pixel_histogram
from medsegdist.distance.sample_histograms import sample_histograms
from medsegdist.errors import DataError


@dataclass(frozen=True, slots=True)
class GmmMetric:
    """d_Y = MW2(g, g') between one mixture per dataset, the same for all samples (the paper's Eq. 10 to 14).

    Args:
        components: number of Gaussians (paper: 5); or "bic", "elbow" or "silhouette", by which each dataset chooses its
            own, see :func:`medsegdist.distance.component_choice.component_count`.
        max_components: the most that a rule may choose.
        covariance: "full" (paper), "diag", "spherical" (in the unit of the points, be they pixels or intensities) or
            "tied".
        intensity: True fits (row, column, intensity), the paper's GMM 3D; False (row, column), its GMM 2D. Volumes
            have the slice before the row.
        intensity_bin: width of the intensity bins the pixels are counted in; None takes 1/256 of their span.
        power: q of the dataset distance; 2 is what the paper's Tables 6 and 7 decode to.
        seed: of the starts of the fit.

    Raises:
        ValueError: an option is unknown or out of range.
    """

    components: int | ComponentRule = 5
    max_components: int = 10
    covariance: CovarianceType = "full"
    intensity: bool = True
    intensity_bin: float | None = None
    power: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("component", self.components, COMPONENT_RULES)
        check_count("component", self.max_components)
        check_choice("the type of covariance", self.covariance, COVARIANCE_TYPES)

    @property
    def name(self) -> str:
        """The name of the method in tables."""
        return "gmm3d" if self.intensity else "gmm2d"

    def summarize(self, samples: SegmentationSamples, /) -> GaussianMixture:
        """The mixture of all segment pixels of the dataset, in pixels (and intensity units).

        Raises:
            DataError: fewer distinct pixels than components.
        """
        histogram = pixel_histogram(samples, intensity=self.intensity, intensity_bin=self.intensity_bin)
        components = component_count(
            histogram,
            self.components,
            most=self.max_components,
            observations=effective_patients(samples),
            covariance=self.covariance,
            seed=self.seed,
        )
        try:
            return fit_mixture(histogram, components, seed=self.seed, covariance=self.covariance).mixture
        except DataError as error:
            raise DataError(f"dataset '{samples.name}': {error}") from error

    def resample(
        self, samples: SegmentationSamples, summary: GaussianMixture, weights: Tensor, /
    ) -> list[GaussianMixture]:
        """The mixtures that the whole dataset's mixture moves to when its samples are weighed anew."""
        histograms = sample_histograms(
            samples,
            intensity=self.intensity,
            intensity_bin=self.intensity_bin,
            isotropic=self.covariance == "spherical",
        )
        return refit_mixtures(histograms, weights, summary, covariance=self.covariance)

    def compare(self, source: GaussianMixture, target: GaussianMixture, image_cost: Tensor, /) -> Tensor:
        """(1, 1) MW2 in pixels (and intensity units), not squared."""
        return torch.full((1, 1), mixture_wasserstein(source, target), dtype=torch.float64, device=image_cost.device)
