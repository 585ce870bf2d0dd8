"""Optimal transport on a given cost, with a certificate of how optimal it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import ot
import torch
from torch import Tensor

from medsegdist.data.samples import LARGEST_WEIGHT, SMALLEST_WEIGHT
from medsegdist.errors import ConvergenceError, DataError

EXACT_REPLICATES = 50  # replicates whose transports are solved; the others are :func:`predicted`
MAX_ITERATIONS = 100_000_000  # pivots; POT's default of 1e5 stops early at n >= 2000 and reads up to 2% high
# A larger optimality gap is an error: a simplex that loses digits to costs of many orders of magnitude is silent.
UNCERTAIN = 1e-6
SMALL, LARGE = 1e-3, 1e9  # largest costs between which the simplex takes a matrix as it is, without a copy
OPTIMAL = 1  # what POT's network simplex calls a solution that it proved optimal


@dataclass(frozen=True, slots=True, eq=False)
class Transport:
    """An optimal coupling of two weighted point sets, and the dual potentials that prove it.

    Args:
        value: cost of the coupling, in the unit of the cost matrix.
        plan: (n, m) float64 mass moved from each source to each target point; sums to 1.
        source_potential: (n,) float64 dual potential of the source points.
        target_potential: (m,) float64 dual potential of the target points; together they are feasible:
            source_potential[k] + target_potential[l] <= cost[k, l].
        dual_value: what the potentials are worth, a lower bound of every coupling's cost.
        scale: the largest cost, which stands in for a vanishing value in :attr:`optimality_gap`.
    """

    value: float
    plan: Tensor = field(repr=False)
    source_potential: Tensor = field(repr=False)
    target_potential: Tensor = field(repr=False)
    dual_value: float
    scale: float

    @property
    def optimality_gap(self) -> float:
        """(primal - dual) / primal: by how much, relatively, the value can lie above the optimum at most.

        Where the value itself vanishes (equal datasets), the gap is relative to the largest cost.
        """
        denominator = self.value if self.value > 1e-9 * self.scale else self.scale
        return max(self.value - self.dual_value, 0.0) / denominator if denominator > 0 else 0.0


def solve_transport(
    cost: Tensor,
    source_weights: Tensor,
    target_weights: Tensor,
    *,
    start: tuple[Tensor, Tensor] | None = None,
    max_iterations: int = MAX_ITERATIONS,
) -> Transport:
    """Exact optimal transport between two discrete distributions (the minimum of the paper's Eq. 2).

    Args:
        cost: (n, m) float64, finite and >= 0, in any unit.
        source_weights: (n,) positive masses; only their ratios matter.
        target_weights: (m,) positive masses; only their ratios matter.
        start: (n,) and (m,) dual potentials to start from, such as those of a similar problem. They save pivots and
            change nothing else.
        max_iterations: pivots of the network simplex.

    Returns:
        The coupling on the device of `cost`; the simplex itself runs on the CPU in float64.

    Raises:
        DataError: a cost or a weight is NaN, infinite or out of range, or shapes do not fit.
        ConvergenceError: the simplex did not reach an optimum, or what it reached proves to be none.
    """
    matrix = np.ascontiguousarray(cost.detach().cpu().numpy(), dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise DataError(f"expected a cost matrix of shape (n, m) with n, m >= 1, found {matrix.shape}.")
    if not np.isfinite(matrix).all() or matrix.min() < 0:
        raise DataError("expected finite costs >= 0, found NaN, infinite or negative ones; look at the images.")
    source = _masses(source_weights, matrix.shape[0], "source")
    target = _masses(target_weights, matrix.shape[1], "target")

    largest = float(matrix.max())
    # The simplex takes what is below 1e-15 or so for 0. A power of 2 rounds nothing.
    unit = 1.0 if largest == 0 or SMALL <= largest <= LARGE else 2.0 ** math.floor(math.log2(largest))
    scaled = matrix if unit == 1 else matrix / unit
    initial = None if start is None else tuple(side.detach().cpu().double().numpy() / unit for side in start)
    try:
        # POT warns and we raise. To silence it would touch the filters of all threads.
        plan, log = ot.emd(
            source,
            target,
            scaled,
            numItermax=max_iterations,
            log=True,
            # Both are done below.
            center_dual=False,
            check_marginals=False,
            potentials_init=initial,
        )
        failure = None if log["result_code"] == OPTIMAL else log["warning"]
    except UserWarning as warning:  # if warnings are errors
        failure = warning
    if failure is not None:
        raise ConvergenceError(
            f"optimal transport between {len(source)} and {len(target)} points stopped before its optimum "
            f"(network simplex, {max_iterations} iterations: {failure}); raise max_iterations or lower max_samples."
        )
    off = max(float(np.abs(plan.sum(axis) - masses).sum()) for axis, masses in ((1, source), (0, target)))
    # So written, NaN is an error, too.
    if not (off <= UNCERTAIN and plan.min() >= 0):
        raise ConvergenceError(
            f"optimal transport between {len(source)} and {len(target)} points came back with a plan that is none: "
            f"expected masses >= 0 with the weights as their sums, found {off:.1e} of the mass elsewhere or lost, and "
            f"a least mass of {plan.min():.1e}; report it, with the version of POT (ot.__version__)."
        )
    # The c-transform lifts the potentials to exactly feasible ones, so that the dual value bounds rigorously.
    del scaled
    target_potential = _least_differences(matrix.T, unit * np.asarray(log["u"]))
    source_potential = _least_differences(matrix, target_potential)
    transport = Transport(
        value=float(np.vdot(plan, matrix)),
        plan=torch.from_numpy(plan).to(cost.device),
        source_potential=torch.from_numpy(source_potential).to(cost.device),
        target_potential=torch.from_numpy(target_potential).to(cost.device),
        dual_value=float(source @ source_potential + target @ target_potential),
        scale=largest,
    )
    below = (transport.dual_value - transport.value) / (largest or 1.0)
    if not below <= UNCERTAIN:
        raise ConvergenceError(
            f"optimal transport between {len(source)} and {len(target)} points gave the value {transport.value:.6g}, "
            f"which is below its own lower bound {transport.dual_value:.6g}; look for outliers in the images."
        )
    if transport.optimality_gap > UNCERTAIN:
        raise ConvergenceError(
            f"optimal transport between {len(source)} and {len(target)} points may lie, relatively, "
            f"{transport.optimality_gap:.1e} above the optimum; costs of up to {transport.scale:.1e} and a value of "
            f"{transport.value:.1e} are too far apart for the network simplex: look for outliers in the images."
        )
    return transport


@dataclass(frozen=True, slots=True, eq=False)
class SampleCosts:
    """What the samples of one dataset cost: of each, the mean cost of its mass under an optimal coupling."""

    samples: Tensor  # (n,) int64 numbers in the dataset of the samples that were compared
    masses: Tensor  # (n,) float64, which sum to 1
    costs: Tensor  # (n,) float64 in the unit of the distance, which is the sum of masses * costs

    @classmethod
    def sum_of(cls, samples: Tensor, masses: Tensor, costs: Tensor) -> SampleCosts:
        """What (s,) parts of samples cost together: each sample once, at the mean of its costs."""
        numbers, place = samples.cpu().unique(return_inverse=True)
        held, paid = (
            torch.zeros(len(numbers), dtype=torch.float64).index_add_(0, place, values.cpu())
            for values in (masses, masses * costs)
        )
        # A class of weight 0 leaves samples without mass: they cost what all cost on average.
        return cls(numbers, held, torch.where(held > 0, paid / held, paid.sum()))


@dataclass(frozen=True, slots=True)
class MatchedPair:
    """Two samples that transport matched."""

    source: int  # number of the source's sample
    target: int  # number of the target's sample
    mass: float  # that goes from one to the other; all pairs of a coupling together have 1


def strongest_pairs(plan: Tensor, cost: Tensor, most: int) -> tuple[MatchedPair, ...]:
    """The pairs that the most mass of an (n, m) plan goes along, and no sample twice.

    Between datasets whose samples weigh the same, many pairs are equally strong: then those of the least (n, m) cost
    count.
    """
    rows, columns = plan.nonzero(as_tuple=True)
    masses, costs = plan[rows, columns].cpu().numpy(), cost[rows, columns].cpu().numpy()
    # Masses that are equal but for rounding must not be ordered by it.
    order = np.lexsort((costs, -np.round(masses / masses.max(), 9)))
    sources, targets = rows.cpu().numpy()[order].tolist(), columns.cpu().numpy()[order].tolist()
    found: list[MatchedPair] = []
    for source, target, mass in zip(sources, targets, masses[order].tolist(), strict=True):
        if len(found) == most:
            break
        if all(source != one.source and target != one.target for one in found):
            found.append(MatchedPair(source, target, mass))
    return tuple(found)


def _least_differences(matrix: np.ndarray, potential: np.ndarray) -> np.ndarray:
    """(n,) smallest entry of matrix - potential in each row, without a second matrix."""
    rows = range(0, len(matrix), 64)
    return np.concatenate([(matrix[k : k + 64] - potential).min(axis=1) for k in rows])


def _masses(weights: Tensor, expected: int, side: str) -> np.ndarray:
    masses = weights.detach().cpu().numpy().astype(np.float64)
    if masses.shape != (expected,):
        raise DataError(f"expected {expected} {side} weights, one per row or column of the cost, found {masses.shape}.")
    if not np.isfinite(masses).all() or (masses <= 0).any():
        raise DataError(f"expected positive finite {side} weights, found zero, negative, NaN or infinite ones.")
    if not SMALLEST_WEIGHT <= masses.min() <= masses.max() <= LARGEST_WEIGHT:
        raise DataError(f"expected {side} weights between {SMALLEST_WEIGHT:g} and {LARGEST_WEIGHT:g}, found others.")
    return np.asarray(masses / masses.sum())


def predicted(exact: Sequence[float], linear: Sequence[float]) -> list[float]:
    """Values of all replicates from the exact ones of the first and a first-order prediction of all.

    The dual potentials of a transport are its derivative by the masses. A line through replicates that were solved says
    how far they can be trusted, and each of the others gets the residual of one of these, in turn, so that neither mean
    nor spread nor what replicates of one target have in common is lost. Both lists begin with the datasets as they are.
    """
    x, y = np.asarray(linear[1 : len(exact)]), np.asarray(exact[1:])
    spread = float(np.var(x))
    slope = float(np.mean((x - x.mean()) * (y - y.mean()))) / spread if spread > 0 else 1.0
    residuals = y - slope * x
    rest = slope * np.asarray(linear[len(exact) :])
    return [*exact, *(rest + residuals[np.arange(len(rest)) % len(residuals)]).tolist()]
