"""The task folder: its bytes, its names, what may be in its way, and bad cases."""

from __future__ import annotations

import errno
import gzip
import json
import re
from pathlib import Path

import pytest
import torch

from medsegdist.data.collect import load_samples
from medsegdist.data.export import export_task
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.manifest import DatasetManifest
from medsegdist.errors import DataError, ManifestError
from tests.data.making import (
    PREPROCESSING,
    pictures_manifest,
    task_manifest,
    write_pictures,
    write_task,
)
from tests.data.test_export import contents, listing_of, read_back, with_layout

# --- Bytes, names and provenance -------------------------------------------------------------------------------------


def test_the_bytes_depend_on_the_dataset_alone(tmp_path, monkeypatch):
    root = write_task(tmp_path / "here" / "source")
    export_task(task_manifest(root), tmp_path / "Task07_A")
    moved = root.rename(tmp_path / "elsewhere")
    monkeypatch.setattr("time.time", lambda: 2e9)
    export_task(task_manifest(moved), tmp_path / "there" / "Task999_B")
    first = contents(tmp_path / "Task07_A")
    assert first == contents(tmp_path / "there" / "Task999_B")
    assert len(first) == 8
    header = (tmp_path / "Task07_A" / "imagesTr" / "p1_a.nii.gz").read_bytes()[:10]
    assert header[3:8] == bytes(5), "no file name, no time"
    for path in (tmp_path / "Task07_A").rglob("*.gz"):
        assert gzip.decompress(path.read_bytes())


def test_no_path_of_this_machine_is_written(tmp_path):
    root = write_task(tmp_path / "Jane Doe" / "source", values=(1, 2))
    export_task(task_manifest(root, foreground=(2,)), tmp_path / "Task07_A")
    for name in ("dataset.json", "dataset.yaml"):
        text = (tmp_path / "Task07_A" / name).read_text()
        assert "Jane" not in text
        assert str(tmp_path) not in text
    provenance = listing_of(tmp_path / "Task07_A")["provenance"]
    assert provenance["foreground"] == [2]
    assert "root" not in provenance["layout"]


def test_pseudonyms_take_every_name_away_and_keep_who_is_who(tmp_path):
    names = ("p7_doe_left", "p7_doe_right", "p9_roe_left")
    manifest = task_manifest(write_task(tmp_path / "source", names))
    task = tmp_path / "Task07_A"
    export_task(manifest, task, pseudonyms=True)
    text = "".join(contents(task)) + (task / "dataset.json").read_text() + (task / "dataset.yaml").read_text()
    assert not re.search(r"doe|roe|p7|p9_", text)
    samples, original = read_back(task), load_samples(manifest, PREPROCESSING)
    assert samples.case_ids == tuple(f"case_000{k}" for k in (1, 1, 2, 2, 3, 3))
    assert samples.patient_ids == tuple(f"patient_000{k}" for k in (1, 1, 1, 1, 2, 2))
    assert torch.equal(samples.images, original.images)
    assert torch.equal(samples.masks, original.masks)


def write_patients(task: Path, patients: list) -> Path:
    listing = listing_of(task)
    for entry, patient in zip(listing["training"], patients, strict=True):
        entry["patient_id"] = patient
    (task / "dataset.json").write_text(json.dumps(listing))
    return task


def test_whom_a_case_shows_is_read_from_the_listing_unless_a_pattern_says_it(tmp_path):
    task = write_patients(write_task(tmp_path / "task"), ["x", 7, "x"])
    assert [case.patient_id for case in DecathlonLayout(root=task).cases()] == ["x", "7", "x"]
    layout = DecathlonLayout(root=task, patient_pattern=r"^(p\d)_")
    assert [case.patient_id for case in layout.cases()] == ["p1", "p1", "p2"]


@pytest.mark.parametrize("patient", ["", None, True, 1.5, ["x"], {}])
def test_a_patient_without_a_name_is_refused(tmp_path, patient):
    task = write_patients(write_task(tmp_path / "task"), ["x", patient, "x"])
    with pytest.raises(DataError, match=r"entry 1: expected a name or number under 'patient_id', found "):
        DecathlonLayout(root=task).cases()


def test_where_every_case_is_a_patient_none_is_named(tmp_path):
    manifest = pictures_manifest(write_pictures(tmp_path / "source"))
    for pseudonyms in (False, True):
        task = tmp_path / f"Task0{1 + pseudonyms}_A"
        export_task(manifest, task, pseudonyms=pseudonyms)
        assert all(set(entry) == {"image", "label"} for entry in listing_of(task)["training"])


@pytest.mark.parametrize(
    "names", [("_a",), (".hidden_a",), ("Lung_a", "lung_a"), ("p1_\x07",), ("x" * 201,), ("-p1_a",)]
)
def test_ids_that_can_name_no_file_are_listed_and_pseudonyms_help(tmp_path, names):
    manifest = task_manifest(write_task(tmp_path / "source", ("good_1", *names)))
    manifest = manifest.model_copy(update={"layout": DecathlonLayout(root=tmp_path / "source")})
    with pytest.raises(
        DataError, match=r"dataset 'tiny': expected case ids that .*; rename these cases, or use"
    ) as caught:
        export_task(manifest, tmp_path / "Task07_A")
    assert f"found {', '.join(map(repr, names))};" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    assert export_task(manifest, tmp_path / "Task07_A", pseudonyms=True).cases == 1 + len(names)


@pytest.mark.parametrize(
    "name", ["lungs", "Task7_Lung", "Task07", "Task07_", "Task07_Lung_CT", "Task07_Lung CT", "Task07_A."]
)
def test_a_folder_that_is_called_like_no_task(tmp_path, name):
    with pytest.raises(
        ManifestError, match=rf"like 'Task11_LungNodules', found '{re.escape(name)}'; nnU-Net and MONAI"
    ):
        export_task(task_manifest(tmp_path), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("label", ["", "  ", "background"])
def test_the_foreground_needs_a_name(tmp_path, label):
    with pytest.raises(
        ManifestError, match=f"expected a name for the foreground, found '{label}'; name what the masks"
    ):
        export_task(task_manifest(tmp_path), tmp_path / "Task07_A", label=label)


# --- What is in the way ----------------------------------------------------------------------------------------------


@pytest.fixture
def manifest(tmp_path) -> DatasetManifest:
    return task_manifest(write_task(tmp_path / "source"))


# --- Bad cases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        MemoryError("too large"),
        ManifestError("this layout needs something else"),
    ],
)
def test_the_machines_trouble_and_a_manifest_that_cannot_be_right_are_no_bad_case(tmp_path, manifest, error):
    def fail(item):
        raise error

    with pytest.raises(type(error), match=r"No space left|too large|something else"):
        export_task(with_layout(manifest, load=lambda self, item, **_: fail(item)), tmp_path / "Task07_A")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


# --- Several processes -----------------------------------------------------------------------------------------------

NAMES = tuple(f"p{k}_a" for k in range(6))


def test_any_number_of_workers_writes_the_same_bytes(tmp_path):
    manifest = task_manifest(write_task(tmp_path / "source", NAMES))
    for workers in (1, 2):
        export_task(manifest, tmp_path / str(workers) / "Task07_Tiny", workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
