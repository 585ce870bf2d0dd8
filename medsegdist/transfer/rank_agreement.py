"""Whether the order of the distances is that of the gains, and what the nearest source would have cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from medsegdist.transfer.gains import TransferPair
from medsegdist.transfer.regression import distances_and_gains


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """Rank correlations of distance and gain: -1 where nearer always gains more, 0 for no order, 1 for the reverse.

    Args:
        spearman: of the ranks.
        p_spearman: two-sided, by the t-distribution; it takes the pairs for independent.
        kendall: tau-b, of the order of every two pairs.
        p_kendall: two-sided.
        weighted_kendall: the same with hyperbolic weights (Vigna 2015), so that the order of the nearest and of those
            that gain most counts more than that of the last.
    """

    spearman: float
    p_spearman: float
    kendall: float
    p_kendall: float
    weighted_kendall: float


@dataclass(frozen=True, slots=True)
class TargetAgreement:
    """What choosing the nearest source would have meant for one target.

    Args:
        target: its name.
        sources: how many there are to choose from.
        correlation: of distance and gain among them; None for fewer than three, or where one of the two is constant.
        picked: the nearest source; all of them where several are equally near.
        picked_gain: its gain, percent; their mean.
        picked_rank: place of that gain among all, 1 for the best.
        best: the source that gained most.
        best_gain: its gain, percent.
        regret: best_gain - picked_gain, percentage points ("top-1 regret").
        regret_percent: regret in percent of best_gain, which is what could be gained over no pre-training at all; None
            where nothing could.
        chance_regret: the regret that a source drawn at random has on average.
    """

    target: str
    sources: int
    correlation: RankCorrelation | None
    picked: tuple[str, ...]
    picked_gain: float
    picked_rank: int
    best: str
    best_gain: float
    regret: float
    regret_percent: float | None
    chance_regret: float


def correlate_ranks(pairs: Sequence[TransferPair]) -> RankCorrelation | None:
    """Rank correlations over all pairs; None for fewer than three, or where distances or gains are constant."""
    distance, gain = distances_and_gains(pairs)
    if len(pairs) < 3 or np.ptp(distance) == 0 or np.ptp(gain) == 0:
        return None
    spearman, kendall = stats.spearmanr(distance, gain), stats.kendalltau(distance, gain)
    return RankCorrelation(
        spearman=float(spearman.statistic),
        p_spearman=float(spearman.pvalue),
        kendall=float(kendall.statistic),
        p_kendall=float(kendall.pvalue),
        # The nearest are to weigh most: scipy gives that weight to the largest.
        weighted_kendall=-float(stats.weightedtau(-distance, gain).statistic),
    )


def agree_by_target(pairs: Sequence[TransferPair]) -> tuple[TargetAgreement, ...]:
    """What choosing by distance would have meant for each target, in the order of the pairs."""
    targets = dict.fromkeys(one.target for one in pairs)
    return tuple(_of_target([one for one in pairs if one.target == target]) for target in targets)


def _of_target(pairs: Sequence[TransferPair]) -> TargetAgreement:
    least = min(one.distance for one in pairs)
    nearest = [one for one in pairs if one.distance == least]
    best = max(pairs, key=lambda one: one.gain)
    gain = sum(one.gain for one in nearest) / len(nearest)
    regret = best.gain - gain
    return TargetAgreement(
        target=pairs[0].target,
        sources=len(pairs),
        correlation=correlate_ranks(pairs),
        picked=tuple(one.source for one in nearest),
        picked_gain=gain,
        picked_rank=1 + sum(one.gain > gain for one in pairs),
        best=best.source,
        best_gain=best.gain,
        regret=regret,
        regret_percent=100 * regret / best.gain if best.gain > 0 else None,
        chance_regret=best.gain - sum(one.gain for one in pairs) / len(pairs),
    )
