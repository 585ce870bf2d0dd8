"""Pages of `transfer` and `agreement`: what was gained, what was left out and why, and what is not there."""

from __future__ import annotations

import json

import pytest

from medsegdist.errors import DataError
from medsegdist.report.page import render
from medsegdist.report.results import Results
from tests.report.making_run import write_agreement, write_run, write_transfer
from tests.report.test_page import HOSTILE, Page

DISTANCES = "source,target,method,distance\n" + "".join(
    f"s{k},{target},{method},{k + shift}\n"
    for method, shift in (("one", 1.0), ("two", 0.5))
    for target in "tu"
    for k in range(6)
)
GAINS = "source,target,seed,gain_percent,status\n" + "".join(
    f"s{k},{target},{seed},{20 - 4 * k + (k % 2) + seed},ok\n" for target in "tu" for k in range(5) for seed in (0, 1)
)


def sections_of(page: Page) -> list[str]:
    return [one["id"] for one in page.of("section")]


@pytest.fixture
def trained(tmp_path):
    return write_transfer(tmp_path / "trained")


def test_a_transfer_page_says_what_each_source_gained(trained):
    page = Page(render(Results.load(trained)))
    assert sections_of(page) == ["transfer", "method", "simulated"]
    # The mean of 20% over 0.5 and 0.61 over 0.51, and of the control.
    assert (
        "For liver pre-training on near gained most: +19.8% ± 0.3. From scratch with as many steps: +8.9%" in page.text
    )
    assert "trained study What a transfer leaves. 1 dataset is simulated in whole or in part" in page.text
    assert "Dice from scratch 0.505" in page.text
    assert "learning_rate 0.001" in page.text
    for text in ("distances.csv", "Nearest source"):
        assert text not in page.text


def test_what_learned_nothing_is_named_and_nowhere_counted(trained, tmp_path):
    html = render(Results.load(trained))
    page = Page(html)
    for seed in (0, 1):
        assert f"gone → liver, seed {seed}: did not converge" in page.text
        assert f"far → lung, seed {seed}: the Dice from scratch is 0" in page.text
    assert "Did not converge pretraining gone, seed 0" in page.text
    assert "fine-tuning gone -> lung, seed 0" in page.text
    figures = json.loads(next(text for tag, text in page.texts if tag == "script" and text.startswith("{")))
    ticks = [figure["layout"]["yaxis"]["ticktext"] for figure in figures.values()]
    assert ticks == [["near", "far"], ["near"]]
    rows = [cell["data-value"] for cell in page.of("th") if "data-value" in cell]
    assert rows == ["near", "far", "from scratch, as many steps", "near", "from scratch, as many steps"]


def test_with_distances_gains_are_set_against_them_without_what_collapsed(trained, compared_datasets):
    pairs = [("near", "liver"), ("far", "liver"), ("gone", "liver"), ("near", "lung"), ("far", "lung")]
    lines = [f"{source},{target},{k}" for k, (source, target) in enumerate(pairs)]
    (trained / "distances.csv").write_text("\n".join(["source,target,distance", *lines]))
    page = Page(render(Results.load(trained)))
    assert sections_of(page) == ["transfer", "gains", "method", "simulated"]
    figures = json.loads(next(text for tag, text in page.texts if tag == "script" and text.startswith("{")))
    dots = [trace for trace in list(figures.values())[-1]["data"] if "markers" in trace.get("mode", "")]
    assert {(trace["name"], *trace["x"]) for trace in dots} == {("liver", 0.0, 1.0), ("lung", 3.0)}
    assert "Runs without a gain are named above , and left out here." in page.text
    write_run(trained, *compared_datasets)
    assert {"answer", "transfer", "method"} <= set(sections_of(Page(render(Results.load(trained)))))


def test_nothing_that_converged_is_a_page_too(trained):
    header = (trained / "gains.csv").read_text().splitlines()[0]
    for name in ("gains.csv", "controls.csv"):
        (trained / name).write_text(header + "\n")
    page = Page(render(Results.load(trained)))
    assert "No run has a gain." in page.text
    assert "No pre-training for liver has a gain." in page.text
    assert "pretraining gone, seed 0" in page.text


def test_means_over_other_seeds_are_told(tmp_path):
    (tmp_path / "gains.csv").write_text("source,target,seed,gain_percent\na,t,0,3\nb,t,0,1\nb,t,1,2\n")
    assert "pre-training on a gained most: +3.0% over 1 seed." in Page(render(Results.load(tmp_path))).text


def test_gains_of_others_have_no_dice(tmp_path):
    (tmp_path / "gains.csv").write_text("source,target,gain_percent\na,t,-3\nb,t,-5\n")
    page = Page(render(Results.load(tmp_path)))
    assert "For t no pre-training gained anything; a lost least: -3.0%." in page.text
    assert "Dice from scratch" not in page.text


@pytest.fixture
def agreed(tmp_path):
    lost = "s5,t,0,,not_converged\ns5,u,0,nan,undefined\ns4,u,2,,not_converged\n"
    return write_agreement(tmp_path / "agreed", DISTANCES, GAINS + lost)


def test_an_agreement_page_needs_neither_a_study_nor_the_tables(agreed):
    page = Page(render(Results.load(agreed)))
    assert sections_of(page) == ["gains", "method"]
    assert len([one for one in page.of("div") if one.get("class") == "plot"]) == 2
    assert "Order of distances and gains" in " ".join(one.get("aria-label", "") for one in page.of("div"))
    (first, *_) = json.loads((agreed / "agreement.json").read_text())
    for value in (first["ranks"]["spearman"], first["ranks"]["kendall"]):
        assert f" {value:.2f} " in page.text
    assert f"{first['line']['p_intercept']:.3g}" in page.text
    assert "(All methods)" in page.text
    assert "s5 → t: no run has a gain" in page.text
    assert "s5 → u: no run has a gain" in page.text
    assert "s4 → u: 1 of its runs" in page.text


def test_an_agreement_of_other_tables_says_so(agreed):
    said = "agreement.json compared other distances or gains than those in this folder"
    (agreed / "distances.csv").write_text(DISTANCES)
    (agreed / "gains.csv").write_text(GAINS)
    assert said not in Page(render(Results.load(agreed))).text
    (agreed / "gains.csv").write_text(GAINS.replace("20", "30"))
    assert said in Page(render(Results.load(agreed))).text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{}]", "agreement.json: expected what `medsegdist agreement` writes there, found in 0.method: Field"),
        ('[{"method": "m", "pairs": [{"source": "a"}]}]', "found in 0.pairs.0.target: Field required"),
        ("{}", "Input should be a valid"),
    ],
)
def test_a_broken_agreement_json_is_refused(agreed, content, message):
    (agreed / "agreement.json").write_text(content)
    with pytest.raises(DataError, match=message):
        Results.load(agreed)


def test_a_broken_transfer_json_is_refused(trained):
    (trained / "transfer.json").write_text('{"name": "x"}')
    with pytest.raises(DataError, match="expected what `medsegdist transfer` writes there, found in targets: Field"):
        Results.load(trained)


def test_hostile_names_are_text_on_these_pages_too(tmp_path):
    folder = write_transfer(tmp_path / "trained", source=HOSTILE)
    agreed = write_agreement(tmp_path / "agreed", DISTANCES.replace("s0", HOSTILE), GAINS.replace("s0", HOSTILE))
    for one in (folder, agreed):
        html = render(Results.load(one))
        page = Page(html)
        assert len(page.of("script")) == 3
        figures = json.loads(next(text for tag, text in page.texts if tag == "script" and text.startswith("{")))
        hovers = json.dumps([trace.get("hovertext") for figure in figures.values() for trace in figure["data"]])
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in hovers
        assert "<" not in hovers.replace("<br>", "")
    assert HOSTILE in Page(render(Results.load(folder))).text
