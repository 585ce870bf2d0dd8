"""What people read: help, what a notebook shows, and tables in 80 columns."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from medsegdist import DiceMetric, GmmMetric, MulticlassSamples, compare_all, solve_transport
from medsegdist.cli import app
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import METHODS
from medsegdist.distance.order import DistanceRow
from medsegdist.distance.table import DistanceTable
from medsegdist.report.results import Results
from medsegdist.report.tables import distance_tables, ranking_table
from tests.public_reports import Report
from tests.public_reports.jobs import run
from tests.synthetic import blobs

# Help


def help_of_all_commands(folder: Path) -> None:
    import typer

    def walk(group: object, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        found = getattr(group, "commands", None)
        return (
            [words]
            if found is None
            else [words, *(w for name, one in found.items() for w in walk(one, (*words, name)))]
        )

    commands = walk(typer.main.get_command(app))
    assert len(commands) > 12
    for words in commands:
        for flag in ("-h", "--help"):
            text = run(*words, flag)
            assert "bool" not in text.casefold(), words
            assert max(map(len, text.splitlines())) <= 80
    for command in ("rank", "distances"):
        said = " ".join(re.sub("[│╭╮╰╯─]", " ", run(command, "-h")).split())
        assert all(re.search(rf"\b{name}\b", said) for name in METHODS)


def the_version(folder: Path) -> None:
    from medsegdist import __version__

    done = subprocess.run([sys.executable, "-m", "medsegdist", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"medsegdist {__version__}\n"
    assert run("--version") == done.stdout


# Notebooks


def short_reprs(folder: Path) -> None:
    a, b = blobs("a <b>", n=4), blobs("b", n=4, center=(0.3, 0.3))
    distance = DatasetDistance(DiceMetric())(a, b)
    table = compare_all([a, b], ["euclidean", "dice"])
    classes = MulticlassSamples.from_arrays("c", a.images, a.masks.int(), {"whole": 1})
    transport = solve_transport(torch.eye(3, dtype=torch.float64), torch.ones(3) / 3, torch.ones(3) / 3)
    for one in (a, classes, distance, table, Results("run", table), Results("none"), DistanceTable(()), transport):
        assert len(repr(one)) < 200
        assert "tensor" not in repr(one)
        assert "\n" not in repr(one)
    assert repr(a) == "SegmentationSamples('a <b>': samples 4, cases 4, patients 4, grid 32 x 40)"
    assert repr(table) == "DistanceTable(4 distances to 'a <b>', 'b' by euclidean, dice)"
    assert repr(distance).startswith("Distance(dice, 'a <b>' to 'b': ")
    assert repr(Results("run", table)) == "Results('run': 4 distances)"


def tables_in_a_notebook(folder: Path) -> None:
    a, b = blobs("a <b>", n=4), blobs("b", n=4, center=(0.3, 0.3))
    table = compare_all([a, b], ["euclidean"])
    shown = [a, DatasetDistance(DiceMetric())(a, b), table, Results("run", table), Results("none"), DistanceTable(())]
    for one in shown:
        text = one._repr_html_()
        assert "<b>:" not in text or "a &lt;b&gt;" in text
        assert "a <b>" not in text
        assert len(text) < 5000
    assert "<table" in table._repr_html_()
    assert "euclidean" in table._repr_html_()
    assert "One source only: b." in Results("run", table)._repr_html_()


def frames(folder: Path) -> None:
    a, b = blobs("a", n=4), blobs("b", n=4, center=(0.3, 0.3))
    for table in (compare_all([a, b], ["euclidean"]), DistanceTable(())):
        frame = table.to_frame()
        numbers = ["distance", "image_term", "mask_term", "low", "high", "noise_floor", "optimality_gap"]
        assert (frame[numbers].dtypes == "float64").all()
        assert frame[["low", "high", "noise_floor"]].isna().all(axis=None)
        assert (frame[["rank", "n_source", "n_target"]].dtypes == "int64").all()
        assert frame["tied"].dtype == bool


def by_names_of_methods(folder: Path) -> None:
    a, b = blobs("a", n=4), blobs("b", n=4, center=(0.3, 0.3))
    assert compare_all([a, b], ["gmm2d", "euclidean"]).methods == ("gmm2d", "euclidean")
    assert compare_all([a, b], ("dice",)).methods == compare_all([a, b], "dice").methods == ("dice",)
    for wrong, meant in (("gmm2", "gmm2d"), ("Euclidian", "euclidean"), ("fake-classes", "fake_classes")):
        for given in (wrong, [wrong], ["dice", wrong]):
            with pytest.raises(ValueError, match=f"expected a method to be one of .*; did you mean '{meant}'"):
                compare_all([a, b], given)
    with pytest.raises(ValueError, match=r"expected a method to be one of .*, found GmmMetric"):
        compare_all([a, b], [GmmMetric()])
    with pytest.raises(TypeError, match=r"for 'gmm', found GmmMetric; write DatasetDistance\(GmmMetric\(\)\)"):
        compare_all([a, b], {"gmm": GmmMetric()})


# Tables


def columns_of(renderable: object) -> list[str]:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(renderable)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    return lines


def _ranked(
    sources: list[str], methods: list[str], target: str = "target", distance: float = 123456.7
) -> DistanceTable:
    rows = [
        DistanceRow(source, target, method, distance + k, distance, 0.0, None, None, None, k + 1, True, 9, 9, 0.0)
        for method in methods
        for k, source in enumerate(sources)
        if source != target
    ]
    return DistanceTable(tuple(rows))


def rankings_fit(folder: Path) -> None:
    long = ["a_very_long_metric_name_of_somebody", "x" * 60, "surface-distance-of-the-boundary"]
    for methods in (list(METHODS)[:5], list(METHODS), [*METHODS, *long], long, ["dice"]):
        for sources in ([f"Source {k}" for k in range(20)], [f"Source {k} of a hospital in town" for k in range(3)]):
            table = _ranked(sources, methods)
            lines = columns_of(ranking_table(table, "target"))
            text = "\n".join(lines)
            for row in table.rows:
                assert f"{row.distance:,.0f}" in text
            # No name of a method over more than two lines, but where a line of 24 letters does not hold a half.
            if not set(methods) & {long[1]}:
                heads = text.split("───")[0].splitlines()
                assert sum(bool(line.strip()) for line in heads[1:]) <= 2, heads
    assert sum("Rank" in line for line in columns_of(ranking_table(_ranked(["a"], list(METHODS)[:5]), "target"))) == 1


def distances_fit(folder: Path) -> None:
    names = [f"dataset {k} of a clinic" for k in range(20)]
    for distance in (0.1234, 12.3, 1234.5, 1234567.8):
        rows = tuple(row for target in names for row in _ranked(names, ["gmm3d"], target, distance).rows)
        shown = [columns_of(one) for one in distance_tables(DistanceTable(rows))]
        heads = [word for lines in shown for line in lines[1:3] for word in line.split() if word.isdigit()]
        assert heads == [str(k + 1) for k in range(20)]
        for lines in shown:
            assert sum(bool(re.match(r" \d+ dataset", line)) for line in lines) == 20


REPORTS = [
    Report("", "help of every command", "no type of a flag, all methods", help_of_all_commands),
    Report("", "the version", "--version and python -m", the_version),
    Report("pytorch/vision#5558", "reprs of what holds tensors", "one short line", short_reprs),
    Report("", "tables in a notebook", "HTML, names escaped", tables_in_a_notebook),
    Report("", "to_frame without intervals", "NaN in float columns", frames),
    Report("", "compare_all by names of methods", "a table, or the name that was meant", by_names_of_methods),
    Report("", "rankings by many or long methods", "80 columns, names over two lines", rankings_fit),
    Report("", "distances of 20 datasets", "80 columns, every number", distances_fit),
]
