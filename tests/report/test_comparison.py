"""Two runs side by side: equal runs, mirrored runs, planted changes, and folders that cannot be compared."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import plotly.graph_objects as go
import pytest

from medsegdist.distance.order import DistanceRow, Recommendation
from medsegdist.distance.resampling import Bootstrap
from medsegdist.distance.table import DistanceTable
from medsegdist.errors import DataError
from medsegdist.report.comparison import (
    compare_runs,
    comparison_tables,
    mask_share,
    slope_plot,
    write_comparison,
)
from medsegdist.report.record import DatasetRecord, MethodRecord, SegmentHistogram, StudyRecord
from medsegdist.report.results import Results
from tests.report.making_run import write_run
from tests.report.test_page import HOSTILE, Page
from tests.report.test_tables import shown
from tests.test_cli import run as command


def ranking(order, *, target="t", methods=("one", "two"), tied=(), mask=0.25):
    """A table that recommends the sources in this order; those of `tied` share the first rank."""
    rows, advice = [], []
    for k, source in enumerate(order):
        rank = 1 if source in tied else k + 1
        numbers = (k + 1.0, (1 - mask) * (k + 1), mask * (k + 1), None, None, None)
        rows += [DistanceRow(source, target, one, *numbers, rank, source in tied, 9, 9, 0.0) for one in methods]
        advice.append(Recommendation(target, source, rank, source in tied, float(k), None, rule="consensus"))
    return DistanceTable(tuple(rows), recommendations=tuple(advice))


def record(*names, grid=64, methods=("one", "two"), bootstrap=None, torch="2.0", patients=5):
    histogram = SegmentHistogram(extent=(4, 4), mass=((1.0,),))
    return StudyRecord(
        name="study",
        targets=("t",),
        methods=tuple(MethodRecord(name=one, options={"seed": 0}, optimality_gap=0.0) for one in methods),
        datasets=tuple(
            DatasetRecord(name=one, samples=9, patients=patients, histogram=histogram) for one in ("t", *names)
        ),
        preprocessing={"grid": [grid, grid], "ct_window": {"low": -100}},
        bootstrap=bootstrap,
        software={"torch": torch},
    )


def made(order, name="run", *, known=True, **more):
    return Results(name, ranking(order, **more), record(*order) if known else None)


def test_in_two_equal_runs_nothing_moved():
    run = made("abcd", tied="ab")
    compared = compare_runs(run, run)
    (target,) = compared.targets
    assert [move.up for move in target.moves] == [0, 0, 0, 0]
    assert target.spearman == pytest.approx(1)
    assert target.headline == "For t both runs recommend a. None of 4 sources moved (Spearman 1.00)."
    assert (compared.differences, compared.knowledge) == ((), "Nothing in the two study.json differs.")
    assert compared.headline == "Both runs recommend the same source for 1 target."


def test_runs_that_change_places_are_mirrored():
    a, b = made("abcde"), made("cabef", methods=("two", "three"))
    (there,), (back,) = compare_runs(a, b).targets, compare_runs(b, a).targets
    assert {move.source: move.up for move in there.moves} == {move.source: -move.up for move in back.moves}
    assert {move.source: move.places for move in there.moves} == {move.source: move.places[::-1] for move in back.moves}
    assert (there.only_a, there.only_b) == (back.only_b, back.only_a) == (("d",), ("f",))
    assert there.first == back.first[::-1] == ("a", "c")
    assert there.spearman == back.spearman
    assert there.methods == ("two",)
    mirrored = [(one.what, one.b, one.a) for one in compare_runs(b, a).differences]
    assert sorted((one.what, one.a, one.b) for one in compare_runs(a, b).differences) == sorted(mirrored)


def test_places_count_the_sources_of_both_runs_only():
    (target,) = compare_runs(made("abcd"), made("xyabcd")).targets
    assert [move.up for move in target.moves] == [0, 0, 0, 0]
    assert [move.after.rank for move in target.moves] == [3, 4, 5, 6]
    assert "A recommends a, and B x. x is no source in A." in target.headline


def test_a_planted_move_is_named_with_the_ties_that_explain_it():
    a, b = made("abcd", tied="ab"), made("bacd")
    (target,) = compare_runs(a, b).targets
    assert [(move.source, move.moved) for move in target.moves] == [("b", "↑ 1"), ("a", "↓ 1"), ("c", "-"), ("d", "-")]
    assert target.headline.startswith("For t A recommends a, and B b. A does not distinguish the two. 2 of 4 sources")
    (sure,) = compare_runs(made("abcd"), made("bacd")).targets
    assert "distinguish" not in sure.headline
    tables = [shown(table) for table in comparison_tables(target)]
    assert "1= > 2, 25% > 25%" in tables[1]
    assert max(len(line) for table in tables for line in table.splitlines()) <= 80
    assert compare_runs(a, b).headline == "Another source is recommended for 1 of 1 target: t."
    text = shown(next(comparison_tables(target)))
    assert [line.split() for line in text.splitlines() if "↑" in line or "↓" in line] == [
        ["b", "1=", "1", "↑", "1"],
        ["a", "1=", "2", "↓", "1"],
    ]


def test_what_was_set_otherwise_is_named_and_nothing_else():
    a = Results("run", ranking("ab"), record("a", "b"))
    other = record("a", "c", grid=32, methods=("one", "three"), bootstrap=Bootstrap(5), torch="2.1", patients=6)
    b = Results("run", ranking("ac", methods=("one", "three")), other)
    assert {one.what: (one.a, one.b) for one in compare_runs(a, b).differences} == {
        "preprocessing grid": ("64, 64", "32, 32"),
        "methods": ("one, two", "one, three"),
        "bootstrap replicates": ("0", "5"),
        "bootstrap level": ("", "0.95"),
        "bootstrap seed": ("", "0"),
        "datasets": ("t, a, b", "t, a, c"),
        "dataset t: patients": ("5", "6"),
        "dataset a: patients": ("5", "6"),
        "version of torch": ("2.0", "2.1"),
    }


def test_without_a_record_it_is_not_known_what_differs():
    compared = compare_runs(made("ab"), made("ab", known=False))
    assert compared.knowledge == "What differs is not known: there is no study.json in B."
    (target,) = compared.targets
    assert target.spearman is None  # two sources have no correlation


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (made("ab"), made("ab", target="u"), "a target in common, found 't' in the first and 'u' in the second"),
        (made("ab"), made("cd"), "a source in common for 't', found for 't' 'a', 'b' in the first and 'c', 'd' in"),
        (
            made("ab"),
            Results("trained"),
            "a ranking in the second of two runs, found none in 'trained'; `medsegdist rank",
        ),
        (Results("trained"), made("ab"), "a ranking in the first of two runs, found none in 'trained'"),
    ],
)
def test_runs_without_anything_in_common_are_refused(a, b, message):
    with pytest.raises(DataError, match=re.escape(message)):
        compare_runs(a, b)


def test_the_page_says_what_moved_and_shows_valid_figures(tmp_path):
    a, b = made("abc"), made([HOSTILE, "a", "b"], HOSTILE, mask=0.5)
    compared = write_comparison(a, b, tmp_path / "new" / "page.html")
    page = Page((tmp_path / "new" / "page.html").read_text())
    assert compared.targets[0].headline in page.text
    assert HOSTILE in page.text
    assert len(page.of("script")) == 3
    assert "masks 25% → 50%" in page.text
    assert [one["id"] for one in page.of("section")] == ["order", "differences"]
    assert len(page.of("table")) == len(page.of("caption")) == 2
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert all(link["href"].removeprefix("#") in ids for link in page.of("a"))
    (figure,) = json.loads(next(text for tag, text in page.texts if tag == "script" and text.startswith("{"))).values()
    text = re.sub(r"var\(--[\w-]+\)", "#123456", json.dumps(figure))
    go.Figure(json.loads(text)["data"], json.loads(text)["layout"])
    assert [trace["y"] for trace in figure["data"]] == [[0, 0], [1, 1]]


def test_lines_go_from_place_to_place():
    (target,) = compare_runs(made("abc"), made("cab")).targets
    plot = slope_plot(target)
    assert [trace["y"] for trace in plot.data] == [[2, 0], [0, 1], [1, 2]]
    assert plot.alt == "Places of the sources for t in A and B: c from 3 to 1; a from 1 to 2; b from 2 to 3."


def test_a_distance_of_zero_has_no_share():
    (row, *_) = ranking("a", mask=0.5).rows
    assert mask_share(row) == "50%"
    assert mask_share(replace(row, distance=0.0)) == "-"


@pytest.fixture
def folders(tmp_path):
    before = write_run(tmp_path / "before", ranking("abc"), record("a", "b", "c"))
    return before, write_run(tmp_path / "after", ranking("bac"), record("a", "b", "c", grid=32))


def test_report_of_two_folders_shows_both_orders(folders, tmp_path):
    stdout = command("report", *folders).stdout
    assert "For t A recommends a, and B b." in " ".join(stdout.split())
    assert "preprocessing grid: 64, 64 > 32, 32" in stdout
    assert f"Report: {folders[1] / 'comparison.html'}" in stdout
    assert not (folders[1] / "report.html").exists()
    text = Page((folders[1] / "comparison.html").read_text()).text
    assert "A : study, folder before B : study, folder after" in text
    command("report", *folders, "--out", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == (folders[1] / "comparison.html").read_bytes()


def test_folders_that_are_not_two_rankings_are_refused(folders, tmp_path):
    before, after = folders
    three = command("report", *folders, tmp_path, status=2).stderr
    assert "expected one folder, or two to compare, found 3" in three
    assert (
        f"expected two folders to compare, found {before} twice" in command("report", before, before, status=2).stderr
    )
    assert (
        "expected a folder with distances.csv, found nothing"
        in command("report", after, tmp_path / "x", status=2).stderr
    )
    assert not (tmp_path / "x").exists()
    assert not (after / "comparison.html").exists()
