"""Trainings without validation patients, test Dice after some steps, and all sources together."""

import csv
import json

import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from typer.testing import CliRunner

from medsegdist.cli import app
from medsegdist.data.options import TransferOptions
from medsegdist.errors import DataError
from medsegdist.transfer.agreement import measure_agreement
from medsegdist.transfer.evaluate import evaluate
from medsegdist.transfer.networks import build_network, load_network
from medsegdist.transfer.outcomes import read_curve
from medsegdist.transfer.plan import POOLED, Split, split_source, split_target
from medsegdist.transfer.runs import perform, run_study
from medsegdist.transfer.scores.compute import score_sources
from medsegdist.transfer.train import train
from tests.transfer.making import disks, equal_weights, halves, quick
from tests.transfer.studies import OPTIONS, datasets, lines, study

LAST = quick(select="last")
QUICK = {"steps": 4, "fine_tuning_steps": 4, "seeds": (0,), "control": False}


def test_the_last_weights_depend_on_no_validation():
    samples = disks()
    split = halves(samples)
    one = train(samples, split, LAST, seed=3)
    other = train(samples, Split(split.train, split.train[:1]), LAST, seed=3)
    assert equal_weights(one.network, other.network)
    assert (one.best_step, len(one.history)) == (6, 1)


def test_without_validation_no_patient_is_set_aside():
    ids = [f"p{k // 2}" for k in range(24)]
    options = TransferOptions(select="last", target_cases=4)
    split = split_target("t", ids, options, seed=1)
    assert len({ids[k] for k in split.train}) == 4
    assert split.validation == split.train
    assert {ids[k] for k in split.train}.isdisjoint(ids[k] for k in split.test)
    everything = split_target("t", ids, options.model_copy(update={"target_cases": None}), seed=1)
    assert sorted(everything.train + everything.test) == list(range(24))
    assert split_source("s", ids, options, seed=1).train == tuple(range(24))


def test_the_curve_is_what_training_for_so_many_steps_ends_with():
    samples = disks()
    split = halves(samples)
    curve = dict(train(samples, split, LAST, seed=3, curve=(0, 2, 6)).curve)
    for steps in (2, 6):
        shorter = train(samples, split, quick(select="last", steps=steps), seed=3)
        assert curve[steps] == evaluate(shorter.network, samples, split.test, LAST)
    torch.manual_seed(3)
    assert curve[0] == evaluate(build_network(LAST.network, 2), samples, split.test, LAST)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"curve": (0, 3)}, "curve: expected multiples of validate_every \\(2\\) up to 4, found 3"),
        ({"curve": (6,)}, "curve: expected multiples of validate_every \\(2\\) up to 4, found 6"),
        ({"select": "last", "patience": 2}, "patience: expected none with select: last"),
        ({"select": "first"}, "Input should be 'best' or 'last'"),
    ],
)
def test_options_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        TransferOptions(**{**OPTIONS, **changes})


@pytest.fixture(scope="module")
def curves(tmp_path_factory):
    """A folder in which a study with curves and pooled sources has been run."""
    folder = tmp_path_factory.mktemp("curves")
    run_study(study(folder, **QUICK, select="last", curve=(0, 2, 4), pooled=True))
    return folder


def test_learning_curves_hold_zero_shot_and_the_end(curves):
    with (curves / "learning_curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    # Two targets with two sources each, and both together; three steps.
    assert len(rows) == 2 * 3 * 3
    ended = {(line["source"], line["target"]): line["dice"] for line in lines(curves) if line["kind"] == "fine_tuning"}
    scratch = {line["target"]: dict(line["curve"]) for line in lines(curves) if line["kind"] == "baseline"}
    prepared = study(curves, **QUICK, select="last", curve=(0, 2, 4), pooled=True)
    weights = {
        run.source: prepared.assignment(run).weights(run.key) for run in prepared.runs if run.kind == "pretraining"
    }
    samples = {one.name: one for one in datasets()}
    for row in rows:
        if row["step"] == "4":
            assert float(row["dice"]) == pytest.approx(ended[row["source"], row["target"]], abs=1e-6)
        if row["step"] == "0" and row["source"] != POOLED:
            network = load_network(weights[row["source"]])
            tested = split_target(row["target"], samples[row["target"]].patient_ids, prepared.options, 0).test
            zero_shot = evaluate(network, samples[row["target"]], tested, LAST)
            assert float(row["dice"]) == pytest.approx(zero_shot, abs=1e-6)
        assert float(row["dice_baseline"]) == pytest.approx(scratch[row["target"]][int(row["step"])], abs=1e-6)


def test_all_sources_together_are_one_more_source(curves, monkeypatch):
    prepared = study(curves, **QUICK, select="last", curve=(0, 2, 4), pooled=True)
    assert {(run.source, run.target) for run in prepared.runs if run.kind == "fine_tuning"} == {
        (source, target)
        for target in ("near", "far")
        for source in ("near", "far", "other", POOLED)
        if source != target
    }
    seen = {}

    def watched(samples, split, *args, **options):
        seen[options["identity"]["run"]] = samples, split
        raise KeyboardInterrupt

    monkeypatch.setattr("medsegdist.transfer.runs.train_with_retry", watched)
    (run, _) = (run for run in prepared.runs if run.kind == "pretraining" and run.source == POOLED)
    with pytest.raises(KeyboardInterrupt):
        perform(prepared.assignment(run))
    together, split = seen[run.key]
    # The target "near" comes first.
    parts = datasets()[1:]
    assert torch.equal(together.images, torch.cat([one.images for one in parts]))
    assert len(together.patients) == sum(len(one.patients) for one in parts)
    assert split.train == tuple(range(len(together)))


def test_no_dataset_may_be_called_as_all_sources_are(tmp_path):
    samples = [*datasets(), disks(POOLED, seed=9)]
    with pytest.raises(DataError, match="expected no dataset called 'pooled'"):
        study(tmp_path, samples, pooled=True)


def test_weights_that_no_run_needs_may_be_gone(tmp_path):
    first = study(tmp_path, **QUICK)
    run_study(first)
    for path in (tmp_path / "runs").glob("*.weights.pt"):
        path.unlink()
    assert study(tmp_path, **QUICK).to_do == ()
    # Another target needs them.
    more = study(tmp_path, **QUICK, fine_tuning_learning_rate=1e-3).to_do
    assert {run.kind for run in more} == {"pretraining", "fine_tuning"}


def test_curves_are_read_as_gains_of_one_step(curves):
    rows = pd.read_csv(curves / "learning_curves.csv")
    for step in (0, 2):
        found = [one.gain for one in read_curve(curves / "learning_curves.csv", step=step)]
        expected = rows[rows["step"] == step]
        assert [one.dice for one in found] == expected["dice"].tolist()
        for one, (_, row) in zip(found, expected.iterrows(), strict=True):
            scratch = row["dice_baseline"]
            gain = 100 * (row["dice"] - scratch) / scratch if scratch else None
            assert one.gain_percent == (gain if gain is None else pytest.approx(gain))
    last = read_curve(curves / "learning_curves.csv")
    assert last == read_curve(curves / "learning_curves.csv", step=4)
    with pytest.raises(DataError, match="expected a step among 0, 2, 4, found 3"):
        read_curve(curves / "learning_curves.csv", step=3)


def test_a_pretraining_that_did_not_converge_has_no_curve(tmp_path):
    changes = {**QUICK, "select": "last", "curve": (0, 4), "dice_floor": 0.999}
    result = run_study(study(tmp_path, **changes))
    assert result.not_converged
    assert pd.read_csv(tmp_path / "learning_curves.csv").empty


def test_agreement_takes_a_step_of_curves(curves, tmp_path):
    distances = tmp_path / "distances.csv"
    pairs = [(source, target) for target in ("near", "far") for source in ("near", "far", "other") if source != target]
    numbers = [f"{source},{target},{k}" for k, (source, target) in enumerate(pairs)]
    distances.write_text("\n".join(["source,target,distance", *numbers, ""]))
    arguments = ["agreement", str(distances), str(curves / "learning_curves.csv"), "--out", str(tmp_path / "out")]
    shown = CliRunner().invoke(app, [*arguments, "--step", "2", "--no-report"])
    assert shown.exit_code == 0, shown.output
    gains = [one.gain for one in read_curve(curves / "learning_curves.csv", step=2)]
    (found,) = measure_agreement(distances, gains)
    assert json.loads((tmp_path / "out" / "agreement.json").read_text())[0]["line"]["slope"] == found.line.slope


def test_scores_of_datasets_leave_out_all_sources_together(curves):
    prepared = study(curves, **QUICK, select="last", curve=(0, 2, 4), pooled=True)
    found = score_sources(prepared, ["nce", "task2vec", "deep_sets"]).set_index("method")["source"]
    assert set(found["nce"]) == {"near", "far", "other", POOLED}
    assert set(found["task2vec"]) == set(found["deep_sets"]) == {"near", "far", "other"}
