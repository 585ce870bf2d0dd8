"""What is proposed for a folder: foreground, modality, window, grid; and what cannot be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.data.inspect import Statistics, inspect
from medsegdist.data.layouts.paths import expand_path
from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.proposal import (
    choose_labels,
    grid_of,
    manifest_name,
    propose,
    study_text,
    window_of,
    written_root,
)
from medsegdist.errors import DataError, ManifestError
from tests.data.making import labels, voxels, write_picture, write_pictures, write_task, write_volume
from tests.data.making_dicom import rectangle, stack, stored_values, structure_set, write, write_slices


def statistics(low=0.0, high=255.0, whole=True, pictures=True):
    return Statistics(3, 3, {1: 3}, low, high, whole, ((10, 12),), pictures)


def named_task(root, values=(1, 2)):
    write_task(root, values=values)
    listing = json.loads((root / "dataset.json").read_text())
    listing["labels"] = {"0": "background", "1": "Anterior", "2": "Posterior"}
    (root / "dataset.json").write_text(json.dumps(listing))
    return inspect(str(root))


def proposed(inspection, words="all"):
    return [(one.name, one.foreground) for one in propose(inspection, words)]


def test_named_labels_are_one_foreground_or_one_each(tmp_path):
    inspection = named_task(tmp_path / "Task04_Hippocampus")
    assert proposed(inspection) == [("tiny", (1, 2))]
    assert proposed(inspection, "each") == [("tiny Anterior", (1,)), ("tiny Posterior", (2,))]
    assert proposed(inspection, "2") == proposed(inspection, "Posterior") == [("tiny Posterior", (2,))]
    assert proposed(inspection, "1, Posterior") == [("tiny Anterior Posterior", (1, 2))]


def test_labels_without_names_are_those_in_the_masks(tmp_path):
    inspection = inspect(str(write_task(tmp_path / "task", values=(1, 3))))
    assert proposed(inspection) == [("tiny", (1, 3))]
    assert propose(inspection)[0].reasons["foreground"] == "looked at all 3 masks: 1 is in all, 3 is in all"
    assert proposed(inspection, "each") == [("tiny 1", (1,)), ("tiny 3", (3,))]


def test_what_listing_and_masks_do_not_share_is_told(tmp_path):
    assert "looked at 3 of 3 masks, none of which holds 2" in named_task(tmp_path / "a", values=(1,)).remarks
    said = "masks hold 3, which dataset.json does not name; it stays background"
    assert said in named_task(tmp_path / "b", values=(1, 2, 3)).remarks


def test_a_label_that_is_not_there_is_told(tmp_path):
    inspection = named_task(tmp_path / "task")
    with pytest.raises(ManifestError, match=r"among 1 \(Anterior\), 2 \(Posterior\), found '7'\. Write FOLDER=VALUES"):
        propose(inspection, "7")
    with pytest.raises(ManifestError, match="found 'anteriro'; did you mean 'Anterior'"):
        propose(inspection, "anteriro")


def test_a_foreground_for_one_folder_and_for_all(tmp_path):
    two, one = named_task(tmp_path / "two"), inspect(str(write_pictures(tmp_path / "one")))
    assert choose_labels([two, one], []) == [["all"], ["all"]]
    assert choose_labels([two, one], ["each"]) == [["each"], ["all"]]
    assert choose_labels([two, one], ["1", "2"]) == [["1", "2"], ["all"]]
    assert choose_labels([two, one], ["two=2", f"{tmp_path / 'one'}=255"]) == [["2"], ["255"]]
    with pytest.raises(
        ManifestError, match=r"expected a folder among two, one in --foreground tow=1, found 'tow'; did"
    ):
        choose_labels([two, one], ["tow=1"])
    with pytest.raises(ManifestError, match="expected several labels to choose from by --foreground 1, found one in"):
        choose_labels([one], ["1"])
    with pytest.raises(ManifestError, match="expected --foreground LABELS or FOLDER=LABELS, found 'two='"):
        choose_labels([two, one], ["two="])


def test_a_region_of_a_structure_set_is_chosen_by_its_name(tmp_path):
    slices = stack(stored_values((4, 30, 30)))
    write_slices(tmp_path / "ct", slices)
    write(tmp_path / "rt.dcm", structure_set({"body": [rectangle(1, 20, 1)], "liver": [rectangle(3, 9, 1)]}, slices))
    inspection = inspect(str(tmp_path))
    (proposal,) = propose(inspection, "liver")
    assert (proposal.layout["roi"], proposal.foreground, proposal.modality) == ("liver", None, "CT")
    with pytest.raises(ManifestError, match="expected one DICOM segment, found body, liver; choose one"):
        propose(inspection, "body,liver")
    with pytest.raises(ManifestError, match="expected a foreground among body, liver, found 'lung'"):
        propose(inspection, "lung")


@pytest.mark.parametrize(
    ("modality", "seen", "window", "reason"),
    [
        ("CT", statistics(), (0, 255), "8-bit gray, no longer HU"),
        ("CT", statistics(pictures=False), (0, 255), "8-bit gray, no longer HU"),
        ("other", statistics(high=254.3, whole=False), (0, 255), "the whole range of 8-bit pictures"),
        ("other", statistics(high=1, whole=False), None, "percentiles of each image"),
        ("other", statistics(), (0, 255), "the whole range of 8-bit pictures"),
        ("MR", statistics(pictures=False), None, "percentiles of each image"),
        ("other", statistics(high=65535), None, "percentiles of each image"),
        ("CT", statistics(low=-1024, high=3071, pictures=False), None, "HU (from -1024 to 3071), cut to ct_window"),
        (
            "CT",
            statistics(low=0, high=4095, pictures=False),
            None,
            "hardly HU: if 1024 was added, write window: [24, 1424]",
        ),
    ],
)
def test_windows(modality, seen, window, reason):
    found, why = window_of(modality, seen)
    assert found == window
    assert reason in why


@pytest.mark.parametrize(
    ("folder", "low", "modality"),
    [("liver_ct2d", 0, "CT"), ("heart mr", 0, "MR"), ("x", -1000, "CT"), ("x", 0, "other")],
)
def test_a_modality_that_no_listing_names_is_that_of_the_name_or_the_intensities(tmp_path, folder, low, modality):
    for k in range(2):
        write_volume(tmp_path / folder / f"{k}.nii.gz", voxels(k) + low)
        write_volume(tmp_path / folder / f"{k}_seg.nii.gz", labels())
    inspection = inspect(str(tmp_path / folder))
    assert propose(inspection)[0].modality == modality
    assert propose(inspection, modality="MR")[0].reasons["modality"] == "as you said"


@given(
    st.lists(st.tuples(*[st.integers(1, 2000)] * 3), min_size=1, max_size=5),
    st.sampled_from([(2, 32, 256), (3, 16, 96)]),
)
def test_grids_are_round_and_within_bounds(sizes, bounds):
    dimensions, step, most = bounds
    grid, _ = grid_of(sizes, dimensions)
    assert len(grid) == dimensions
    assert all(size % step == 0 and step <= size <= most for size in grid)
    for k, axis in enumerate(zip(*(size[-dimensions:] for size in sizes), strict=True)):
        assert grid[k] < max(axis) + step or grid[k] == step
        assert grid[k] >= min(min(axis), most)


def test_sizes_are_those_of_slices_as_they_are_compared(tmp_path):
    # Stored as (back, head, left); compared as slices (head) of rows (back) and columns (left).
    affine = np.array([[0, 0, -1.0, 0], [-1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])
    array = np.zeros((5, 7, 9), dtype=np.uint8)
    array[1:3, 1:3, 1:3] = 1
    write_volume(tmp_path / "a.nii.gz", array.astype(np.float32), affine)
    write_volume(tmp_path / "a_seg.nii.gz", array, affine)
    assert inspect(str(tmp_path)).statistics.sizes == ((7, 5, 9),)


def test_slices_of_a_patient_are_told_by_their_names(tmp_path):
    inspection = inspect(str(write_pictures(tmp_path / "a", ("liver_001_081", "liver_001_095", "liver_002_076"))))
    manifest = DatasetManifest(
        name="a", modality="other", layout={"root": tmp_path / "a", **inspection.layout}, foreground=(255,)
    )
    assert [case.patient_id for case in manifest.layout.cases()] == ["liver_001", "liver_001", "liver_002"]
    for names in (("hippocampus_001", "hippocampus_002"), ("1_a", "2_b"), ("7_1", "7_2"), ("1_1", "2_1")):
        assert "patient_pattern" not in inspect(str(write_pictures(tmp_path / names[0], names))).layout


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ("101_1009", "101_1013"),
            "patients: each image counts as one (2); set patient_pattern if several are of one patient",
        ),
        (
            ("101_1009", "101_1013", "102_7"),
            "patients: 2 patients in 3 images, as patient_pattern takes names that differ in their last number only",
        ),
    ],
)
def test_who_counts_as_a_patient_is_always_told(tmp_path, names, said):
    assert any(remark.startswith(said) for remark in inspect(str(write_pictures(tmp_path, names))).remarks)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.arange(120, dtype=np.uint8).reshape(10, 12), "at most 64 label values, found 120; if it numbers instances"),
        (np.zeros((10, 12), dtype=np.uint8), "expected masks with foreground, found 0 only in 1 of 1 mask"),
    ],
)
def test_masks_that_hold_no_labels_are_told(tmp_path, mask, message):
    write_pictures(tmp_path, ("a",))
    write_picture(tmp_path / "masks" / "a.png", mask)
    with pytest.raises(DataError, match=message) as caught:
        inspect(str(tmp_path))
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize("out", ["", "studies/deep"])
@pytest.mark.parametrize("given_as", ["a", "./a/", "${HERE}/a", "b/${LAST}", "{root}/a"])
def test_a_study_finds_the_folder_from_where_it_lies(tmp_path, monkeypatch, given_as, out):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setenv("LAST", "a")
    folder = write_pictures(tmp_path / ("b/a" if "LAST" in given_as else "a"))
    written = written_root(inspect(given_as.replace("{root}", str(tmp_path))), tmp_path / out)
    assert expand_path(written, tmp_path / out).resolve() == folder
    if "${" in given_as:
        assert written.endswith(given_as)
    elif "{root}" not in given_as:
        assert not Path(written).is_absolute()


@given(st.text(max_size=100))
def test_every_name_is_one_that_a_manifest_takes(text):
    layout = {"kind": "folder", "root": "x", "images": "*.png", "masks": "*_m.png"}
    DatasetManifest(name=manifest_name(text), modality="CT", layout=layout)


@given(st.text(max_size=80))
def test_no_text_of_a_listing_leaves_its_place_in_the_study(tmp_path_factory, text):
    root = tmp_path_factory.mktemp("said")
    (one,) = propose(named_task(root / "task"))
    found = replace(one.inspection.found, description=text, license=text)
    one = replace(
        one, inspection=replace(one.inspection, found=found, remarks=(text,)), reasons=one.reasons | {"modality": text}
    )
    content = yaml.safe_load(
        study_text([one, replace(one, name="other")], ["tiny"], (16, 16), text, root / "study.yaml")
    )
    assert content["datasets"][0].get("description", "") == text
    assert content["datasets"][0].get("license", "") == text


def test_probability_maps_are_cut_at_a_half_and_infinite_intensities_named(tmp_path):
    root = write_task(tmp_path)
    for path in (root / "labelsTr").iterdir():
        write_volume(path, labels().astype(np.float32) * 0.625)
    broken = voxels(0).astype(np.float32)
    broken[0, 0, 0] = np.inf
    write_volume(root / "imagesTr" / "p1_b.nii.gz", broken)
    found = inspect(str(root))
    assert found.statistics.threshold == 0.5
    assert np.isfinite([found.statistics.low, found.statistics.high]).all()
    (said,) = [one for one in found.remarks if "cannot be used" in one]
    assert said.startswith(f"1 of 3 cases that were read cannot be used, such as case 'p1_b' (image {root}")
    assert said.endswith(": the image holds NaN or infinite intensities; `medsegdist check --full` names all")
