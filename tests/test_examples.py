"""The example scripts, run as a reader would run them."""

from __future__ import annotations

import json
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml

from medsegdist import DatasetDistance, DiceMetric, GmmMetric, compare_all, load_samples, load_study
from medsegdist.data.manifest import load_dataset
from tests.data.making import AFFINE, write_pictures, write_volume
from tests.synthetic import phantom_study


@pytest.fixture
def run(capsys):
    """Runs an example in this process; what it printed."""

    def called(script: str, *arguments: object) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module(f"scripts.{script}").main([str(one) for one in arguments])
        return capsys.readouterr().out

    return called


def test_prepare_decathlon_task(tmp_path, run):
    write_pictures(tmp_path / "polyps", names=("s1_a", "s1_b", "s2_a"))
    task = tmp_path / "Task11_Polyps"
    arguments = (tmp_path / "polyps", "images/*.png", "masks/*.png", task, "--foreground", 255, "--patient", r"^(s\d)")
    shown = run("prepare_decathlon_task", *arguments)
    assert f"{task} is ready" in shown
    assert shown.splitlines()[-1] == f"{task} is ready; {task / 'dataset.yaml'} names it in a study."
    cases = load_dataset(task / "dataset.yaml").layout.cases()
    assert [case.patient_id for case in cases] == ["s1", "s1", "s2"]
    assert nib.load(cases[0].image).shape == (12, 10, 1)


def write_datalist(root: Path, row: int, *, seed: int, fold: bool) -> list[dict]:
    """Volumes with a block of foreground from `row` on."""
    rng = np.random.default_rng(seed)
    entries = []
    for k in range(4):
        label = np.zeros((24, 20, 4), np.uint8)
        label[6:12, row : row + 5] = 1
        image = (rng.normal(100, 5, label.shape) + 60 * label).astype(np.float32)
        write_volume(root / f"image_{k}.nii.gz", image, AFFINE)
        write_volume(root / f"label_{k}.nii.gz", label, AFFINE)
        entries.append({"image": f"image_{k}.nii.gz", "label": f"label_{k}.nii.gz"} | ({"fold": k % 2} if fold else {}))
    return entries


@pytest.fixture
def target_and_sources(tmp_path):
    target = tmp_path / "Task07_Target"
    listing = {"training": write_datalist(target, 3, seed=0, fold=False)}
    (target / "dataset.json").write_text(json.dumps(listing))
    files = []
    for seed, (name, row) in enumerate({"far": 13, "near": 4}.items(), start=1):
        files.append(tmp_path / name / f"{name}.json")
        entries = write_datalist(tmp_path / name, row, seed=seed, fold=True)
        files[-1].write_text(json.dumps({"training": entries, "testing": []}))
    return target, files


def test_monai_workflow_ranks_the_near_source_first(target_and_sources, run):
    target, sources = target_and_sources
    # What lies in the fold for validation must not be read.
    (sources[0].parent / "image_0.nii.gz").unlink()
    shown = run("monai_workflow", target, *sources, "--grid", 20, 24).splitlines()
    assert [line for line in shown if not line.startswith(" ")] == [
        "euclidean, nearest first:",
        "gmm2d, nearest first:",
    ]
    assert [line.split(":")[0] for line in shown if line.startswith(" ")] == ["  near", "  far"] * 2
    # Blocks ten rows apart: the mixtures are as far apart as the blocks, 1 and 10 rows.
    near, far = (float(line.split(":")[1]) for line in shown[-2:])
    assert 0 < near < far


def write_phantoms(folder: Path, organs: tuple[str, ...], patients: int = 3, **parts: Any) -> Path:
    study = folder / "study.yaml"
    study.write_text(yaml.safe_dump(phantom_study({organ: organ for organ in organs}, patients=patients, **parts)))
    return study


def test_a_configuration_of_monai_gives_the_distances_it_describes(tmp_path, run, project_root):
    organs = ("liver", "spleen", "prostate")
    study = write_phantoms(tmp_path, organs)
    changes = (f"study_file={study}", "target=liver", "sources=[spleen, prostate]")
    arguments = (project_root / "scripts" / "distances.yaml", *changes, "distances::gmm3d::metric::components=2")
    shown = run("monai_config", *arguments)
    assert [line for line in shown.splitlines() if line[0] != " "] == [
        "gmm3d, nearest first:",
        "masks_alone, nearest first:",
    ]
    liver, *sources = (
        load_samples(load_study(study).dataset(organ), load_study(study).preprocessing) for organ in organs
    )
    built = {
        "gmm3d": DatasetDistance(GmmMetric(components=2, intensity=True)),
        "masks_alone": DatasetDistance(DiceMetric(), image_weight=0),
    }
    table = compare_all([liver, *sources], built, targets=[liver.name])
    expected = [f"  {row.source}: {row.distance:.4g}" for method in built for row in table.ranking("liver", method)]
    assert [line for line in shown.splitlines() if line[0] == " "] == expected


def test_ablation_compares_choices_on_phantoms(tmp_path, run):
    write_phantoms(tmp_path, ("liver", "spleen", "prostate"))
    out = tmp_path / "out"
    shown = run("ablation", tmp_path / "study.yaml", "--out", out, "--quick")
    assert "Kendall tau" in shown
    assert (out / "ablation.png").read_bytes().startswith(b"\x89PNG")
    table = pd.read_csv(out / "ablation.csv")
    assert len(table) == 3 * 2
    default = table.groupby("family").first()
    assert (default["kendall_tau"] == 1).all()
    assert (default["change_percent"] == 0).all()
    assert table["kendall_tau"].between(-1, 1).all()
    assert (table["seconds"] > 0).all()


@pytest.mark.parametrize("image_weight", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_card_agreement_is_full_where_only_masks_count(tmp_path, run, image_weight):
    organs = ("liver", "spleen", "prostate", "tuberculoma")
    parts = {
        "preprocessing": {"grid": [40, 40], "min_pixels": 1},
        "distance": {"image_weight": image_weight, "components": 1},
    }
    write_phantoms(tmp_path, organs, patients=4, **parts)
    out = tmp_path / "out"
    arguments = (tmp_path / "study.yaml", "--out", out, "--workers", 1, "--all-targets")
    shown = run("card_agreement", *arguments)
    assert "Kendall's tau" in shown
    table = pd.read_csv(out / "card_agreement.csv")
    assert len(table) == 4 * 3
    assert set(table["target"]) == set(organs)
    assert table["kendall_tau"].between(-1, 1).all()
    if image_weight == 0:
        # Fake classes, too: without images only their coupling counts.
        assert (table["kendall_tau"] == 1).all()
        assert table["same_nearest"].all()
    else:
        # A Gaussian of projected images has less to be coupled than the images.
        assert (table["image_term_ratio"] > 0).all()
