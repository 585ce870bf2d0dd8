"""The commands work where there is no `fcntl`, no `resource`, no `os.fork` and no fork server, as on Windows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.synthetic import TRAINING, phantom_study

WITHOUT = """
import os, sys
for name in ("fcntl", "resource", "multiprocessing.forkserver", "multiprocessing.popen_fork"):
    sys.modules[name] = None  # importing it raises ImportError
for name in ("fork", "forkpty", "sched_getaffinity"):
    if hasattr(os, name):
        delattr(os, name)
import multiprocessing
multiprocessing.get_all_start_methods = lambda: ["spawn"]
from medsegdist.cli import app
for command in (
    "check study.yaml",
    "rank study.yaml --out out --bootstrap 5 --workers 1 --method euclidean --method gmm2d",
    "prepare dataset.yaml --out out/Task01_One --workers 1",
    "handover study.yaml out --out out/hand --workers 1",
    "transfer study.yaml --out out --workers 1",
):
    app(command.split(), standalone_mode=False)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    parts = {"transfer": TRAINING, "distance": {"components": 1}}
    study = phantom_study({"one": "liver", "two": "spleen"}, **parts)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(study["datasets"][0]))
    return tmp_path


def test_the_commands_need_nothing_that_only_posix_has(folder):
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in (
        "distances.csv",
        "report.html",
        "Task01_One/dataset.json",
        "hand/README.md",
        "gains.csv",
        "runs.jsonl",
    ):
        assert (folder / "out" / name).is_file()
