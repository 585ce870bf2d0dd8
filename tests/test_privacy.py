"""Who is who stays where the data is: patients planted everywhere, and sought in all that the commands give out.

The rule, as README states it: what the header of a DICOM file says of its patient goes nowhere. No report, table or CSV
names a case or a patient, but for the cases in cases.csv of `rank --cases`. Cases are called by the names of their
files, and patients as listings and patterns call them, in the sample cache (which holds their images, too) and in a
task prepared without --pseudonyms; an error message calls a case by its file, as does the line on cases without a
sample, and nobody by anything else.
"""

from __future__ import annotations

import gzip
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from medsegdist.cli import app
from tests.data.making_dicom import PATIENT_ID, PATIENT_NAME
from tests.planted_patients import (
    EVERYBODY,
    IN_FOLDER,
    IN_HEADER,
    IN_LISTING,
    SEVERAL,
    WRITERS,
    assert_silent,
    naming,
    without_cache,
    write_dicom,
    write_listed,
    write_named_folders,
    written,
)
from tests.synthetic import TRAINING
from tests.test_cli import run
from tests.transfer.making_pairs import write_csv


def write_study(root: Path, layouts: dict[str, dict[str, object]], **more: object) -> Path:
    content = {
        "name": "secret",
        "preprocessing": {"grid": [24, 20], "min_pixels": 8},
        "datasets": [{"name": name, "modality": "CT", "layout": layout} for name, layout in layouts.items()],
        "distance": {"components": 1},
        **more,
    }
    (root / "study.yaml").write_text(yaml.safe_dump(content))
    return root / "study.yaml"


@pytest.fixture
def layouts(tmp_path):
    return {name: write_one(tmp_path / name) for name, write_one in WRITERS.items()}


@pytest.fixture
def study(tmp_path, layouts):
    return write_study(tmp_path, layouts, targets=["headers"], methods=["euclidean", "gmm2d"])


RANKED = {"distances.csv", "recommendation.csv", "characteristics.csv", "study.json", "report.html"}


@pytest.mark.parametrize(("command", "as_json"), [("rank", True), ("distances", False)])
def test_no_report_names_anybody_and_the_cache_nobody_but_who_is_named_by_a_file_or_a_listing(
    study, tmp_path, command, as_json
):
    result = run(command, study, "--out", tmp_path / "out", *(["--json"] if as_json else []))
    assert_silent(result, *EVERYBODY)
    cache = written(tmp_path / "out" / "samples")
    reports = {name: content for name, content in written(tmp_path / "out").items() if not name.startswith("samples/")}
    assert set(reports) == RANKED
    assert naming(reports, *EVERYBODY) == []
    pictured = run(
        command, study, "--out", tmp_path / "pictured", "--cache", tmp_path / "out" / "samples", "--thumbnails"
    )
    assert_silent(pictured, *EVERYBODY)
    pictures = written(tmp_path / "pictured")
    assert set(pictures) == {*reports, "thumbnails.json"}
    assert naming(pictures, *EVERYBODY) == []
    ranked = run(command, study, "--out", tmp_path / "ranked", "--cache", tmp_path / "out" / "samples", "--cases")
    assert_silent(ranked, *EVERYBODY)
    assert_silent(run("report", tmp_path / "ranked"), *EVERYBODY)
    cases = written(tmp_path / "ranked")
    assert set(cases) == {*reports, "cases.csv"}
    assert naming(cases, *IN_HEADER, IN_LISTING) == []
    # Cases are called by their files and folders, there alone: one of these was called by a patient.
    assert naming(cases, *EVERYBODY, "case0", "a__rt") == ["cases.csv"]
    assert cache
    assert naming(cache, *IN_HEADER) == []
    # A cached case names its own patient, in its content and not in its name.
    assert not [name for name in cache if any(one in name for one in EVERYBODY)]
    assert len(naming(cache, IN_LISTING)) == 2
    assert len(naming(cache, IN_FOLDER[0])) == 1


@pytest.mark.parametrize("name", WRITERS)
def test_a_card_names_nobody(tmp_path, layouts, name):
    file, cards = tmp_path / "dataset.yaml", tmp_path / "cards"
    file.write_text(yaml.safe_dump({"name": "secret", "modality": "CT", "layout": layouts[name]}))
    like = {"preprocessing": {"grid": [24, 20], "min_pixels": 8}, "distance": {"components": 1, "classes": 1}}
    (tmp_path / "like.yaml").write_text(yaml.safe_dump(like))
    arguments = ("cards", "make", file, "--like", tmp_path / "like.yaml", "-o", cards)
    assert_silent(run(*arguments, status=2), *EVERYBODY)
    assert not cards.exists()
    assert_silent(run(*arguments, "--min-patients", 1), *EVERYBODY)
    files = written(cards)
    assert set(files) == {"secret.json"}
    # Neither whom the cases show nor how their files are called, nor where they lie.
    assert naming(files, *EVERYBODY, "case0", str(tmp_path)) == []
    # A ranking of the card and of a dataset that is here, whose own card is made on the way.
    (tmp_path / "other.yaml").write_text(file.read_text().replace("secret", "other"))
    files = (tmp_path / "other.yaml", cards / "secret.json")
    options = ("rank", *files, "--target", "other", "--out", tmp_path / "out")
    assert_silent(run("--verbose", "cards", *options), *EVERYBODY)
    assert_silent(run("cards", *options, "--json"), *EVERYBODY)
    assert_silent(run("report", tmp_path / "out"), *EVERYBODY)
    assert set(without_cache(tmp_path / "out")) == RANKED
    assert naming(without_cache(tmp_path / "out"), *EVERYBODY, "case0", str(tmp_path)) == []


@pytest.fixture
def trainable(tmp_path):
    """A study of enough patients to be split and drawn anew, in a form that is trained in seconds."""
    layouts = {
        "headers": write_dicom(tmp_path / "headers", SEVERAL),
        "folders": write_named_folders(tmp_path / "folders"),
        "listing": write_listed(tmp_path / "listing"),
    }
    return write_study(tmp_path, layouts, targets=["headers", "folders"], methods=["gmm2d"], transfer=TRAINING)


def test_no_training_names_anybody(trainable, tmp_path):
    out = tmp_path / "out"
    assert_silent(run("transfer", trainable, "--out", out, "--dry-run", "--json"), *EVERYBODY)
    result = run("--verbose", "transfer", trainable, "--out", out, "--workers", 1, "--bundle")
    assert "Reading headers" in result.stderr
    assert_silent(result, *EVERYBODY)
    assert_silent(run("transfer", trainable, "--out", out, "--json"), *EVERYBODY)
    files = without_cache(out)
    # What they train on is in it, without the names of files as well; and so are checkpoints and bundles.
    assert {"runs.jsonl", "gains.csv", "controls.csv"} < set(files)
    assert {Path(name).suffix for name in files} >= {".npy", ".json", ".pt"}
    assert any(name.startswith("bundles/") for name in files)
    assert naming(files, *EVERYBODY, "case0", "a__rt") == []


def test_no_result_that_rests_on_others_names_anybody(trainable, tmp_path):
    out, agreement = tmp_path / "out", tmp_path / "agreement"
    result = run("--verbose", "rank", trainable, "--out", out, "--bootstrap", 4)
    assert "Reading headers" in result.stderr
    assert_silent(result, *EVERYBODY)
    pairs = [(a, b) for b in ("headers", "folders") for a in ("headers", "folders", "listing") if a != b]
    rows = [f"{a},{b},0,{0.5 + k / 10},0.5,{20 * k}" for k, (a, b) in enumerate(pairs)]
    gains = write_csv(out / "gains.csv", "\n".join(["source,target,seed,dice,dice_baseline,gain_percent", *rows]))
    assert_silent(run("agreement", out / "distances.csv", gains, "--out", agreement, "--leave-out"), *EVERYBODY)
    shutil.copy(agreement / "agreement.json", out)
    assert_silent(run("report", out), *EVERYBODY)
    expected = {"agreement.json", "comparisons.csv", "distances.csv", "gains.csv", "report.html", "study.json"}
    assert set(without_cache(out)) == expected | {"characteristics.csv", "recommendation.csv"}
    found = {"agreement.csv", "agreement.json", "characteristic_agreement.csv", "report.html"}
    assert set(written(agreement)) == found
    for folder in (out, agreement):
        assert naming(without_cache(folder), *EVERYBODY, "case0", "a__rt") == []


def test_a_study_from_folders_names_nobody(trainable, tmp_path):
    folders = [tmp_path / name for name in ("headers", "folders", "listing")]
    arguments = ("--target", folders[0], "--source", folders[1], "--source", folders[2])
    result = run("--verbose", "init", *arguments, "--out", tmp_path / "new" / "study.yaml")
    assert_silent(result, *EVERYBODY)
    files = written(tmp_path / "new")
    assert set(files) == {"study.yaml"}
    assert naming(files, *EVERYBODY) == []


def test_no_report_on_lidc_names_its_patients(tmp_path):
    """As in the demo, of which this is a part: their names are public, and no exception."""
    datasets = [
        {"name": "nodules", "layout": {"kind": "lidc", "malignancy": 5, "max_patients": 3}},
        {"name": "phantom", "layout": {"kind": "phantom", "organ": "lung_tumor", "patients": 3, "slices": 2}},
    ]
    content = {
        "name": "small demo",
        "preprocessing": {"grid": [64, 64], "min_pixels": 1, "max_per_case": 2},
        "datasets": [{**dataset, "modality": "CT"} for dataset in datasets],
        "targets": ["phantom"],
        "methods": ["gmm2d"],
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    secrets = ("LIDC-IDRI-", "lung_tumor_0")
    assert_silent(run("--verbose", "distances", tmp_path / "study.yaml", "--out", tmp_path / "out"), *secrets)
    assert naming(written(tmp_path / "out"), *secrets) != []
    assert naming(without_cache(tmp_path / "out"), *secrets) == []


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
        # Whoever calls a folder by a patient reads that name: there is no other.
        assert IN_FOLDER[0] in result.stdout
        assert "a__rt" in result.stdout
    assert naming(written(tmp_path / "out"), *EVERYBODY) == []


def test_what_is_sought_would_be_found(tmp_path):
    """In a file's name, in its bytes and in compressed ones, lest all of the above pass for nothing."""
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(PATIENT_ID.encode(), 9))
    (tmp_path / "b.json").write_text(IN_LISTING)
    (tmp_path / IN_FOLDER[0]).touch()
    with zipfile.ZipFile(tmp_path / "c.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("data.pkl", 9 * PATIENT_NAME)
    assert naming(written(tmp_path), *EVERYBODY) == [IN_FOLDER[0], "a.nii.gz", "b.json", "c.pt"]


SOUGHT_IN_THIS_FILE = {
    *("demo", "rank", "distances", "check", "transfer", "report", "agreement", "init"),
    "cards make",
    "cards rank",
}
SOUGHT_IN_TASKS = {"prepare", "lidc export", "handover"}
WITHOUT_PATIENTS = {"paper", "learn", "lidc subsets"}


def test_whatever_a_command_gives_out_is_looked_through():
    """A new command belongs into one of the three lists above, and a test into this file or the next one."""

    def names(group: TyperGroup, above: str = "") -> Iterator[str]:
        for name, command in group.commands.items():
            whole = f"{above}{name}"
            yield from names(command, f"{whole} ") if isinstance(command, TyperGroup) else [whole]

    assert set(names(get_command(app))) == SOUGHT_IN_THIS_FILE | SOUGHT_IN_TASKS | WITHOUT_PATIENTS
