"""Gaussian mixtures and the Wasserstein distances between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medsegdist.distance.mixture.pixel_counts import PixelCounts
from medsegdist.distance.transport import solve_transport
from medsegdist.errors import DataError

_FIELDS = ("weights", "means", "covariances")


@dataclass(frozen=True, slots=True, eq=False)
class GaussianMixture:
    """A density of k weighted Gaussians in d dimensions (the paper's Eq. 10).

    Args:
        weights: (k,) float64, positive, summing to 1.
        means: (k, d) float64, in the unit of the points.
        covariances: (k, d, d) float64, symmetric, positive semidefinite.
        fit_spread: of a mixture that was fitted, the largest MW2 to another local optimum that its search went to and
            that is nearly as likely, where another seed may end; 0 if there is none. None if that is not known.

    Raises:
        ValueError: shapes do not fit, or numbers are not what they should be.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor
    fit_spread: float | None = None

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

    def log_likelihood(self, pixels: PixelCounts) -> float:
        """Mean logarithm of the density over the mass of points.

        Args:
            pixels: h points in d dimensions.

        Raises:
            ValueError: a covariance is singular, so that there is no density.
        """
        return float(self.log_density(pixels.points) @ pixels.masses)

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
            weights, means, covariances = (torch.tensor(stored[name], dtype=torch.float64) for name in _FIELDS)
            return cls(weights, means, covariances)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"expected a mixture with {', '.join(_FIELDS)}, found a broken one: {error}") from error


def squared_bures_wasserstein(
    means: Tensor, covariances: Tensor, other_means: Tensor, other_covariances: Tensor
) -> Tensor:
    """(..., k, k') squared 2-Wasserstein distances of (..., k, d) Gaussians and other ones (the paper's Eq. 12).

    The trace formula is the difference of nearly equal numbers for nearly equal Gaussians. It equals the least squared
    Frobenius norm of A - B U over orthogonal U, where A and B are the square roots of the covariances and U comes from
    the singular vectors of B A; that is a sum of squares and vanishes exactly. Along directions that are narrower than
    the rounding of B A the sign of U is left to chance, so U = 1 is tried too: no U can fall below the least. Negative
    eigenvalues of a covariance count as 0.
    """
    root, other_root = _square_roots(covariances).unsqueeze(-3), _square_roots(other_covariances).unsqueeze(-4)
    left, _, right = torch.linalg.svd(other_root @ root)  # (..., k, k', d, d)
    turned = (root - other_root @ (left @ right)).square().sum((-2, -1))
    unturned = (root - other_root).square().sum((-2, -1))
    shift = means.cpu().double().unsqueeze(-2) - other_means.cpu().double().unsqueeze(-3)
    squared: Tensor = shift.square().sum(-1) + torch.minimum(turned, unturned)
    return squared


def mixture_wasserstein(source: GaussianMixture, target: GaussianMixture) -> float:
    """MW2, not squared: the cheapest way to move one mixture's Gaussians onto the other's (the paper's Eq. 11, 12).

    An upper bound of the 2-Wasserstein distance of the two densities, and a metric on mixtures (Delon and Desolneux,
    2020).

    Args:
        source: k Gaussians in d dimensions.
        target: k' Gaussians in as many.

    Returns:
        In the unit of the points.

    Raises:
        ValueError: the dimensions differ.
    """
    return float(mixture_wassersteins([source], [target]))


def mixture_wassersteins(sources: Sequence[GaussianMixture], targets: Sequence[GaussianMixture]) -> Tensor:
    """(p, q) float64 CPU tensor of :func:`mixture_wasserstein` between every two of p and q mixtures."""
    dimensions = [mixture.dimensions for mixture in (*sources, *targets)]
    if len(set(dimensions)) > 1:
        raise ValueError(f"expected mixtures of one dimension, found {min(dimensions)} and {max(dimensions)}.")
    means, covariances, other_means, other_covariances = (
        torch.cat([getattr(mixture, name) for mixture in mixtures])
        for mixtures in (sources, targets)
        for name in ("means", "covariances")
    )
    cost = squared_bures_wasserstein(means, covariances, other_means, other_covariances)
    found = torch.empty(len(sources), len(targets), dtype=torch.float64)
    sizes, other_sizes = ([len(mixture.weights) for mixture in mixtures] for mixtures in (sources, targets))
    for i, rows in enumerate(cost.split(sizes)):
        for j, block in enumerate(rows.split(other_sizes, 1)):
            found[i, j] = solve_transport(block, sources[i].weights, targets[j].weights).value ** 0.5
    return found


def paired_mixture_wassersteins(pairs: Sequence[tuple[GaussianMixture, GaussianMixture]]) -> Tensor:
    """(p,) float64 CPU tensor of :func:`mixture_wasserstein` of each of p pairs of mixtures."""
    found = torch.empty(len(pairs), dtype=torch.float64)
    # Mixtures of as many Gaussians go through linear algebra together.
    sizes = [(len(one.weights), len(other.weights)) for one, other in pairs]
    for size in dict.fromkeys(sizes):
        places = [k for k, own in enumerate(sizes) if own == size]
        sides = ([pairs[k][side] for k in places] for side in (0, 1))
        stacked = [
            torch.stack([getattr(one, name) for one in side]) for side in sides for name in ("means", "covariances")
        ]
        for k, cost in zip(places, squared_bures_wasserstein(*stacked), strict=True):
            found[k] = solve_transport(cost, pairs[k][0].weights, pairs[k][1].weights).value ** 0.5
    return found


def _square_roots(covariances: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariances.cpu().double())
    roots: Tensor = (vectors * values.clamp(min=0).sqrt().unsqueeze(-2)) @ vectors.mT
    return roots
