"""`rank --cases` and `prepare --nearest`, on a source in which cases of the target are planted."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml

from medsegdist.data.collect import load_samples
from medsegdist.data.manifest import Preprocessing, load_dataset
from tests.report.test_page import Page
from tests.test_cli import change, run, write_study

PLANTED = ("moved0", "moved1")


@pytest.fixture
def study(tmp_path):
    """The source 'mixed' holds cases of elsewhere, copies of two of the target's, a voxel away, and an empty one."""
    path = write_study(tmp_path, {"target": (8, 8), "mixed": (16, 13), "other": (15, 8)})
    for folder in ("images", "masks"):
        for k, name in enumerate(PLANTED):
            volume = nib.load(tmp_path / "target" / folder / f"case{k}.nii.gz")
            voxels = np.roll(np.asanyarray(volume.dataobj), 1, axis=0)
            nib.save(nib.Nifti1Image(voxels, volume.affine), tmp_path / "mixed" / folder / f"{name}.nii.gz")
        volume = nib.load(tmp_path / "mixed" / folder / "case0.nii.gz")
        voxels = np.asanyarray(volume.dataobj) * np.uint8(folder == "images")
        nib.save(nib.Nifti1Image(voxels, volume.affine), tmp_path / "mixed" / folder / "empty.nii.gz")
    return path


def test_rank_writes_the_cases_only_if_asked(study, tmp_path):
    out = tmp_path / "out"
    run("rank", study, "--out", out, "--cases", "--bootstrap", 0, "--workers", 1)
    frame = pd.read_csv(out / "cases.csv")
    assert list(frame.columns) == ["target", "source", "case", "place", "score", "cost", "samples"]
    mixed = frame[frame["source"] == "mixed"]
    assert set(mixed["case"][:2]) == set(PLANTED)
    assert list(mixed["place"]) == [1, 2, 3, 4, 5]
    assert mixed["cost"][:2].max() < 1 < mixed["cost"][2:].min()
    assert len(frame[frame["source"] == "other"]) == 3
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "prepare STUDY.yaml --dataset mixed --nearest 2 --target target --out Task01_Nearest" in Page(page).text
    assert not [name for name in (*PLANTED, "case0", "case1") if name in page]
    # The page can be written again, and another ranking leaves none of another one's cases.
    run("report", out, "--out", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page
    run("rank", study, "--out", out, "--method", "dice", "--bootstrap", 0, "--workers", 1)
    assert not (out / "cases.csv").exists()
    assert 'id="cases"' not in (out / "report.html").read_text(encoding="utf-8")


def test_prepare_writes_exactly_the_planted_cases(study, tmp_path):
    task, cache = tmp_path / "Task07_Nearest", tmp_path / "cache"
    arguments = ("prepare", study, "--dataset", "mixed", "--nearest", 2, "--workers", 1)
    result = run(*arguments, "--cache", cache, "--out", task)
    assert f"2 cases written: {task}" in result.stdout
    assert "mixed: 1 of 6 cases has no sample: empty (" in " ".join(result.stderr.split())
    for folder in ("imagesTr", "labelsTr"):
        assert {path.name for path in (task / folder).iterdir()} == {f"{name}.nii.gz" for name in PLANTED}
    manifest = load_dataset(task / "dataset.yaml")
    assert manifest.description == "2 cases of 6, nearest to target by boundary, fingerprint and patches."
    listing = json.loads((task / "dataset.json").read_text())
    assert (listing["description"], listing["numTraining"]) == (manifest.description, 2)
    assert set(load_samples(manifest, Preprocessing(grid=(24, 20))).case_ids) == set(PLANTED)
    assert len(list(cache.rglob("*.npz"))) or list(cache.iterdir())
    # Without names: the same two cases.
    said = json.loads(run(*arguments, "--pseudonyms", "--json", "--out", tmp_path / "Task08_Hidden").stdout)
    assert said["cases"] == 2
    for folder in ("imagesTr", "labelsTr"):
        images = [sorted((tmp_path / name / folder).iterdir()) for name in ("Task07_Nearest", "Task08_Hidden")]
        assert [one.read_bytes() for one in images[0]] == [one.read_bytes() for one in images[1]]


def test_more_cases_than_there_are_is_all_of_those_with_samples(study, tmp_path):
    change(study, methods=["dice"])
    task = tmp_path / "Task07_All"
    result = run("prepare", study, "--dataset", "mixed", "--nearest", 50, "--workers", 1, "--out", task)
    assert "--nearest 50: mixed has 5 cases with samples; all are written." in " ".join(result.stderr.split())
    assert len(list((task / "imagesTr").iterdir())) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--nearest", 0, "--dataset", "mixed"],
            "Invalid value for '--nearest': Input should be greater than or equal to 1",
        ),
        (["--nearest", 2], "--nearest: expected --dataset NAME, a source of the study, found none."),
        (
            ["--target", "target", "--dataset", "mixed"],
            "--target: expected --nearest N, how many cases to write for it",
        ),
        (
            ["--nearest", 2, "--dataset", "target"],
            "expected a source of 'target', mixed, other, found the target itself.",
        ),
        (
            ["--nearest", 2, "--dataset", "mixed", "--target", "targt"],
            "no dataset 'targt' among target, mixed, other; did you mean 'target'?",
        ),
        (
            ["--nearest", 2, "--dataset", "other", "--target", "mixed"],
            "expected a source of 'mixed', target, found 'other'",
        ),
    ],
)
def test_bad_input_is_one_clear_error(study, tmp_path, arguments, message):
    change(study, same_images=[["mixed", "other"]])
    result = run("prepare", study, *arguments, "--out", tmp_path / "Task07_Nearest", status=2)
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert not (tmp_path / "Task07_Nearest").exists()


def test_of_several_targets_one_is_named(study, tmp_path):
    change(study, targets=["target", "other"])
    result = run("prepare", study, "--dataset", "mixed", "--nearest", 2, "--out", tmp_path / "Task07_A", status=2)
    expected = "--target: expected one of the study's targets target, other, found none; name the one that the cases"
    assert expected in " ".join(result.stderr.split())


def test_a_task_that_could_not_be_written_is_refused_before_anything_is_read(study, tmp_path):
    arguments = ("prepare", study, "--dataset", "mixed", "--nearest", 2, "--cache", tmp_path / "cache", "--out")
    (tmp_path / "Task07_Full").mkdir()
    (tmp_path / "Task07_Full" / "file").touch()
    for name, message in (
        ("lungs", "expected a folder called Task"),
        ("Task07_Full", "expected a new or empty folder"),
    ):
        assert message in " ".join(run(*arguments, tmp_path / name, status=2).stderr.split())
    content = yaml.safe_load(study.read_text())
    content["datasets"][1]["classes"] = {"a": 1}
    change(study, datasets=content["datasets"])
    assert "expected one foreground, found the classes a" in run(*arguments, tmp_path / "Task07_A", status=2).stderr
    assert not (tmp_path / "cache").exists()
