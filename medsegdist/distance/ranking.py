"""Distances between many datasets, and the order of the sources for each target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.bootstrap import Bootstrap
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.distance_table import Comparison, DistanceRow, DistanceTable
from medsegdist.distance.normalization import with_common_scales
from medsegdist.distance.pairs import PairDistance, PreparedDataset, compare_pair, noise_floors_of, prepare
from medsegdist.distance.ranks import probability_nearer, ranked

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what was just done."""


def compare_all(
    datasets: Sequence[SegmentationSamples],
    distances: Mapping[str, DatasetDistance],
    *,
    targets: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    bootstrap: Bootstrap | None = None,
    progress: Progress | None = None,
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
    floors_of = [name for name in targets if name in needed] if bootstrap is not None else []
    steps = _Steps(len(needed) * len(distances) + len(pairs) + len(floors_of), progress)

    prepared: dict[str, dict[str, PreparedDataset]] = {}
    for name in needed:
        prepared[name] = {}
        for method, dataset in prepare(by_name[name], distances, bootstrap):
            prepared[name][method] = dataset
            steps.done(f"{method} of {name}")
    distances = with_common_scales(distances, prepared, pairs)
    solved: dict[frozenset[str], dict[str, PairDistance]] = {}
    for one, other in pairs:
        solved[frozenset((one, other))] = compare_pair(prepared[one], prepared[other], distances)
        steps.done(f"{one} and {other}")
    floors: dict[str, dict[str, float]] = {}
    for name in floors_of:
        floors[name] = noise_floors_of(prepared[name], distances)
        steps.done(f"noise floor of {name}")
    level = Bootstrap().level if bootstrap is None else bootstrap.level
    patients = {name: len(prepared[name][method].samples.patients) for name in needed for method in distances}
    rows: list[DistanceRow] = []
    comparisons: list[Comparison] = []
    for method in distances:
        for target in targets:
            found = {s: solved[frozenset((s, target))][method] for s in sources if s != target}
            rows += _rows(found, target, method, floors.get(target, {}).get(method), level)
            comparisons += _comparisons(found, target, method, patients)
    return DistanceTable(rows=tuple(rows), comparisons=tuple(comparisons))


def rank_sources(
    target: SegmentationSamples,
    sources: Iterable[SegmentationSamples],
    distances: Mapping[str, DatasetDistance],
    *,
    bootstrap: Bootstrap | None = None,
    progress: Progress | None = None,
) -> DistanceTable:
    """The sources in order of their distance to one target, by every method.

    Args:
        target: the dataset to train on in the end.
        sources: the datasets that could be pre-trained on.
        distances: the dataset distances to compute, by the name of the method.
        bootstrap: how patients are drawn anew to tell how sure the ranking is; None leaves that unsaid.
        progress: told of every summary and pair.
    """
    sources = list(sources)
    names = [samples.name for samples in sources]
    return compare_all(
        [target, *sources], distances, targets=[target.name], sources=names, bootstrap=bootstrap, progress=progress
    )


def _rows(
    found: Mapping[str, PairDistance], target: str, method: str, noise_floor: float | None, level: float
) -> Iterator[DistanceRow]:
    ranks = ranked({source: pair.estimate for source, pair in found.items()}, level)
    for source, pair in found.items():
        distance = pair.distance
        forward = distance.source == source
        low, high = pair.estimate.interval(level)
        rank, tied = ranks[source]
        yield DistanceRow(
            source=source,
            target=target,
            method=method,
            distance=distance.value,
            image_term=distance.image_term,
            mask_term=distance.mask_term,
            low=low,
            high=high,
            noise_floor=noise_floor,
            rank=rank,
            tied=tied,
            n_source=distance.n_source if forward else distance.n_target,
            n_target=distance.n_target if forward else distance.n_source,
            optimality_gap=distance.optimality_gap,
        )


def _comparisons(
    found: Mapping[str, PairDistance], target: str, method: str, patients: Mapping[str, int]
) -> Iterator[Comparison]:
    """Every two sources of a target, the one that seems nearer first."""
    order = sorted(found, key=lambda source: found[source].distance.value)
    for nearer, farther in combinations(order, 2):
        probability = probability_nearer(found[nearer].estimate, found[farther].estimate)
        if probability is not None:
            fewest = min(patients[name] for name in (target, nearer, farther))
            yield Comparison(target, method, nearer, farther, probability, fewest)


class _Steps:
    """Counts finished steps towards a total."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.finished, self.progress = total, 0, progress

    def done(self, what: str) -> None:
        self.finished += 1
        if self.progress is not None:
            self.progress(self.finished, self.total, what)
