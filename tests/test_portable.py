"""The commands work where there is no `fcntl`, no `resource`, no `os.fork` and no fork server, as on Windows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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

STUDY = """
name: portable
preprocessing: {dimensions: 2, grid: [24, 24], intensity: zscore, min_pixels: 4, max_samples: 8}
datasets:
  - name: one
    modality: other
    layout: {kind: folder, root: one, images: "images/*.png", masks: "masks/*.png"}
    foreground: [255]
  - name: two
    modality: other
    layout: {kind: folder, root: two, images: "images/*.png", masks: "masks/*.png"}
    foreground: [255]
targets: [one]
transfer:
  network: {kind: unet, channels: [4, 8], residual_units: 1}
  steps: 2
  fine_tuning_steps: 2
  validate_every: 1
  batch_size: 2
  seeds: [0]
distance: {components: 1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:24, :24]
    for name in ("one", "two"):
        for kind in ("images", "masks"):
            (tmp_path / name / kind).mkdir(parents=True)
        for k in range(8):
            mask = (row - rng.uniform(8, 16)) ** 2 + (column - rng.uniform(8, 16)) ** 2 < 25
            image = (rng.normal(100, 10, mask.shape) + 60 * mask).clip(0, 255).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / name / "images" / f"{k}.png")
            Image.fromarray(255 * mask.astype(np.uint8)).save(tmp_path / name / "masks" / f"{k}.png")
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "dataset.yaml").write_text(
        'name: one\nmodality: other\nlayout: {kind: folder, root: one, images: "images/*.png", masks: "masks/*.png"}\n'
        "foreground: [255]\n"
    )
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
