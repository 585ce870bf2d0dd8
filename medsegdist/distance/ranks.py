"""From distances and their replicates to intervals, ranks, and how probably one source is nearer than another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

EQUAL = 1e-9
"""Distances that differ by less than this part of the largest are one rank: the solvers do not resolve more."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """The distance of one source, and what it would have been with other patients.

    Args:
        value: the distance.
        replicates: (1 + r,) of resampled patients, the first of the datasets as they are; None where there are none.
    """

    value: float
    replicates: Tensor | None

    def reflected(self) -> Tensor:
        """(r,) values among which the distance of all patients there are is to be looked for.

        A distance of few patients is too large, since transport finds fewer near partners, and one of resampled
        patients is too large once more. So what resampling adds to the distance is taken from it (the basic bootstrap,
        Davison and Hinkley 1997, Eq. 5.6): percentiles of the replicates themselves would lie on the wrong side.
        """
        assert self.replicates is not None  # callers ask where there are some
        return self.value - (self.replicates[1:] - self.replicates[0])

    def interval(self, level: float) -> tuple[float, float] | tuple[None, None]:
        """Low and high end; None where there are no replicates."""
        if self.replicates is None:
            return None, None
        outside = (1 - level) / 2
        low, high = torch.quantile(self.reflected(), torch.tensor([outside, 1 - outside], dtype=torch.float64)).tolist()
        return max(low, 0.0), max(high, 0.0)


def probability_nearer(one: Estimate, other: Estimate) -> float | None:
    """Probability that one source is nearer than another, with the same replicates of the target for both.

    Returns:
        Between 0 and 1; None where one of them has no replicates.
    """
    if one.replicates is None or other.replicates is None:
        return None
    gap = other.reflected() - one.reflected()
    return float((gap > 0).double().mean() + 0.5 * (gap == 0).double().mean())


def ranked(estimates: Mapping[str, Estimate], level: float) -> dict[str, tuple[int, bool]]:
    """Rank of each source, and whether it shares it.

    Sources are taken in the order of their distances. One that cannot be told from the first of a group, because the
    probability that it is the farther one does not reach `level` on both sides, joins the group; otherwise it opens the
    next one. All of a group have the rank of its first.

    Args:
        estimates: by the name of the source.
        level: as that of the intervals, 0.95 demands a probability of 0.975. Without replicates, only equal distances
            are a group.
    """
    order = sorted(estimates, key=lambda source: estimates[source].value)
    resolution = EQUAL * max((estimate.value for estimate in estimates.values()), default=0.0)
    groups: list[list[str]] = []
    for source in order:
        if groups and _alike(estimates[groups[-1][0]], estimates[source], resolution, level):
            groups[-1].append(source)
        else:
            groups.append([source])
    found = {}
    rank = 1
    for group in groups:
        found.update({source: (rank, len(group) > 1) for source in group})
        rank += len(group)
    return found


def _alike(nearer: Estimate, farther: Estimate, resolution: float, level: float) -> bool:
    probability = probability_nearer(nearer, farther)
    if probability is None:
        return farther.value - nearer.value <= resolution
    return probability < (1 + level) / 2
