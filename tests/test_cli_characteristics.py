"""`medsegdist characteristics`."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml

from medsegdist.data.dataset import load_dataset_samples
from medsegdist.data.study import load_study
from medsegdist.distance.characteristics import CHARACTERISTICS
from tests.test_cli import run
from tests.transfer.making_pairs import write_csv


@pytest.fixture
def study(tmp_path):
    datasets = [
        {"name": organ, "modality": "CT", "layout": {"kind": "phantom", "organ": organ, "patients": 2, "slices": 2}}
        for organ in ("liver", "spleen", "prostate", "tuberculoma")
    ]
    content = {
        "name": "tiny",
        "preprocessing": {"grid": [64, 64], "min_pixels": 1},
        "datasets": datasets,
        "targets": ["tuberculoma"],
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def gains(tmp_path):
    rows = ["liver,tuberculoma,1", "spleen,tuberculoma,2", "prostate,tuberculoma,0"]
    return write_csv(tmp_path / "gains.csv", "\n".join(["source,target,gain_percent", *rows]))


def test_the_table_and_its_files(study, tmp_path):
    shown = run("characteristics", study, "--out", tmp_path / "out").stdout
    assert "Intensities" in shown
    assert "size (pixels)" in shown
    assert "Differences and gain" not in shown
    frame = pd.read_csv(tmp_path / "out" / "characteristics.csv")
    assert list(frame.columns) == ["dataset", "samples", "patients", "characteristic", "unit", "mean", "deviation"]
    assert len(frame) == 4 * len(CHARACTERISTICS)
    sizes = frame[frame["characteristic"] == "segment_size"].set_index("dataset")["mean"]
    described = load_study(study)
    for name, size in sizes.items():
        samples = load_dataset_samples(described.dataset(name), described.preprocessing)
        assert size == pytest.approx(float(samples.masks.sum()) / len(samples))


def test_differences_are_distances_that_agreement_reads(study, gains, tmp_path):
    run("characteristics", study, "--out", tmp_path / "out")
    distances = tmp_path / "out" / "characteristic_distances.csv"
    shown = run("agreement", distances, gains, "--method", "segment_size", "--out", tmp_path / "agreement").stdout
    assert "Nearest source for tuberculoma" in shown


def test_with_gains_they_are_correlated(study, gains, tmp_path):
    result = run("characteristics", study, "--gains", gains, "--json", "--out", tmp_path / "out")
    content = json.loads(result.stdout)
    assert [one["dataset"] for one in content["datasets"]] == ["liver", "spleen", "prostate", "tuberculoma"]
    assert {one["pairs"] for one in content["gain"]} == {3}
    shown = run("characteristics", study, "--gains", gains, "--out", tmp_path / "out").stdout
    assert "Differences and gain" in shown


def test_bad_gains_are_told_before_anything_is_read(study, tmp_path):
    bad = write_csv(tmp_path / "bad.csv", "source,target\na,b")
    result = run("characteristics", study, "--gains", bad, "--out", tmp_path / "out", status=2)
    assert "bad.csv: expected the columns gain_percent" in result.stderr
    assert not (tmp_path / "out").exists()
