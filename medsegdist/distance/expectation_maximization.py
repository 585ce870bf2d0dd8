"""Gaussian mixtures fitted to weighted points."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np
import torch
from torch import Tensor

from medsegdist.distance.choices import check_choice
from medsegdist.distance.covariance_types import COVARIANCE_TYPES, CovarianceType, constrained
from medsegdist.distance.em_newton import Rest, come_to_rest
from medsegdist.distance.em_steps import EMPTY, Cells, floored, moments
from medsegdist.distance.mixture import GaussianMixture
from medsegdist.distance.mixture_search import SETTLED, Search, search_mixtures
from medsegdist.distance.pixel_histogram import PixelHistogram
from medsegdist.errors import DataError
from medsegdist.threads import one_thread
from medsegdist.words import counted

COARSE_CELLS = 500
"""Cells that the search for the best optimum works on."""

FINER = 10
"""How many times as many cells each next level has, up to all points."""

FOLLOWING = 101
"""Passes at most over the cells of a level."""

FINALISTS = 3
"""Optima of the search that are compared on the next level."""


@dataclass(frozen=True, slots=True, eq=False)
class MixtureFit:
    """A fitted mixture and how it came about.

    Args:
        mixture: the likeliest one found, its components in increasing order of their means.
        log_likelihood: mean logarithm of its density over the mass of the points.
        iterations: passes over all points.
        converged: False if the last step still moved more than the tolerance.
    """

    mixture: GaussianMixture
    log_likelihood: float
    iterations: int
    converged: bool


def fit_mixture(
    histogram: PixelHistogram,
    components: int = 5,
    *,
    seed: int = 0,
    tolerance: float = 1e-11,
    max_iterations: int = 4001,
    covariance: CovarianceType = "full",
    search: Search | None = None,
) -> MixtureFit:
    """The likeliest Gaussian mixture of weighted points, by expectation-maximization in float64.

    The search for the best of many local optima works on a coarsened histogram, where it is cheap; the best one is
    then followed through finer ones to all points, where Newton's method ends it. Neither the order of the points nor
    a common factor of their masses matters.

    Args:
        histogram: h points in d dimensions.
        components: number of Gaussians, at most h.
        seed: of the search.
        tolerance: a fit has converged when one step moves no mass, mean or second moment of a component by more, in
            standard deviations of the points.
        max_iterations: passes over all points.
        covariance: what covariances may look like.
        search: how hard to search; by default as hard as it takes for different seeds to find the same optimum.

    Raises:
        DataError: fewer distinct points than components, or points so far apart that no mixture can be computed.
        ValueError: fewer than 1 component, or an unknown type of covariance.
    """
    if components < 1:
        raise ValueError(f"expected at least 1 component, found {components}.")
    check_choice("the type of covariance", covariance, COVARIANCE_TYPES)
    search = replace(search or Search(), covariance=covariance)
    cells, center, scale = histogram.standard_cells(isotropic=covariance == "spherical")
    coarse = coarse_cells(cells, components)
    if len(coarse) < components:
        raise DataError(
            f"expected at least as many distinct segment pixels as components, found {counted(len(coarse), 'pixel')} "
            f"for {counted(components, 'component')}; ask for fewer components (`components` of the study's "
            "`distance`), take another method, or leave the dataset out."
        )
    try:
        best = _optimum(cells, coarse, components, search, seed, tolerance, max_iterations)
    # Numbers that squares overflow with make LAPACK give up, or no number of the likelihood.
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise _cannot_be_fitted(cells, components) from error
    if not (math.isfinite(best.log_likelihood) and bool(best.statistics.isfinite().all())):
        raise _cannot_be_fitted(cells, components)
    return MixtureFit(
        mixture=mixture_of(best.statistics.squeeze(1), search.floor, center.cpu(), scale.cpu(), covariance),
        log_likelihood=best.log_likelihood - float(scale.log().sum()),
        iterations=best.steps,
        converged=best.change <= tolerance,
    )


def _optimum(
    cells: Cells, coarse: Cells, components: int, search: Search, seed: int, tolerance: float, max_iterations: int
) -> Rest:
    """The best optimum that the coarse cells show, followed to all cells."""
    with one_thread():
        optima, _ = search_mixtures(coarse, components, search, np.random.default_rng(seed))
    contenders = [optima[:, [r]] for r in range(min(FINALISTS, optima.shape[1]))]
    for finer in refinements(cells) or [cells]:
        rests = [
            come_to_rest(finer, start, FOLLOWING, search.floor, SETTLED, search.covariance) for start in contenders
        ]
        contenders = [max(rests, key=attrgetter("log_likelihood")).statistics]
    return come_to_rest(cells, contenders[0], max_iterations, search.floor, tolerance, search.covariance)


def _cannot_be_fitted(cells: Cells, components: int) -> DataError:
    return DataError(
        f"expected segment pixels that {counted(components, 'Gaussian')} can be fitted to in double precision, found "
        f"none for these {counted(len(cells), 'pixel')}; look for extreme intensities in the images, ask for fewer "
        "components (`components` of the study's `distance`), take another method, or leave the dataset out."
    )


def refinements(cells: Cells) -> list[Cells]:
    """The cells between the coarse ones that optima are searched on and all of them, the fewest first."""
    levels = [cells]
    sizes = [COARSE_CELLS * FINER**step for step in range(1, 20)]
    for size in reversed([size for size in sizes if 2 * size < len(cells)]):
        levels.append(levels[-1].merged(size))
    return levels[:0:-1]


def coarse_cells(cells: Cells, least: int) -> Cells:
    """The few cells that optima are searched on, on the CPU.

    Args:
        cells: one for each point.
        least: how many are needed, if there are as many distinct points.
    """
    coarse = cells.merged(COARSE_CELLS)
    if len(coarse) < least:  # few pixels, or an outlier so far off that all others share a box
        coarse = cells.merged(len(cells))
    return Cells(coarse.monomials.cpu(), coarse.masses.cpu())


def mixture_of(
    statistics: Tensor, floor: float, center: Tensor, scale: Tensor, covariance: CovarianceType = "full"
) -> GaussianMixture:
    """The mixture that the statistics of an E step describe.

    Args:
        statistics: (k, f) on the CPU, in standard units.
        floor: smallest variance of a component along any direction, in squared standard units.
        center: (d,) of the standard units.
        scale: (d,) of the standard units; one for all axes if covariances are spherical.
        covariance: what covariances may look like.

    Returns:
        The components that hold any mass, in increasing order of their means, in the unit of the points.
    """
    masses, means, covariances = moments(statistics[statistics[:, 0] > EMPTY])
    covariances = constrained(masses, covariances, covariance)
    means = center + scale * means
    order = torch.from_numpy(np.lexsort(means.numpy().T[::-1]))
    return GaussianMixture(
        weights=(masses / masses.sum())[order],
        means=means[order],
        covariances=(floored(covariances, floor) * scale[:, None] * scale[None, :])[order],
    )
