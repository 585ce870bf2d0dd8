"""Tables in a terminal of 80 columns, and the answer in words."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from medsegdist.distance.ranking import Comparison, DistanceRow
from medsegdist.distance.table import DistanceTable
from medsegdist.report.tables import (
    certainty_table,
    choice_tables,
    prediction_table,
    rank_table,
    ranking_table,
    regression_table,
    table_12,
    table_13,
    warning_lines,
    without_table,
)
from medsegdist.report.verdict import Answer
from medsegdist.transfer.agreement import measure_agreement
from medsegdist.transfer.gains import DistanceRecord, Gain
from medsegdist.transfer.paper import recompute_paper


def row(source, method, distance, rank, *, tied=False, target="target"):
    return DistanceRow(source, target, method, distance, distance, 0.0, None, None, None, rank, tied, 9, 9, 0.0)


def shown(renderable, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_the_papers_methods_fit_80_columns_and_ties_are_marked():
    methods = ("euclidean", "gmm2d", "gmm3d", "fake_classes", "fake_class_gmm")
    table = DistanceTable(rows=tuple(row("Lung phantom", method, 12345.6, 1, tied=True) for method in methods))
    lines = shown(ranking_table(table, "target")).splitlines()
    (line,) = [line for line in lines if "Lung phantom" in line]
    assert line.count("1= 12,346") == 5


def test_markup_in_a_name_is_a_name():
    table = DistanceTable(rows=(row("[red]x", "gmm2d", 1.0, 1, target="[bold]t"),))
    text = shown(ranking_table(table, "[bold]t"))
    assert "[red]x" in text
    assert "[bold]t" in text


def small(names="abcd", method="m"):
    distances = [DistanceRecord(name, "t", float(k), method) for k, name in enumerate(names)]
    gains = [Gain(name, "t", gain_percent=float(-(k**2))) for k, name in enumerate(names)]
    return measure_agreement(distances, gains)


def test_the_papers_tables_fit_80_columns_and_no_number_is_cut():
    comparisons = recompute_paper()
    recomputed = [one.recomputed for one in comparisons]
    texts = [shown(one(comparisons)) for one in (table_12, table_13)]
    texts += [shown(one(recomputed)) for one in (regression_table, rank_table, certainty_table, without_table)]
    texts += [shown(table) for table in choice_tables(recomputed)]
    assert len(texts) == 8
    for text in texts:
        assert "…" not in text
        assert "fake_class_gmm " in text
    assert "printed     -0.00129  [-0.00201, -0.00057]  0.57      0.49" in texts[1]
    assert "recomputed  -0.00224  [-0.00349, -0.00099]  0.49      0.49" in texts[1]
    words = [" ".join(line.split()) for line in texts[2].splitlines()]
    assert "gmm3d 17 -0.000917 [-0.0011, -0.00069] 0.83 7.08e-08 4.43e-07" in words
    assert "gmm2d 17 -0.00100 [-0.0013, -0.00073] 0.80 1.94e-07 1.23e-06" in words


def test_what_is_undefined_is_a_dash():
    text = shown(certainty_table(small("abc")))
    (line,) = [line for line in text.splitlines() if line.strip().startswith("m ")]
    assert line.split() == ["m", "0.33", "-", "-", "-"]


def test_warnings_name_their_methods_and_are_no_markup():
    (one,) = small(method="[red]x")
    assert next(iter(warning_lines([one]))).plain == (
        "Warning: [red]x: Only 4 pairs: p-values and intervals of so few say little."
    )


def test_without_predictions_there_is_no_table():
    assert prediction_table(small()) is None


SURE = DistanceTable(
    rows=tuple(
        row(source, method, value, rank)
        for method in ("gmm2d", "gmm3d")
        for rank, (source, value) in enumerate({"near": 10.0, "far": 20.0}.items(), start=1)
    )
)


def test_all_methods_agree():
    assert Answer.of(SURE, "target").verdict == "For target the nearest source is near, by every method (2 of 2)."
    assert Answer.of(SURE, "target").headline == "Nearest by 2 of 2 methods: near."


def test_methods_disagree():
    table = DistanceTable(
        rows=(
            *(row("a", method, 1.0, 1) for method in ("one", "two")),
            *(row("b", method, 2.0, 2) for method in ("one", "two")),
            row("a", "three", 5.0, 2),
            row("b", "three", 4.0, 1),
        )
    )
    assert Answer.of(table, "target").verdict == (
        "For target the nearest source is a, by its mean rank over 3 methods (1.3). "
        "Single methods find nearest: a (by 2 of 3), b (by 1 of 3)."
    )


def test_what_cannot_be_told_apart_is_named_with_the_patients_that_it_rests_on():
    table = DistanceTable(
        rows=(
            row("LIDC 5", "gmm3d", 10.0, 1, tied=True),
            row("LIDC 4", "gmm3d", 11.0, 1, tied=True),
            row("liver", "gmm3d", 30.0, 3),
        ),
        comparisons=(
            Comparison("target", "gmm3d", "LIDC 5", "LIDC 4", 0.61, 12),
            Comparison("target", "gmm3d", "LIDC 5", "liver", 1.0, 9),
            Comparison("target", "gmm3d", "LIDC 4", "liver", 1.0, 9),
        ),
    )
    assert Answer.of(table, "target").verdict == (
        "For target the nearest source is LIDC 5, by the one method that was asked for. "
        "LIDC 5 cannot be told apart from LIDC 4, with 12 patients in the smallest of these datasets."
    )
    assert Answer.of(table, "target").headline == "No clear winner: LIDC 5 or LIDC 4."
    assert list(Answer.of(table, "target").mean_ranks.items()) == [("LIDC 5", 1.0), ("LIDC 4", 1.0), ("liver", 3.0)]


@pytest.mark.parametrize("methods", [("one",), ("one", "two")])
def test_one_source_is_not_ranked(methods):
    table = DistanceTable(rows=tuple(row("a", method, 1.0, 1) for method in methods))
    assert Answer.of(table, "target").verdict == (
        "For target there is one source only, a, so nothing was ranked; its distances are shown."
    )
    assert Answer.of(table, "target").headline == "One source only: a."
    text = " ".join(shown(ranking_table(table, "target")).split())
    assert "The only source for target" in text
    assert "Nearest" not in text


def ranked(ranks):
    """A table from the ranks of each source by each method in turn, which are its distances, too."""
    return DistanceTable(
        rows=tuple(
            row(source, f"method {k}", float(rank), rank)
            for source, of_source in ranks.items()
            for k, rank in enumerate(of_source)
        )
    )


def test_the_mean_rank_decides_and_the_verdict_says_what_single_methods_find():
    table = ranked({"a": (1, 1, 1, 4, 4), "b": (2, 2, 2, 1, 1), "c": (3, 3, 3, 2, 2), "d": (4, 4, 4, 3, 3)})
    answer = Answer.of(table, "target")
    assert answer.verdict == (
        "For target the nearest source is b, by its mean rank over 5 methods (1.6). "
        "Single methods find nearest: a (by 3 of 5), b (by 2 of 5)."
    )
    assert answer.headline == "Nearest by mean rank over 5 methods: b."
    assert answer.mean_ranks == {"b": 1.6, "a": 2.2, "c": 2.6, "d": 3.6}


@pytest.mark.parametrize(
    ("ranks", "order"),
    [
        ({"a": (1, 3), "b": (2, 1), "c": (3, 2)}, "bac"),
        ({"b": (2, 2, 2), "a": (1, 1, 4), "c": (3, 3, 1), "d": (4, 4, 3)}, "abcd"),
    ],
)
def test_of_equal_mean_ranks_that_comes_first_which_more_methods_find_nearest(ranks, order):
    assert "".join(Answer.of(ranked(ranks), "target").mean_ranks) == order


@given(st.lists(st.permutations("abcd"), min_size=1, max_size=5))
def test_table_headline_and_verdict_give_one_answer(orders):
    table = ranked({source: tuple(order.index(source) + 1 for order in orders) for source in "abcd"})
    answer = Answer.of(table, "target")
    leader = shown(ranking_table(table, "target")).split("─")[-1].split()[0]
    assert answer.nearest == leader
    assert f"nearest source is {leader}, by" in answer.verdict
    assert answer.headline.endswith(f": {leader}.")


def test_a_leader_that_no_method_finds_nearest_is_no_clear_winner():
    table = ranked({"a": (1, 4, 4), "b": (2, 2, 2), "c": (4, 1, 3), "d": (3, 3, 1)})
    pairs = [("b", other) for other in "acd"]
    comparisons = tuple(Comparison("target", f"method {k}", *pair, 0.9, 9) for k in range(3) for pair in pairs)
    assert Answer.of(replace(table, comparisons=comparisons), "target").headline == "No clear winner: b or d."


def with_intervals(ties, patients=40):
    """A table of sources with intervals, where each method's first few sources share the first rank."""
    rows, comparisons = [], []
    for k, tied in enumerate(ties):
        for place, source in enumerate("abcde"):
            rank = 1 if place < tied else place + 1
            one = row(source, f"method {k}", float(place + 1), rank, tied=place < tied and tied > 1)
            rows.append(replace(one, low=place + 0.5, high=place + 1.5))
        for nearer, farther in combinations("abcde", 2):
            fewest = min(patients, 7 if "c" in (nearer, farther) else patients)
            comparisons.append(Comparison("target", f"method {k}", nearer, farther, 0.9, fewest))
    return DistanceTable(rows=tuple(rows), comparisons=tuple(comparisons))


@pytest.mark.parametrize(
    ("ties", "expected"),
    [
        ((1, 1, 1), "a is the nearest source."),
        ((1, 2, 1), "a seems nearest: 2 of 3 methods distinguish it from all others."),
        ((2, 2, 3), "No clear winner: a or b."),
        ((3, 2, 3), "No clear winner: a, b or c."),
        ((5, 5, 5), "No clear winner: a, b, c or 2 more."),
    ],
)
def test_the_headline_says_how_clear_it_is(ties, expected):
    assert Answer.of(with_intervals(ties), "target").headline == expected


def test_the_number_of_patients_is_that_of_the_smallest_dataset_concerned():
    said = " in the smallest of these datasets."
    assert Answer.of(with_intervals((2, 2)), "target").verdict.endswith(
        f" a cannot be told apart from b (by 2 of 2), with 40 patients{said}"
    )
    assert Answer.of(with_intervals((2, 3)), "target").verdict.endswith(
        f" a cannot be told apart from b (by 2 of 2), c (by 1 of 2), with 7 patients{said}"
    )


def test_a_source_of_one_patient_leaves_its_place_open():
    table = with_intervals((1, 1))
    rows = tuple(replace(one, low=None, high=None) if one.source in "bd" else one for one in table.rows)
    kept = tuple(one for one in table.comparisons if not {one.nearer, one.farther} & {"b", "d"})
    said = Answer.of(DistanceTable(rows=rows, comparisons=kept), "target").verdict
    assert said.endswith("b, d have one patient each, so how sure their places are remains open.")
    rows = tuple(replace(one, low=None, high=None) if one.source == "d" else one for one in table.rows)
    said = Answer.of(replace(table, rows=rows), "target").verdict
    assert said.endswith(" d has one patient, so how sure its place is remains open.")


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="found 'nobody'"):
        Answer.of(SURE, "nobody")
