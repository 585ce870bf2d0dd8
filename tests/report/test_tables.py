"""What is said of a ranking, on tables made by hand."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from medsegdist.distance.distance_table import Comparison, DistanceRow, DistanceTable
from medsegdist.report.tables import distance_tables, mean_ranks, nearest_sources, ranking_table, verdict


def row(source, method, distance, rank, *, tied=False, target="target"):
    return DistanceRow(source, target, method, distance, distance, 0.0, None, None, None, rank, tied, 9, 9, 0.0)


def shown(renderable, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


SURE = DistanceTable(
    rows=tuple(
        row(source, method, value, rank)
        for method in ("gmm2d", "gmm3d")
        for rank, (source, value) in enumerate({"near": 10.0, "far": 20.0}.items(), start=1)
    )
)


def test_all_methods_agree():
    assert verdict(SURE, "target") == "For target the nearest source is near, by every method (2 of 2)."


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
        "For target the nearest source is LIDC 5, by every method (1 of 1). "
        "LIDC 5 cannot be told apart from LIDC 4 with 12 patients (by 1 of 1)."
    )
    assert list(mean_ranks(table, "target").items()) == [("LIDC 5", 1.0), ("LIDC 4", 1.0), ("liver", 3.0)]


@pytest.mark.parametrize("methods", [("one",), ("one", "two")])
def test_one_source_is_not_ranked(methods):
    table = DistanceTable(rows=tuple(row("a", method, 1.0, 1) for method in methods))
    assert verdict(table, "target") == (
        "For target there is one source only, a, so nothing was ranked; its distances are shown."
    )
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


def test_the_papers_methods_fit_80_columns_and_ties_are_marked():
    methods = ("euclidean", "gmm2d", "gmm3d", "fake_classes", "fake_class_gmm")
    table = DistanceTable(rows=tuple(row("Lung phantom", method, 12345.6, 1, tied=True) for method in methods))
    lines = shown(ranking_table(table, "target")).splitlines()
    (line,) = [line for line in lines if "Lung phantom" in line]
    assert line.count("1= 12,346") == 5


def test_a_matrix_has_a_row_per_source_and_a_column_per_target():
    rows = (row("b", "gmm2d", 2.5, 1, target="a"), row("a", "gmm2d", 2.5, 1, target="b"))
    (rendered,) = distance_tables(DistanceTable(rows=rows))
    text = shown(rendered)
    assert "GMM 2D (Table 6)" in text
    assert text.count("2.50") == 2
    assert text.count(" - ") == 2


def test_a_wide_matrix_shows_every_number_in_80_columns():
    names = [f"a dataset with a long name {k}" for k in range(10)]
    rows = tuple(
        row(source, "gmm2d", 1000.0 * (i + 1) + j, 1, target=target)
        for j, target in enumerate(names)
        for i, source in enumerate(names)
        if i != j
    )
    (rendered,) = distance_tables(DistanceTable(rows=rows))
    text = shown(rendered)
    for value in rows:
        assert f" {value.distance:.0f}" in text
    assert "\n 10 a" in text
    assert max(map(len, text.splitlines())) <= 80


def test_markup_in_a_name_is_a_name():
    table = DistanceTable(rows=(row("[red]x", "gmm2d", 1.0, 1, target="[bold]t"),))
    text = shown(ranking_table(table, "[bold]t"))
    assert "[red]x" in text
    assert "[bold]t" in text


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="found 'nobody'"):
        verdict(SURE, "nobody")
