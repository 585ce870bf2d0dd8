"""The answer in words, on tables made by hand."""

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.distance.table import Comparison, DistanceTable
from medsegdist.report.tables import ranking_table
from medsegdist.report.verdict import headline, mean_ranks, nearest_sources, verdict
from tests.report.test_tables import row, shown

SURE = DistanceTable(
    rows=tuple(
        row(source, method, value, rank)
        for method in ("gmm2d", "gmm3d")
        for rank, (source, value) in enumerate({"near": 10.0, "far": 20.0}.items(), start=1)
    )
)


def test_all_methods_agree():
    assert verdict(SURE, "target") == "For target the nearest source is near, by every method (2 of 2)."
    assert headline(SURE, "target") == "Nearest by 2 of 2 methods: near."


def test_methods_disagree():
    table = DistanceTable(
        rows=(
            *(row("a", method, 1.0, 1) for method in ("one", "two")),
            *(row("b", method, 2.0, 2) for method in ("one", "two")),
            row("a", "three", 5.0, 2),
            row("b", "three", 4.0, 1),
        )
    )
    assert verdict(table, "target") == (
        "For target the methods do not agree on the nearest source: a (by 2 of 3), b (by 1 of 3)."
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
    assert verdict(table, "target") == (
        "For target the nearest source is LIDC 5, by the one method that was asked for. "
        "LIDC 5 cannot be told apart from LIDC 4, with 12 patients in the smallest of these datasets."
    )
    assert headline(table, "target") == "No clear winner: LIDC 5 or LIDC 4."
    assert list(mean_ranks(table, "target").items()) == [("LIDC 5", 1.0), ("LIDC 4", 1.0), ("liver", 3.0)]


@pytest.mark.parametrize("methods", [("one",), ("one", "two")])
def test_one_source_is_not_ranked(methods):
    table = DistanceTable(rows=tuple(row("a", method, 1.0, 1) for method in methods))
    assert verdict(table, "target") == (
        "For target there is one source only, a, so nothing was ranked; its distances are shown."
    )
    assert headline(table, "target") == "One source only: a."
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


def test_where_another_source_leads_the_table_the_verdict_says_why():
    table = ranked({"a": (1, 1, 1, 4, 4), "b": (2, 2, 2, 1, 1), "c": (3, 3, 3, 2, 2), "d": (4, 4, 4, 3, 3)})
    assert verdict(table, "target") == (
        "For target the methods do not agree on the nearest source: a (by 3 of 5), b (by 2 of 5). "
        "By mean rank over all methods, the order of the table, b comes first (1.6, a 2.2)."
    )
    assert next(iter(mean_ranks(table, "target"))) == "b"


@pytest.mark.parametrize(
    "ranks",
    [
        {"a": (1, 1, 3), "b": (3, 2, 1), "c": (2, 3, 2)},
        {"a": (1, 3), "b": (2, 1), "c": (3, 2)},  # equally many methods: the better mean rank counts
        {"a": (1, 2), "b": (2, 1)},
    ],
)
def test_otherwise_the_nearest_source_leads_the_table(ranks):
    table = ranked(ranks)
    leader = next(iter(mean_ranks(table, "target")))
    assert f"nearest source: {leader} (" in verdict(table, "target")
    assert "mean rank" not in verdict(table, "target")


@given(st.lists(st.permutations("abcd"), min_size=1, max_size=5))
def test_the_verdict_names_the_leader_of_the_table_or_explains_it(orders):
    table = ranked({source: tuple(order.index(source) + 1 for order in orders) for source in "abcd"})
    nearest = nearest_sources(table, "target")[0][0]
    leader = next(iter(mean_ranks(table, "target")))
    assert (leader != nearest) == (f"the order of the table, {leader} comes first" in verdict(table, "target"))


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
    assert headline(with_intervals(ties), "target") == expected


def test_the_number_of_patients_is_that_of_the_smallest_dataset_concerned():
    said = " in the smallest of these datasets."
    assert verdict(with_intervals((2, 2)), "target").endswith(
        f" a cannot be told apart from b (by 2 of 2), with 40 patients{said}"
    )
    assert verdict(with_intervals((2, 3)), "target").endswith(
        f" a cannot be told apart from b (by 2 of 2), c (by 1 of 2), with 7 patients{said}"
    )


def test_a_source_of_one_patient_leaves_its_place_open():
    table = with_intervals((1, 1))
    rows = tuple(replace(one, low=None, high=None) if one.source in "bd" else one for one in table.rows)
    kept = tuple(one for one in table.comparisons if not {one.nearer, one.farther} & {"b", "d"})
    said = verdict(DistanceTable(rows=rows, comparisons=kept), "target")
    assert said.endswith("b, d have one patient each, so how sure their places are remains open.")
    rows = tuple(replace(one, low=None, high=None) if one.source == "d" else one for one in table.rows)
    said = verdict(replace(table, rows=rows), "target")
    assert said.endswith(" d has one patient, so how sure its place is remains open.")


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="found 'nobody'"):
        verdict(SURE, "nobody")
