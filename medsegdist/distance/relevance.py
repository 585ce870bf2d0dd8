"""Which cases of a source serve its target: what their samples cost in the transport that the distance is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medsegdist.data.class_samples import MulticlassSamples
from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.order import center_and_spread, recommending
from medsegdist.distance.table import DistanceTable


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
