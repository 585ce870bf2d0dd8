"""All that a table of distances needs, as tasks that an executor may do side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.bootstrap import Bootstrap
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.normalization import with_common_scales, without_scales
from medsegdist.distance.pairs import (
    PairDistance,
    PreparedDataset,
    compare_pair,
    noise_floors_of,
    pair_means,
    prepare,
    sharing,
)
from medsegdist.executors import run_tasks

Pair = tuple[str, str]
Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what was just done."""


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """What a table is made of.

    Args:
        summaries: what each method's metric made of each dataset, by the name of the dataset and the method.
        pairs: by the names of two datasets, then the method.
        noise_floors: by the name of a dataset, then the method.
    """

    summaries: Mapping[tuple[str, str], Any]
    pairs: Mapping[frozenset[str], Mapping[str, PairDistance]]
    noise_floors: Mapping[str, Mapping[str, float]]


def solve_table(
    datasets: Mapping[str, SegmentationSamples],
    distances: Mapping[str, DatasetDistance],
    pairs: Sequence[Pair],
    floors_of: Sequence[str],
    bootstrap: Bootstrap | None,
    executor: Executor | None,
    progress: Progress | None,
    strongest: int = 0,
) -> Solved:
    """Summaries of every dataset by every method, then all pairs, then noise floors.

    Args:
        datasets: those of the pairs, by name.
        distances: by the name of the method.
        pairs: names of two datasets each.
        floors_of: names of the datasets whose noise floor is wanted.
        bootstrap: how patients are drawn anew; None does not.
        executor: what does the tasks; None does them here, one after another.
        progress: told of every task.
        strongest: so many matched pairs of samples are kept of each pair of datasets and method.

    Raises:
        MedSegDistError: as :func:`~medsegdist.executors.run_tasks`.
    """
    groups = dict(enumerate(sharing(distances)))
    normalized = {k: open_ones for k, group in groups.items() if (open_ones := without_scales(group))}
    tasks = len(datasets) * len(distances) + len(pairs) * (len(normalized) + len(groups)) + len(floors_of) * len(groups)
    steps = _Steps(tasks, progress)

    # An embedding stays here, where its network lies: only what it makes of the images travels.
    features = {}
    for k, group in groups.items():
        one = next(iter(group.values()))
        for name, samples in datasets.items():
            features[name, k] = one.features(one.chosen(samples))
        groups[k] = {method: replace(distance, embedding=None) for method, distance in group.items()}
    summaries = run_tasks(
        executor,
        prepare,
        {
            (name, method): (datasets[name], distance, bootstrap)
            for name in datasets
            for group in groups.values()
            for method, distance in group.items()
        },
        doing=lambda key: f"{key[1]} of '{key[0]}'",
        done=lambda key: steps.done(f"{key[1]} of {key[0]}"),
    )
    prepared = {
        (name, k): PreparedDataset(samples, {method: summaries[name, method] for method in group}, features[name, k])
        for name, samples in datasets.items()
        for k, group in groups.items()
    }
    means = run_tasks(
        executor,
        pair_means,
        {
            (pair, k): (prepared[pair[0], k], prepared[pair[1], k], open_ones)
            for k, open_ones in normalized.items()
            for pair in pairs
        },
        doing=lambda key: f"the scales of {_quoted(key[0])}",
        done=lambda key: steps.done(f"scales of {' and '.join(key[0])}"),
    )
    for k in normalized:
        if pairs:
            groups[k] = with_common_scales(groups[k], [means[pair, k] for pair in pairs])
    compared = run_tasks(
        executor,
        compare_pair,
        {
            (pair, k): (prepared[pair[0], k], prepared[pair[1], k], group, strongest)
            for pair in pairs
            for k, group in groups.items()
        },
        doing=lambda key: f"the distance of {_quoted(key[0])}",
        done=lambda key: steps.done(" and ".join(key[0])),
    )
    floors = run_tasks(
        executor,
        noise_floors_of,
        {(name, k): (prepared[name, k], group) for name in floors_of for k, group in groups.items()},
        doing=lambda key: f"the noise floor of '{key[0]}'",
        done=lambda key: steps.done(f"noise floor of {key[0]}"),
    )
    return Solved(
        summaries={key: one.summary for key, one in summaries.items()},
        pairs={frozenset(pair): {m: d for k in groups for m, d in compared[pair, k].items()} for pair in pairs},
        noise_floors={name: {m: f for k in groups for m, f in floors[name, k].items()} for name in floors_of},
    )


def _quoted(pair: Pair) -> str:
    return " and ".join(f"'{name}'" for name in pair)


class _Steps:
    """Counts finished steps towards a total."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.finished, self.progress = total, 0, progress

    def done(self, what: str) -> None:
        self.finished += 1
        if self.progress is not None:
            self.progress(self.finished, self.total, what)
