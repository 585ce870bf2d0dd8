"""Patients planted everywhere, and sought in the tasks of `prepare`, `handover` and `lidc export`."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml

from medsegdist.data.layouts.lidc import LidcLayout, read_nodules
from medsegdist.data.layouts.lidc_slices import open_database
from tests.data.making_dicom import PATIENT_ID, PATIENT_NAME, slice_of, write
from tests.planted_patients import EVERYBODY, IN_FOLDER, IN_HEADER, IN_LISTING, WRITERS, assert_silent, naming, written
from tests.test_cli import run


@pytest.fixture
def layouts(tmp_path):
    return {name: write_one(tmp_path / name) for name, write_one in WRITERS.items()}


@pytest.mark.parametrize("name", WRITERS)
def test_pseudonyms_name_nobody_and_keep_who_is_who(tmp_path, layouts, name):
    file = tmp_path / "dataset.yaml"
    file.write_text(yaml.safe_dump({"name": "secret", "modality": "CT", "layout": layouts[name]}))
    tasks = tmp_path / "tasks"
    result = run("prepare", file, "--out", tasks / "Task07_Secret", "--pseudonyms")
    assert_silent(result, *EVERYBODY)
    files = written(tasks)
    assert naming(files, *EVERYBODY) == []
    listing = json.loads(files["Task07_Secret/dataset.json"])
    patients = {entry.get("patient_id", entry["image"]) for entry in listing["training"]}
    assert len(patients) == {"headers": 1, "folders": 3, "listing": 2}[name]


def test_a_task_that_fails_under_pseudonyms_leaves_no_name(tmp_path, layouts):
    file = tmp_path / "dataset.yaml"
    file.write_text(yaml.safe_dump({"name": "secret", "modality": "CT", "layout": layouts["folders"]}))
    (tmp_path / "folders" / IN_FOLDER[0] / "ct.nii.gz").write_bytes(b"")
    tasks = tmp_path / "tasks"
    result = run("prepare", file, "--out", tasks / "Task07_Secret", "--pseudonyms", status=2)
    assert f"case '{IN_FOLDER[0]}'" in result.stderr
    assert_silent(result, *IN_FOLDER[1:])
    assert not tasks.exists() or not list(tasks.iterdir())


@pytest.mark.parametrize("name", WRITERS)
def test_without_pseudonyms_a_task_has_the_names_of_files_and_listings_and_none_of_a_header(tmp_path, layouts, name):
    file = tmp_path / "dataset.yaml"
    file.write_text(yaml.safe_dump({"name": "secret", "modality": "CT", "layout": layouts[name]}))
    tasks = tmp_path / "tasks"
    assert_silent(run("prepare", file, "--out", tasks / "Task07_Secret"), *EVERYBODY)
    assert naming(written(tasks), *IN_HEADER) == []
    asked = {"headers": [], "folders": IN_FOLDER, "listing": [IN_LISTING]}[name]
    assert all(naming(written(tasks), one) for one in asked)


def test_what_is_handed_over_under_pseudonyms_names_nobody(tmp_path, layouts):
    datasets = [{"name": name, "modality": "CT", "layout": layout} for name, layout in layouts.items()]
    content = {"name": "secret", "preprocessing": {"grid": [24, 20], "min_pixels": 8}, "datasets": datasets}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**content, "targets": ["listing"], "methods": ["euclidean"]}))
    run("rank", tmp_path / "study.yaml", "--out", tmp_path / "out", "--no-report")
    for options, sought in (["--pseudonyms"], EVERYBODY), ([], IN_HEADER):
        hand = tmp_path / f"hand{len(options)}"
        words = ("handover", tmp_path / "study.yaml", tmp_path / "out", "--source", "folders", "--out", hand)
        assert_silent(run(*words, *options), *EVERYBODY)
        assert naming(written(hand), *sought) == []


def write_scan(root: Path) -> tuple[str, str]:
    """The CT of LIDC-IDRI's shortest scan of malignancy 3, as if nobody had removed the patient's name from it."""
    layout = LidcLayout(malignancy=3)
    slices = {nodule.scan_id: nodule.slices for nodule in read_nodules()}
    case = min(layout.cases(), key=lambda case: slices[case.image["scan"]])
    scan = case.image["scan"]
    with closing(open_database()) as database:
        (series,) = database.execute("SELECT series_instance_uid FROM scans WHERE id = ?", (scan,)).fetchone()
        levels = sorted({float(z) for (z,) in database.execute("SELECT val FROM zvals WHERE scan_id = ?", (scan,))})
    pixels = np.random.default_rng(0).integers(0, 2000, (512, 512)).astype(np.int16)
    for k, level in enumerate(levels):
        content = slice_of(pixels, (0, 0, level), number=k + 1, spacing=(0.7, 0.7))
        content.SeriesInstanceUID = series
        content.PatientComments, content.InstitutionName = PATIENT_NAME, PATIENT_ID
        write(root / series / f"{k}.dcm", content)
    return case.patient_id, case.id


def test_an_export_of_lidc_takes_nothing_from_the_headers(tmp_path, monkeypatch):
    patient, case_id = write_scan(tmp_path / "series")
    header = pydicom.dcmread(next((tmp_path / "series").rglob("*.dcm")))
    assert (header.PatientID, str(header.PatientName)) == (PATIENT_ID, PATIENT_NAME)
    tasks = tmp_path / "tasks"
    arguments = ("--malignancy", 3, "--dicom-root", tmp_path / "series", "--out", tasks / "Task11_Nodules")
    # All other scans are missing; their messages are no place for a header either.
    result = run("lidc", "export", *arguments, "--pseudonyms", status=2)
    assert_silent(result, *IN_HEADER)
    assert not list(tasks.iterdir())
    layout = LidcLayout(malignancy=3, images="dicom", dicom_root=tmp_path / "series")
    one = next(case for case in layout.cases() if case.id == case_id)
    monkeypatch.setattr(LidcLayout, "cases", lambda self: [one])
    for names in (("--pseudonyms",), ()):
        assert_silent(run("lidc", "export", *arguments, *names), *IN_HEADER)
        files = written(tasks)
        assert len([name for name in files if name.endswith(".nii.gz")]) == 2
        assert naming(files, *IN_HEADER, *([patient] if names else [])) == []
        shutil.rmtree(tasks / "Task11_Nodules")
