"""From the distances of a target to the order of its sources, by each method and the recommended one, and of cases.

A case of a source serves its target as little as its samples cost in the transport that the distance is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsegdist.data.class_samples import MulticlassSamples
from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import Distance
from medsegdist.distance.metrics.mask_metric import PAPER_METHODS
from medsegdist.distance.resampling import EQUAL, interval, probability_nearer, rank_with_ties
from medsegdist.words import and_listed

if TYPE_CHECKING:
    from medsegdist.distance.table import DistanceTable

CONSENSUS = ("boundary", "fingerprint", "patches")
"""Methods whose mean recommends where a table has all of them: they predict gains best, see
`scripts/results/transfer_library`."""

# Rules that are the mean z-score of several methods within a target.
MEANS: Mapping[str, Sequence[str]] = {"consensus": CONSENSUS, "mean of the paper's five": PAPER_METHODS}


@dataclass(frozen=True, slots=True)
class DistanceRow:
    """One source seen from one target by one method; the columns of `distances.csv`."""

    source: str  # name of the dataset to pre-train on
    target: str  # name of the dataset to train on in the end
    method: str
    distance: float  # image_term + mask_term
    image_term: float  # the part of the images
    mask_term: float  # the part of the masks
    low: float | None  # end of the interval; None without a bootstrap, or if a dataset has one patient only
    high: float | None
    noise_floor: float | None  # the target's distance to its own resample; None without several patients
    rank: int  # 1 for the nearest source of this target; sources that cannot be distinguished share one
    tied: bool  # the rank is shared
    n_source: int  # samples of the source that were compared
    n_target: int  # samples of the target that were compared
    optimality_gap: float | None  # relative certificate of the transport; None for distances of cards


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sources of one target by one method; the columns of `comparisons.csv`."""

    target: str
    method: str
    nearer: str  # the source with the smaller distance
    farther: str  # the other source
    probability: float  # that `nearer` is nearer indeed, were there more patients; 0.5 is a toss-up
    patients: int  # how many the smallest of the three datasets has


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One source of a target in the recommended order; the columns of `recommendation.csv`."""

    target: str  # name of the dataset to train on in the end
    source: str  # name of the dataset to pre-train on
    rank: int  # 1 for the source that is recommended; sources that cannot be distinguished share one
    tied: bool  # the rank is shared
    score: float  # by the rule, the least is the best; only differences within a target mean something
    # The probability that this source is the nearest, were there more patients (None without a bootstrap, or if a
    # dataset has one patient only); of a learned rule, that it is the best.
    chance: float | None
    rule: str  # what the order rests on: a method, "consensus", "mean of ..." or "learned, ..."

    @property
    def learned(self) -> bool:
        """Whether the rule was learned from transfers, so that chances are of being the best and not the nearest."""
        return self.rule.startswith("learned")


@dataclass(frozen=True, slots=True)
class RankedCase:
    """One case of a source seen from a target; the columns of `cases.csv`."""

    target: str  # name of the dataset to train on in the end
    source: str  # name of the dataset that the case is of
    case: str
    place: int  # 1 for the case of the source that serves the target best
    # Mean over methods of its samples' standardized costs, the least is the best; comparable within a source only.
    score: float
    cost: float  # mean over methods of its samples' costs, in multiples of the source's distance
    samples: int  # how many of it were compared


def rule_of(methods: Collection[str], normalized: bool) -> str:
    """The name of the rule that takes the mean z-score of some methods; only means of normalized terms have one.

    >>> rule_of(["patches", "boundary", "fingerprint"], True), rule_of(["dice", "gmm2d"], True)
    ('consensus', 'mean of dice and gmm2d')
    """
    for name, of_mean in MEANS.items():
        if normalized and set(of_mean) == set(methods):
            return name
    return f"{'mean of ' if len(methods) > 1 else ''}{and_listed(list(methods))}"


def recommending(methods: Sequence[str]) -> tuple[str, ...]:
    """The methods whose mean recommends: :data:`CONSENSUS` where all of them are there, or else every method."""
    return CONSENSUS if set(CONSENSUS) <= set(methods) else tuple(methods)


def center_and_spread(values: NDArray[np.float64], masses: NDArray[np.float64] | None = None) -> tuple[float, float]:
    """Mean and standard deviation, which is 0 where solvers do not resolve it, and it would be all that counts."""
    mean = np.average(values, weights=masses)
    spread = np.average((values - mean) ** 2, weights=masses) ** 0.5
    return float(mean), float(spread) if spread > EQUAL * np.abs(values).max() else 0.0


def recommend(
    target: str,
    distances: Mapping[str, Mapping[str, float]],
    replicates: Mapping[str, Mapping[str, Tensor | None]] | None = None,
    level: float = 0.95,
    *,
    normalized: bool = True,
) -> Iterator[Recommendation]:
    """The sources of a target in the recommended order, the best first; distances are by method and source.

    The score of a source is the mean of its z-scores over the methods that recommend, among the sources of the target;
    a source that a method lacks is judged by the others. Replicates, (r,) values as
    :func:`~medsegdist.distance.resampling.reflect` makes them, are scored on the same scale, so that the chance of a
    source is the share of them in which it is first.
    """
    methods = recommending(list(distances))
    sources = list(dict.fromkeys(source for method in methods for source in distances[method]))
    scores: dict[str, list[float]] = {source: [] for source in sources}
    drawn: dict[str, list[Tensor | None]] = {source: [] for source in sources}
    for method in methods:
        mean, spread = center_and_spread(np.array(list(distances[method].values())))
        for source, value in distances[method].items():
            one = (replicates or {}).get(method, {}).get(source)
            scores[source].append((value - mean) / (spread or np.inf))
            drawn[source].append(None if one is None else (one - mean) / (spread or np.inf))
    score = {source: fmean(found) for source, found in scores.items()}
    reflected: dict[str, Tensor | None] = {}
    for source, found in drawn.items():
        there = [one for one in found if one is not None]
        reflected[source] = torch.stack(there).mean(0) if there and len(there) == len(found) else None
    ranks = rank_with_ties(score, reflected, level)
    chances, rule = _chances(reflected), rule_of(methods, normalized)
    for source in sorted(sources, key=lambda one: (ranks[one][0], score[one])):
        yield Recommendation(target, source, *ranks[source], score[source], chances.get(source), rule)


def _chances(reflected: Mapping[str, Tensor | None]) -> dict[str, float]:
    """How often each source is the first of all; empty if one has no replicates, which might be the first, too."""
    there = [one for one in reflected.values() if one is not None]
    if not there or len(there) < len(reflected):
        return {}
    together = torch.stack(there)
    first = (together == together.amin(0)).double()
    shares = (first / first.sum(0)).mean(1)
    return dict(zip(reflected, shares.tolist(), strict=True))


def rank_rows(seen: Sequence[Distance], method: str, noise_floor: float | None, level: float) -> Iterator[DistanceRow]:
    """The rows of all sources of one target by one method; `level` is that of the intervals and of shared ranks."""
    ranks = rank_with_ties({one.source: one.value for one in seen}, {one.source: one.replicates for one in seen}, level)
    for one in seen:
        low, high = interval(one.replicates, level)
        rank, tied = ranks[one.source]
        yield DistanceRow(
            source=one.source,
            target=one.target,
            method=method,
            distance=one.value,
            image_term=one.image_term,
            mask_term=one.mask_term,
            low=low,
            high=high,
            noise_floor=noise_floor,
            rank=rank,
            tied=tied,
            n_source=one.n_source,
            n_target=one.n_target,
            optimality_gap=one.optimality_gap,
        )


def compare_sources(seen: Sequence[Distance], method: str, patients: Mapping[str, int]) -> Iterator[Comparison]:
    """Every two sources of a target, the one that seems nearer first; `patients` are counted by dataset."""
    for nearer, farther in combinations(sorted(seen, key=lambda one: one.value), 2):
        probability = probability_nearer(nearer.replicates, farther.replicates)
        if probability is not None:
            names = (nearer.target, nearer.source, farther.source)
            fewest = min(patients[name] for name in names)
            yield Comparison(nearer.target, method, nearer.source, farther.source, probability, fewest)


def rank_cases(
    table: DistanceTable, datasets: Sequence[SegmentationSamples | MulticlassSamples], target: str
) -> tuple[RankedCase, ...]:
    """The cases of each source of a target by their relevance: source by source as recommended, the best case first.

    A sample costs what the optimal coupling pays for its mass. By each method that recommends, costs are standardized
    over the samples of the source and averaged over those of a case, by their masses; the mean over the methods is the
    score. A case of which no sample was compared is left out.

    Args:
        table: as :func:`~medsegdist.distance.table.compare_all` returns it: what samples cost is not saved.
        datasets: those that were compared.
        target: name of a target of the table.

    Raises:
        ValueError: the table has no such target, or does not know what samples cost.
    """
    case_ids = {one.name: one.case_ids for one in datasets}
    found: list[RankedCase] = []
    for source in (one.source for one in table.recommended(target)):
        by_method: list[pd.DataFrame] = []
        for method in recommending(table.methods):
            if (source, target, method) not in table.sample_costs:
                raise ValueError(f"expected a table of compare_all, found no costs of '{source}' by '{method}' in it.")
            of_samples = table.sample_costs[source, target, method]
            masses, costs = of_samples.masses.numpy(), of_samples.costs.numpy()
            mean, spread = center_and_spread(costs, masses)
            shares = costs / mean if mean > 0 else np.ones_like(costs)
            # A case of samples without any mass is averaged, too.
            weights = np.maximum(masses, np.finfo(np.float64).tiny)
            cases = [case_ids[source][k] for k in of_samples.samples.tolist()]
            columns = {
                "weight": weights,
                "score": weights * (costs - mean) / (spread or np.inf),
                "cost": weights * shares,
                "samples": 1,
            }
            sums = pd.DataFrame(columns, index=cases).groupby(level=0).sum()
            by_method.append(sums[["score", "cost"]].div(sums["weight"], axis=0).assign(samples=sums["samples"]))
        means = pd.concat(by_method).groupby(level=0).agg({"score": "mean", "cost": "mean", "samples": "max"})
        # Scores that are equal but for rounding must not be ordered by it.
        in_order = sorted(means.itertuples(name=None), key=lambda row: (round(row[1], 9), row[0]))
        found += [RankedCase(target, source, row[0], place, *row[1:]) for place, row in enumerate(in_order, start=1)]
    return tuple(found)
