"""Tables in a terminal of 80 columns."""

from __future__ import annotations

import io
import math
from types import SimpleNamespace

from rich.console import Console
from rich.text import Text

from medsegdist.distance.order import DistanceRow, Recommendation
from medsegdist.distance.table import DistanceTable
from medsegdist.report.tables import (
    certainty_table,
    choice_tables,
    filled_table,
    prediction_table,
    rank_table,
    ranking_table,
    regression_table,
    table_12,
    table_13,
    warning_lines,
    without_table,
)
from medsegdist.transfer.agreement import measure_agreement
from medsegdist.transfer.gains import DistanceRecord, Gain
from medsegdist.transfer.paper import recompute_paper


def row(source, method, distance, rank, *, tied=False, target="target"):
    return DistanceRow(source, target, method, distance, distance, 0.0, None, None, None, rank, tied, 9, 9, 0.0)


def shown(renderable, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_the_papers_methods_fit_80_columns_with_rank_and_chance():
    methods = ("euclidean", "gmm2d", "gmm3d", "fake_classes", "fake_class_gmm")
    names = ("Prostate phantom", "Lung phantom")
    table = DistanceTable(
        rows=tuple(row(name, method, 12345.6, 1, tied=True) for method in methods for name in names),
        recommendations=tuple(Recommendation("target", name, 1, True, 0.0, 0.5, "mean") for name in names),
    )
    lines = shown(ranking_table(table, "target")).splitlines()
    (line,) = [line for line in lines if "Lung phantom" in line]
    assert line.split() == ["Lung", "phantom", "1=", "50%", *["12,346"] * 5]


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


def test_a_cell_of_which_nothing_is_known_is_one_dash():
    rows = [(SimpleNamespace(low=low, high=None),) for low in (0.25, math.nan, None)]
    table = filled_table("Shares", "Share | Text", "{0.low:.2f} to {0.high:.2f} | ({0.low:.1f})", rows)
    assert list(table.columns[0].cells) == [Text("0.25 to -"), Text("-"), Text("-")]
    assert list(table.columns[1].cells) == [Text("(0.2)"), Text("-"), Text("-")]
