"""Distances between many datasets, and the order of the sources for each target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance, Distance, SamplePair
from medsegdist.distance.distance_table import DistanceRow, DistanceTable

EQUAL = 1e-9
"""Distances that differ by less than this part of the largest are one rank: the solvers do not resolve more."""

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what was just done."""


def compare_all(
    datasets: Sequence[SegmentationSamples],
    distances: Mapping[str, DatasetDistance],
    *,
    targets: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> DistanceTable:
    """Distances from every source to every target by every method.

    Each dataset is summarized once per method, each pair's image cost and image transport are computed once for
    all methods, and a pair that is asked for in both directions is solved once.

    Args:
        datasets: all prepared alike, with distinct names.
        distances: the dataset distances to compute, by the name of the method.
        targets: names of the targets; all datasets by default.
        sources: names of the sources; all datasets by default. A dataset is never its own source.
        progress: told of every summary and pair.

    Raises:
        ValueError: a name is unknown or stands twice.
        PreprocessingMismatchError: two datasets were not prepared alike.
    """
    by_name = {samples.name: samples for samples in datasets}
    if len(by_name) < len(datasets):
        raise ValueError(f"expected distinct names of datasets, found {[samples.name for samples in datasets]}.")
    targets = list(by_name) if targets is None else list(targets)
    sources = list(by_name) if sources is None else list(sources)
    for name in (*targets, *sources):
        if name not in by_name:
            raise ValueError(f"expected targets and sources among {list(by_name)}, found '{name}'.")
    # A distance is symmetric: one solution serves both directions.
    wanted = {frozenset((source, target)) for target in targets for source in sources if source != target}
    pairs = [pair for pair in combinations(by_name, 2) if frozenset(pair) in wanted]
    needed = [name for name in by_name if any(name in pair for pair in pairs)]
    steps = _Steps(len(needed) * len(distances) + len(pairs), progress)

    summarized: dict[str, dict[str, tuple[SegmentationSamples, Any]]] = {}
    for name in needed:
        summarized[name] = _summaries(by_name[name], distances, steps)
    solved: dict[frozenset[str], dict[str, Distance]] = {}
    for one, other in pairs:
        solved[frozenset((one, other))] = _between(summarized[one], summarized[other], distances)
        steps.done(f"{one} and {other}")
    rows = (
        row
        for method in distances
        for target in targets
        for row in _ranked({s: solved[frozenset((s, target))][method] for s in sources if s != target}, target)
    )
    return DistanceTable(rows=tuple(rows))


def rank_sources(
    target: SegmentationSamples,
    sources: Iterable[SegmentationSamples],
    distances: Mapping[str, DatasetDistance],
    *,
    progress: Progress | None = None,
) -> DistanceTable:
    """The sources in order of their distance to one target, by every method.

    Args:
        target: the dataset to train on in the end.
        sources: the datasets that could be pre-trained on.
        distances: the dataset distances to compute, by the name of the method.
        progress: told of every summary and pair.
    """
    sources = list(sources)
    names = [samples.name for samples in sources]
    return compare_all([target, *sources], distances, targets=[target.name], sources=names, progress=progress)


def _summaries(
    samples: SegmentationSamples, distances: Mapping[str, DatasetDistance], steps: _Steps
) -> dict[str, tuple[SegmentationSamples, Any]]:
    """For each method the samples it compares and their summary; methods that compare the same samples share them."""
    chosen: dict[tuple[int, int], SegmentationSamples] = {}
    found = {}
    for method, distance in distances.items():
        choice = (distance.max_samples, distance.seed)
        if choice not in chosen:
            chosen[choice] = samples.spread(distance.max_samples, seed=distance.seed)
        found[method] = (chosen[choice], distance.metric.summarize(chosen[choice]))
        steps.done(f"{method} of {samples.name}")
    return found


def _between(
    one: Mapping[str, tuple[SegmentationSamples, Any]],
    other: Mapping[str, tuple[SegmentationSamples, Any]],
    distances: Mapping[str, DatasetDistance],
) -> dict[str, Distance]:
    """The distance of two datasets by every method; methods that compare the same samples share the image cost."""
    pairs: dict[tuple[int, int], SamplePair] = {}
    found = {}
    for method, distance in distances.items():
        (samples, summary), (other_samples, other_summary) = one[method], other[method]
        choice = (distance.max_samples, distance.seed)
        if choice not in pairs:
            pairs[choice] = SamplePair(samples, other_samples)
        found[method] = distance.between(pairs[choice], summary, other_summary)
    return found


def _ranked(by_source: Mapping[str, Distance], target: str) -> list[DistanceRow]:
    values = [distance.value for distance in by_source.values()]
    resolution = EQUAL * max(values, default=0.0)
    rows = []
    for source, distance in by_source.items():
        forward = distance.source == source
        rows.append(
            DistanceRow(
                source=source,
                target=target,
                method=distance.method,
                distance=distance.value,
                image_term=distance.image_term,
                mask_term=distance.mask_term,
                low=None,
                high=None,
                noise_floor=None,
                rank=1 + sum(value < distance.value - resolution for value in values),
                tied=sum(abs(value - distance.value) <= resolution for value in values) > 1,
                n_source=distance.n_source if forward else distance.n_target,
                n_target=distance.n_target if forward else distance.n_source,
                optimality_gap=distance.optimality_gap,
            )
        )
    return rows


class _Steps:
    """Counts finished steps towards a total."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.finished, self.progress = total, 0, progress

    def done(self, what: str) -> None:
        self.finished += 1
        if self.progress is not None:
            self.progress(self.finished, self.total, what)
