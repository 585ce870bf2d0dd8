"""Distances between many datasets, and the order of the sources for each target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from itertools import combinations
from typing import Any

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.bootstrap import Bootstrap
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.distance_table import Comparison, DistanceRow, DistanceTable
from medsegdist.distance.pairs import PairDistance
from medsegdist.distance.ranks import probability_nearer, ranked
from medsegdist.distance.strongest import MatchedPair
from medsegdist.distance.table_tasks import Progress, solve_table

Summarized = Callable[[str, str, Any], None]
"""Called with a dataset's name, a method, and what the method's metric made of the dataset."""

Matched = Callable[[str, str, str, tuple[MatchedPair, ...]], None]
"""Called with the names of source and target, a method, and the strongest pairs of samples that it matched."""

STRONGEST = 3
"""So many pairs of samples are told of, of all that a coupling matches."""


def compare_all(
    datasets: Sequence[SegmentationSamples],
    distances: Mapping[str, DatasetDistance],
    *,
    targets: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    bootstrap: Bootstrap | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    summarized: Summarized | None = None,
    matched: Matched | None = None,
) -> DistanceTable:
    """Distances from every source to every target by every method.

    Each dataset is summarized once per method, each pair's image cost and image transport are computed once for
    all methods, and a pair that is asked for in both directions is solved once. Methods that are to be normalized get
    one scale for all pairs, for which the costs of every pair are computed once more beforehand.

    Args:
        datasets: all prepared alike, with distinct names.
        distances: the dataset distances to compute, by the name of the method.
        targets: names of the targets; all datasets by default.
        sources: names of the sources; all datasets by default. A dataset is never its own source.
        bootstrap: how patients are drawn anew to tell how sure the distances are; None leaves that unsaid.
        executor: what computes summaries, pairs and noise floors, such as
            :class:`~medsegdist.processes.LocalProcesses` or :func:`~medsegdist.executors.dask_cluster`; None computes
            them here, one after another. It changes no digit: every task runs on one thread. Stored samples travel
            to other processes as the name of their folder.
        progress: told of every summary, pair and noise floor.
        summarized: given every summary, for whoever wants to show them.
        matched: likewise given the three strongest pairs of samples of every source, target and method, numbered as in
            `datasets`; couplings themselves are too large to be kept.

    Raises:
        MedSegDistError: a summary or a pair could not be computed.
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
    floors_of = [name for name in targets if name in needed] if bootstrap is not None else []
    compared = {name: by_name[name] for name in needed}
    strongest = 0 if matched is None else STRONGEST
    solved = solve_table(compared, distances, pairs, floors_of, bootstrap, executor, progress, strongest)
    if summarized is not None:
        for (name, method), summary in solved.summaries.items():
            summarized(name, method, summary)
    level = Bootstrap().level if bootstrap is None else bootstrap.level
    rows: list[DistanceRow] = []
    comparisons: list[Comparison] = []
    for method, distance in distances.items():
        # As many samples as are compared, spread over as many patients.
        patients = {name: min(len(samples.patients), distance.max_samples) for name, samples in compared.items()}
        for target in targets:
            found = {s: solved.pairs[frozenset((s, target))][method] for s in sources if s != target}
            if matched is not None:
                for source, pair in found.items():
                    matched(source, target, method, _seen_from(source, pair))
            rows += _rows(found, target, method, solved.noise_floors.get(target, {}).get(method), level)
            comparisons += _comparisons(found, target, method, patients)
    return DistanceTable(rows=tuple(rows), comparisons=tuple(comparisons))


def rank_sources(
    target: SegmentationSamples,
    sources: Iterable[SegmentationSamples],
    distances: Mapping[str, DatasetDistance],
    *,
    bootstrap: Bootstrap | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> DistanceTable:
    """The sources in order of their distance to one target, by every method.

    Args:
        target: the dataset to train on in the end.
        sources: the datasets that could be pre-trained on.
        distances: the dataset distances to compute, by the name of the method.
        bootstrap: how patients are drawn anew to tell how sure the ranking is; None leaves that unsaid.
        executor: what computes summaries, pairs and noise floors, as for :func:`compare_all`.
        progress: told of every summary, pair and noise floor.

    Raises:
        MedSegDistError: a summary or a pair could not be computed.
        ValueError: a name stands twice.
        PreprocessingMismatchError: two datasets were not prepared alike.
    """
    sources = list(sources)
    names = [samples.name for samples in sources]
    return compare_all(
        [target, *sources],
        distances,
        targets=[target.name],
        sources=names,
        bootstrap=bootstrap,
        executor=executor,
        progress=progress,
    )


def _seen_from(source: str, pair: PairDistance) -> tuple[MatchedPair, ...]:
    if pair.source == source:
        return pair.matched
    return tuple(MatchedPair(one.target, one.source, one.mass) for one in pair.matched)


def _rows(
    found: Mapping[str, PairDistance], target: str, method: str, noise_floor: float | None, level: float
) -> Iterator[DistanceRow]:
    ranks = ranked({source: pair.estimate for source, pair in found.items()}, level)
    for source, pair in found.items():
        forward = pair.source == source
        low, high = pair.estimate.interval(level)
        rank, tied = ranks[source]
        yield DistanceRow(
            source=source,
            target=target,
            method=method,
            distance=pair.estimate.value,
            image_term=pair.image_term,
            mask_term=pair.mask_term,
            low=low,
            high=high,
            noise_floor=noise_floor,
            rank=rank,
            tied=tied,
            n_source=pair.n_source if forward else pair.n_target,
            n_target=pair.n_target if forward else pair.n_source,
            optimality_gap=pair.optimality_gap,
        )


def _comparisons(
    found: Mapping[str, PairDistance], target: str, method: str, patients: Mapping[str, int]
) -> Iterator[Comparison]:
    """Every two sources of a target, the one that seems nearer first."""
    order = sorted(found, key=lambda source: found[source].estimate.value)
    for nearer, farther in combinations(order, 2):
        probability = probability_nearer(found[nearer].estimate, found[farther].estimate)
        if probability is not None:
            fewest = min(patients[name] for name in (target, nearer, farther))
            yield Comparison(target, method, nearer, farther, probability, fewest)
