"""Many datasets at once: the same numbers as one by one, ordered, with nothing computed twice."""

from collections import Counter
from dataclasses import dataclass, field, replace

import pandas as pd
import pytest
import torch

from medsegdist.distance import dataset_distance, image_cost
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import PAPER_METHODS, GmmMetric, make_metric
from medsegdist.distance.table import COLUMNS, DistanceTable, compare_all
from medsegdist.errors import DataError
from tests.synthetic import blobs

NEAR = blobs("near", center=(0.5, 0.5), seed=1)
TARGET = blobs("target", center=(0.5, 0.5), seed=2)
FAR = blobs("far", center=(0.25, 0.3), radius=8, brightness=220, seed=3)
# One component: how many there are makes no difference here but to the time.
METHODS = {
    name: DatasetDistance(replace(metric, components=1) if hasattr(metric, "components") else metric)
    for name, metric in ((name, make_metric(name)) for name in PAPER_METHODS)
}


def rank_sources(target, sources, distances):
    return compare_all([target, *sources], distances, targets=[target.name])


def test_the_near_source_comes_first_by_every_method():
    table = rank_sources(TARGET, [FAR, NEAR], METHODS)
    for method in METHODS:
        ranking = table.ranking("target", method)
        assert [(row.source, row.rank, row.tied) for row in ranking] == [("near", 1, False), ("far", 2, False)]


def test_rows_are_what_single_distances_give():
    table = rank_sources(TARGET, [NEAR, FAR], METHODS)
    for row in table.rows:
        alone = METHODS[row.method]({"near": NEAR, "far": FAR}[row.source], TARGET)
        assert row.distance == pytest.approx(alone.value, rel=1e-9)
        assert row.image_term == pytest.approx(alone.image_term, rel=1e-9)
        assert (row.n_source, row.n_target) == (alone.n_source, alone.n_target)
        assert row.optimality_gap < 1e-9


def test_all_pairs_are_symmetric_and_never_a_dataset_with_itself():
    table = compare_all([NEAR, TARGET, FAR], {"gmm2d": DatasetDistance(GmmMetric(components=1, intensity=False))})
    matrix = table.matrix("gmm2d")
    assert len(table.rows) == 6
    assert matrix.loc["near", "far"] == matrix.loc["far", "near"]
    assert all(pd.isna(matrix.loc[name, name]) for name in matrix.columns)


@dataclass(frozen=True)
class Counting:
    """Counts what it is asked."""

    name: str
    counts: Counter = field(default_factory=Counter)
    power: float = 1.0

    def summarize(self, samples, /):
        self.counts[samples.name] += 1
        return samples.name

    def compare(self, source, target, image_cost, /):
        self.counts[frozenset((source, target))] += 1
        return torch.ones(1, 1, dtype=torch.float64)


def test_nothing_is_computed_twice(monkeypatch):
    costs, solved = [], []
    measure, solve = image_cost.image_cost, image_cost.solve_transport
    monkeypatch.setattr(image_cost, "image_cost", lambda *args, **options: costs.append(1) or measure(*args, **options))
    for module in (dataset_distance, image_cost):
        monkeypatch.setattr(
            module, "solve_transport", lambda *args, **options: solved.append(1) or solve(*args, **options)
        )
    metrics = [Counting("one"), Counting("two")]
    compare_all([NEAR, TARGET, FAR], {metric.name: DatasetDistance(metric) for metric in metrics})
    assert (len(costs), len(solved)) == (3, 3)
    for metric in metrics:
        assert set(metric.counts.values()) == {1}
        assert len(metric.counts) == 3 + 3


def test_equal_distances_share_a_rank():
    table = rank_sources(TARGET, [FAR, NEAR], {"one": DatasetDistance(Counting("one"), image_weight=0)})
    assert [(row.rank, row.tied) for row in table.rows] == [(1, True), (1, True)]


def test_a_csv_holds_every_digit(tmp_path):
    table = rank_sources(TARGET, [NEAR, FAR], METHODS)
    table.save(tmp_path / "deep" / "distances.csv")
    assert (tmp_path / "deep" / "distances.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    assert DistanceTable.load(tmp_path / "deep" / "distances.csv") == table
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"distances.csv", "recommendation.csv"}


def test_cells_of_other_people_are_checked(tmp_path):
    table = rank_sources(TARGET, [NEAR, FAR], {"euclidean": METHODS["euclidean"]})
    path = tmp_path / "distances.csv"
    table.save(path)
    text = path.read_text()
    path.write_text(text.replace("False", "perhaps", 1))
    with pytest.raises(DataError, match=r"distances.csv, line 2, column 'tied': .*found 'perhaps'; correct the cell"):
        DistanceTable.load(path)
    path.write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(DataError, match=r"one row for each source, target, method, found two for near, target, euclid"):
        DistanceTable.load(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": ["nobody"]}, "expected targets and sources among .*, found 'nobody'"),
        ({"sources": ["nobody"]}, "found 'nobody'"),
    ],
)
def test_unknown_names_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        compare_all([NEAR, FAR], METHODS, **arguments)


def test_two_datasets_of_one_name_are_refused():
    with pytest.raises(ValueError, match="distinct names"):
        compare_all([NEAR, NEAR], METHODS)


def test_asking_for_a_ranking_that_is_not_there():
    table = rank_sources(TARGET, [NEAR], {"euclidean": METHODS["euclidean"]})
    with pytest.raises(ValueError, match=r"found 'near' and 'euclidean'"):
        table.ranking("near", "euclidean")
