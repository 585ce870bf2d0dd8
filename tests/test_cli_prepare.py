"""`medsegdist prepare` and `medsegdist lidc export`."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import yaml

from medsegdist.data.collect import load_samples
from medsegdist.data.layouts.lidc import LidcLayout
from medsegdist.data.manifest import Preprocessing, load_dataset
from tests.data.making import AFFINE, labels, voxels, write_task, write_volume
from tests.test_cli import run


@pytest.fixture
def dataset(tmp_path):
    write_task(tmp_path / "source")
    path = tmp_path / "dataset.yaml"
    path.write_text(
        yaml.safe_dump({"name": "tiny", "modality": "MR", "layout": {"kind": "decathlon", "root": "source"}})
    )
    return path


def test_prepare_writes_a_task_and_says_where(dataset, tmp_path):
    task = tmp_path / "tasks" / "Task07_Tiny"
    shown = run("prepare", dataset, "--out", task, "--label", "left atrium").stdout
    assert f"3 cases written: {task}" in shown
    assert f"Name {task / 'dataset.yaml'} in a study" in shown
    assert json.loads((task / "dataset.json").read_text())["labels"] == {"0": "background", "1": "left atrium"}
    assert load_dataset(task / "dataset.yaml").name == "tiny"


def test_axes_that_itk_refuses_are_told(dataset, tmp_path):
    tilted = AFFINE.copy()
    tilted[1, 2] = 0.7
    for folder, array in (("imagesTr", voxels(1)), ("labelsTr", labels())):
        write_volume(tmp_path / "source" / folder / "p1_b.nii.gz", array, tilted)
    shown = run("prepare", dataset, "--out", tmp_path / "Task07_Tiny").stdout
    assert "Axes not at right angles, as of a tilted gantry, in 1 of 3 cases, such as 'p1_b': MONAI reads them" in shown
    said = json.loads(run("prepare", dataset, "--out", tmp_path / "Task08_Json", "--json").stdout)
    assert said["sheared"] == ["p1_b"]


def test_lidc_export_with_images_that_are_not_there(tmp_path):
    arguments = ("--malignancy", 4, "--dicom-root", tmp_path / "nowhere", "--out", tmp_path / "Task11_Nodules")
    said = " ".join(run("lidc", "export", *arguments, status=2).stderr.split())
    assert f"{tmp_path / 'nowhere'} does not exist" in said
    assert list(tmp_path.iterdir()) == []


def test_lidc_export_is_the_subset_that_was_asked_for(tmp_path):
    task = tmp_path / "Task11_Nodules"
    chosen = {"malignancy": 5, "rule": "mode", "min_readers": 4, "max_patients": 2, "seed": 3, "consensus": 0.75}
    options = [part for key, value in chosen.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    found = json.loads(run("lidc", "export", *options, "--out", task, "--json").stdout)
    cases = LidcLayout(**chosen).cases()
    assert found == {"task": str(task), "cases": len(cases), "sheared": []}
    listing = json.loads((task / "dataset.json").read_text())
    assert listing["labels"]["1"] == "nodule"
    assert listing["licence"] == "CC-BY 3.0"
    assert listing["provenance"]["layout"].items() >= chosen.items()
    assert "intensities" in listing["provenance"]["simulated"]
    assert {entry["patient_id"] for entry in listing["training"]} == {case.patient_id for case in cases}
    # The real contours, voxel for voxel.
    reader = LidcLayout(**chosen).load
    for case in cases:
        mask = np.asanyarray(nib.load(task / "labelsTr" / f"{case.id}.nii.gz").dataobj)
        np.testing.assert_array_equal(mask.transpose(2, 1, 0), reader(case.as_item())["label"][0])
    samples = load_samples(load_dataset(task / "dataset.yaml"), Preprocessing(grid=(512, 512)))
    assert len(samples.patients) == 2
