"""What the page says of cases: how their relevance is spread and the command that writes them, but no name of any."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medsegdist.distance.order import RankedCase
from medsegdist.errors import DataError
from medsegdist.report.page import render
from medsegdist.report.results import Results
from medsegdist.report.sections import case_sections
from tests.report.test_page import Page


def cases_of(source, costs, target="target"):
    """The cases of a source by their costs, the last one first."""
    return tuple(
        RankedCase(target, source, f"secret {source} {k}", k, float(k), cost, 2)
        for k, cost in enumerate(costs, start=1)
    )[::-1]


@pytest.fixture
def run(run_folder):
    return Results.load(run_folder)


def test_the_page_says_how_cases_are_spread_and_what_to_do(run):
    cases = (*cases_of("near", [0.5, 0.7, 0.9, 1.1, 1.8]), *cases_of("far", [0.25, 1.75]))
    html = render(replace(run, cases=cases))
    page = Page(html)
    assert ("h2", "Cases") in page.texts
    assert (
        "The nearest 2 cases cost 0.60 times what a sample of near costs on average, the 3 other ones 1.27 times."
        in page.text
    )
    expected = "medsegdist prepare STUDY.yaml --dataset near --nearest 2 --target target --out Task01_Nearest"
    assert ("code", expected) in page.texts
    assert "secret" not in html


def test_of_many_cases_fifty_are_the_nearest(run):
    first = run.table.recommended("target")[0].source
    section = case_sections(replace(run, cases=cases_of(first, [0.5] * 50 + [1.25] * 100)))[0]
    assert section["said"].startswith("The nearest 50 cases cost 0.50 times")
    assert section["said"].endswith("the 100 other ones 1.25 times.")
    assert section["nearest"] == 50
    colors = section["figure"].data[0]["marker"]["color"]
    assert colors == ["var(--accent)"] * 50 + ["var(--neutral)"] * 100
    assert section["figure"].data[0]["y"] == [0.5] * 50 + [1.25] * 100


def test_without_cases_or_with_one_nothing_is_said(run):
    assert case_sections(run) == []
    assert case_sections(replace(run, cases=cases_of("near", [1.0]))) == []
    assert 'id="cases"' not in render(run)


def test_cases_are_saved_and_loaded_and_a_damaged_file_is_refused(run, run_folder):
    cases = cases_of("near", [1 / 3, 5 / 3])
    replace(run, cases=cases).save(run_folder, report=False)
    assert Results.load(run_folder).cases == cases
    path = run_folder / "cases.csv"
    path.write_text(path.read_text().replace(",2,", ",second,", 1))
    with pytest.raises(DataError, match=r"cases.csv, line 2, column 'place': expected a valid integer.*'second'"):
        Results.load(run_folder)
    path.write_text("target,source\na,b\n")
    with pytest.raises(DataError, match=r"expected the columns case, place, score, cost, samples; .*rank .* --cases"):
        Results.load(run_folder)
