"""Gaussian mixtures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medsegdist.distance.pixel_histogram import PixelHistogram
from medsegdist.errors import DataError

_FIELDS = ("weights", "means", "covariances")


@dataclass(frozen=True, slots=True, eq=False)
class GaussianMixture:
    """A density of k weighted Gaussians in d dimensions (the paper's Eq. 10).

    Args:
        weights: (k,) float64, positive, summing to 1.
        means: (k, d) float64, in the unit of the points.
        covariances: (k, d, d) float64, symmetric, positive semidefinite.

    Raises:
        ValueError: shapes do not fit, or numbers are not what they should be.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __post_init__(self) -> None:
        k = len(self.weights)
        d = self.means.shape[-1]
        if self.weights.shape != (k,) or self.means.shape != (k, d) or self.covariances.shape != (k, d, d):
            raise ValueError(
                "expected weights (k,), means (k, d) and covariances (k, d, d), found "
                f"{tuple(self.weights.shape)}, {tuple(self.means.shape)} and {tuple(self.covariances.shape)}."
            )
        for name in _FIELDS:
            values = getattr(self, name)
            if values.dtype != torch.float64 or not bool(torch.isfinite(values).all()):
                raise ValueError(f"expected finite float64 {name}, found {values.dtype} or NaN or infinite values.")
        if not bool((self.weights > 0).all()) or abs(float(self.weights.sum()) - 1) > 1e-9:
            raise ValueError(f"expected positive weights that sum to 1, found {self.weights.tolist()}.")
        if not torch.allclose(self.covariances, self.covariances.mT):
            raise ValueError("expected symmetric covariances.")
        spectrum = torch.linalg.eigvalsh(self.covariances)
        if bool((spectrum[:, 0] < -1e-9 * spectrum[:, -1].abs()).any()):
            raise ValueError(f"expected covariances without negative eigenvalues, found {float(spectrum.min()):g}.")

    @property
    def dimensions(self) -> int:
        """The d of its points."""
        return int(self.means.shape[1])

    def log_density(self, points: Tensor) -> Tensor:
        """(n,) natural logarithm of the density at (n, d) float64 points.

        Args:
            points: (n, d) float64, in the unit of the means.

        Raises:
            ValueError: a covariance is singular, so that there is no density.
        """
        factors, failed = torch.linalg.cholesky_ex(self.covariances)
        if bool(failed.any()):
            raise ValueError(
                f"expected invertible covariances, found a singular one in component {int(failed.argmax())}; "
                "a mixture on a line or a point has no density."
            )
        half_log_det = factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constants = self.weights.log() - half_log_det - 0.5 * self.dimensions * math.log(2 * math.pi)
        squared = [
            torch.linalg.solve_triangular(factor, (points - mean).T, upper=False).square().sum(0)
            for factor, mean in zip(factors, self.means, strict=True)
        ]
        return torch.logsumexp(constants[:, None] - 0.5 * torch.stack(squared), dim=0)

    def log_likelihood(self, histogram: PixelHistogram) -> float:
        """Mean logarithm of the density over the mass of a histogram.

        Args:
            histogram: h points in d dimensions.

        Raises:
            ValueError: a covariance is singular, so that there is no density.
        """
        return float(self.log_density(histogram.points) @ histogram.masses)

    def to(self, device: torch.device | str) -> GaussianMixture:
        """The same mixture with its tensors on `device`."""
        return GaussianMixture(self.weights.to(device), self.means.to(device), self.covariances.to(device))

    def to_dict(self) -> dict[str, Any]:
        """The mixture in plain lists, to be written as JSON without any loss."""
        return {name: getattr(self, name).tolist() for name in _FIELDS}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> GaussianMixture:
        """The mixture that :meth:`to_dict` described.

        Args:
            stored: "weights", "means" and "covariances" as nested lists.

        Raises:
            DataError: it describes no mixture.
        """
        try:
            return cls(*(torch.tensor(stored[name], dtype=torch.float64) for name in _FIELDS))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"expected a mixture with {', '.join(_FIELDS)}, found a broken one: {error}") from error
