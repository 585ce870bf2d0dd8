"""The recommended order: mean z-scores over methods, with chances from the replicates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import zscore

from medsegdist.distance.order import CONSENSUS, DistanceRow, recommend, recommending
from medsegdist.distance.table import DistanceTable, compare_all
from medsegdist.errors import DataError
from tests.synthetic import blobs

VALUES = st.lists(st.lists(st.integers(1, 1000), min_size=4, max_size=4, unique=True), min_size=1, max_size=5)


def of(rows):
    return {f"m{k}": dict(zip("abcd", map(float, row), strict=True)) for k, row in enumerate(rows)}


@given(VALUES)
def test_the_score_is_scipys_mean_z_score_and_sorts(rows):
    found = {one.source: one.score for one in recommend("t", of(rows))}
    expected = zscore(np.array(rows, dtype=float), axis=1).mean(axis=0)
    np.testing.assert_allclose([found[name] for name in "abcd"], expected, atol=1e-12)
    assert list(found.values()) == sorted(found.values())


@given(VALUES, st.lists(st.floats(0.01, 100), min_size=5, max_size=5), st.permutations("abcd"))
def test_units_of_methods_and_order_of_sources_do_not_matter(rows, factors, order):
    values = of(rows)
    scaled = {m: {s: factors[k] * v[s] + 3 for s in order} for k, (m, v) in enumerate(values.items())}
    before, after = ({one.source: one.score for one in recommend("t", some)} for some in (values, scaled))
    for name, score in before.items():
        assert after[name] == pytest.approx(score, abs=1e-9)


def test_three_methods_recommend_where_all_of_them_are_there():
    values = {m: {"a": 1.0, "b": 2.0} for m in CONSENSUS} | {f"x{k}": {"a": 9.0, "b": 1.0} for k in range(9)}
    assert recommending(tuple(values)) == CONSENSUS
    assert next(iter(recommend("t", values))).source == "a"
    del values["patches"]
    assert recommending(tuple(values)) == tuple(values)
    assert next(iter(recommend("t", values))).source == "b"


def test_only_a_mean_of_normalized_distances_is_the_rule_that_was_measured():
    values = {m: {"a": 1.0, "b": 2.0} for m in CONSENSUS}
    assert {one.rule for one in recommend("t", values)} == {"consensus"}
    raw = {one.rule for one in recommend("t", values, normalized=False)}
    assert raw == {"mean of boundary, fingerprint and patches"}
    samples = [blobs(name, n=4, seed=seed) for seed, name in enumerate("abc")]
    table = compare_all(samples, list(CONSENSUS), targets=["a"])
    assert {one.rule for one in table.recommendations} == raw


def test_one_method_alone_recommends_its_own_order_and_ties():
    rng = np.random.default_rng(0)
    values = {"m": {"a": 1.0, "b": 1.05, "c": 5.0}}
    drawn = {"m": {s: torch.from_numpy(v + 0.1 * rng.normal(size=200)) for s, v in values["m"].items()}}
    assert [(one.source, one.rank, one.tied) for one in recommend("t", values, drawn)] == [
        ("a", 1, True),
        ("b", 1, True),
        ("c", 3, False),
    ]


def test_chances_are_how_often_a_source_is_first():
    # In 3 of 4 replicates a is first, in one b; equal replicates are shared.
    drawn = {"m": {"a": torch.tensor([1.0, 1.0, 1.0, 3.0]).double(), "b": torch.tensor([2.0, 2.0, 1.0, 2.0]).double()}}
    found = {one.source: one.chance for one in recommend("t", {"m": {"a": 1.0, "b": 2.0}}, drawn)}
    assert found == {"a": 0.625, "b": 0.375}


def test_a_source_without_replicates_might_be_first_so_that_no_chance_is_known():
    drawn = {"m": {"a": torch.tensor([1.0, 1.1]).double(), "b": None}}
    assert [one.chance for one in recommend("t", {"m": {"a": 1.0, "b": 2.0}}, drawn)] == [None, None]


def test_replicates_of_several_methods_are_averaged_as_the_distances_are():
    # By m, a is nearer in every replicate, and by n farther by less of the spread: together a is first.
    values = {"m": {"a": 1.0, "b": 3.0, "c": 9.0}, "n": {"a": 20.0, "b": 10.0, "c": 90.0}}
    drawn = {m: {s: torch.full((8,), v).double() for s, v in some.items()} for m, some in values.items()}
    found = list(recommend("t", values, drawn))
    assert [one.chance for one in found] == [1.0, 0.0, 0.0]
    assert [one.tied for one in found] == [False, False, False]


@pytest.mark.parametrize("noise", [0.0, 1e-13])
def test_what_solvers_do_not_resolve_is_no_order(noise):
    found = list(recommend("t", {"m": {"a": 1.0, "b": 1.0 + noise, "c": 1.0}}))
    assert {(one.rank, one.tied, one.score) for one in found} == {(1, True, 0.0)}


def test_a_table_keeps_its_recommendation_and_refuses_that_of_others(tmp_path):
    def table(source):
        rows = [
            DistanceRow(s, "t", "m", v, v, 0.0, None, None, None, 1, False, 9, 9, 0.0)
            for s, v in ((source, 1.0), ("b", 2.0))
        ]
        return DistanceTable(tuple(rows))

    table("a").save(tmp_path / "distances.csv")
    assert [one.source for one in DistanceTable.load(tmp_path / "distances.csv").recommended("t")] == ["a", "b"]
    kept = (tmp_path / "recommendation.csv").read_text()
    table("other").save(tmp_path / "distances.csv")
    (tmp_path / "recommendation.csv").write_text(kept)
    with pytest.raises(DataError, match=r"recommendation.csv: expected the sources and targets of distances.csv"):
        DistanceTable.load(tmp_path / "distances.csv")
