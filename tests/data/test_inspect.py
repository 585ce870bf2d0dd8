"""Folders with a JSON file that says what they hold, and DICOM."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.data.inspect import inspect, recognize
from medsegdist.data.layouts.listing import labels_of, modality_of
from medsegdist.data.proposal import propose
from medsegdist.errors import DataError
from tests.data.making import labels, voxels, write_listing, write_task, write_volume
from tests.data.making_dicom import (
    rectangle,
    segmentation,
    slice_of,
    stack,
    stored_values,
    structure_set,
    write,
    write_slices,
)
from tests.data.test_datalist import write_files
from tests.data.test_nnunet import write_raw


def test_a_decathlon_task(tmp_path):
    root = write_task(tmp_path / "Task07_Liver_and_more", values=(1, 2))
    listing = json.loads((root / "dataset.json").read_text())
    more = {
        "name": "Liver",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "liver", "2": "tumor"},
        "licence": "CC-BY",
        "description": "Two\n lines",
    }
    (root / "dataset.json").write_text(json.dumps(listing | more))
    found = recognize(root)
    assert (found.layout, found.name, found.modality) == ({"kind": "decathlon"}, "Liver", "CT")
    assert found.labels == {"liver": (1,), "tumor": (2,)}
    assert (found.license, found.description) == ("CC-BY", "Two lines")
    assert len(inspect(str(root)).statistics.sizes) == 3


def test_of_several_channels_the_first_one_is_proposed(tmp_path):
    for k in range(2):
        write_volume(tmp_path / f"i{k}.nii.gz", np.stack([voxels(0), voxels(1)], axis=-1))
        write_volume(tmp_path / f"l{k}.nii.gz", labels())
    entries = [{"image": f"i{k}.nii.gz", "label": f"l{k}.nii.gz"} for k in range(2)]
    write_listing(tmp_path, entries, modality={"0": "T2", "1": "ADC"})
    inspection = inspect(str(tmp_path))
    assert inspection.layout == {"kind": "decathlon", "channel": 0}
    assert inspection.remarks[0] == "channel: 0 is T2, the first of T2, ADC"
    assert inspection.found.modality == "MR"


def test_an_nnunet_dataset(tmp_path):
    found = recognize(write_raw(tmp_path / "Dataset005_Prostate"))
    assert found.what == "an nnU-Net v2 dataset (dataset.json)"
    assert found.layout == {"kind": "nnunet", "channel": 0}
    assert found.labels == {"PZ": (1,), "prostate": (1, 2)}
    assert propose(inspect(str(tmp_path / "Dataset005_Prostate")))[0].name == "Prostate"


@pytest.mark.parametrize("given_as", ["", "datalist.json"])
def test_a_datalist_by_its_folder_or_by_itself(tmp_path, given_as):
    inspection = inspect(str(write_files(tmp_path) / given_as))
    assert inspection.layout == {"kind": "datalist", "file": "datalist.json", "patient_key": "subject"}
    assert inspection.statistics.cases == 3


def test_a_datalist_of_other_words_beside_json_that_is_none(tmp_path):
    write_volume(tmp_path / "a.nii.gz", voxels(0))
    write_volume(tmp_path / "b.nii.gz", labels())
    (tmp_path / "cases.json").write_text(json.dumps({"train": [{"image": "a.nii.gz", "mask": "b.nii.gz"}]}))
    (tmp_path / "another.json").write_text("[1]")
    (tmp_path / "broken.json").write_text("{")
    inspection = inspect(str(tmp_path))
    expected = {"kind": "datalist", "file": "cases.json", "section": "train", "label_key": "mask"}
    assert inspection.layout == expected


def test_a_dataset_json_that_is_broken_is_told(tmp_path):
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(DataError, match=r"dataset\.json cannot be read as JSON"):
        recognize(tmp_path)


def test_structure_sets(tmp_path):
    slices = stack(stored_values((4, 30, 30)))
    write_slices(tmp_path / "ct", slices)
    drawn = {"body": [rectangle(1, 20, 1)], "liver": [rectangle(3, 9, 1)]}
    write(tmp_path / "rt.dcm", structure_set(drawn, slices))
    inspection = inspect(str(tmp_path))
    assert inspection.layout == {"kind": "dicom", "segmentation": "rtstruct", "roi": "body"}
    assert inspection.choices == ("body", "liver")
    assert (inspection.found.modality, inspection.found.modality_reason) == ("CT", "the DICOM headers say CT")


def test_segmentation_objects(tmp_path):
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    slices = stack(stored_values((4, 8, 8)))
    write_slices(tmp_path / "ct", slices)
    mask = np.zeros((4, 8, 8, 1), dtype=bool)
    mask[1, 2:5, 2:5] = True
    write(tmp_path / "seg.dcm", segmentation(slices, mask, ["liver"]))
    inspection = inspect(str(tmp_path))
    assert inspection.layout == {"kind": "dicom", "segmentation": "seg"}
    assert inspection.statistics.values == {1: 1}


def test_dicom_images_without_a_drawing_are_no_dataset(tmp_path):
    write(tmp_path / "a.dcm", slice_of(np.zeros((4, 4), dtype=np.int16), (0, 0, 0)))
    with pytest.raises(DataError, match=r"Found: 1 \.dcm;"):
        recognize(tmp_path)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["CT"], "CT"),
        (["MRI"], "MR"),
        (["T1w"], "MR"),
        (["FLAIR"], "MR"),
        (["msd_liver_ct2d"], "CT"),
        (["la2018_heart_mr3d"], "MR"),
        (["montgomery_lung_cxr2d"], "other"),
        (["ct and mr"], None),
        (["noNorm"], None),
        (["actor"], None),
        ([], None),
    ],
)
def test_words_for_modalities(words, expected):
    assert modality_of(words) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"0": "background", "1": "liver"}, {"liver": (1,)}),
        ({"background": 0, "liver": 1, "ignore": 3}, {"liver": (1,)}),
        ({"background": 0, "whole": [1, 2], "core": [2]}, {"whole": (1, 2), "core": (2,)}),
        ({"1": 1}, {"1": (1,)}),
        ({"²": "superscript", "--1": "twice", "9" * 5000: "long"}, {}),
        ({"a": "b", "c": None, "d": []}, {}),
        (["a"], {}),
    ],
)
def test_labels_as_listings_write_them(written, expected):
    assert labels_of(written) == expected


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_no_json_makes_labels_stumble(content):
    assert all(name and values and 0 not in values for name, values in labels_of(content).items())
