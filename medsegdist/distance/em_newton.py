"""The last stretch of expectation-maximization by Newton's method.

One step of expectation-maximization maps the statistics of a mixture to new ones, s -> T(s). Near an optimum every step
leaves the same part of the error, on real lesions often 0.999 of it. The derivative J of T is known in closed form:
J = H D. H is how the statistics answer to the natural parameters, and D how those answer to the statistics, the inverse
of each component's Fisher information. Newton's step solves (1 - J) x = T(s) - s and squares the error instead
(Louis 1982; Jamshidian and Jennrich 1997).

Far from the optimum (1 + damping - J) takes the place of (1 - J). 1 - J is the curvature of the likelihood, measured by
the Fisher information; a damping that leaves no eigenvalue below 0 leads uphill, and a large one shortens the step.

Shapes as in em_steps, for one mixture: s is (k, 1, f).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from medsegdist.distance.covariance_types import CovarianceType
from medsegdist.distance.em_steps import EMPTY, Cells, climb, maximization, moments

CLIMBING = 20
"""Accelerated plain steps before the first Newton step, and again wherever none leads on."""

LOST = 1e-13
"""Mean log-likelihood that rounding may cost."""

FIRST_DAMPING, MOST_DAMPING = 1e-3, 100.0
"""Where damping begins once a step has failed, and where it is given up."""

FORETOLD, ASTRAY = 0.75, 0.25
"""Shares of the foretold gain above which damping is eased, and below which it grows."""


@dataclass(frozen=True, slots=True, eq=False)
class Rest:
    """Where a mixture came to rest.

    Args:
        statistics: (k, 1, f), after one more step of expectation-maximization.
        log_likelihood: mean, of the mixture before that step.
        change: the most that a statistic moved in that step.
        steps: passes over the cells.
    """

    statistics: Tensor
    log_likelihood: float
    change: float
    steps: int


def come_to_rest(
    cells: Cells,
    statistics: Tensor,
    steps: int,
    floor: float,
    tolerance: float,
    kind: CovarianceType = "full",
) -> Rest:
    """The optimum that a mixture leads up to, to the last digit.

    Args:
        cells: h cells.
        statistics: (k, 1, f) of the mixture to start from, on the CPU.
        steps: passes over the cells at most.
        floor: smallest variance of a component along any direction.
        tolerance: the mixture rests when one step changes no statistic by more.
        kind: what covariances may look like; Newton's method knows "full", others climb.
    """
    at, made = statistics, 0
    while True:
        if kind == "full":
            found = _newton(cells, at, steps - made, floor, tolerance)
            made += found.steps
            if found.change <= tolerance or made + 1 > steps:
                return replace(found, steps=made)
            at = found.statistics
        after, likelihood, change, more = climb(
            cells, at, CLIMBING if kind == "full" else steps, floor, tolerance, kind
        )
        made += more
        at = after
        if float(change) <= tolerance or made + 1 > steps:
            return Rest(after, float(likelihood), float(change), made)


def _newton(cells: Cells, statistics: Tensor, steps: int, floor: float, tolerance: float) -> Rest:
    """As far as Newton's steps lead on; nowhere, if there is no derivative to start with."""
    here = step_and_slope(cells, statistics, floor)
    if here is None:
        return Rest(statistics, -math.inf, math.inf, 0)
    made, damping = 1, 0.0
    while here.change > tolerance and made < steps and damping <= MOST_DAMPING:
        damping = max(damping, 2 * (here.steepest - 1))
        found = here.newton_step(damping)
        if found is None:
            damping = max(FIRST_DAMPING, 4 * damping)
            continue
        trial, foretold = found
        there = step_and_slope(cells, trial, floor)
        made += 1
        gained = -math.inf if there is None else there.log_likelihood - here.log_likelihood
        if gained < ASTRAY * foretold - LOST:
            damping = max(FIRST_DAMPING, 4 * damping)
        elif gained > FORETOLD * foretold - LOST:
            damping = damping / 8 if damping > FIRST_DAMPING else 0.0
        if there is not None and (gained > LOST or (gained >= -LOST and there.change < here.change)):
            here = there
        elif foretold < LOST and damping <= FIRST_DAMPING:
            break
    return Rest(here.image, here.log_likelihood, here.change, made)


@dataclass(frozen=True, slots=True, eq=False)
class Slope:
    """A step of expectation-maximization and how it answers to where it starts.

    Args:
        statistics: (k, 1, f) where it starts.
        image: (k, 1, f) where it leads.
        log_likelihood: mean, at the start.
        derivative: J, (k f, k f), of the image by the statistics.
        metric: D, (k, f, f), of the natural parameters by the statistics: the Fisher information of the components.
        steepest: largest eigenvalue of J.
    """

    statistics: Tensor
    image: Tensor
    log_likelihood: float
    derivative: Tensor
    metric: Tensor
    steepest: float

    @property
    def change(self) -> float:
        """The most that the step moves a statistic."""
        return float((self.image - self.statistics).abs().max())

    def newton_step(self, damping: float) -> tuple[Tensor, float] | None:
        """The (k, 1, f) statistics that Newton's step leads to, and the gain in likelihood that it foretells.

        None where the step's equations have no solution.
        """
        one = torch.eye(len(self.derivative), dtype=self.derivative.dtype)
        plain = (self.image - self.statistics).flatten()
        step, failed = torch.linalg.solve_ex((1 + damping) * one - self.derivative, plain)
        if failed or not bool(step.isfinite().all()):
            return None
        remaining = plain - 0.5 * (step - self.derivative @ step)
        k, f, _ = self.metric.shape
        gain = torch.einsum("ka,kab,kb->", step.view(k, f), self.metric, remaining.view(k, f))
        return self.statistics + step.view_as(self.statistics), float(gain)


def step_and_slope(cells: Cells, statistics: Tensor, floor: float) -> Slope | None:
    """A step of expectation-maximization from (k, 1, f) statistics, with its derivative.

    None where there is no derivative: a covariance reaches the floor, a component is empty, or a component is so narrow
    (that of a single pixel is) that its Fisher information has no inverse in double precision.
    """
    masses, means, covariances = moments(statistics[:, 0])
    if bool((masses <= EMPTY).any()) or bool((torch.linalg.eigvalsh(covariances)[..., 0] <= floor).any()):
        return None
    k, f = statistics.shape[0], statistics.shape[2]
    metric = _answers_of_parameters(masses, means, covariances)
    if metric is None:
        return None
    likelihood, image, shares = _shares(cells, maximization(cells, statistics, floor)[:, 0])
    derivative = torch.einsum("xif,ifg->xig", shares.view(k * f, k, f), metric).reshape(k * f, k * f)
    if not bool(derivative.isfinite().all()):
        return None
    try:
        steepest = float(torch.linalg.eigvals(derivative).real.max())
    # The iteration of LAPACK may fail even for finite entries.
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        return None
    return Slope(statistics, image.unsqueeze(1), likelihood, derivative, metric, steepest)


def _shares(cells: Cells, parameters: Tensor) -> tuple[float, Tensor, Tensor]:
    """The likelihood, the (k, f) statistics, and H, (k f, k f): how these answer to the natural parameters.

    A cell's responsibilities r_i answer to the log densities l_j by r_i (1[i = j] - r_j).
    """
    k, f = parameters.shape
    rows = parameters.to(cells.masses.device)
    likelihood = rows.new_zeros(())
    own = rows.new_zeros(k * f, f)
    crossed = rows.new_zeros(k * f, k * f)
    block = max(1, (2**17 if rows.device.type == "cpu" else 2**25) // (k * f))
    for start in range(0, len(cells), block):
        monomials, masses = cells.monomials[:, start : start + block], cells.masses[start : start + block]
        densities = rows @ monomials
        largest = densities.amax(0)
        densities.sub_(largest).exp_()
        total = densities.sum(0)
        likelihood += (total.log() + largest) @ masses
        densities /= total
        shared = (densities.unsqueeze(1) * monomials).view(k * f, -1)
        weighed = shared * masses
        own += weighed @ monomials.T
        crossed -= weighed @ shared.T
    blocks = crossed.view(k, f, k, f)
    each = torch.arange(k, device=rows.device)
    blocks[each, :, each, :] += own.view(k, f, f)
    return float(likelihood), own.view(k, f, f)[:, :, 0].cpu().contiguous(), crossed.cpu()


def _answers_of_parameters(masses: Tensor, means: Tensor, covariances: Tensor) -> Tensor | None:
    """D, (k, f, f): how the natural parameters of log(mass * density) answer to each component's own statistics.

    Parameters of an exponential family answer to the means of its monomials by the inverse of their covariance, and
    its log partition function by those means times that. Statistics are masses times means of monomials. None where
    that covariance has no inverse.
    """
    row, column = torch.triu_indices(means.shape[1], means.shape[1])
    outer = means.unsqueeze(-1) * means.unsqueeze(-2)
    second = covariances + outer
    # The covariances of x_i with x_m x_n, and of x_i x_j with x_m x_n (Isserlis 1918).
    third = _pairwise(covariances, means.unsqueeze(1).expand_as(covariances), row, column)
    fourth = _pairwise(second[:, row], second[:, column], row, column)
    fourth -= _pairwise(outer[:, row], outer[:, column], row, column)
    covariance = torch.cat([torch.cat([covariances, third], 2), torch.cat([third.mT, fourth], 2)], 1)
    monomials = torch.cat([means, second[:, row, column]], 1).unsqueeze(-1)
    inverse, failed = torch.linalg.inv_ex(covariance)
    if bool(failed.any()) or not bool(inverse.isfinite().all()):
        return None
    along = inverse @ monomials
    constant = 1 + monomials.mT @ along
    answers = torch.cat([torch.cat([constant, -along.mT], 2), torch.cat([-along, inverse], 2)], 1)
    return answers / masses[:, None, None]


def _pairwise(left: Tensor, right: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """left_m right_n + left_n right_m for every pair (m, n) of `row` and `column`, in the last dimension."""
    return left[..., row] * right[..., column] + left[..., column] * right[..., row]
