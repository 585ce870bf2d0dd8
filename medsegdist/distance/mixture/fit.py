"""Gaussian mixtures fitted to weighted points, and refitted when the samples that these come from are reweighted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from medsegdist.distance.mixture.em import (
    EMPTY,
    WeightedPoints,
    expectation,
    floored,
    moments,
    natural_parameters,
    run_em,
)
from medsegdist.distance.mixture.gaussian import GaussianMixture, mixture_wassersteins
from medsegdist.distance.mixture.newton import run_em_newton
from medsegdist.distance.mixture.pixel_counts import PixelCounts, SampleCounts
from medsegdist.distance.mixture.search import all_fits, improve_mixture, search_mixtures
from medsegdist.errors import DataError
from medsegdist.parallel import one_thread
from medsegdist.words import counted

COARSE_CELLS = 500  # cells that the search for the best optimum works on
FINER = 10  # how many times as many cells each next level has, up to all points

REFIT_STEPS, REFIT_TOLERANCE = 15, 1e-5
"""E steps at most of a refit, and its tolerance: the start is near, and samples differ by far more. On simulated and
real lesions, distances of replicates so refitted correlate with those of converged ones by 0.94 to 1."""

NEARLY = 0.02
"""Mean log-likelihood, on the finer cells, that an optimum may lack to be nearly as likely as the best one: by so much
at most do fits of real data from several seeds differ, and a hundred independent patients could not show it."""

SIDE_BY_SIDE = 64  # mixtures that are refitted in one batch, which bounds the memory


@dataclass(frozen=True, slots=True, eq=False)
class MixtureFit:
    """A fitted mixture and how it came about."""

    mixture: GaussianMixture  # the likeliest one, components by increasing means, with its `fit_spread`
    log_likelihood: float  # mean logarithm of its density over the mass of the points
    iterations: int  # E steps over all points
    converged: bool  # False if the last step still changed a statistic by more than the tolerance


def fit_mixture(
    pixels: PixelCounts,
    components: int = 5,
    *,
    seed: int = 0,
    tolerance: float = 1e-11,
    max_iterations: int = 4001,
) -> MixtureFit:
    """The likeliest Gaussian mixture of weighted points, by expectation-maximization in float64.

    The search for the best of many local optima works on a few cells, which is fast; the best ones are then improved on
    finer cells and followed to all points. Neither the order of the points nor a common factor of their masses matters.

    Args:
        pixels: h points in d dimensions.
        components: number of Gaussians, at most h.
        seed: of the search.
        tolerance: a fit has converged when one step changes no mass, mean or second moment of a component by more, in
            standard deviations of the points.
        max_iterations: E steps over all points.

    Raises:
        DataError: fewer distinct points than components, or points so far apart that no mixture can be computed.
        ValueError: fewer than 1 component.
    """
    if components < 1:
        raise ValueError(f"expected at least 1 component, found {components}.")
    points, center, scale = pixels.standardized()
    coarse = coarse_cells(points, components)
    if len(coarse) < components:
        raise DataError(
            f"expected at least as many distinct segment pixels as components, found {counted(len(coarse), 'pixel')} "
            f"for {counted(components, 'component')}",
            "ask for fewer components (`components` of the study's `distance`), take another method, or leave the "
            "dataset out",
        )
    try:
        finer, *finest = refinements(points) or [points]
        nearly = _nearly_as_likely(finer.to("cpu"), coarse, components, np.random.default_rng(seed))
        optimum = nearly[0]
        for cells in finest:
            optimum = all_fits(cells, optimum)[0].statistics
        best = run_em_newton(points, optimum, max_iterations, tolerance)
    # Numbers that squares overflow with make LAPACK give up, or no number of the likelihood.
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise _cannot_be_fitted(pixels, components) from error
    if not (bool(best.log_likelihood.isfinite()) and bool(best.statistics.isfinite().all())):
        raise _cannot_be_fitted(pixels, components)
    found, chosen, *others = mixtures_of(torch.cat([best.statistics, *nearly], 1), center.cpu(), scale.cpu())
    spread = float(mixture_wassersteins([chosen], others).max()) if others else 0.0
    return MixtureFit(
        mixture=replace(found, fit_spread=spread),
        log_likelihood=float(best.log_likelihood) - float(scale.log().sum()),
        iterations=best.steps,
        converged=float(best.change) <= tolerance,
    )


def _nearly_as_likely(
    finer: WeightedPoints, coarse: WeightedPoints, components: int, rng: np.random.Generator
) -> list[Tensor]:
    """The best optimum that the coarse cells show, improved on finer ones; then those that are nearly as likely."""
    with one_thread():
        optima = search_mixtures(coarse, components, rng)
        best, *others = improve_mixture(finer, all_fits(finer, optima), rng)
    least = float(best.log_likelihood) - NEARLY
    return [best.statistics, *(one.statistics for one in others if float(one.log_likelihood) >= least)]


def _cannot_be_fitted(pixels: PixelCounts, components: int) -> DataError:
    ends = ", ".join(f"{low:.3g} to {high:.3g}" for low, high in zip(*pixels.points.aminmax(dim=0), strict=True))
    return DataError(
        f"expected segment pixels that {counted(components, 'Gaussian')} can be fitted to in double precision, found "
        f"{counted(len(pixels), 'distinct pixel')} with coordinates from {ends} and weights from "
        f"{float(pixels.masses.min()):.3g} to {float(pixels.masses.max()):.3g}",
        "look where these numbers are extreme, ask for fewer components (`components` of the study's `distance`), "
        "take another method, or leave the dataset out",
    )


def refinements(points: WeightedPoints) -> list[WeightedPoints]:
    """The cells between the coarse ones that optima are searched on and all points, the fewest first."""
    levels = [points]
    sizes = [COARSE_CELLS * FINER**step for step in range(1, 20)]
    for size in reversed([size for size in sizes if 2 * size < len(points)]):
        levels.append(levels[-1].merged(size))
    return levels[:0:-1]


def coarse_cells(points: WeightedPoints, least: int) -> WeightedPoints:
    """The few cells on the CPU that optima are searched on; at least so many, if there are as many distinct points."""
    coarse = points.merged(COARSE_CELLS)
    if len(coarse) < least:  # few pixels, or an outlier so far off that all others share a box
        coarse = points.merged(len(points))
    return coarse.to("cpu")


def mixtures_of(statistics: Tensor, center: Tensor, scale: Tensor) -> list[GaussianMixture]:
    """The r mixtures that (k, r, f) statistics of an E step in standard units describe, in the unit of the points.

    Components that hold no mass are left out; the others come in increasing order of their means.
    """
    masses, means, covariances = moments(statistics)
    covariances = floored(covariances) * scale[:, None] * scale[None, :]
    means = center + scale * means
    found = []
    for r in range(masses.shape[1]):
        held = torch.nonzero(masses[:, r] > EMPTY).flatten().numpy()
        order = held[np.lexsort(means[held, r].numpy().T[::-1])]
        weights = masses[order, r]
        found.append(GaussianMixture(weights / weights.sum(), means[order, r], covariances[order, r]))
    return found


def refit_mixtures(counts: SampleCounts, weights: Tensor, start: GaussianMixture) -> list[GaussianMixture]:
    """The r mixtures of the same pixels under (r, n) other weights of the samples.

    All of them start from one mixture, side by side, on cells that stand for the pixels. Each stays in the optimum of
    the start: what is seen is how far the samples move a mixture, not that a search might end elsewhere.
    """
    points = counts.reweighted(weights)
    scale = counts.scale
    parameters = natural_parameters(
        start.weights.cpu(),
        (start.means.cpu() - counts.center) / scale,
        start.covariances.cpu() / (scale[:, None] * scale[None, :]),
    )
    fitted = []
    for rows in torch.arange(len(weights)).split(SIDE_BY_SIDE):
        seen = points.select(rows)
        with one_thread():
            first = expectation(seen, parameters.unsqueeze(1).expand(-1, len(rows), -1).contiguous())[1]
            fits = run_em(seen, first, REFIT_STEPS, REFIT_TOLERANCE)
        fitted += mixtures_of(fits.statistics, counts.center, scale)
    return fitted
