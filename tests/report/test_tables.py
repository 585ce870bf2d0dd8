"""What is said of a ranking, on tables made by hand."""

import io

from rich.console import Console

from medsegdist.distance.table import DistanceRow, DistanceTable
from medsegdist.report.tables import distance_tables, ranking_table


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
