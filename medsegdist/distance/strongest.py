"""Which samples an optimal coupling matches, in a few pairs that are small enough to be handed on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True, slots=True)
class MatchedPair:
    """Two samples that transport matched.

    Args:
        source: number of the source's sample.
        target: number of the target's sample.
        mass: that goes from one to the other; all pairs of a coupling together have 1.
    """

    source: int
    target: int
    mass: float


def strongest_pairs(plan: Tensor, cost: Tensor, most: int) -> tuple[MatchedPair, ...]:
    """The pairs that the most mass goes along; of equally strong ones those of the least cost, and no sample twice.

    Between datasets whose samples weigh the same, many pairs are equally strong.

    Args:
        plan: (n, m) masses, such as those of :func:`~medsegdist.distance.transport.solve_transport`, of which at most
            n + m - 1 are not 0.
        cost: (n, m) what is least between samples that are alike.
        most: so many pairs at most.
    """
    rows, columns = plan.nonzero(as_tuple=True)
    masses, costs = plan[rows, columns].cpu().numpy(), cost[rows, columns].cpu().numpy()
    # Masses that are equal but for rounding must not be told apart by it.
    order = np.lexsort((costs, -np.round(masses / masses.max(), 9)))
    sources, targets = rows.cpu().numpy()[order].tolist(), columns.cpu().numpy()[order].tolist()
    found: list[MatchedPair] = []
    for source, target, mass in zip(sources, targets, masses[order].tolist(), strict=True):
        if len(found) == most:
            break
        if all(source != one.source and target != one.target for one in found):
            found.append(MatchedPair(source, target, mass))
    return tuple(found)
