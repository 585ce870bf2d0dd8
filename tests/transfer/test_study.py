"""The grid of runs: what is planned, done, kept, and done again."""

from collections import Counter

import pytest

from medsegdist.cli.transfer import worker_devices
from medsegdist.transfer import runs as grid
from medsegdist.transfer.runs import run_study
from tests.transfer.studies import datasets, lines, rows, study


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
        ({"curve": (0, 4)}, {"baseline", "fine_tuning", "control"}),
        ({"pooled": True}, set()),
    ],
)
def test_a_change_gives_new_keys_to_what_it_changes_only(change, kinds, tmp_path):
    before, after = keys(tmp_path), keys(tmp_path, **change)
    changed = {name[0] for name in before if before[name] != after[name]}
    unchanged = {name[0] for name in before if before[name] == after[name]}
    assert changed == kinds
    assert not unchanged & kinds


def test_one_changed_pixel_gives_new_keys_to_all_that_rests_on_it(tmp_path):
    samples = datasets()
    before = keys(tmp_path, samples=samples)
    samples[2].images[0, 0, 0] += 1
    after = keys(tmp_path, samples=samples)
    assert {name for name in before if before[name] != after[name]} == {name for name in before if name[1] == "other"}


@pytest.mark.slow
@pytest.mark.ci
def test_processes_on_several_devices_give_the_bytes_of_one_run_after_the_other(finished, tmp_path):
    run_study(study(tmp_path), devices=("cpu:0", "cpu:1"))
    assert {line["device"] for line in lines(tmp_path)} == {"cpu:0", "cpu:1"}
    for name in ("gains.csv", "controls.csv"):
        assert (tmp_path / name).read_bytes() == (finished[0] / name).read_bytes()


@pytest.mark.parametrize(
    ("device", "workers", "count", "expected"),
    [
        ("cuda", None, 3, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda", 5, 3, ["cuda:0", "cuda:1", "cuda:2", "cuda:0", "cuda:1"]),
        ("cuda", 2, 1, ["cuda", "cuda"]),
        ("cuda:1", None, 3, ["cuda:1"]),
        ("cpu", None, 3, ["cpu"] * 4),
        ("cpu", 2, 0, ["cpu", "cpu"]),
    ],
)
def test_cuda_means_all_gpus_and_a_number_one_of_them(device, workers, count, expected):
    assert list(worker_devices(device, workers, cuda_devices=count, cores=4)) == expected


def test_runs_share_the_recipe_that_their_baseline_needed(tmp_path):
    result = run_study(study(tmp_path, seeds=(0,), steps=2, fine_tuning_steps=2, dice_floor=0.999))
    assert all(line["hardened"] for line in lines(tmp_path))
    assert len(result.not_converged) == 5
    assert rows(tmp_path / "gains.csv") == []
