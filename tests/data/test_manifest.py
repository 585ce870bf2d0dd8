"""Descriptions of datasets and preprocessings: what is read, what is refused, and the fingerprint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.manifest import DatasetManifest, Preprocessing, load_dataset
from medsegdist.data.study import load_study
from medsegdist.errors import ManifestError

LUNG = """
name: lung
modality: CT
layout: {kind: decathlon, root: Task06_Lung}
foreground: [1]
license: CC-BY-SA 4.0
"""
STUDY = """
name: two organs
preprocessing: {grid: [64, 64]}
datasets:
  - lung.yaml
  - name: polyps
    modality: other
    layout: {kind: folder, root: ../polyps, images: images/*.png, masks: masks/*.png}
targets: [lung]
"""


def written(folder: Path, text: str, name: str = "lung.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def lung_with(folder: Path, old: str, new: str) -> Path:
    assert old in LUNG
    return written(folder, LUNG.replace(old, new))


def study_with(folder: Path, old: str, new: str) -> Path:
    assert old in STUDY
    written(folder, LUNG)
    return written(folder, STUDY.replace(old, new), "study.yaml")


def test_dataset_is_read_with_its_root_beside_the_file(tmp_path):
    dataset = load_dataset(written(tmp_path, LUNG))
    assert dataset == DatasetManifest(
        name="lung",
        modality="CT",
        layout=DecathlonLayout(root=tmp_path / "Task06_Lung"),
        foreground=(1,),
        license="CC-BY-SA 4.0",
    )


def test_classes_are_one_value_or_several(tmp_path):
    manifest = load_dataset(lung_with(tmp_path, "foreground: [1]", "classes: {cancer: 1, rib cage: [2, -3]}"))
    assert manifest.classes == {"cancer": (1,), "rib cage": (2, -3)}
    assert manifest.label_values == (1, 2, -3)
    assert DatasetManifest.model_validate_json(manifest.model_dump_json()) == manifest


def test_root_takes_variables_and_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_DATA", "/somewhere")
    monkeypatch.setenv("HOME", "/home/reader")
    assert str(load_dataset(lung_with(tmp_path, "Task06_Lung", "'${SOME_DATA}/T'")).layout.root) == "/somewhere/T"
    assert str(load_dataset(lung_with(tmp_path, "Task06_Lung", "~/T")).layout.root) == "/home/reader/T"


@pytest.mark.parametrize("value", [None, ""])
def test_unset_variable_is_named(tmp_path, monkeypatch, value):
    if value is None:
        monkeypatch.delenv("SOME_DATA", raising=False)
    else:
        monkeypatch.setenv("SOME_DATA", value)
    with pytest.raises(ManifestError, match=r"lung\.yaml: layout\.root: the environment variable SOME_DATA is not set"):
        load_dataset(lung_with(tmp_path, "Task06_Lung", "'${SOME_DATA}/T'"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("modality: CT", "", r"modality: this key is missing"),
        ("modality: CT", "modality: MRI", r"modality: expected 'CT', 'MR' or 'other', found 'MRI'; did you mean 'MR'"),
        ("root:", "rooot: x, root:", r"layout\.rooot: unknown key; did you mean 'root'\? Allowed here: channel, kind,"),
        ("root: Task06_Lung", "root: x, patient_pattern: '('", r"layout\.patient_pattern: not a regular expression"),
        ("root: Task06_Lung", "root: x, patient_pattern: 'a'", r"layout\.patient_pattern: .*one group.*found 0 groups"),
        ("foreground: [1]", "foreground: [0, 1]", r"foreground: 0 is the background"),
        ("foreground: [1]", "foreground: [16777216]", r"foreground: expected label values between -16777216 and 16777"),
        ("foreground: [1]", "classes: {a: 0}", r"classes\.a: 0 is the background"),
        ("foreground: [1]", "classes: {a: [1, 1]}", r"classes\.a: a label value is named twice in \[1, 1\]"),
        ("foreground: [1]", "classes: {a: [1, 2], b: 2}", r"classes: the label value 2 is named in two classes, 'a'"),
        ("foreground: [1]", "classes: {../a: 1}", r"classes\.\.\./a.*expected a name of letters, digits, spaces"),
        (
            "foreground: [1]",
            "foreground: [1]\nclasses: {a: 1}",
            r"expected `foreground`, `classes` or `mask_threshold`, found `foreground` and `classes`; keep",
        ),
        ("foreground: [1]", "window: [400, -1000]", r"window: the window is upside down.*\[400\.0, -1000\.0\]"),
        ("foreground: [1]", "window: [.nan, 3]", r"window\.0: .*finite"),
        ("name: lung", "name: no", r"name: expected a text, found false; put it in quotes"),
        ("name: lung", "name: ../lung", r"name: expected a name of letters, digits, spaces .*found '\.\./lung'; it"),
    ],
)
def test_wrong_dataset_names_file_place_and_what_was_found(tmp_path, monkeypatch, old, new, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ManifestError, match=message) as caught:
        load_dataset(lung_with(tmp_path, old, new))
    assert str(tmp_path / "lung.yaml") in str(caught.value)
    assert not (tmp_path / "made").exists()


def test_an_unknown_home_is_refused(tmp_path):
    with pytest.raises(
        ManifestError, match=r"layout\.root: the home folder in '~nobody_at_all/x' is unknown; write it"
    ):
        load_dataset(lung_with(tmp_path, "Task06_Lung", "~nobody_at_all/x"))


def test_a_dataset_with_its_own_window_is_not_in_hounsfield():
    lung = DatasetManifest(name="lung", modality="CT", layout=DecathlonLayout(root="x"), window=(0, 255))
    lung.check_fits(Preprocessing(grid=(8, 8)))
    with pytest.raises(ManifestError, match=r"'lung': expected a CT in HU, .*, found a window of its own"):
        lung.check_fits(Preprocessing(grid=(8, 8), intensity="hounsfield"))


OTHER_VALUES = {
    "dimensions": {"dimensions": 3, "grid": (8, 9, 7)},
    "grid": {"grid": (9, 8)},
    "spacing": {"spacing": (1, 1)},
    "intensity": {"intensity": "zscore"},
    "ct_window": {"ct_window": (-1000, 401)},
    "percentiles": {"percentiles": (0, 100)},
    "delta": {"delta": -2},
    "min_pixels": {"min_pixels": 11},
    "max_samples": {"max_samples": 501},
    "max_per_case": {"max_per_case": 5},
    "seed": {"seed": 1},
}


@pytest.mark.parametrize("field", sorted(Preprocessing.model_fields))
def test_fingerprint_depends_on_every_field(field):
    usual = {"grid": (8, 9)}
    assert Preprocessing(**usual | OTHER_VALUES[field]).fingerprint != Preprocessing(**usual).fingerprint


def test_a_missing_file_is_told_with_what_lies_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text("")
    said = (
        rf"studdy\.yaml: expected a YAML file here, found none; the current folder is {tmp_path}; did you mean 'study"
    )
    with pytest.raises(ManifestError, match=said):
        load_study("studdy.yaml")
    with pytest.raises(ManifestError, match=r"correct the path, which is relative to that folder"):
        load_study("unlike.yaml")
    with pytest.raises(ManifestError, match=rf"and there is no folder {tmp_path / 'gone'}\."):
        load_study("gone/study.yaml")


PHANTOM = {"name": "x", "modality": "CT", "layout": {"kind": "phantom", "organ": "liver"}}
OF_LIDC = {**PHANTOM, "layout": {"kind": "lidc", "malignancy": 4}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PHANTOM, "everything"),
        ({**PHANTOM, "simulated": ""}, "everything"),
        ({**PHANTOM, "simulated": " "}, "everything"),
        ({**PHANTOM, "simulated": "all of it"}, "all of it"),
        (OF_LIDC, "intensities (contours and ratings are real)"),
        ({**OF_LIDC, "layout": {"kind": "lidc", "malignancy": 4, "images": "dicom", "dicom_root": "/x"}}, ""),
        ({**PHANTOM, "layout": {"kind": "folder", "root": "/x", "images": "a/*.png", "masks": "b/*.png"}}, ""),
    ],
)
def test_what_a_layout_invents_is_simulated_whether_the_description_says_so_or_not(content, said):
    manifest = DatasetManifest.model_validate(content)
    assert manifest.simulated == said
    assert DatasetManifest.model_validate(manifest.model_dump()) == manifest


def files(root, ending):
    for name in ("images/a", "masks/a"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}{ending}").write_bytes(b"")
    return {"kind": "folder", "root": str(root), "images": f"images/*{ending}", "masks": f"masks/*{ending}"}


@pytest.mark.parametrize(
    ("ending", "modality", "oriented"),
    [(".nii.gz", "CT", True), (".mha", "MR", True), (".nii.gz", "other", False), (".png", "CT", False)],
)
def test_files_in_folders(tmp_path, ending, modality, oriented):
    manifest = DatasetManifest(name="some", modality=modality, layout=files(tmp_path, ending))
    assert manifest.is_oriented() is oriented


@pytest.mark.parametrize(("ending", "oriented"), [(".nii.gz", True), (".png", False)])
def test_a_datalist_is_told_by_its_files(tmp_path, ending, oriented):
    files(tmp_path, ending)
    (tmp_path / "list.json").write_text(
        json.dumps({"training": [{"image": f"images/a{ending}", "label": f"masks/a{ending}"}]})
    )
    layout = {"kind": "datalist", "root": str(tmp_path), "file": "list.json"}
    assert DatasetManifest(name="some", modality="CT", layout=layout).is_oriented() is oriented
    (tmp_path / "list.json").unlink()
    assert DatasetManifest(name="some", modality="CT", layout=layout).is_oriented() is None
