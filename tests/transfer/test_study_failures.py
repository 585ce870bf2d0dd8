"""The grid of runs when something fails: what is said, what is left, and where the next start goes on."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import pytest

from medsegdist.errors import DataError, MedSegDistError, PreprocessingMismatchError
from medsegdist.transfer import runs as grid
from medsegdist.transfer.networks import build_network
from medsegdist.transfer.runs import perform as really_perform
from medsegdist.transfer.runs import run_study
from medsegdist.transfer.train import train
from tests.transfer.making import TINY, disks
from tests.transfer.studies import TARGETS, datasets, lines, main, rows, study


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.ci)])
def test_a_killed_study_goes_on_to_the_same_gains(workers, tmp_path):
    whole = tmp_path / "whole"
    main(whole, 1)
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "tests.transfer.studies", str(folder), str(workers)]
    kills = 0
    for ended in (1, 5, 12):
        process = subprocess.Popen(command, start_new_session=True)
        while process.poll() is None:
            written = folder / "runs.jsonl"
            # In the middle of a run: some ended, and one has left a state.
            if (
                written.exists()
                and written.read_bytes().count(b"\n") >= ended
                and list((folder / "runs").glob("*.state.pt"))
            ):
                process.send_signal(signal.SIGKILL)
                kills += process.wait() == -signal.SIGKILL
            time.sleep(0.002)
    assert kills == 3
    assert len(lines(folder)) < len(lines(whole))
    main(folder, workers)
    for name in ("gains.csv", "controls.csv"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def noting_steps(steps):
    network = build_network(TINY, 2)
    network.register_forward_hook(lambda module, *_: steps.append(1) if module.training else None)
    return network


def test_a_state_that_was_left_is_used_and_then_deleted(tmp_path, monkeypatch):
    real, begun, steps = train, [], []

    def killed(*args, **options):
        real(*args, **options)
        begun.append(options["checkpoint"])
        raise KeyboardInterrupt

    prepared = study(tmp_path, seeds=(0,))
    with monkeypatch.context() as patched:
        patched.setattr("medsegdist.transfer.train.train", killed)
        with pytest.raises(KeyboardInterrupt):
            run_study(prepared)
    assert begun[0].exists()
    # What a process leaves that is killed while it writes a state, and while it stores samples.
    (tmp_path / "runs" / ".a.state.pt.1.partial").write_bytes(b"half")
    (tmp_path / "runs" / "data" / ".b.1.partial").mkdir()
    (tmp_path / "runs" / "data" / ".b.1.partial" / "images.npy").write_bytes(b"half")

    def watched(*args, **options):
        if options["checkpoint"] == begun[0]:
            options["make_network"] = partial(noting_steps, steps)
        return real(*args, **options)

    monkeypatch.setattr("medsegdist.transfer.train.train", watched)
    run_study(study(tmp_path, seeds=(0,)))
    # That training was at its end.
    assert not steps
    assert not begun[0].exists()
    assert not list(tmp_path.rglob("*.partial"))


def failing(name, error, seeds=(0, 1)):
    def perform(assignment):
        if assignment.run.source == name and assignment.run.kind == "pretraining" and assignment.run.seed in seeds:
            raise error
        return really_perform(assignment)

    return perform


def test_a_failed_run_stops_only_what_rests_on_it_and_is_tried_again(finished, tmp_path, monkeypatch):
    error = RuntimeError("a shape is wrong")
    with monkeypatch.context() as patched:
        patched.setattr(grid, "perform", failing("other", error, seeds=(1,)))
        result = run_study(study(tmp_path))
    assert result.failed == (
        ("pretraining other, seed 1", "a shape is wrong"),
        ("fine-tuning other -> near, seed 1", "it rests on a run that failed"),
        ("fine-tuning other -> far, seed 1", "it rests on a run that failed"),
    )
    assert len(rows(tmp_path / "gains.csv")) == 6
    written = [line for line in lines(tmp_path) if line["status"] == "failed"]
    assert [(line["kind"], line["error"]) for line in written] == [("pretraining", "a shape is wrong")]
    again = run_study(study(tmp_path))
    assert again.failed == ()
    assert (tmp_path / "gains.csv").read_bytes() == (finished[0] / "gains.csv").read_bytes()


def test_a_damaged_state_fails_its_run_only_and_says_what_to_delete(finished, tmp_path):
    prepared = study(tmp_path)
    run = next(run for run in prepared.runs if (run.kind, run.source) == ("pretraining", "other"))
    state = prepared.assignment(run, "cpu").checkpoint
    state.write_bytes(b"PK\x03\x04 half a checkpoint")
    result = run_study(prepared)
    assert [title for title, _ in result.failed] == [
        run.title,
        *(f"fine-tuning other -> {target}, seed 0" for target in TARGETS),
    ]
    assert f"{state}: this file of training state is damaged" in result.failed[0][1]
    assert len(rows(tmp_path / "gains.csv")) == 6
    kept = lines(tmp_path)
    state.unlink()
    assert run_study(study(tmp_path)).failed == ()
    assert lines(tmp_path)[: len(kept)] == kept
    assert (tmp_path / "gains.csv").read_bytes() == (finished[0] / "gains.csv").read_bytes()


def test_damaged_weights_fail_what_starts_from_them_and_say_what_to_delete(tmp_path):
    changes = {"seeds": (0,), "steps": 2, "fine_tuning_steps": 2}
    run_study(study(tmp_path, **changes))
    before = (tmp_path / "gains.csv").read_bytes()
    run = next(run for run in study(tmp_path, **changes).runs if (run.kind, run.source) == ("pretraining", "other"))
    weights = tmp_path / "runs" / f"{run.key}.weights.pt"
    weights.write_bytes(weights.read_bytes()[:-500])
    journal = (tmp_path / "runs.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "runs.jsonl").write_text("".join(line for line in journal if '"fine_tuning"' not in line))
    result = run_study(study(tmp_path, **changes))
    assert {title for title, _ in result.failed} == {f"fine-tuning other -> {target}, seed 0" for target in TARGETS}
    assert all(f"{weights}: this file of weights is damaged" in reason for _, reason in result.failed)
    assert all("delete it to train again" in reason for _, reason in result.failed)
    weights.unlink()
    assert run_study(study(tmp_path, **changes)).failed == ()
    assert (tmp_path / "gains.csv").read_bytes() == before


def test_two_processes_on_one_study_are_one_too_many(tmp_path, monkeypatch):
    prepared, found = study(tmp_path, seeds=(0,)), []

    def perform(assignment):
        with pytest.raises(MedSegDistError, match="another process is working on this study; wait for it"):
            run_study(prepared)
        found.append(assignment)
        raise KeyboardInterrupt

    monkeypatch.setattr(grid, "perform", perform)
    with pytest.raises(KeyboardInterrupt):
        run_study(prepared)
    assert found


def test_lost_weights_of_a_pretraining_are_made_again(tmp_path):
    prepared = study(tmp_path, seeds=(0,))
    run_study(prepared)
    before = (tmp_path / "gains.csv").read_bytes()
    unfinished = next(run for run in prepared.runs if run.kind == "fine_tuning")
    lost = prepared.assignment(unfinished).weights(unfinished.needs[0])
    content = lost.read_bytes()
    lost.unlink()
    log = tmp_path / "runs.jsonl"
    log.write_text("".join(line for line in log.read_text().splitlines(True) if unfinished.key not in line[:40]))
    run_study(study(tmp_path, seeds=(0,)))
    assert lost.read_bytes() == content
    assert (tmp_path / "gains.csv").read_bytes() == before


@pytest.mark.parametrize("collapsed", ["other", "near"])
def test_what_did_not_converge_is_listed_and_kept_out_of_the_gains(collapsed, tmp_path, monkeypatch):
    def perform(assignment):
        outcome = really_perform(assignment)
        run = assignment.run
        if (run.kind == "pretraining" and run.source == collapsed) or (
            run.kind == "baseline" and run.target == collapsed
        ):
            outcome["status"] = "not_converged"
        return outcome

    monkeypatch.setattr(grid, "perform", perform)
    changes = {"seeds": (0,), "steps": 2, "fine_tuning_steps": 2}
    result = run_study(study(tmp_path, **changes))
    expected = [f"pretraining {collapsed}, seed 0"]
    if collapsed in TARGETS:
        expected.insert(0, f"baseline {collapsed}, seed 0")
    assert list(result.not_converged) == expected
    assert all(collapsed not in (row["source"], row["target"]) for row in rows(tmp_path / "gains.csv"))
    assert len(rows(tmp_path / "gains.csv")) == sum(gain.status == "ok" for gain in result.gains) > 0
    run_study(study(tmp_path, **changes), include_not_converged=True)
    status = {(row["source"], row["target"]): row["status"] for row in rows(tmp_path / "gains.csv")}
    assert len(status) == 4
    assert all((value == "not_converged") == (collapsed in pair) for pair, value in status.items())


def test_datasets_that_were_prepared_in_two_ways_are_refused(tmp_path):
    samples = datasets()
    samples[1] = replace(samples[1], preprocessing="another")
    with pytest.raises(
        PreprocessingMismatchError, match=r"expected datasets that were prepared alike, .*'far' has another"
    ):
        study(tmp_path, samples)


def test_a_split_that_cannot_be_is_found_before_anything_is_trained(tmp_path):
    samples = [*datasets()[:2], disks("other", patients=1)]
    with pytest.raises(DataError, match="dataset 'other': expected at least 2 patients to pre-train on"):
        study(tmp_path, samples)
    assert not list(tmp_path.iterdir())
