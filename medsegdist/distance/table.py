"""Distances between many datasets: one row per source, target and method; what `distances.csv` holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pandas as pd

from medsegdist.data.class_samples import MulticlassSamples
from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance, Distance, common_scales
from medsegdist.distance.metrics import METHODS, GmmMetric, make_metric
from medsegdist.distance.multiclass import DirectMetric
from medsegdist.distance.order import Comparison, DistanceRow, Recommendation, compare_sources, rank_rows, recommend
from medsegdist.distance.pairs import PairTask, compare_pair, measure_costs, measure_noise, prepare_all
from medsegdist.distance.resampling import Bootstrap
from medsegdist.distance.transport import MatchedPair, SampleCosts
from medsegdist.errors import DataError
from medsegdist.files import read_csv, write_csv
from medsegdist.parallel import map_ordered
from medsegdist.words import check_choice, counted, listed

COLUMNS = tuple(field.name for field in fields(DistanceRow))  # the columns of `distances.csv`, in order


@dataclass(frozen=True, slots=True)
class DistanceTable:
    """Distances from sources to targets by one or more methods.

    Args:
        rows: one per source, target and method.
        comparisons: one per two sources, target and method; empty without a bootstrap.
        recommendations: one per source and target, see :meth:`recommended`.
        summaries: what each method's metric made of each dataset, by the names of dataset and method; not saved.
        matches: the pairs of samples that transport matches most strongly, numbered as in the datasets, by the names of
            source, target and method; not saved.
        sample_costs: what each sample of a source costs, by the names of source, target and method; not saved.
    """

    rows: tuple[DistanceRow, ...]
    comparisons: tuple[Comparison, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()
    summaries: Mapping[tuple[str, str], Any] = field(default_factory=dict, compare=False, repr=False)
    matches: Mapping[tuple[str, str, str], tuple[MatchedPair, ...]] = field(
        default_factory=dict, compare=False, repr=False
    )
    sample_costs: Mapping[tuple[str, str, str], SampleCosts] = field(default_factory=dict, compare=False, repr=False)

    def __repr__(self) -> str:
        where = f" to {listed(self.targets, quoted=True)} by {listed(self.methods)}" if self.rows else ""
        return f"DistanceTable({counted(len(self.rows), 'distance')}{where})"

    def _repr_html_(self) -> str:
        shown = ["target", "method", "rank", "tied", "source", "distance", "low", "high", "image_term", "mask_term"]
        return self.to_frame()[shown].to_html(index=False, max_rows=60)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, in the order of the rows."""
        return tuple(dict.fromkeys(row.method for row in self.rows))

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets, in the order of the rows."""
        return tuple(dict.fromkeys(row.target for row in self.rows))

    def ranking(self, target: str, method: str) -> list[DistanceRow]:
        """The sources of one `target` by one `method`, nearest first.

        Raises:
            ValueError: the table has no such target and method.
        """
        found = [row for row in self.rows if row.target == target and row.method == method]
        if not found:
            raise ValueError(
                f"expected one of the targets {list(self.targets)} and methods {list(self.methods)}, "
                f"found '{target}' and '{method}'."
            )
        return sorted(found, key=lambda row: (row.rank, row.distance))

    def recommended(self, target: str) -> tuple[Recommendation, ...]:
        """The sources of one `target` in the order that is recommended, the best first.

        It is the mean z-score of their distances by `boundary`, `fingerprint` and `patches`, which predict gains best,
        or of all methods where the table lacks one of these.

        Raises:
            ValueError: the table has no such target.
        """
        found = tuple(one for one in self.recommendations if one.target == target)
        if found:
            return found
        distances: dict[str, dict[str, float]] = {}
        for row in self.rows:
            if row.target == target:
                distances.setdefault(row.method, {})[row.source] = row.distance
        if not distances:
            raise ValueError(f"expected one of the targets {list(self.targets)}, found '{target}'.")
        return tuple(recommend(target, distances))

    def matrix(self, method: str) -> pd.DataFrame:
        """Distances by one `method`: a row per source, a column per target, NaN if there is none (Tables 5 to 9)."""
        rows = [row for row in self.rows if row.method == method]
        sources = list(dict.fromkeys(row.source for row in rows))
        frame = pd.DataFrame(index=sources, columns=list(self.targets), dtype="float64")
        for row in rows:
            frame.loc[row.source, row.target] = row.distance
        return frame

    def to_frame(self) -> pd.DataFrame:
        """All rows as a pandas table with the columns of `distances.csv`; numbers that are missing are NaN."""
        frame = pd.DataFrame([asdict(row) for row in self.rows], columns=list(COLUMNS))
        kinds = {"float": "float64", "float | None": "float64", "int": "int64", "bool": "bool"}
        return frame.astype({one.name: kinds[str(one.type)] for one in fields(DistanceRow) if one.type in kinds})

    def save(self, path: str | Path) -> None:
        """Write the rows to `path` as CSV, whole or not at all; next to it comparisons.csv and recommendation.csv."""
        write_csv(path, self.to_frame(), float_format="%.17g")
        recommendations = [one for target in self.targets for one in self.recommended(target)]
        for name, content in (("comparisons.csv", self.comparisons), ("recommendation.csv", recommendations)):
            file = Path(path).with_name(name)
            file.unlink(missing_ok=True)  # an older one would belong to other distances
            if content:
                write_csv(file, pd.DataFrame([asdict(one) for one in content]), float_format="%.6g")

    @classmethod
    def load(cls, path: str | Path) -> DistanceTable:
        """Read what :meth:`save` wrote to `path`, or any CSV with the same columns, and what lies next to it.

        Raises:
            DataError: a file is missing or no such table, or a cell is not what its column holds.
        """
        file, remedy = Path(path), "`medsegdist rank STUDY.yaml --out DIR` writes it"
        if not file.exists():
            raise DataError(f"{file}: expected a table, found no such file", remedy)
        rows = read_csv(file, DistanceRow, key=("source", "target", "method"), remedy=remedy)
        orders, advice = file.with_name("comparisons.csv"), file.with_name("recommendation.csv")
        key, of_advice = ("target", "method", "nearer", "farther"), ("target", "source")
        comparisons = read_csv(orders, Comparison, key=key, remedy=remedy) if orders.exists() else ()
        recommended = read_csv(advice, Recommendation, key=of_advice, remedy=remedy) if advice.exists() else ()
        pairs = [{(one.target, one.source) for one in some} for some in (recommended, rows)]
        if recommended and pairs[0] != pairs[1]:
            raise DataError(
                f"{advice}: expected the sources and targets of {file.name}, found others", f"{remedy}, or remove it"
            )
        return cls(tuple(rows), tuple(comparisons), tuple(recommended))


def compare_all(
    datasets: Sequence[SegmentationSamples | MulticlassSamples],
    distances: Mapping[str, DatasetDistance] | Sequence[str] | str,
    *,
    targets: Sequence[str] | None = None,
    sources: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
    bootstrap: Bootstrap | None = None,
    workers: int | None = 1,
) -> DistanceTable:
    """Distances from every source to every target by every method.

    Each dataset is summarized once per method, each pair's image cost and image transport are computed once for
    all methods, and a pair that is asked for in both directions is solved once. Methods that are to be normalized get
    one scale for all pairs, for which the costs of every pair are computed once more beforehand.

    A dataset with classes is compared class by class (the paper's section 6.3): classes of equal names, or, if two
    datasets have no name in common, those whose mask distances sum to the least; a dataset without classes has one.
    The distance is the sum over classes of w_k d_k, w_k being the class's share of the foreground pixels, the mean of
    both datasets. Mixtures (gmm2d, gmm3d) are compared directly: all images at once, and a mixture for each class.

    Args:
        datasets: all prepared alike, with distinct names.
        distances: the dataset distances to compute, by the name of the method; or names of methods, such as
            ["gmm2d", "euclidean"] or "gmm2d", with the options of the paper: terms are added in their own units. What
            `medsegdist rank` recommends rests on `DatasetDistance(make_metric(method), normalize=True)`.
        targets: names of the targets; all datasets by default.
        sources: names of the sources, or those of each target by its name; all datasets by default. A dataset is never
            its own source.
        bootstrap: how patients are resampled to say how sure the distances are; None computes no intervals.
        workers: processes of this machine, as for :func:`~medsegdist.parallel.map_ordered`; inside a
            :func:`~medsegdist.parallel.dask_cluster` its workers compute. They change no digit.

    Raises:
        MedSegDistError: a summary or a pair could not be computed.
        ValueError: a name is unknown or stands twice.
        TypeError: a metric stands in the place of a dataset distance.
        PreprocessingMismatchError: two datasets were not prepared alike.
    """
    if not isinstance(distances, Mapping):
        names = [distances] if isinstance(distances, str) else list(distances)
        for method in names:
            check_choice("a method", method, METHODS)
        distances = {method: DatasetDistance(make_metric(method)) for method in names}
    given: Mapping[str, object] = distances
    for method, one in given.items():
        if not isinstance(one, DatasetDistance):
            kind = type(one).__name__
            raise TypeError(
                f"expected a DatasetDistance for '{method}', found {kind}; write DatasetDistance({kind}())."
            )
    by_name = {samples.name: samples for samples in datasets}
    if len(by_name) < len(datasets):
        raise ValueError(f"expected distinct names of datasets, found {[samples.name for samples in datasets]}.")
    targets = list(by_name) if targets is None else list(targets)
    if not isinstance(sources, Mapping):
        sources = dict.fromkeys(targets, list(by_name) if sources is None else sources)
    sources = {target: [name for name in sources[target] if name != target] for target in targets}
    for name in (*targets, *(name for some in sources.values() for name in some)):
        if name not in by_name:
            raise ValueError(f"expected targets and sources among {list(by_name)}, found '{name}'.")
    # A distance is symmetric: one solution serves both directions.
    wanted = {frozenset((source, target)) for target, some in sources.items() for source in some}
    pairs = [pair for pair in combinations(by_name, 2) if frozenset(pair) in wanted]
    compared = {name: samples for name, samples in by_name.items() if any(name in pair for pair in pairs)}
    if any(isinstance(samples, MulticlassSamples) for samples in datasets):
        # Mixtures have one for each class; all other metrics take the classes apart.
        distances = {
            method: replace(one, metric=DirectMetric(one.metric)) if isinstance(one.metric, GmmMetric) else one
            for method, one in distances.items()
        }

    summaries: dict[tuple[str, str], Any] = {}
    found: dict[tuple[frozenset[str], str], Distance] = {}
    floors: dict[tuple[str, str], float] = {}
    # Methods that compare the same samples by the same embedding share image costs.
    groups: dict[tuple[int, int, int], dict[str, DatasetDistance]] = {}
    for method, distance in distances.items():
        groups.setdefault((distance.max_samples, distance.seed, id(distance.embedding)), {})[method] = distance
    for methods in groups.values():
        prepared = prepare_all(compared, methods, bootstrap, workers)
        for name, method in product(compared, methods):
            own = {k: one.summaries[method][0] for k, one in prepared[name].items() if method in one.summaries}
            # By the names of the classes if these were taken apart.
            summaries[name, method] = own.get("", own)
        # An embedding stays here, with its network: only what it makes of the images is sent to workers.
        methods = {method: replace(distance, embedding=None) for method, distance in methods.items()}
        tasks = [PairTask(one, other, prepared[one], prepared[other], methods) for one, other in pairs]
        unscaled = {method: one for method, one in methods.items() if one.normalize and one.scales is None}
        if unscaled and tasks:
            work = [replace(task, methods=unscaled) for task in tasks]
            measured = list(map_ordered(measure_costs, work, workers=workers, description="Scaling"))
            for method, distance in unscaled.items():
                methods[method] = replace(distance, scales=common_scales([means[method] for means, _ in measured]))
            tasks = [replace(task, methods=methods, known=one[1]) for task, one in zip(tasks, measured, strict=True)]
        solved = map_ordered(compare_pair, tasks, workers=workers, description="Comparing")
        for pair, by_method in zip(pairs, solved, strict=True):
            found |= {(frozenset(pair), method): distance for method, distance in by_method.items()}
        if bootstrap is not None:
            tasks = [PairTask(one, one, prepared[one], prepared[one], methods) for one in targets if one in compared]
            noise = map_ordered(measure_noise, tasks, workers=workers, description="Measuring noise floors")
            for task, floor in zip(tasks, noise, strict=True):
                floors |= {(task.source, method): value for method, value in floor.items()}

    level = (bootstrap or Bootstrap()).level
    rows: list[DistanceRow] = []
    comparisons: list[Comparison] = []
    seen = {
        (method, target): [found[frozenset((source, target)), method].seen_from(source) for source in sources[target]]
        for method, target in product(distances, targets)
    }
    for (method, target), some in seen.items():
        rows += rank_rows(some, method, floors.get((target, method)), level)
        # As many samples as are compared, spread over as many patients.
        most = distances[method].max_samples
        patients = {name: min(len(set(samples.patient_ids)), most) for name, samples in compared.items()}
        comparisons += compare_sources(some, method, patients)
    normalized = all(one.normalize for one in distances.values())
    advice: list[Recommendation] = []
    for target in filter(sources.get, targets):
        values, replicates = (
            {method: {one.source: getattr(one, name) for one in seen[method, target]} for method in distances}
            for name in ("value", "replicates")
        )
        advice += recommend(target, values, replicates, level, normalized=normalized)
    by_key = {(one.source, target, method): one for (method, target), some in seen.items() for one in some}
    matches = {key: one.matches for key, one in by_key.items()}
    costs = {key: one.sample_costs[0] for key, one in by_key.items() if one.sample_costs}
    return DistanceTable(tuple(rows), tuple(comparisons), tuple(advice), summaries, matches, costs)
