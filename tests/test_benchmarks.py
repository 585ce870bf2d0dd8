"""The benchmarks run, and what must not depend on the machine comes out right."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


def run(project_root: Path, script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, project_root / "scripts" / script, "--quick", *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "250"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return " ".join(re.sub("[│┃]", " ", done.stdout).split())


@pytest.mark.slow
@pytest.mark.ci
def test_mixtures(project_root):
    shown = run(project_root, "bench_mixtures.py", "--repeats", 1)
    gains = [float(gain) for gain in re.findall(r"log-likelihood (\S+)\)", shown)]
    assert len(gains) == 2
    assert min(gains) > 0, "one start of scikit-learn found a likelier mixture"
    (difference,) = re.findall(r"relative difference (\S+)\)", shown)
    assert float(difference) < 1e-9
    assert "scikit-learn" in shown


@pytest.mark.slow
def test_image_cost(project_root):
    shown = run(project_root, "bench_image_cost.py")
    difference, gap = re.findall(r"relative difference (\S+), gap (\S+)\)", shown)[0]
    assert float(difference) < 1e-6
    assert float(gap) < 1e-9


@pytest.mark.slow
def test_commands(project_root):
    shown = run(project_root, "bench_commands.py")
    assert "demo, 4 replicates: processor seconds" in shown
    summaries, least = re.search(r" summaries ([\d.]+) .* all [\d.]+ [\d.]+ ([\d.]+) ", shown).groups()
    assert float(summaries) > 0
    assert float(least) > 0


@pytest.mark.slow
def test_reading(project_root):
    shown = run(project_root, "bench_collect.py", "--cases", 2, "--repeats", 1)
    assert re.search(r"Task01_Made: 2 cases, 2D, 8 slices a case( [\d.]+ s){2} [\d.]+ <= 1.5", shown), shown


@pytest.mark.slow
def test_methods(project_root, tmp_path):
    shown = run(project_root, "bench_methods.py", "--plot", tmp_path / "growth.png")
    for method in ("euclidean", "gmm2d", "gmm3d", "fake_classes", "fake_class_gmm"):
        assert f"{method}, with 3 replicates" in shown
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_trainer(project_root):
    shown = run(project_root, "bench_trainer.py")
    assert "small DeepLabV3+, a step" in shown
    assert "small U-Net, augmented, a step" in shown
