"""The search for the likeliest Gaussian mixture among many local optima.

EM stops at the optimum nearest to its start, and starts drawn by k-means++ miss the best one on real lesion masks nine
times in ten: it often gives a component to one small dense clump that a k-means cell never isolates. So components are
not guessed all at once. From the mixture of one component a beam of the best distinct mixtures grows by one component
at a time, each new one tried in many places and sizes. Then single components are taken out and placed again until
that no longer helps, first on a few coarse cells, then on finer ones, where other optima may be the likeliest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from medsegdist.distance.mixture.em import (
    EMPTY,
    Fits,
    WeightedPoints,
    expectation,
    likeliest_parameters,
    maximization,
    natural_parameters,
    run_em,
)
from medsegdist.distance.mixture.newton import run_em_newton

SAME = 1e-4  # mixtures whose mean log-likelihoods differ by less count as one before they have converged
# A mixture of the search has converged when no statistic (mass, mean or second moment, in standard deviations) changes
# by more in one step.
TOLERANCE = 1e-6
LIKELIER = 1e-5  # mean log-likelihood by which a round of improvement must help for another to follow
ROUNDS = 5  # rounds of improvement at most
KEPT = 8  # distinct mixtures that are kept of each number of components
PARENTS = 4  # that the next ones are grown from
SETTLE = 301  # E steps at most of those that are kept in the end
FINALIST_STEPS = 201  # E steps at most of mixtures whose likelihoods are compared once they have converged


@dataclass(frozen=True, slots=True)
class Search:
    """The effort of a search."""

    candidates: int = 150  # places, sizes and shapes in which a new component is tried alone against the rest
    candidate_steps: int = 8  # steps for each of those
    restarts: int = 24  # mixtures with a new component that are fitted as a whole
    short: int = 15  # E steps of each before the first choice
    promising: int = 12  # the number of mixtures that are kept then
    warm_up: int = 31  # E steps of those before the second choice


SEARCH = Search()
FINER_SEARCH = Search(candidates=60, candidate_steps=6, restarts=20, short=9, promising=10, warm_up=15)
"""The effort of a round of improvement on up to some thousand points."""


def search_mixtures(points: WeightedPoints, components: int, rng: np.random.Generator) -> Tensor:
    """(k, r, f) statistics of the best distinct local optima found on h points of the CPU, the best first."""
    *_, found = grow_mixtures(points, components, rng)
    found, likelihood = converge(points, found)
    while components > 1:
        without = torch.cat([_without_each(points, found[:, [r]], SEARCH) for r in range(min(2, len(likelihood)))], 1)
        tried = converge(points, _grown(points, without, SEARCH, rng))
        before = likelihood[0]
        found, likelihood = _best(torch.cat([found, tried[0]], 1), torch.cat([likelihood, tried[1]]))
        if not likelihood[0] > before + SAME:
            break
    return found


def grow_mixtures(points: WeightedPoints, components: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """The best mixtures of 1, 2, ... components, each (k, r, f) grown from those before it, not yet converged."""
    found, _ = _best(*_fit(points, points.total(), 1))
    yield found
    for _ in range(1, components):
        found = _grown(points, found[:, :PARENTS], SEARCH, rng)
        yield found


def improve_mixture(points: WeightedPoints, fits: list[Fits], rng: np.random.Generator) -> list[Fits]:
    """Takes out components of the likeliest of some mixtures and places them again, as long as it helps.

    The mixtures have converged on these points, the likeliest first; so are those that are returned, with all that were
    found on the way. Less effort is made than on coarse cells, for each step takes longer here.
    """
    best, *others = fits
    for _ in range(ROUNDS if len(best.statistics) > 1 else 0):
        without = _without_each(points, best.statistics, FINER_SEARCH)
        tried, *more = all_fits(points, _grown(points, without, FINER_SEARCH, rng)[:, :PARENTS])
        others += [tried, *more]
        if not bool(tried.log_likelihood > best.log_likelihood + LIKELIER):
            break
        others.append(best)
        best = tried
    return [best, *others]


def all_fits(points: WeightedPoints, statistics: Tensor) -> list[Fits]:
    """The optima that (k, r, f) mixtures lead to, the likeliest first."""
    fits = [run_em_newton(points, start, FINALIST_STEPS, TOLERANCE) for start in statistics.split(1, dim=1)]
    return sorted(fits, key=lambda fit: -float(fit.log_likelihood))


def converge(points: WeightedPoints, statistics: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct optima that (k, r, f) mixtures lead to, and their mean log-likelihoods, the best first."""
    return _best(*_fit(points, statistics, SETTLE))


def _best(statistics: Tensor, likelihood: Tensor, width: int = KEPT) -> tuple[Tensor, Tensor]:
    order = torch.argsort(likelihood, descending=True, stable=True).tolist()
    kept = order[:1]
    for r in order[1:]:
        if len(kept) < width and likelihood[kept[-1]] - likelihood[r] > SAME:
            kept.append(r)
    return statistics[:, kept], likelihood[kept]


def _fit(points: WeightedPoints, statistics: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    fits = run_em(points, statistics, steps, TOLERANCE)
    return fits.statistics, fits.log_likelihood


def _grown(points: WeightedPoints, statistics: Tensor, search: Search, rng: np.random.Generator) -> Tensor:
    """The best mixtures with one component more than those given, after the warm-up."""
    parameters = maximization(points, statistics)
    k, r, f = parameters.shape
    branches = max(1, search.restarts // r)
    new, mass = _best_insertions(points, parameters, branches, search, rng)
    old = parameters.unsqueeze(2).expand(k, r, branches, f).clone()
    old[..., 0] += torch.log1p(-mass)
    grown = torch.cat([old, new.unsqueeze(0)]).reshape(k + 1, -1, f)
    start = expectation(points, grown)[1]
    promising, _ = _best(*_fit(points, start, search.short), search.promising)
    return _best(*_fit(points, promising, search.warm_up))[0]


def _without_each(points: WeightedPoints, statistics: Tensor, search: Search) -> Tensor:
    """The k mixtures (k - 1, k, f) that lack one component of a (k, 1, f) mixture, after the warm-up."""
    k = len(statistics)
    kept = torch.tensor([[i for i in range(k) if i != out] for out in range(k)]).T
    return _fit(points, statistics[kept, 0], search.warm_up)[0]


def _best_insertions(
    points: WeightedPoints, parameters: Tensor, branches: int, search: Search, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """(r, branches, f) components, and their masses, that gain most while the other components stay as they are.

    A new component of mass a and density g next to a mixture of density f gives (1 - a) f + a g. Only a and g are
    fitted, so that a candidate costs a k-th of a mixture and many can be tried.
    """
    k, r, _ = parameters.shape
    count = max(search.candidates, 2 * branches)
    d = points.centers.shape[1]
    rest = torch.logsumexp((parameters.reshape(k * r, -1) @ points.monomials).view(k, r, 1, -1), 0)
    share = points.masses.numpy() / points.masses.sum().item()
    start = torch.from_numpy(rng.choice(len(points), size=(r, count), p=share))
    means = points.centers[start]
    # Any size and any elongation: lesions crowd in flat bands as well as in round clumps.
    widths = torch.from_numpy(np.exp(rng.uniform(np.log(0.05), np.log(1.0), size=(r, count, 1, d))))
    rotations = torch.linalg.qr(torch.from_numpy(rng.normal(size=(r, count, d, d))))[0]
    covariances = (rotations * widths.square()) @ rotations.mT
    masses = torch.full((r, count), 1 / (k + 1), dtype=torch.float64)
    new = natural_parameters(masses, means, covariances)
    for _ in range(search.candidate_steps):
        odds = new @ points.monomials - (rest + torch.log1p(-masses).unsqueeze(-1))
        statistics = odds.sigmoid_().mul_(points.masses) @ points.monomials.T
        new = likeliest_parameters(statistics)
        held = statistics[..., 0].clamp(min=EMPTY)
        masses, means = held.clamp(1e-6, 0.9), statistics[..., 1 : 1 + d] / held.unsqueeze(-1)
        new[..., 0] += (masses / held).log()
    odds = new @ points.monomials - (rest + torch.log1p(-masses).unsqueeze(-1))
    gain = torch.nn.functional.softplus(odds) @ points.masses + torch.log1p(-masses)
    chosen = torch.stack([_distinct(gain[i], means[i], masses[i], branches) for i in range(r)])
    row = torch.arange(r).unsqueeze(1)
    return new[row, chosen], masses[row, chosen]


def _distinct(gain: Tensor, means: Tensor, masses: Tensor, count: int) -> Tensor:
    """(count,) indices of the candidates that gain most, each another component than those before it."""
    chosen: list[int] = []
    order = torch.argsort(gain, descending=True, stable=True)
    left = torch.ones_like(gain, dtype=torch.bool)
    for _ in range(count):
        usable = order[left[order]]
        if not len(usable):
            break
        pick = int(usable[0])
        chosen.append(pick)
        left &= ((means - means[pick]).abs().amax(1) > 0.05) | ((masses - masses[pick]).abs() > 0.02)
    chosen += chosen[-1:] * (count - len(chosen))
    return torch.tensor(chosen)
