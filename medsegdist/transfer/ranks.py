"""Whether the order of the distances is that of the gains, and whether chance would do as well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial, prod
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from medsegdist.transfer.gains import Gain, Number, TransferPair, distances_and_gains


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """Rank correlations of distance and gain: -1 where nearer always gains more, 0 for no order, 1 for the reverse."""

    spearman: Number  # of the ranks
    p_spearman: Number  # two-sided, by the t-distribution; it takes the pairs for independent
    kendall: Number  # tau-b, of the order of every two pairs
    p_kendall: Number
    # The same with hyperbolic weights (Vigna 2015), so that the order of the nearest and of those that gain most counts
    # more than that of the last.
    weighted_kendall: Number


@dataclass(frozen=True, slots=True)
class TargetAgreement:
    """What choosing the nearest source would have meant for one target."""

    target: str
    sources: int  # how many there are to choose from
    # Of distance and gain among them; None for fewer than three, or where one of the two is constant.
    correlation: RankCorrelation | None
    picked: tuple[str, ...]  # the nearest source; all of them where several are equally near
    picked_gain: float  # its gain, percent; their mean
    picked_rank: int  # place of that gain among all, 1 for the best
    best: str  # the source that gained most
    best_gain: float  # its gain, percent
    regret: float  # best_gain - picked_gain, percentage points ("top-1 regret")
    regret_percent: float | None  # in percent of best_gain, all that could be gained; None if nothing could
    chance_regret: float  # the regret that a source drawn at random has on average


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far the gains of a study are more than noise: what repetitions with other seeds agree on.

    Both are of a two-way analysis of variance, sources by seeds, within targets. What all sources of a target have in
    common in one seed, as its baseline, orders nothing and does not count.
    """

    seeds: int  # repetitions of each pair
    pairs: int  # sources and targets that have all of them
    between_seeds: float  # correlation of the gains of one seed with those of another, ICC(3, 1); below 0 by chance
    reliability: float  # that of their means over the seeds with such means of other seeds (Cronbach's alpha), 0 to 1

    @property
    def ceiling(self) -> float:
        """The greatest correlation that any predictor can be expected to have with the gains."""
        return float(np.sqrt(self.reliability))


def measure_reliability(gains: Iterable[Gain]) -> Reliability | None:
    """The reliability of gains that were repeated with several seeds; a pair that lacks a gain in one is left out.

    None if nothing was repeated, no target has two sources that were, or all gains are equal.
    """
    of_target: dict[str, dict[str, dict[object, float]]] = {}
    for one in gains:
        if one.gain_percent is not None:
            of_target.setdefault(one.target, {}).setdefault(one.source, {})[one.seed] = one.gain_percent
    seeds = sorted({seed for some in of_target.values() for of in some.values() for seed in of}, key=str)
    k, pairs, freedom, of_pairs, of_rest = len(seeds), 0, 0, 0.0, 0.0
    for some in of_target.values():
        table = np.array([[of[seed] for seed in seeds] for of in some.values() if len(of) == k])
        if len(table) < 2 or k < 2:
            continue
        means = table.mean(axis=1, keepdims=True) - table.mean()
        rest = table - table.mean(axis=0, keepdims=True) - means
        pairs, freedom = pairs + len(table), freedom + len(table) - 1
        of_pairs, of_rest = of_pairs + k * float((means**2).sum()), of_rest + float((rest**2).sum())
    if not freedom or of_pairs + of_rest == 0:
        return None
    signal, noise = of_pairs / freedom, of_rest / (freedom * (k - 1))
    between = (signal - noise) / (signal + (k - 1) * noise)
    return Reliability(k, pairs, between, max(0.0, 1 - noise / signal) if signal else 0.0)


def correlate_ranks(pairs: Sequence[TransferPair]) -> RankCorrelation | None:
    """Rank correlations over all pairs; None for fewer than three, or where distances or gains are constant."""
    distance, gain = distances_and_gains(pairs)
    if len(pairs) < 3 or np.ptp(distance) == 0 or np.ptp(gain) == 0:
        return None
    # The nearest are to weigh most: scipy gives that weight to the largest.
    weighted = -stats.weightedtau(-distance, gain).statistic
    numbers = (*stats.spearmanr(distance, gain), *stats.kendalltau(distance, gain), weighted)
    return RankCorrelation(*map(float, numbers))


def agree_by_target(pairs: Sequence[TransferPair]) -> tuple[TargetAgreement, ...]:
    """What choosing by distance would have meant for each target, in the order of the pairs."""
    found = []
    for target in dict.fromkeys(one.target for one in pairs):
        some = [one for one in pairs if one.target == target]
        least = min(one.distance for one in some)
        nearest = [one for one in some if one.distance == least]
        best = max(some, key=lambda one: one.gain)
        gain = sum(one.gain for one in nearest) / len(nearest)
        regret = best.gain - gain
        found.append(
            TargetAgreement(
                target=target,
                sources=len(some),
                correlation=correlate_ranks(some),
                picked=tuple(one.source for one in nearest),
                picked_gain=gain,
                picked_rank=1 + sum(one.gain > gain for one in some),
                best=best.source,
                best_gain=best.gain,
                regret=regret,
                regret_percent=100 * regret / best.gain if best.gain > 0 else None,
                chance_regret=best.gain - sum(one.gain for one in some) / len(some),
            )
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class OverTargets:
    """How distance orders the sources of a target, mean over targets, with 95 % intervals of targets drawn again."""

    targets: int  # how many have a correlation
    spearman: Number  # mean of their correlations of distance and gain: below 0 where nearer sources gain more
    low: Number
    high: Number
    # Spearman over the ceiling that the reliability of the gains sets; None if that is not known, or 0.
    corrected: Number | None
    regret: Number  # mean over the same targets, percentage points
    regret_low: Number
    regret_high: Number


def agree_over_targets(
    targets: Sequence[TargetAgreement], reliability: Reliability | None, *, seed: int = 0
) -> OverTargets | None:
    """The mean over targets, and how far it would differ with other targets; None for fewer than two with an order."""
    found = [(one.correlation.spearman, one.regret) for one in targets if one.correlation is not None]
    if len(found) < 2:
        return None
    values = np.array(found)
    ends = np.stack([values.mean(axis=0), *interval_of_means(values, seed=seed)], axis=1)
    (spearman, low, high), (regret, regret_low, regret_high) = ends.tolist()
    corrected = spearman / reliability.ceiling if reliability and reliability.ceiling else None
    return OverTargets(len(values), spearman, low, high, corrected, regret, regret_low, regret_high)


RESAMPLED = 2000  # sets of targets that are drawn for an interval


def interval_of_means(values: NDArray[np.float64], *, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 95 % interval of the means over n targets, drawn again with replacement: (n, m) values to (m,) ends.

    The same targets are drawn for equal n.
    """
    drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLED, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975], axis=0)
    return low, high


EXACT_UP_TO = 50_000  # so many permutations are all tried; of more, some are drawn. Eight sources have 40,320
DRAWN = 9_999  # permutations drawn where there are too many to try
ROUNDING = 1e-9  # statistics that differ by less than this part of their scale count as equal: sums in another order do

Shuffle = Literal["within_targets", "whole_sources"]


@dataclass(frozen=True, slots=True)
class PermutationTest:
    """How often shuffled gains go with distance at least as much as the real ones."""

    # "within_targets": the gains of each target are shuffled among its sources, for every target on its own.
    # "whole_sources": a source passes its gains on all targets together on to another source that has the same targets,
    # as a Mantel test does. That allows for sources that are good or bad wherever they are used, which the first takes
    # for so much more evidence, and is the more cautious one.
    shuffle: Shuffle
    p_slope: Number  # two-sided, of the covariance of distance and gain within targets, and so of the slope
    p_rank: Number  # two-sided, of the ranks within targets
    permutations: int
    exact: bool  # all were tried; else so many were drawn, and p is (1 + as extreme) / (1 + drawn)


def permutation_test(
    pairs: Sequence[TransferPair], shuffle: Shuffle = "within_targets", *, seed: int = 0
) -> PermutationTest | None:
    """Tests whether gains depend on distances, without the assumptions of a line.

    None if nothing can change places: every group to shuffle within has one member.
    """
    by_value, by_rank = _scores(pairs, shuffle, ranks=False), _scores(pairs, shuffle, ranks=True)
    sizes = [len(score) for score in by_value]
    count = prod(factorial(size) for size in sizes)
    if count == 1:
        return None
    exact, rng = count <= EXACT_UP_TO, np.random.default_rng(seed)
    orders = [
        np.array(list(permutations(range(size))), dtype=np.intp)
        if exact
        else rng.permuted(np.tile(np.arange(size), (DRAWN, 1)), axis=1)
        for size in sizes
    ]
    p_slope, p_rank = (_p_value(scores, orders, exact) for scores in (by_value, by_rank))
    return PermutationTest(shuffle, p_slope, p_rank, count if exact else DRAWN, exact)


def _scores(pairs: Sequence[TransferPair], shuffle: Shuffle, *, ranks: bool) -> list[NDArray[np.float64]]:
    """(k, k) for each group: what unit i adds to the statistic where it has the gains of unit j.

    The statistic is the sum over all pairs of centered distance times centered gain. Centers are those of the targets,
    which no permutation moves within targets; for whole sources they are those of the group.
    """
    frame = pd.DataFrame([(one.source, one.target, one.distance, one.gain) for one in pairs])
    sources, targets = frame[0].unique(), frame[1].unique()
    distance, gain = (frame.pivot(index=0, columns=1, values=k).loc[sources, targets] for k in (2, 3))
    if ranks:
        distance, gain = distance.rank(), gain.rank()
    known = distance.notna()
    if shuffle == "within_targets":
        groups = [(known[target], [target]) for target in targets]
    else:
        # Those that have the same targets may change places.
        alike = known.drop_duplicates().to_numpy()
        groups = [((known == row).all(axis=1), targets[row]) for row in alike]
    parts = [[table.loc[rows, columns].to_numpy() for table in (distance, gain)] for rows, columns in groups]
    return [(d - d.mean(axis=0)) @ (g - g.mean(axis=0)).T for d, g in parts]


def _p_value(scores: Sequence[NDArray[np.float64]], orders: Sequence[NDArray[np.intp]], exact: bool) -> float:
    total = np.zeros(1)
    for score, order in zip(scores, orders, strict=True):
        added = score[np.arange(len(score)), order].sum(axis=1)
        total = (total[:, None] + added).ravel() if exact else total + added
    observed = sum(float(np.trace(score)) for score in scores)
    scale = sum(float(np.abs(score).max()) * len(score) for score in scores)
    extreme = int((np.abs(total) >= abs(observed) - ROUNDING * scale).sum())
    return extreme / len(total) if exact else (1 + extreme) / (1 + len(total))
