"""Permutation tests: whether gains dealt out at random would go with distances as these do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial, prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from medsegdist.transfer.gains import TransferPair

EXACT_UP_TO = 50_000
"""So many permutations are all tried; of more, some are drawn. Eight sources have 40,320."""

DRAWN = 9_999
"""Permutations drawn where there are too many to try."""

ROUNDING = 1e-9
"""Statistics that differ by less than this part of their scale count as equal: sums in another order do."""

Shuffle = Literal["within_targets", "whole_sources"]


@dataclass(frozen=True, slots=True)
class PermutationTest:
    """How often shuffled gains go with distance at least as much as the real ones.

    Args:
        shuffle: "within_targets": the gains of each target are dealt out anew among its sources, for every target on
            its own. "whole_sources": a source passes its gains on all targets together on to another source that has
            the same targets, as a Mantel test does. That allows for sources that are good or bad wherever they are
            used, which the first takes for so much more evidence, and is the more cautious one.
        p_slope: two-sided, of the covariance of distance and gain within targets, and so of the slope.
        p_rank: two-sided, likewise of the ranks within targets.
        permutations: how many there were.
        exact: all were tried; else so many were drawn, and p is (1 + as extreme) / (1 + drawn).
    """

    shuffle: Shuffle
    p_slope: float
    p_rank: float
    permutations: int
    exact: bool


def permutation_test(
    pairs: Sequence[TransferPair], shuffle: Shuffle = "within_targets", *, seed: int = 0
) -> PermutationTest | None:
    """Tests whether gains depend on distances, without the assumptions of a line.

    Args:
        pairs: of distance and gain, one for each source and target.
        shuffle: what changes places, see :class:`PermutationTest`.
        seed: of the permutations that are drawn.

    Returns:
        None where nothing can change places: every group to shuffle within has one member.
    """
    by_value, by_rank = _scores(pairs, shuffle, ranks=False), _scores(pairs, shuffle, ranks=True)
    sizes = [len(score) for score in by_value]
    count = prod(factorial(size) for size in sizes)
    if count == 1:
        return None
    exact = count <= EXACT_UP_TO
    orders = [_all_orders(size) for size in sizes] if exact else _drawn_orders(sizes, seed)
    p_slope, p_rank = (_p_value(scores, orders, exact) for scores in (by_value, by_rank))
    return PermutationTest(shuffle, p_slope, p_rank, count if exact else DRAWN, exact)


def _scores(pairs: Sequence[TransferPair], shuffle: Shuffle, *, ranks: bool) -> list[NDArray[np.float64]]:
    """(k, k) for each group: what unit i adds to the statistic where it has the gains of unit j.

    The statistic is the sum over all pairs of centered distance times centered gain. Centers are those of the targets,
    which no permutation moves within targets; for whole sources they are those of the group.
    """
    of_target: dict[str, list[TransferPair]] = {}
    for one in pairs:
        of_target.setdefault(one.target, []).append(one)
    distance: dict[str, dict[str, float]] = {}
    gain: dict[str, dict[str, float]] = {}
    for target, some in of_target.items():
        columns = np.array([[one.distance for one in some], [one.gain for one in some]], dtype=np.float64)
        if ranks:
            columns = rankdata(columns, axis=1)
        names = [one.source for one in some]
        distance[target], gain[target] = (dict(zip(names, column.tolist(), strict=True)) for column in columns)
    groups: list[tuple[list[str], tuple[str, ...]]]
    if shuffle == "within_targets":
        groups = [(list(of), (target,)) for target, of in distance.items()]
    else:
        together: dict[tuple[str, ...], list[str]] = {}
        for source in dict.fromkeys(one.source for one in pairs):
            together.setdefault(tuple(t for t in of_target if source in distance[t]), []).append(source)
        groups = [(sources, targets) for targets, sources in together.items()]
    found = []
    for sources, targets in groups:
        d, g = (np.array([[of[t][s] for t in targets] for s in sources]) for of in (distance, gain))
        found.append((d - d.mean(axis=0)) @ (g - g.mean(axis=0)).T)
    return found


def _all_orders(size: int) -> NDArray[np.intp]:
    return np.array(list(permutations(range(size))), dtype=np.intp)


def _drawn_orders(sizes: Sequence[int], seed: int) -> list[NDArray[np.intp]]:
    rng = np.random.default_rng(seed)
    return [rng.permuted(np.tile(np.arange(size), (DRAWN, 1)), axis=1) for size in sizes]


def _p_value(scores: Sequence[NDArray[np.float64]], orders: Sequence[NDArray[np.intp]], exact: bool) -> float:
    total = np.zeros(1)
    for score, order in zip(scores, orders, strict=True):
        added = score[np.arange(len(score)), order].sum(axis=1)
        total = (total[:, None] + added).ravel() if exact else total + added
    observed = sum(float(np.trace(score)) for score in scores)
    scale = sum(float(np.abs(score).max()) * len(score) for score in scores)
    extreme = int((np.abs(total) >= abs(observed) - ROUNDING * scale).sum())
    return extreme / len(total) if exact else (1 + extreme) / (1 + len(total))
