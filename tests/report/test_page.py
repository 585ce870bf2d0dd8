"""report.html: what it says, how it is built, and that nothing which comes with a table can run or load anything."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from medsegdist.distance.order import DistanceRow
from medsegdist.distance.table import DistanceTable
from medsegdist.report.page import render
from medsegdist.report.results import Results
from medsegdist.report.verdict import Answer
from tests.report.making_run import CENTERS, write_run

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
LOADING = {"src", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href", "ping"}
HOSTILE = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Elements with their attributes and texts; refuses tags that are closed in the wrong order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes), attributes
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(text for tag, text in self.texts if tag not in ("script", "style")).split())


@pytest.fixture
def html(run_folder):
    return render(Results.load(run_folder))


def test_the_answer_comes_first_in_the_words_of_the_terminal(run_folder, html):
    table, page = Results.load(run_folder).table, Page(html)
    headings = [text for tag, text in page.texts if tag == "h2"]
    assert headings == [
        "Answer",
        "Ranking",
        "Distances",
        "Images and masks",
        "Segments",
        "Matched mixtures",
        "Characteristics",
        "What pre-training gained",
        "Distance and gain",
        "How it was computed",
        "What is simulated",
    ]
    assert Answer.of(table, "target").verdict in page.text
    assert page.text.index(Answer.of(table, "target").verdict) < page.text.index("The recommended source is on top")
    # Of all pairs, only what the study asked for is answered.
    assert [one["aria-label"] for one in page.of("article")] == ["target"]
    assert "It rests on 12 samples of 4 patients of target, 2 sources and 2 methods" in page.text
    assert "patients were resampled 5 times to say how sure it is; the data is simulated" in page.text


def test_a_target_of_one_patient_is_not_said_to_be_sure(tmp_path, compared_datasets):
    table, record = compared_datasets
    rows = tuple(replace(row, low=None, high=None) for row in table.rows)
    page = Page(render(Results.load(write_run(tmp_path / "one", replace(table, rows=rows, comparisons=()), record))))
    assert "how sure it is remains open, for one patient does not show how patients differ" in page.text
    assert "to say how sure it is" not in page.text


def test_the_intervals_of_one_source_alone_are_no_single_patients(tmp_path, compared_datasets):
    table, record = compared_datasets
    rows = tuple(row for row in table.rows if (row.source, row.target) == ("near", "target"))
    alone = DistanceTable(rows)
    page = Page(render(Results.load(write_run(tmp_path / "one", alone, record))))
    assert "One source only: near." in page.text
    assert "patients were resampled 5 times to say how sure it is" in page.text
    assert "one patient does not show" not in page.text


def test_every_number_of_the_table_is_on_the_page(run_folder, html):
    values = {attributes.get("data-value") for attributes in Page(html).of("td")}
    assert {str(row.distance) for row in Results.load(run_folder).table.rows} <= values


def test_how_it_was_computed_and_what_is_simulated(html):
    text = Page(html).text
    for said in (
        "Largest optimality gap",
        "fingerprint",
        "Bootstrap replicates 5",
        "torch",
        "components 2",
        "min_pixels",
    ):
        assert said in text
    assert "3 of 3 datasets are simulated in whole or in part" in text
    assert "far everything" in text


def test_mixtures_that_may_be_others_are_named_with_the_spread_of_their_fits(compared_datasets, tmp_path):
    table, record = compared_datasets
    spreads = zip(record.datasets, (0.02, 0.009, 0.25), strict=True)
    datasets = tuple(one.model_copy(update={"fit_spread": {"gmm2d": spread}}) for one, spread in spreads)
    write_run(tmp_path, table, record.model_copy(update={"datasets": datasets}))
    text = Page(render(Results.load(tmp_path))).text
    assert "Spread of fits, of the median distance between mixtures gmm2d target 2%, far 25% " in text


@pytest.mark.parametrize(
    ("oriented", "said"),
    [
        ([True, True, True], "Up is anterior and the patient\N{RIGHT SINGLE QUOTATION MARK}s right is on the left"),
        ([True, False, None], "In target up is anterior"),
        ([False, None, None], "Rows and columns are those of the samples as they were prepared."),
    ],
)
def test_up_is_anterior_only_where_that_is_known(compared_datasets, tmp_path, oriented, said):
    table, record = compared_datasets
    pairs = zip(record.datasets, oriented, strict=True)
    datasets = tuple(dataset.model_copy(update={"oriented": known}) for dataset, known in pairs)
    write_run(tmp_path, table, record.model_copy(update={"datasets": datasets}))
    text = Page(render(Results.load(tmp_path))).text
    assert said in text
    assert ("anterior" in text) is any(oriented)


def test_nothing_simulated_is_one_line_and_no_section(compared_datasets, tmp_path):
    table, record = compared_datasets
    datasets = tuple(dataset.model_copy(update={"simulated": ""}) for dataset in record.datasets)
    write_run(tmp_path, table, record.model_copy(update={"datasets": datasets}))
    page = Page(render(Results.load(tmp_path)))
    assert "simulated" not in [one.get("id") for one in page.of("section")]
    assert "#simulated" not in [one["href"] for one in page.of("a")]
    assert page.text.count("The study declares nothing as simulated.") == 1


def test_a_folder_with_distances_alone(run_folder):
    for name in ("comparisons.csv", "study.json", "gains.csv"):
        (run_folder / name).unlink()
    page = Page(render(Results.load(run_folder)))
    assert "There is no study.json with distances.csv" in page.text
    assert "patients were not resampled, so how sure it is remains open" in page.text
    assert "Whether anything is simulated is not known: there is no study.json." in page.text
    assert not {"simulated", "segments", "matches", "samples", "characteristics", "transfer", "gains"} & {
        one.get("id") for one in page.of("section")
    }


def test_a_table_with_gaps(tmp_path):
    """Somebody's CSV in which a method knows one source only, and a target one method."""
    rows = [("a", "t", "m"), ("b", "t", "m"), ("a", "t", "n"), ("a", "u", "n")]
    table = DistanceTable(
        tuple(DistanceRow(*names, 2.0, 1.0, 1.0, None, None, None, 1, False, 3, 3, 0.0) for names in rows)
    )
    page = Page(render(Results.load(write_run(tmp_path, table, None))))
    assert "For u there is one source only, a, so nothing was ranked." in page.text
    assert "The only source for u: its distance by each method." in page.text
    assert {} in [{k: v for k, v in cell.items() if k == "data-value" and v} for cell in page.of("td")]


def test_gains_in_numbers(run_folder, html):
    text = Page(html).text
    assert "Gain in percent by distance, ordinary least squares" in text
    assert "Fewer than ten pairs: one of them can carry the whole line." in text
    (run_folder / "gains.csv").write_text("source,target,seed,dice,dice_baseline,gain_percent\nnear,target,0,.5,.5,0\n")
    assert "too few pairs for a line" in Page(render(Results.load(run_folder))).text


def test_it_can_be_read_without_seeing_it(html):
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for tag in ("header", "main", "footer", "nav", "h1"):
        assert len(page.of(tag)) == 1, tag
    assert page.of("nav")[0]["aria-label"]
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for section in page.of("section"):
        assert section["aria-labelledby"] in ids
    for link in page.of("a"):
        assert link["href"].removeprefix("#") in ids
    plots = [div for div in page.of("div") if div.get("class") == "plot"]
    assert len(plots) == len(page.of("figure")) == len(page.of("figcaption")) == 2 * (3 + 3 + 1 + 1) + 3 + 1 + 3
    assert all(plot["role"] == "img" and len(plot["aria-label"]) > 20 for plot in plots)
    assert len(page.of("table")) == len(page.of("caption"))
    assert all(heading["scope"] in ("col", "row") for heading in page.of("th"))
    assert [one["aria-sort"] for one in page.of("th") if "aria-sort" in one].count("ascending") == len(CENTERS)
    assert all(button == {"type": "button"} for button in page.of("button"))
    for div in page.of("div"):
        if div.get("class") == "scroll":
            assert (div["role"], div["tabindex"]) == ("region", "0")
            assert div["aria-label"]


def policy_of(page: Page) -> str:
    (policy,) = [meta["content"] for meta in page.of("meta") if "http-equiv" in meta]
    return policy


def test_nothing_is_loaded_from_anywhere(html):
    page = Page(html)
    for tag, attributes in page.elements:
        assert not LOADING & attributes.keys(), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
    assert not page.of("link")
    assert not page.of("iframe")
    assert "default-src 'none'" in policy_of(page)
    assert "http" not in policy_of(page)
    for tag, text in page.texts:
        if tag == "style":
            assert "url(" not in text
            assert "@import" not in text


def test_only_our_own_scripts_may_run(html):
    page = Page(html)
    scripts = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    assert [one for one in page.of("script") if one] == [{"type": "application/json", "id": "figures"}]
    assert len(scripts) == 2
    allowed = re.search(r"script-src ([^;]*);", policy_of(page)).group(1).split()
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert allowed == [f"'sha256-{one}'" for one in hashes]


NAMES = [
    HOSTILE,
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "</script><script>alert(1)</script>",
    "$x^2$\u202eevil",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_is_text(tmp_path, compared_datasets, name):
    table, record = compared_datasets
    folder = write_run(tmp_path, table, record)
    for file in ("distances.csv", "comparisons.csv", "recommendation.csv"):
        quoted = '"' + name.replace('"', '""') + '"'
        text = (folder / file).read_text()
        (folder / file).write_text(re.sub(r"(?m)(?<![a-z_])far(?![a-z_])", lambda _, quoted=quoted: quoted, text))
    text = (folder / "study.json").read_text()
    (folder / "study.json").write_text(text.replace('"far"', json.dumps(name)))
    html = render(Results.load(folder))
    page = Page(html)
    assert len(page.of("script")) == 3
    assert not page.of("img")
    assert name.replace("\u202e", r"\u202e") in page.text
    figures = json.loads(next(text for tag, text in page.texts if tag == "script" and text.startswith("{")))
    labels = json.dumps([figure["layout"].get("yaxis", {}).get("ticktext") for figure in figures.values()])
    assert "<" not in labels
