"""The hand-over to Auto3DSeg, read back by MONAI and by medsegdist."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from monai.apps.auto3dseg import AutoRunner
from monai.auto3dseg.utils import datafold_read
from monai.bundle import ConfigParser
from monai.data import load_decathlon_datalist

from medsegdist.data.auto3dseg import export_auto3dseg, folds_by_patient
from medsegdist.data.dataset import load_dataset_samples
from medsegdist.data.layouts.datalist import DatalistLayout
from medsegdist.data.manifest import DatasetManifest
from medsegdist.errors import DataError, ManifestError
from tests.data.making import PREPROCESSING, pictures_manifest, task_manifest, write_pictures, write_task

NAMES = ("p1_a", "p1_b", "p2_a", "p3_a", "p3_b", "p4_a", "p5_a")


@pytest.fixture
def manifest(tmp_path):
    """Seven cases of five patients, whose foreground is one of two labels."""
    root = write_task(tmp_path / "source", NAMES, values=(1, 2))
    return task_manifest(root, foreground=(2,), description="Blocks.", license="CC0")


def partition(ids) -> set[frozenset[int]]:
    """Which positions belong together, whatever they are called."""
    return {frozenset(k for k, one in enumerate(ids) if one == name) for name in ids}


@pytest.mark.parametrize("pseudonyms", [False, True])
def test_monai_and_medsegdist_read_the_same_samples(pseudonyms, manifest, tmp_path):
    out = tmp_path / "out"
    handed = export_auto3dseg(manifest, out, folds=3, pseudonyms=pseudonyms)
    assert sum(handed.folds) == handed.cases == len(NAMES)
    listed = load_decathlon_datalist(out / "datalist.json")
    layout = DatalistLayout(root=out, patient_key="patient")
    cases = layout.cases()
    assert [(case.image, case.label) for case in cases] == [(entry["image"], entry["label"]) for entry in listed]

    before = load_dataset_samples(manifest, PREPROCESSING)
    after = load_dataset_samples(DatasetManifest(name="tiny", modality="MR", layout=layout), PREPROCESSING)
    assert torch.equal(before.images, after.images)
    assert torch.equal(before.masks, after.masks)
    assert partition(before.patient_ids) == partition(after.patient_ids)
    assert partition(before.case_ids) == partition(after.case_ids)


def test_folds_as_auto3dseg_reads_them_cut_no_patient(manifest, tmp_path):
    out = tmp_path / "out"
    handed = export_auto3dseg(manifest, out, folds=3)
    source = ConfigParser.load_config_file(str(out / "input.yaml"))
    validated = []
    for fold in range(3):
        training, validation = datafold_read(source["datalist"], source["dataroot"], fold=fold)
        assert len(validation) == handed.folds[fold] > 0
        assert not {entry["patient"] for entry in training} & {entry["patient"] for entry in validation}
        cases = DatalistLayout(root=out, patient_key="patient", folds=(fold,)).cases()
        assert [case.image for case in cases] == [entry["image"] for entry in validation]
        validated += [entry["image"] for entry in validation]
    everything = [entry["image"] for entry in load_decathlon_datalist(out / "datalist.json")]
    assert sorted(validated) == sorted(everything)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_autorunner_takes_it_and_analyzes_the_data(manifest, tmp_path):
    export_auto3dseg(manifest, tmp_path / "out", folds=3, label="blocks")
    # Algorithms are downloaded and need a GPU; what comes before them does not.
    later = {"algo_gen": False, "train": False, "ensemble": False}
    runner = AutoRunner(work_dir=str(tmp_path / "work"), input=str(tmp_path / "out" / "input.yaml"), **later)
    assert runner.num_fold == 3
    runner.set_analyze_params({"do_ccp": False, "device": "cpu"})
    runner.run()
    found = yaml.safe_load((tmp_path / "work" / "datastats.yaml").read_text())["stats_summary"]
    assert found["n_cases"] == len(NAMES)
    assert found["label_stats"]["labels"] == [0, 1]


@pytest.mark.parametrize(("modality", "told"), [("CT", "CT"), ("MR", "MRI"), ("other", "MRI")])
def test_the_input_says_what_autorunner_asks_for(modality, told, manifest, tmp_path):
    out = tmp_path / "out"
    export_auto3dseg(manifest.model_copy(update={"modality": modality}), out, folds=2, label="blocks")
    found = yaml.safe_load((out / "input.yaml").read_text())
    assert found["modality"] == told
    assert found["class_names"] == ["blocks"]
    assert found["dataroot"] == str(out)
    assert found["datalist"] == str(out / "datalist.json")


@given(st.lists(st.integers(0, 12), min_size=6, max_size=60), st.integers(2, 6), st.integers(0, 5))
def test_folds_are_whole_patients_and_about_equal(patients, folds, seed):
    ids = [f"patient {k}" for k in patients]
    if len(set(ids)) < folds:
        with pytest.raises(DataError, match=f"expected at least {folds} patients for {folds} folds, found"):
            folds_by_patient("tiny", ids, folds, seed)
        return
    found = folds_by_patient("tiny", ids, folds, seed)
    assert len(set(zip(ids, found, strict=True))) == len(set(ids))
    sizes = Counter(found)
    assert set(sizes) == set(range(folds))
    assert max(sizes.values()) - min(sizes.values()) <= max(Counter(ids).values())
    assert found == folds_by_patient("tiny", ids, folds, seed)


def test_the_seed_draws_the_folds():
    ids = [str(k) for k in range(40)]
    assert len({tuple(folds_by_patient("tiny", ids, 5, seed)) for seed in range(4)}) == 4


def test_pseudonyms_name_nobody(manifest, tmp_path):
    out = tmp_path / "out"
    export_auto3dseg(manifest, out, folds=2, pseudonyms=True)
    assert not any(name in path.name for path in out.rglob("*") for name in NAMES)
    texts = [path.read_text() for path in out.rglob("*") if path.suffix in (".json", ".yaml", ".md")]
    assert len(texts) == 5
    assert not any(name in text for text in texts for name in (*NAMES, "p1", "p5"))


def test_the_readme_says_what_is_known_of_the_data(manifest, tmp_path):
    export_auto3dseg(manifest.model_copy(update={"simulated": "everything"}), tmp_path / "out", folds=2)
    told = (tmp_path / "out" / "README.md").read_text()
    assert told.startswith("# tiny for Auto3DSeg\n\nBlocks.\n\nLicense: CC0.\n\nSimulated: everything.\n")
    assert "pre-training" not in told


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"folds": 1}, ManifestError, "expected at least 2 folds, to train on one and validate on another, found 1."),
        ({"folds": 6}, DataError, "dataset 'tiny': expected at least 6 patients for 6 folds, found 5; ask for fewer"),
        ({"bundle": "nowhere"}, DataError, "expected a bundle as `medsegdist transfer --bundle` writes it"),
        ({"label": "background"}, ManifestError, "expected a name for the foreground, found 'background'"),
    ],
)
def test_what_cannot_be_handed_over_leaves_nothing(options, error, message, manifest, tmp_path):
    with pytest.raises(error, match=message):
        export_auto3dseg(manifest, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_bundle_without_words_is_refused(manifest, tmp_path):
    for name in ("configs/metadata.json", "configs/inference.json", "models/model.pt"):
        (tmp_path / "bundle" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bundle" / name).write_text("[]")
    with pytest.raises(DataError, match=r"metadata.json: expected the description of a bundle, found none\."):
        export_auto3dseg(manifest, tmp_path / "out", folds=2, bundle=tmp_path / "bundle")


def test_pictures_are_refused(tmp_path):
    write_pictures(tmp_path / "source")
    with pytest.raises(ManifestError, match="dataset 'pictures' holds pictures, and Auto3DSeg trains on volumes"):
        export_auto3dseg(pictures_manifest(tmp_path / "source"), tmp_path / "out", folds=2)


def test_an_interrupted_export_goes_on(manifest, tmp_path):
    out, case = tmp_path / "out", tmp_path / "source" / "imagesTr" / "p2_a.nii.gz"
    good = case.read_bytes()
    case.write_bytes(b"")
    with pytest.raises(DataError, match="case 'p2_a': image"):
        export_auto3dseg(manifest, out, folds=2)
    # No file that one could take for a hand-over.
    assert not [path for path in out.iterdir() if path.name[0] != "."]
    kept = {path.name: path.stat().st_mtime_ns for path in out.rglob("p1_a.nii.gz")}
    case.write_bytes(good)
    assert export_auto3dseg(manifest, out, folds=2).cases == len(NAMES)
    assert {path.name: path.stat().st_mtime_ns for path in out.rglob("p1_a.nii.gz")} == kept
    assert not [path for path in out.iterdir() if path.name[0] == "."]


def test_nothing_is_replaced_but_a_hand_over_that_may_be(manifest, tmp_path):
    out = tmp_path / "out"
    export_auto3dseg(manifest, out, folds=2)
    with pytest.raises(FileExistsError, match="expected a new or empty folder"):
        export_auto3dseg(manifest, out, folds=3)
    assert {entry["fold"] for entry in json.loads((out / "datalist.json").read_text())["training"]} == {0, 1}
    export_auto3dseg(manifest, out, folds=3, overwrite=True)
    assert {entry["fold"] for entry in json.loads((out / "datalist.json").read_text())["training"]} == {0, 1, 2}
    (out / "notes.txt").touch()
    with pytest.raises(FileExistsError, match=r"but found notes\.txt in it"):
        export_auto3dseg(manifest, out, folds=2, overwrite=True)
    assert (out / "input.yaml").exists()
