"""One answer: terminal, page, JSON and Python name the same source, and the same ones that it may be confused with."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from medsegdist.cli.report import show
from medsegdist.distance.dataset_distance import Distance
from medsegdist.distance.order import CONSENSUS, DistanceRow, compare_sources, rank_rows, recommend
from medsegdist.distance.table import DistanceTable
from medsegdist.recommend.learned import LearnedRanking
from medsegdist.report.page import render
from medsegdist.report.reasons import cautions, reasons, reasons_said, trust
from medsegdist.report.results import Results
from medsegdist.report.tables import ranking_table
from medsegdist.report.verdict import Answer
from tests.report.test_page import Page


def table_of(values, replicates=None, *, patients=9):
    """A table for the target "t" from distances by method and source, as `compare_all` makes it."""
    rows, comparisons = [], []
    for method, of_method in values.items():
        drawn = (replicates or {}).get(method, {})
        seen = [
            Distance(source, "t", method, value, value, 0.0, 9, 9, 0.0, replicates=drawn.get(source))
            for source, value in of_method.items()
        ]
        rows += rank_rows(seen, method, None, 0.95)
        comparisons += compare_sources(seen, method, dict.fromkeys(["t", *of_method], patients))
    return DistanceTable(tuple(rows), tuple(comparisons), tuple(recommend("t", values, replicates)))


def random_table(rng):
    """Sources, methods, ties and missing intervals as they come."""
    sources = [f"source {k}" for k in range(rng.choice([1, 2, 3, 5, 20]))]
    methods = [*CONSENSUS, "gmm2d"][: rng.integers(1, 5)]
    levels = rng.choice([1, 3, 1000])
    values = {m: {s: float(rng.integers(1, levels + 1)) for s in sources} for m in methods}
    if rng.random() < 0.3:
        return table_of(values)
    noise = rng.choice([0.01, 1.0, 100.0])
    open_source = rng.choice(sources) if rng.random() < 0.3 else None
    replicates = {
        m: {
            s: None if s == open_source else torch.from_numpy(values[m][s] + noise * rng.normal(size=40))
            for s in sources
        }
        for m in methods
    }
    return table_of(values, replicates)


def in_terminal(table):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(ranking_table(table, "t"))
    lines = re.findall(r"^ *(source \d+) +(\d+)(=?) ", console.export_text(), flags=re.M)
    names = list(dict.fromkeys(name for name, _, _ in lines))
    return names[0], {name for name, rank, _ in lines if rank == "1"}


def on_page(table):
    html = render(Results("run", table))
    (first,) = re.findall(r"(?:Recommended|One source only): (source \d+)", Page(html).text)
    body = re.search(r'<table class="sortable">.*?</table>', html, flags=re.S).group(0)
    rows = re.findall(
        r'<th scope="row" data-value="([^"]+)">.*?<span class="rank[^"]*">(\d+)=?</span>', body, flags=re.S
    )
    return first, rows[0][0], {name for name, rank in rows if rank == "1"}


def as_json(table, capsys, tmp_path):
    show(Results("run", table), tmp_path, as_json=True)
    answer = json.loads(capsys.readouterr().out)["targets"]["t"]
    group = {one["source"] for one in answer["order"] if one["rank"] == 1}
    assert group == {answer["recommended"], *answer["not_distinguished_from"]}
    return answer["recommended"], group


def test_terminal_page_json_file_and_python_give_one_answer(capsys, tmp_path):
    rng = np.random.default_rng(0)
    groups = []
    for _ in range(40):
        table = random_table(rng)
        order = table.recommended("t")
        first, group = order[0].source, {one.source for one in order if one.rank == 1}
        assert in_terminal(table) == (first, group)
        assert as_json(table, capsys, tmp_path) == (first, group)
        assert on_page(table) == (first, first, group)
        table.save(tmp_path / "distances.csv")
        loaded = DistanceTable.load(tmp_path / "distances.csv").recommended("t")
        assert (loaded[0].source, {one.source for one in loaded if one.rank == 1}) == (first, group)
        groups.append(len(group))
    # All kinds were among them.
    assert {1, 2, 20} <= set(groups)


def test_the_headline_says_what_is_open():
    sources = {"a": 1.0, "b": 2.0, "c": 3.0}
    sure = dict.fromkeys(CONSENSUS, sources)
    assert Answer.of(table_of(sure), "t").headline == "Recommended: a."

    def drawn(noise):
        rng = np.random.default_rng(1)
        return {
            m: {s: torch.from_numpy(v + noise * rng.normal(size=200)) for s, v in of.items()} for m, of in sure.items()
        }

    assert Answer.of(table_of(sure, drawn(0.01)), "t").headline == "Recommended: a, ahead of all others."
    unclear = Answer.of(table_of(sure, drawn(9.0), patients=7), "t")
    assert unclear.headline == "Recommended: a. It cannot be distinguished from b and c."
    assert "The smallest dataset in the first group has 7 patients." in unclear.verdict
    assert re.search(r"Chance to be the nearest: a \d\d%, b \d\d%, c \d\d%\.", unclear.verdict)
    assert Answer.of(table_of({"dice": {"a": 1.0}}), "t").headline == "One source only: a."


def test_the_verdict_names_the_rule_and_single_methods():
    values = {"dice": {"a": 1.0, "b": 3.0}, "gmm2d": {"a": 2.0, "b": 1.9}}
    assert Answer.of(table_of(values), "t").verdict == (
        "Sources for t are ordered by the mean of their standardized distances by dice and gmm2d. "
        "By single methods the nearest is a (dice) or b (gmm2d)."
    )
    both = values | {m: {"a": 2.0, "b": 1.0} for m in CONSENSUS}
    assert Answer.of(table_of(both), "t").verdict == (
        "Sources for t are ordered by the mean of their standardized distances by boundary, fingerprint and patches."
    )


def test_a_source_of_one_patient_leaves_chances_open():
    rng = np.random.default_rng(0)
    values = {"dice": {"a": 1.0, "b": 2.0, "c": 3.0}}
    drawn = {"dice": {"a": torch.from_numpy(1 + 0.1 * rng.normal(size=50)), "b": None, "c": None}}
    answer = Answer.of(table_of(values, drawn), "t")
    assert answer.headline == "Recommended: a."
    assert answer.verdict.endswith("b and c have one patient each, so how sure their places are remains open.")


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="found 'nobody'"):
        Answer.of(table_of({"dice": {"a": 1.0}}), "nobody")


def of_run(compared_datasets, **changes):
    """The run of all report tests, some of whose datasets are changed."""
    table, record = compared_datasets
    datasets = tuple(one.model_copy(update=changes.get(one.name, {})) for one in record.datasets)
    run = Results("run", table, record.model_copy(update={"datasets": datasets}))
    return run, Answer.of(table, "target")


def test_what_speaks_against_the_source_is_said(compared_datasets):
    run, answer = of_run(
        compared_datasets,
        near={"modality": "other", "patients": 40, "patients_known": False},
        target={"modality": "MR", "patients": 3, "patients_known": True},
    )
    said = " ".join(cautions(run, answer))
    assert "Another modality: the study calls near other and target MR." in said
    assert "Few patients: target (3)." in said
    assert "Who the cases of near show is not known" in said
    plain = {"modality": "MR", "patients": 40, "patients_known": True, "oriented": True}
    run, answer = of_run(compared_datasets, near=plain, target=plain)
    assert not any(one.startswith(("Another", "Few", "Who")) for one in cautions(run, answer))
    run, answer = of_run(compared_datasets, near=plain, target=plain | {"oriented": False})
    assert "Another kind of images: only those of near are slices of volumes." in cautions(run, answer)


def test_masks_that_hardly_count_are_said_and_others_are_not():
    row = DistanceRow("a", "t", "dice", 10.0, 9.8, 0.2, None, None, None, 1, False, 9, 9, 0.0)
    for one, expected in ((row, True), (replace(row, image_term=5.0, mask_term=5.0), False)):
        run = Results("run", DistanceTable((one, replace(row, source="b", distance=20.0, rank=2))))
        found = [said for said in cautions(run, Answer.of(run.table, "t")) if said.startswith("Masks make up 2.0%")]
        assert bool(found) is expected


def test_a_method_by_which_the_source_is_not_ahead_is_named():
    values = {"dice": {"a": 1.0, "b": 3.0, "c": 9.0}, "gmm2d": {"a": 2.0, "b": 1.9, "c": 9.0}}
    run = Results("run", table_of(values))
    assert "By gmm2d alone it is not ahead of all others." in cautions(run, Answer.of(run.table, "t"))
    run = Results("run", table_of({"dice": values["dice"]}))
    assert not any("alone it is not" in one for one in cautions(run, Answer.of(run.table, "t")))


def with_characteristic(compared_datasets, name, **means):
    table, record = compared_datasets
    datasets = []
    for one in record.datasets:
        values = [
            v.model_copy(update={"mean": means[one.name] if v.name == name else 1.0}) for v in one.characteristics
        ]
        datasets.append(one.model_copy(update={"characteristics": tuple(values)}))
    run = Results("run", table, record.model_copy(update={"datasets": tuple(datasets)}))
    return run, Answer.of(table, "target")


def test_reasons_name_the_characteristic_in_which_the_source_is_alike(compared_datasets):
    run, answer = with_characteristic(compared_datasets, "segment_size", target=10.0, near=11.0, far=90.0)
    assert "similar size" in reasons(run, answer)["alike"]
    run, answer = with_characteristic(compared_datasets, "segment_size", target=10.0, near=90.0, far=11.0)
    assert "other size" in reasons(run, answer)["unlike"]
    assert "similar contrast" not in reasons(run, answer)["alike"]  # the same for all


def test_one_source_has_no_reasons():
    run = Results("run", table_of({"boundary": {"a": 1.0}}))
    assert reasons_said(run, Answer.of(run.table, "t")) == ""


def test_trust_is_known_of_normalized_rules_that_were_measured(compared_datasets):
    table, record = compared_datasets

    def trusted(rule, normalize):
        methods = tuple(one.model_copy(update={"formula": {"normalize": normalize}}) for one in record.methods)
        advice = tuple(replace(one, rule=rule) for one in table.recommended("target"))
        run = Results("run", replace(table, recommendations=advice), record.model_copy(update={"methods": methods}))
        return trust(run, Answer.of(run.table, "target"))

    known = LearnedRanking.load().evidence["consensus"]
    share, found = trusted("consensus", normalize=True)
    assert share.startswith(f"{known.within_2:.0%}, at random ")
    assert f"within 2 Dice points of the best source for {known.within_2:.0%} of them" in found
    assert trusted("consensus", normalize=False) == ("", "")
    assert trusted("mean of dice and gmm2d", normalize=True) == ("", "")
