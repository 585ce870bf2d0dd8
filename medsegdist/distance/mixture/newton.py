"""Expectation-maximization that ends with Newton's method.

EM maps the statistics of a mixture to new ones, s -> T(s), and near an optimum each step leaves the same part of the
error, on real lesions often 0.999 of it. Newton's step solves (1 - J) x = T(s) - s, with J the derivative of T, and
squares the error instead (Louis 1982; Jamshidian and Jennrich 1997). J is the product of how the statistics respond to
the natural parameters, in closed form, and how these respond to the statistics, by differences.
"""

from __future__ import annotations

import torch
from torch import Tensor

from medsegdist.distance.mixture.em import (
    EMPTY,
    FLOOR,
    Fits,
    WeightedPoints,
    expectation,
    likeliest_parameters,
    maximization,
    moments,
    run_em,
)

FIRST_EM_STEPS = 20  # of accelerated EM where Newton's method leads nowhere; twice as many each further time
ROUNDING = 1e-13  # mean log-likelihood that a step may lose to rounding
SMALL = 1e-5  # change of a statistic in differences, as a share of its component's mass and smallest variance

LEAST_DAMPING, MOST_DAMPING = 1e-3, 0.5
"""Damping after the first step that leads nowhere, ten times as much each further time, and where EM takes over: what
EM leaves of the slowest part of an error on real lesions is 1 - 1e-3."""

CLOSER, MUCH_CLOSER = 0.5, 0.1
"""Ratios of the changes of two steps: at most the first to accept the second step, more than the second for a new J."""


def run_em_newton(points: WeightedPoints, statistics: Tensor, steps: int, tolerance: float) -> Fits:
    """The optimum near (k, 1, f) statistics: Newton's steps where they lead uphill, accelerated EM where they do not.

    Its likelihood is never below that of the start by more than rounding.
    """
    em_steps = FIRST_EM_STEPS
    fits = _newton(points, statistics, steps, tolerance)
    while float(fits.change) > tolerance and fits.steps + 4 <= steps:
        made = fits.steps
        em = run_em(points, fits.statistics, min(em_steps, steps - made - 1), tolerance)
        fits = em._replace(steps=made + em.steps)
        em_steps *= 2
        if float(fits.change) > tolerance:
            newton = _newton(points, fits.statistics, steps - fits.steps, tolerance)
            fits = newton._replace(steps=fits.steps + newton.steps)
    return fits


def _newton(points: WeightedPoints, statistics: Tensor, steps: int, tolerance: float) -> Fits:
    """As far as Newton's steps, damped where they must be, lead uphill."""

    def em_step(start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        likelihood, image = expectation(points, maximization(points, start))
        return likelihood, image, (image - start).abs().amax((0, 2))

    start = statistics
    likelihood, image, change = em_step(start)
    made, derivative, fresh, damping = 1, None, False, 0.0
    while float(change) > tolerance and made < steps:
        if derivative is None:
            derivative, fresh = em_derivative(points, start), True
            if derivative is None:
                break
        trial = start + _newton_step(derivative, (image - start).flatten(), damping).view_as(start)
        trial_likelihood, trial_image, trial_change = em_step(trial)
        made += 1
        gain = float(trial_likelihood - likelihood)
        ratio = float(trial_change / change)
        uphill = gain > ROUNDING or (gain >= -ROUNDING and ratio < CLOSER)
        if uphill and bool((trial[..., 0] >= EMPTY).all()):
            start, likelihood, image, change = trial, trial_likelihood, trial_image, trial_change
            # One derivative serves several steps as long as each comes much closer.
            derivative, fresh = (derivative if ratio <= MUCH_CLOSER else None), False
            damping /= 10
        elif not fresh:
            derivative = None
        elif damping < MOST_DAMPING:
            damping = max(10 * damping, LEAST_DAMPING)
        else:
            break
    return Fits(image, likelihood, change, made)


def _newton_step(derivative: Tensor, step: Tensor, damping: float) -> Tensor:
    """(k f,) change of the statistics that leads to where EM rests, given (k f,) what one step changes.

    Far from an optimum the likelihood can curve upward, seen by an eigenvalue of the derivative above 1. Damping that
    leaves no such eigenvalue leads uphill, and more of it makes shorter steps, which turn to those of EM (Levenberg and
    Marquardt).
    """
    steepest = float(torch.linalg.eigvals(derivative).real.max())
    diagonal = torch.eye(len(derivative), dtype=derivative.dtype) * (1 + damping + max(0.0, 2 * (steepest - 1)))
    solution: Tensor = torch.linalg.solve_ex(diagonal - derivative, step)[0]
    return solution


def em_derivative(points: WeightedPoints, statistics: Tensor) -> Tensor | None:
    """(k f, k f) derivative of an EM step's (k, 1, f) statistics with respect to those it starts from.

    None if there is none: a component is empty, a covariance is at the floor, or a component is so narrow that its
    precision is beyond double precision.
    """
    k, _, f = statistics.shape
    masses, _, covariances = moments(statistics[:, 0])
    narrowest = torch.linalg.eigvalsh(covariances)[..., 0]
    if bool((masses <= EMPTY).any()) or bool((narrowest <= FLOOR).any()):
        return None
    # Central differences of all statistics at once, each far smaller than the component it changes.
    widths = (SMALL * masses * narrowest.clamp(max=1.0)).repeat_interleave(f)
    shifts = torch.diag(widths).view(k * f, k, f).transpose(0, 1)
    upper, lower = (likeliest_parameters(statistics + sign * shifts) for sign in (1, -1))
    by_statistics = (upper - lower).transpose(0, 1).reshape(k * f, k * f).T / (2 * widths)
    parameters = likeliest_parameters(statistics[:, 0])
    derivative = _statistics_by_parameters(points, parameters) @ by_statistics
    return derivative if bool(derivative.isfinite().all()) else None


def _statistics_by_parameters(points: WeightedPoints, parameters: Tensor) -> Tensor:
    """(k f, k f): a point's responsibilities r_i respond to the log densities l_j by r_i (1[i = j] - r_j)."""
    k, f = parameters.shape
    rows = parameters.to(points.masses.device)
    own = rows.new_zeros(k * f, f)
    crossed = rows.new_zeros(k * f, k * f)
    block = max(1, (2**17 if rows.device.type == "cpu" else 2**25) // (k * f))
    for start in range(0, len(points), block):
        monomials, masses = points.monomials[:, start : start + block], points.masses[start : start + block]
        shares = ((rows @ monomials).softmax(0).unsqueeze(1) * monomials).view(k * f, -1)
        weighted = shares * masses
        own += weighted @ monomials.T
        crossed += weighted @ shares.T
    own_blocks: Tensor = torch.block_diag(*own.view(k, f, f))
    return (own_blocks - crossed).cpu()
