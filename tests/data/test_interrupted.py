"""Runs that end before their time: whatever ends them, nobody finds half a result, and the next run completes it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from medsegdist.data.export import export_task
from medsegdist.data.manifest import load_dataset
from tests.data.making import task_manifest, write_task
from tests.data.test_export import contents, stopping
from tests.test_cli import run as run_command


def write_sources(folder: Path) -> None:
    for name, cases in (("new", ("p1_a", "p1_b")), ("old", ("p3_x",))):
        write_task(folder / name, cases)
        layout = {"kind": "decathlon", "root": name}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"name": "tiny", "modality": "MR", "layout": layout}))


def run(project_root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(project_root)}
    return subprocess.run(command, cwd=project_root, env=environment, capture_output=True, text=True, check=False)


EACH = "killed at each change"


@pytest.mark.parametrize(
    ("work", "how"),
    [
        ("prepare", EACH),
        pytest.param("replace", EACH, marks=pytest.mark.slow),
        pytest.param("prepare", "killed", marks=pytest.mark.slow),
        pytest.param("replace", "killed", marks=pytest.mark.slow),
        pytest.param("prepare", "disk full at each change", marks=pytest.mark.slow),
        pytest.param("replace", "disk full at each change", marks=pytest.mark.slow),
    ],
)
def test_no_run_leaves_half_a_result_and_the_next_one_completes_it(tmp_path, project_root, work, how):
    write_sources(tmp_path / "source")
    done = run(project_root, sys.executable, "-m", "tests.data.interruptions", work, how, str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # So many changes there are at least, two of them after the result stands (one, where it is a single renaming).
    if how == "killed":
        # Of ten, at moments drawn from the length of an undisturbed run.
        assert found["ended"] > 0
    else:
        assert found["ended"] > {"prepare": 20, "replace": 20}[work]
        assert found["ended"] - found["whole"] > 4


def hidden_folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), MemoryError()])
def test_finished_cases_are_kept_as_they_are(tmp_path, error):
    manifest = task_manifest(write_task(tmp_path / "source"))
    task = tmp_path / "Task07_A"
    with pytest.raises(type(error)) as caught:
        export_task(stopping(manifest, "p2_a", error), task)
    assert not task.exists()
    (hidden,) = hidden_folders(tmp_path)
    assert caught.value.__notes__ == [
        f"2 of 3 cases are finished and wait in {hidden}; run the same again to go on, or delete that folder."
    ]
    before = {path.name: path.stat() for path in hidden.rglob("labelsTr/p*.nii.gz")}
    assert sorted(before) == ["p1_a.nii.gz", "p1_b.nii.gz"]
    done = export_task(manifest, task)
    assert (done.cases, done.resumed) == (3, 2)
    for name in before:
        after = (task / "labelsTr" / name).stat()
        assert (after.st_ino, after.st_mtime_ns) == (before[name].st_ino, before[name].st_mtime_ns)
    assert hidden_folders(tmp_path) == []


def failing_at(n: int, error: BaseException):
    """os.fsync that fails when it is called for the n-th time."""
    calls = []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == n:
            raise error

    return fsync


def test_ctrl_c_at_the_terminal_says_what_is_kept(tmp_path, monkeypatch):
    write_sources(tmp_path / "source")
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", failing_at(3, KeyboardInterrupt()))
        said = run_command("prepare", tmp_path / "source" / "new.yaml", "--out", tmp_path / "Task07_A", status=130)
    said = " ".join(said.stderr.split())
    assert "Interrupted. 1 of 2 cases are finished and wait in" in said
    assert "run the same again to go on, or delete that folder." in said
    assert not list(tmp_path.rglob("*.partial"))
    assert not (tmp_path / "Task07_A").exists()


@pytest.mark.parametrize("n", range(1, 7))
def test_a_full_disk(tmp_path, monkeypatch, n):
    """Two files of each of two cases and two texts; when there is room, the next run goes on."""
    write_sources(tmp_path / "source")
    manifest = load_dataset(tmp_path / "source" / "new.yaml")
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", failing_at(n, OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(OSError, match="No space left on device"):
            export_task(manifest, tmp_path / "Task07_A")
    assert not (tmp_path / "Task07_A").exists()
    assert not list(tmp_path.rglob("*.partial"))
    assert len(hidden_folders(tmp_path)) == (n > 2)
    assert export_task(manifest, tmp_path / "Task07_A").resumed == min((n - 1) // 2, 2)
    export_task(manifest, tmp_path / "Task08_B")
    assert contents(tmp_path / "Task07_A") == contents(tmp_path / "Task08_B")


def test_a_run_that_finished_nothing_leaves_nothing(tmp_path):
    manifest = task_manifest(write_task(tmp_path / "source"))
    with pytest.raises(KeyboardInterrupt):
        export_task(stopping(manifest, "p1_a"), tmp_path / "Task07_A")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda hidden: (hidden / "labelsTr" / "p1_a.nii.gz").unlink(),
        lambda hidden: (hidden / "labelsTr" / ".p1_a.nii.gz.123.partial").write_bytes(b"half"),
        lambda hidden: (hidden / ".dataset.yaml.123.partial").write_bytes(b"half"),
        shutil.rmtree,
    ],
)
def test_what_is_missing_is_written_and_what_is_half_written_goes(tmp_path, damage):
    manifest = task_manifest(write_task(tmp_path / "source"))
    with pytest.raises(KeyboardInterrupt):
        export_task(stopping(manifest, "p2_a"), tmp_path / "Task07_A")
    damage(*hidden_folders(tmp_path))
    export_task(manifest, tmp_path / "Task07_A")
    export_task(manifest, tmp_path / "Task08_B")
    assert contents(tmp_path / "Task07_A") == contents(tmp_path / "Task08_B")
