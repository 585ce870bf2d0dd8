"""Wasserstein distances between Gaussians and between Gaussian mixtures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medsegdist.distance.mixture import GaussianMixture
from medsegdist.distance.transport import solve_transport


def squared_bures_wasserstein(
    means: Tensor, covariances: Tensor, other_means: Tensor, other_covariances: Tensor
) -> Tensor:
    """Squared 2-Wasserstein distance between every two Gaussians (the paper's Eq. 12).

    The trace formula is the difference of nearly equal numbers for nearly equal Gaussians. It equals the least
    ||A - B U||_F^2 over orthogonal U, where A and B are the square roots of the covariances and U comes from the
    singular vectors of B A; that is a sum of squares and vanishes exactly. Along directions that are narrower than the
    rounding of B A the sign of U is left to chance, so U = 1 is tried too: no U can fall below the least.

    Args:
        means: (k, d).
        covariances: (k, d, d) symmetric; negative eigenvalues count as 0.
        other_means: (k', d).
        other_covariances: (k', d, d).

    Returns:
        (k, k') float64 CPU tensor in the squared unit of the means.
    """
    root, other_root = _square_roots(covariances), _square_roots(other_covariances)
    left, _, right = torch.linalg.svd(other_root[None, :] @ root[:, None])  # (k, k', d, d)
    turned = (root[:, None] - other_root[None, :] @ (left @ right)).square().sum((-2, -1))
    unturned = (root[:, None] - other_root[None, :]).square().sum((-2, -1))
    shift = means.cpu().double()[:, None] - other_means.cpu().double()[None, :]
    squared: Tensor = shift.square().sum(-1) + torch.minimum(turned, unturned)
    return squared


def squared_mixture_wasserstein(source: GaussianMixture, target: GaussianMixture) -> float:
    """MW2 squared: the cheapest way to move one mixture's Gaussians onto the other's (the paper's Eq. 11).

    An upper bound of the squared 2-Wasserstein distance of the two densities, and a squared metric on mixtures
    (Delon and Desolneux, 2020).

    Args:
        source: k Gaussians in d dimensions.
        target: k' Gaussians in as many.

    Raises:
        ValueError: the dimensions differ.
    """
    return float(_squared_mixture_wassersteins([source], [target]))


def mixture_wasserstein(source: GaussianMixture, target: GaussianMixture) -> float:
    """MW2, not squared, in the unit of the points (the paper's Eq. 11, 12).

    Args:
        source: a mixture in d dimensions.
        target: another in as many.

    Raises:
        ValueError: the dimensions differ.
    """
    return float(squared_mixture_wasserstein(source, target) ** 0.5)


def mixture_wassersteins(sources: Sequence[GaussianMixture], targets: Sequence[GaussianMixture]) -> Tensor:
    """MW2, not squared, between every two mixtures.

    Args:
        sources: p mixtures in d dimensions.
        targets: q mixtures in as many.

    Returns:
        (p, q) float64 CPU tensor in the unit of the points.

    Raises:
        ValueError: the dimensions differ.
    """
    return _squared_mixture_wassersteins(sources, targets).sqrt()


def _squared_mixture_wassersteins(sources: Sequence[GaussianMixture], targets: Sequence[GaussianMixture]) -> Tensor:
    dimensions = [mixture.dimensions for mixture in (*sources, *targets)]
    if len(set(dimensions)) > 1:
        raise ValueError(f"expected mixtures of one dimension, found {min(dimensions)} and {max(dimensions)}.")
    means, covariances, other_means, other_covariances = (
        torch.cat([getattr(mixture, name) for mixture in mixtures])
        for mixtures in (sources, targets)
        for name in ("means", "covariances")
    )
    cost = squared_bures_wasserstein(means, covariances, other_means, other_covariances)
    values = [
        [
            solve_transport(block, source.weights, target.weights).value
            for block, target in zip(rows.split([len(target.weights) for target in targets], 1), targets, strict=True)
        ]
        for rows, source in zip(cost.split([len(source.weights) for source in sources]), sources, strict=True)
    ]
    return torch.tensor(values, dtype=torch.float64)


def _square_roots(covariances: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariances.cpu().double())
    roots: Tensor = (vectors * values.clamp(min=0).sqrt().unsqueeze(-2)) @ vectors.mT
    return roots
