"""Runs that end before their time: whatever ends them, nobody finds half a result, and the next run completes it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from medsegdist.data.export import export_task
from tests.data.making import task_manifest, write_task
from tests.data.test_export import stopping


def write_source(folder: Path) -> None:
    write_task(folder / "task", ("p1_a", "p1_b"))
    layout = {"kind": "decathlon", "root": "task"}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"name": "tiny", "modality": "MR", "layout": layout}))


def run(project_root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(project_root)}
    return subprocess.run(command, cwd=project_root, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "how", ["killed at each change", pytest.param("disk full at each change", marks=(pytest.mark.slow, pytest.mark.ci))]
)
def test_no_run_leaves_half_a_result_and_the_next_one_completes_it(tmp_path, project_root, how):
    write_source(tmp_path / "source")
    done = run(project_root, sys.executable, "-m", "tests.data.interruptions", how, str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ended"] > 10
    assert found["ended"] - found["whole"] > 4


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), MemoryError(), OSError(errno.ENOSPC, "full")])
def test_an_export_that_ends_early_leaves_nothing(tmp_path, error):
    manifest = task_manifest(write_task(tmp_path / "source"))
    with pytest.raises(type(error)):
        export_task(stopping(manifest, "p2_a", error), tmp_path / "Task07_A")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_what_a_killed_export_left_goes_with_the_next_one(tmp_path):
    manifest = task_manifest(write_task(tmp_path / "source"))
    for name in (".Task07_A.123.partial", ".Task07_A.b.123.partial"):
        (tmp_path / name / "imagesTr").mkdir(parents=True)
    export_task(manifest, tmp_path / "Task07_A")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".Task07_A.b.123.partial", "Task07_A", "source"]
