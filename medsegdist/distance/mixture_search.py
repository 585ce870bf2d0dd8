"""The search for the likeliest Gaussian mixture among many local optima.

Expectation-maximization stops at the optimum nearest to its start, and starts drawn by k-means++ miss the best one on
real lesion masks nine times in ten: it often gives a component to one small dense clump that a k-means cell never
isolates. So components are not guessed all at once. From the mixture of one component a beam of the best distinct
mixtures grows by one component at a time, each new one tried in many places and sizes. Then single components are
taken out and placed anew until that no longer helps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from medsegdist.distance.covariance_types import CovarianceType, constrained
from medsegdist.distance.em_steps import Cells, climb, expectation, maximization, moments, natural_parameters

SAME = 1e-4
"""Mixtures whose mean log-likelihoods differ by less are taken for one and the same while they still climb."""


@dataclass(frozen=True, slots=True)
class Search:
    """How hard to search.

    Args:
        candidates: places, sizes and shapes in which a new component is tried, alone against the rest of a mixture.
        candidate_steps: steps for each of those.
        restarts: mixtures with a new component that are fitted as a whole.
        short: E steps of each, after which the promising ones are told.
        promising: how many of them go on.
        warm_up: E steps of those, after which the best are told.
        width: the best distinct ones, which are carried to the next number of components.
        settle: E steps at most for those that are kept in the end.
        floor: smallest variance of a component along any direction.
        covariance: what covariances may look like.
    """

    candidates: int = 400
    candidate_steps: int = 12
    restarts: int = 32
    short: int = 15
    promising: int = 24
    warm_up: int = 31
    width: int = 6
    settle: int = 301
    floor: float = 1e-6
    covariance: CovarianceType = "full"


def search_mixtures(cells: Cells, components: int, search: Search, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The best local optima found on (few) cells.

    Args:
        cells: h cells on the CPU.
        components: k, at most h.
        search: how hard to search.
        rng: draws the places where new components are tried.

    Returns:
        (k, r, f) statistics and (r,) mean log-likelihoods of distinct optima, the best first.
    """
    *_, found = growing_mixtures(cells, components, search, rng)
    found = settled(cells, found[0], search)
    while components > 1:
        without = torch.cat([_without_each(cells, found[0][:, [r]], search) for r in range(min(2, len(found[1])))], 1)
        tried = settled(cells, _grown(cells, without, search, rng)[0], search)
        before = found[1][0]
        found = _best(torch.cat([found[0], tried[0]], 1), torch.cat([found[1], tried[1]]), search.width)
        if found[1][0] <= before + SAME:
            break
    return found


def growing_mixtures(
    cells: Cells, components: int, search: Search, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """The best mixtures of 1, 2, ... components, each grown from those before it, while they still climb.

    Args:
        cells: h cells on the CPU.
        components: the most, at most h.
        search: how hard to search.
        rng: draws the places where new components are tried.

    Returns:
        For every number of components (k, r, f) statistics and (r,) mean log-likelihoods, the best first.
    """
    found = _best(*_climb(cells, cells.total(), 1, search), search.width)
    yield found
    for _ in range(1, components):
        found = _grown(cells, found[0], search, rng)
        yield found


SETTLED = 1e-6
"""A mixture has settled when no statistic (mass, mean or second moment, in standard deviations) moves by more."""


def _best(statistics: Tensor, likelihood: Tensor, width: int) -> tuple[Tensor, Tensor]:
    order = torch.argsort(likelihood, descending=True, stable=True).tolist()
    kept = order[:1]
    for r in order[1:]:
        if len(kept) < width and likelihood[kept[-1]] - likelihood[r] > SAME:
            kept.append(r)
    return statistics[:, kept], likelihood[kept]


def settled(cells: Cells, statistics: Tensor, search: Search) -> tuple[Tensor, Tensor]:
    """The distinct optima that (k, r, f) mixtures climb to, and their mean log-likelihoods, the best first."""
    return _best(*_climb(cells, statistics, search.settle, search), search.width)


def _climb(cells: Cells, statistics: Tensor, steps: int, search: Search) -> tuple[Tensor, Tensor]:
    return climb(cells, statistics, steps, search.floor, SETTLED, search.covariance)[:2]


def _grown(cells: Cells, statistics: Tensor, search: Search, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The best mixtures with one component more than those given, after the warm-up."""
    parameters = maximization(cells, statistics, search.floor, search.covariance)
    k, r, f = parameters.shape
    branches = max(1, search.restarts // r)
    new, mass = _best_insertions(cells, parameters, branches, search, rng)
    old = parameters.unsqueeze(2).expand(k, r, branches, f).clone()
    old[..., 0] += torch.log1p(-mass)
    grown = torch.cat([old, new.unsqueeze(0)]).reshape(k + 1, -1, f)
    start = expectation(cells, grown)[1]
    promising = _best(*_climb(cells, start, search.short, search), search.promising)
    return _best(*_climb(cells, promising[0], search.warm_up, search), search.width)


def _without_each(cells: Cells, statistics: Tensor, search: Search) -> Tensor:
    """The k mixtures (k - 1, k, f) that lack one component of a (k, 1, f) mixture, after the warm-up."""
    k = len(statistics)
    kept = torch.tensor([[i for i in range(k) if i != out] for out in range(k)]).T
    return _climb(cells, statistics[kept, 0], search.warm_up, search)[0]


def _best_insertions(
    cells: Cells, parameters: Tensor, branches: int, search: Search, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Where one more component gains most while the other components stay as they are.

    A new component of mass a and density g beside a mixture of density f gives (1 - a) f + a g. Only a and g are
    fitted, so that a candidate costs a k-th of a mixture and many can be tried.

    Returns:
        (r, branches, f) natural parameters of the new components and (r, branches) their masses.
    """
    k, r, _ = parameters.shape
    count = max(search.candidates, 2 * branches)
    d = cells.centers.shape[1]
    rest = torch.logsumexp((parameters.reshape(k * r, -1) @ cells.monomials).view(k, r, 1, -1), 0)
    share = cells.masses.numpy() / cells.masses.sum().item()
    start = torch.from_numpy(rng.choice(len(cells), size=(r, count), p=share))
    means = cells.centers[start]
    # Any size and any elongation: lesions crowd in flat bands as well as in round clumps.
    widths = torch.from_numpy(np.exp(rng.uniform(np.log(0.05), np.log(1.0), size=(r, count, 1, d))))
    rotations = torch.linalg.qr(torch.from_numpy(rng.normal(size=(r, count, d, d))))[0]
    covariances = (rotations * widths.square()) @ rotations.mT
    masses = torch.full((r, count), 1 / (k + 1), dtype=torch.float64)
    for _ in range(search.candidate_steps):
        new, odds = _odds(cells, rest, masses, means, covariances, search)
        masses, means, covariances = moments(odds.sigmoid_().mul_(cells.masses) @ cells.monomials.T)
        masses = masses.clamp(1e-6, 0.9)
    new, odds = _odds(cells, rest, masses, means, covariances, search)
    gain = torch.nn.functional.softplus(odds) @ cells.masses + torch.log1p(-masses)
    chosen = torch.stack([_distinct(gain[i], means[i], masses[i], branches) for i in range(r)])
    row = torch.arange(r).unsqueeze(1)
    return new[row, chosen], masses[row, chosen]


def _odds(
    cells: Cells, rest: Tensor, masses: Tensor, means: Tensor, covariances: Tensor, search: Search
) -> tuple[Tensor, Tensor]:
    """Natural parameters of new components, and (r, count, h) log odds that a cell is theirs and not of the rest."""
    # What one component shares with the others it takes on when all are fitted together.
    own: CovarianceType = "full" if search.covariance == "tied" else search.covariance
    new = natural_parameters(masses, means, constrained(masses, covariances, own), search.floor)
    return new, new @ cells.monomials - (rest + torch.log1p(-masses).unsqueeze(-1))


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
