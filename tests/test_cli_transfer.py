"""`medsegdist transfer`, from a study's YAML to gains.csv."""

import csv
import json

import pytest
import torch
import yaml

from medsegdist.errors import ConvergenceError
from medsegdist.transfer.bundle import bundle_names
from tests.synthetic import TRAINING, phantom_study
from tests.test_cli import run as run_command


def write_study(folder, **training):
    """A study of three phantoms, small enough to be trained in seconds."""
    organs = {organ: organ for organ in ("liver", "spleen", "lung_tumor")}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(phantom_study(organs, transfer=TRAINING | training)))
    return path


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path, seeds=[0, 1])


@pytest.fixture
def short(tmp_path):
    """The same with one seed and no controls."""
    return write_study(tmp_path, control=False)


def run(*arguments, status=0):
    return run_command("transfer", *arguments, status=status)


def test_a_study_is_planned_run_and_kept(study, tmp_path):
    out = tmp_path / "out"
    plan = json.loads(run(study, "--out", out, "--dry-run", "--json").stdout)
    assert len(plan["runs"]) == 2 + 4 + 4 + 2
    assert not any(one["done"] for one in plan["runs"])
    assert plan["estimate"]["seconds"] > 0
    assert not (out / "runs.jsonl").exists()
    found = run(study, "--out", out, "--workers", 1).stdout
    assert "Transfer to liver" in found
    assert "from scratch, as many steps" in found
    assert "Measured with 2 repetitions, " in " ".join(found.split())
    with (out / "gains.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["source"], row["target"], row["seed"]) for row in rows] == [
        (source, "liver", seed) for seed in "01" for source in ("spleen", "lung_tumor")
    ]
    page = (out / "report.html").read_text()
    for said in ("What pre-training gained", "For liver ", "from scratch, as many steps", "learning_rate"):
        assert said in page
    assert json.loads((out / "transfer.json").read_text())["done"] == 12
    before = (out / "runs.jsonl").read_bytes()
    again = json.loads(run(study, "--out", out, "--json", "--no-report", "--workers", 1).stdout)
    assert not (out / "report.html").exists()
    assert (out / "runs.jsonl").read_bytes() == before
    for row, gain in zip(rows, again["gains"], strict=True):
        assert float(row["gain_percent"]) == pytest.approx(gain["gain_percent"], abs=1e-5)
    assert (again["failed"], again["not_converged"]) == ([], [])
    plan = run(study, "--out", out, "--dry-run").stdout
    assert "Plan of small" in plan
    assert "Nothing is to do: every run has ended." in plan


def test_a_cluster_may_have_the_gpu_that_is_not_here(study, tmp_path):
    result = run(study, "--out", tmp_path, "--device", "cuda:31", "--dask", "tcp://127.0.0.1:9", status=2)
    assert "expected a Dask scheduler at tcp://127.0.0.1:9, found none" in " ".join(result.stderr.split())


def test_one_target_of_one_asks_for(study, tmp_path):
    plan = json.loads(run(study, "--target", "spleen", "--out", tmp_path, "--dry-run", "--json").stdout)
    assert {one["target"] for one in plan["runs"]} == {"spleen", None}


def test_a_failed_run_is_told_and_the_exit_status_is_1(short, tmp_path, monkeypatch):
    from medsegdist.transfer import runs as grid

    really_perform = grid.perform

    def perform(assignment):
        if assignment.run.source == "spleen" and assignment.run.kind == "pretraining":
            raise ConvergenceError("the training diverged")
        return really_perform(assignment)

    monkeypatch.setattr(grid, "perform", perform)
    found = run(short, "--out", tmp_path / "out", "--workers", 1, status=1).stdout
    assert "pretraining spleen, seed 0: the training diverged" in found
    assert "fine-tuning spleen -> liver, seed 0: it rests on a run that failed" in found
    page = (tmp_path / "out" / "report.html").read_text()
    assert "pretraining spleen, seed 0" in page
    assert "the training diverged" not in page  # a reason may name a file


def test_what_did_not_converge_is_told(tmp_path):
    study = write_study(tmp_path, dice_floor=0.99, control=False)
    found = run(study, "--out", tmp_path / "out", "--workers", 1, "--bundle").stdout
    assert "Not converged (validation Dice twice below 0.99, the study's dice_floor), and left out:" in found
    assert "pretraining spleen, seed 0" in found
    assert "No MONAI Bundle for liver: no source has a gain for it, so none is the best." in found
    assert not (tmp_path / "out" / "bundles").exists()
    said = json.loads(run(study, "--out", tmp_path / "out", "--include-not-converged", "--bundle", "--json").stdout)
    assert (said["bundles"], said["without_bundle"]) == ([], ["liver"])
    assert {gain["status"] for gain in said["gains"]} == {"not_converged"}
    assert (tmp_path / "out" / "gains.csv").read_text().count("not_converged") == 2
    page = (tmp_path / "out" / "report.html").read_text()
    assert "spleen → liver, seed 0: did not converge" in page
    assert "baseline liver, seed 0" in page
    assert "No run has a gain." in page


def test_gains_over_a_baseline_of_0_are_told(short, tmp_path, monkeypatch):
    from medsegdist.transfer import runs as grid

    really_perform = grid.perform

    def perform(assignment):
        outcome = really_perform(assignment)
        return {**outcome, "dice": 0.0} if assignment.run.kind == "baseline" else outcome

    monkeypatch.setattr(grid, "perform", perform)
    found = run(short, "--out", tmp_path / "out", "--workers", 1).stdout
    assert "Without a gain, for the Dice from scratch is 0:" in found
    assert "spleen -> liver, seed 0" in found
    assert (tmp_path / "out" / "gains.csv").read_text().count("\n") == 1
    assert "<li>spleen → liver, seed 0</li>" in (tmp_path / "out" / "report.html").read_text()
    run(short, "--out", tmp_path / "out", "--workers", 1, "--include-not-converged")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "spleen → liver, seed 0: the Dice from scratch is 0" in page
    assert "<li>spleen → liver, seed 0</li>" not in page


def test_the_best_pretraining_becomes_a_bundle(study, tmp_path):
    out = tmp_path / "out"
    said = json.loads(run(study, "--out", out, "--workers", 1, "--bundle", "--json").stdout)
    assert said["bundles"] == [str(out / "bundles" / "liver")]
    gains = {}
    for gain in said["gains"]:
        gains.setdefault(gain["source"], []).append(gain["gain_percent"])
    best = max(gains, key=lambda source: sum(gains[source]))
    metadata = json.loads((out / "bundles" / "liver" / "configs" / "metadata.json").read_text())
    assert metadata["name"] == f"Pre-trained on {best}"
    runs = [json.loads(line) for line in (out / "runs.jsonl").read_text().splitlines()]
    seeds = [one for one in runs if one["kind"] == "pretraining" and one["source"] == best]
    chosen = max(seeds, key=lambda one: one["validation_dice"])
    assert metadata["eval_metrics"]["validation_dice"] == chosen["validation_dice"]
    weights = torch.load(out / "runs" / f"{chosen['run']}.weights.pt", weights_only=True)["weights"]
    model = torch.load(out / "bundles" / "liver" / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(model[name], value) for name, value in weights.items())


@pytest.mark.parametrize("names", [("A b", "A_b"), ("liver", "Liver"), ("Größe", "Grüße")])
def test_bundles_of_two_targets_never_share_a_folder(names):
    found = bundle_names([*names, "lung (CT)"])
    assert found["lung (CT)"] == "lung_CT_"
    assert len({folder.casefold() for folder in found.values()}) == 3
    assert bundle_names(["lung (CT)", *reversed(names)]) == found
