"""The grid of runs: what is planned, kept, done again, resumed, and left when something fails."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import pytest
import torch

from medsegdist.errors import ConvergenceError, DataError, MedSegDistError, PreprocessingMismatchError
from medsegdist.transfer import performing
from medsegdist.transfer import study as grid
from medsegdist.transfer.gains import gain_percent
from medsegdist.transfer.study import run_study
from medsegdist.transfer.training import train
from medsegdist.transfer.workers import InThisProcess, local_workers
from tests.transfer.making import disks
from tests.transfer.studies import TARGETS, datasets, main, study
from tests.transfer.test_training import Exploding


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which the study has been run, and its result."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, run_study(study(folder))


def lines(folder):
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_run_of_the_grid_is_done_once(finished):
    folder, result = finished
    assert Counter(line["kind"] for line in lines(folder)) == {
        "baseline": 2 * 2,  # targets, seeds
        "pretraining": 3 * 2,  # sources, seeds
        "fine_tuning": 2 * 2 * 2,
        "control": 2 * 2,
    }
    assert len({line["run"] for line in lines(folder)}) == len(lines(folder)) == result.done
    assert (result.failed, result.not_converged) == ((), ())


def test_steps_and_learning_rates_are_those_of_each_kind(finished):
    folder, _ = finished
    for line in lines(folder):
        recipe = line["recipe"]
        found = recipe["steps"], recipe["learning_rate"], recipe["drop_after"]
        assert (
            found
            == {
                "baseline": (8, 1e-3, None),
                "pretraining": (8, 1e-3, None),
                "fine_tuning": (4, 1e-4, None),
                "control": (12, 1e-3, 8),
            }[line["kind"]]
        )
        assert line["steps"] == recipe["steps"]


def test_gains_are_those_of_the_runs(finished):
    folder, _ = finished
    by_kind = {(line["kind"], line["source"], line["target"], line["seed"]): line for line in lines(folder)}
    for name, kind in (("gains.csv", "fine_tuning"), ("controls.csv", "control")):
        found = rows(folder / name)
        assert len(found) == (8 if kind == "fine_tuning" else 4)
        for row in found:
            dice = by_kind[kind, row["source"] or None, row["target"], int(row["seed"])]["dice"]
            baseline = by_kind["baseline", None, row["target"], int(row["seed"])]["dice"]
            assert float(row["dice"]) == pytest.approx(dice, abs=1e-6)
            assert float(row["dice_baseline"]) == pytest.approx(baseline, abs=1e-6)
            assert float(row["gain_percent"]) == pytest.approx(100 * (dice / baseline - 1), abs=1e-4)
            assert row["status"] == "ok"


def test_nothing_of_patients_is_left_but_numbers(tmp_path):
    samples = [
        replace(one, case_ids=tuple(f"Mustermann {k}" for k in one.case_ids), patient_ids=tuple(one.patient_ids))
        for one in (replace(s, patient_ids=tuple(f"Erika {k}" for k in s.patient_ids)) for s in datasets())
    ]
    run_study(study(tmp_path, samples, seeds=(0,), steps=2, fine_tuning_steps=2))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    for path in written:
        assert b"Mustermann" not in path.read_bytes(), path
        assert b"Erika" not in path.read_bytes(), path


def test_only_pretrainings_leave_weights_and_nobody_leaves_a_state(finished):
    folder, _ = finished
    kept = {path.name.partition(".")[0] for path in (folder / "runs").glob("*.pt")}
    assert kept == {line["run"] for line in lines(folder) if line["kind"] == "pretraining"}
    assert not list((folder / "runs").glob("*.state*"))


def test_weights_of_all_are_kept_on_request(tmp_path):
    run_study(study(tmp_path, keep_weights=True, seeds=(0,), steps=2, fine_tuning_steps=2))
    assert len(list((tmp_path / "runs").glob("*.weights.pt"))) == len(lines(tmp_path))


def test_what_is_done_is_not_done_again(finished, monkeypatch):
    folder, result = finished
    before = (folder / "runs.jsonl").read_bytes(), (folder / "gains.csv").read_bytes()
    monkeypatch.setattr(grid, "perform", lambda assignment: pytest.fail("a run was repeated"))
    assert run_study(study(folder)) == result
    assert ((folder / "runs.jsonl").read_bytes(), (folder / "gains.csv").read_bytes()) == before


def keys(folder, **changes):
    samples = changes.pop("samples", None)
    return {(run.kind, run.source, run.target, run.seed): run.key for run in study(folder, samples, **changes).runs}


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({"learning_rate": 2e-3}, {"baseline", "pretraining", "fine_tuning", "control"}),
        ({"fine_tuning_learning_rate": 2e-4}, {"fine_tuning", "control"}),
        ({"split_seed": 1}, {"baseline", "fine_tuning", "control"}),
        ({"target_cases": 2}, {"baseline", "fine_tuning", "control"}),
        ({"dice_floor": 0.2}, {"baseline", "pretraining", "fine_tuning", "control"}),
        ({"keep_weights": True}, set()),
    ],
)
def test_a_change_gives_new_keys_to_what_it_changes_only(change, kinds, tmp_path):
    before, after = keys(tmp_path), keys(tmp_path, **change)
    changed = {name[0] for name in before if before[name] != after[name]}
    unchanged = {name[0] for name in before if before[name] == after[name]}
    # A pre-training's own recipe has the rate that a control drops to; nothing else of it hangs on fine-tuning.
    assert changed - {"baseline", "pretraining"} == kinds - {"baseline", "pretraining"}
    assert kinds <= changed
    assert not unchanged & kinds


def test_one_changed_pixel_gives_new_keys_to_all_that_rests_on_it(tmp_path):
    samples = datasets()
    before = keys(tmp_path, samples=samples)
    samples[2].images[0, 0, 0] += 1
    after = keys(tmp_path, samples=samples)
    assert {name for name in before if before[name] != after[name]} == {name for name in before if name[1] == "other"}


def test_threads_give_the_bytes_of_one_run_after_the_other(finished, tmp_path):
    # Threads: another order of the runs, and several of them at a time, in one process.
    with ThreadPoolExecutor(3) as executor:
        run_study(study(tmp_path), executor=executor)
    folder, _ = finished
    for name in ("gains.csv", "controls.csv"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
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
    # Workers end with their parent.
    time.sleep(1)
    main(folder, workers)
    for name in ("gains.csv", "controls.csv"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.slow
def test_processes_give_the_bytes_of_one_run_after_the_other(finished, tmp_path):
    with local_workers(2) as executor:
        run_study(study(tmp_path), executor=executor)
    for name in ("gains.csv", "controls.csv"):
        assert (tmp_path / name).read_bytes() == (finished[0] / name).read_bytes()


def test_a_state_that_was_left_is_used_and_then_deleted(tmp_path, monkeypatch):
    real = performing.train
    begun = []

    def killed(*args, **options):
        real(*args, **{**options, "progress": None})
        begun.append(options["checkpoint"])
        raise KeyboardInterrupt

    prepared = study(tmp_path, seeds=(0,))
    with monkeypatch.context() as patched:
        patched.setattr("medsegdist.transfer.proven.train", killed)
        with pytest.raises(KeyboardInterrupt):
            run_study(prepared)
    assert begun[0].exists()
    steps = []

    def watched(*args, **options):
        return real(*args, **{**options, "progress": lambda done, _: steps.append(done)})

    monkeypatch.setattr("medsegdist.transfer.proven.train", watched)
    run_study(study(tmp_path, seeds=(0,)))
    # One baseline was at its end; the other one and three pre-trainings take eight steps each.
    assert len(steps) == 4 * 8
    assert not begun[0].exists()


def failing(name, error, seeds=(0, 1)):
    def perform(assignment, progress=None):
        if assignment.run.source == name and assignment.run.kind == "pretraining" and assignment.run.seed in seeds:
            raise error
        return performing.perform(assignment, progress)

    return perform


def test_steps_are_told_in_one_process(tmp_path):
    told = []
    prepared = study(tmp_path, seeds=(0,), steps=2, fine_tuning_steps=2)
    run_study(prepared, steps=lambda title, done, total: told.append((title, done, total)))
    expected = [(run.title, k + 1, run.recipe.steps) for run in prepared.runs for k in range(run.recipe.steps)]
    assert sorted(told) == sorted(expected)


def test_a_failed_run_stops_only_what_rests_on_it_and_is_tried_again(finished, tmp_path, monkeypatch):
    error = ConvergenceError("the training diverged")
    with monkeypatch.context() as patched:
        patched.setattr(grid, "perform", failing("other", error, seeds=(1,)))
        result = run_study(study(tmp_path))
    assert result.failed == (
        ("pretraining other, seed 1", "the training diverged"),
        ("fine-tuning other -> near, seed 1", "it rests on a run that failed"),
        ("fine-tuning other -> far, seed 1", "it rests on a run that failed"),
    )
    assert len(rows(tmp_path / "gains.csv")) == 6
    written = [line for line in lines(tmp_path) if line["status"] == "failed"]
    assert [(line["kind"], line["error"]) for line in written] == [("pretraining", "the training diverged")]
    again = run_study(study(tmp_path))
    assert again.failed == ()
    assert (tmp_path / "gains.csv").read_bytes() == (finished[0] / "gains.csv").read_bytes()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("shape"), DataError("damaged")])
def test_any_error_of_a_run_is_written_down(error, tmp_path, monkeypatch):
    monkeypatch.setattr(grid, "perform", failing("other", error))
    result = run_study(study(tmp_path, seeds=(0,), steps=2, fine_tuning_steps=2))
    assert result.failed[0][1] == str(error)


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    leftover = tmp_path / "runs" / ".0123456789abcdef.state.pt.77.partial"
    prepared = study(tmp_path, seeds=(0,), steps=2, fine_tuning_steps=2)
    leftover.write_bytes(b"half")
    run_study(prepared)
    assert not leftover.exists()


def test_volumes_are_trained_by_patches(tmp_path):
    samples = [
        disks(name, patients=5, slices=1, grid=(10, 16, 12), bright=bright, seed=k)
        for k, (name, bright) in enumerate({"near": 200.0, "far": 30.0, "other": 140.0}.items())
    ]
    result = run_study(study(tmp_path, samples, seeds=(0,), patch_size=(8, 8, 8)))
    assert len(result.gains) == 4
    assert all(0 < gain.dice <= 1 for gain in result.gains)


def test_a_message_names_the_dataset(tmp_path, monkeypatch):
    def diverging(*args, **options):
        return train(*args, **{**options, "make_network": Exploding})

    monkeypatch.setattr("medsegdist.transfer.proven.train", diverging)
    result = run_study(study(tmp_path, seeds=(0,)))
    reasons = {title: reason for title, reason in result.failed if "diverged" in reason}
    assert set(reasons) == {
        "baseline near, seed 0",
        "baseline far, seed 0",
        *(f"pretraining {name}, seed 0" for name in ("near", "far", "other")),
    }
    assert all(f"dataset '{title.split()[1].strip(',')}'" in reason for title, reason in reasons.items())


def test_a_lost_worker_ends_the_study_in_words(tmp_path):
    class Broken(InThisProcess):
        def submit(self, fn, /, *args, **kwargs):
            future = Future()
            future.set_exception(BrokenProcessPool("A child process terminated abruptly"))
            return future

    with pytest.raises(
        MedSegDistError, match=r"a worker process ended before .* with fewer workers: finished runs are"
    ):
        run_study(study(tmp_path), executor=Broken())


def test_two_processes_on_one_study_are_one_too_many(tmp_path, monkeypatch):
    prepared, found = study(tmp_path, seeds=(0,)), []

    def perform(assignment, progress=None):
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
    lost = next((tmp_path / "runs").glob("*.weights.pt"))
    content = lost.read_bytes()
    lost.unlink()
    run_study(study(tmp_path, seeds=(0,)))
    assert lost.read_bytes() == content
    assert (tmp_path / "gains.csv").read_bytes() == before


@pytest.mark.parametrize("collapsed", ["other", "near"])
def test_what_did_not_converge_is_listed_and_kept_out_of_the_gains(collapsed, tmp_path, monkeypatch):
    def perform(assignment, progress=None):
        outcome = performing.perform(assignment, progress)
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


def test_runs_share_the_recipe_that_their_baseline_needed(tmp_path):
    result = run_study(study(tmp_path, seeds=(0,), steps=2, fine_tuning_steps=2, dice_floor=0.999))
    assert all(line["hardened"] for line in lines(tmp_path))
    assert len(result.not_converged) == 5
    assert rows(tmp_path / "gains.csv") == []


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


def test_gains_are_those_of_the_paper():
    # Table 11 and Table 10.
    assert gain_percent(0.8159, 0.6506) == pytest.approx(25.4, abs=0.05)
    assert gain_percent(0.5459, 0.6506) == pytest.approx(-16.1, abs=0.05)
    assert gain_percent(0.9903, 0.8164) == pytest.approx(21.3, abs=0.05)
    assert gain_percent(0.5, 0.0) != gain_percent(0.5, 0.0)


def test_threads_of_the_caller_are_given_back(tmp_path):
    torch.set_num_threads(2)
    run_study(study(tmp_path, seeds=(0,), steps=2, fine_tuning_steps=2))
    assert torch.get_num_threads() == 2
