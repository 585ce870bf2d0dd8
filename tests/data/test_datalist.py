from __future__ import annotations

import json

import numpy as np
import pytest
from monai.data import load_decathlon_datalist
from pydantic import ValidationError

from medsegdist.data.layouts.datalist import DatalistLayout
from medsegdist.errors import DataError, ManifestError
from tests.data.making import labels, voxels, write_volume

ENTRIES = [
    {"image": "p1/a.nii.gz", "label": "p1/a_seg.nii.gz", "fold": 0, "subject": "p1"},
    {"image": "p1/b.nii.gz", "label": "p1/b_seg.nii.gz", "fold": 1, "subject": "p1"},
    {"image": "./p2/c.nii.gz", "label": "p2/c_seg.nii.gz", "fold": 1, "subject": 7},
]


def write_list(root, training=ENTRIES, name="datalist.json", **sections):
    root.mkdir(parents=True, exist_ok=True)
    content = {"training": training, **sections}
    (root / name).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return root


def write_files(root, entries=ENTRIES):
    for k, entry in enumerate(entries):
        images = entry["image"] if isinstance(entry["image"], list) else [entry["image"]]
        for j, image in enumerate(images):
            write_volume(root / image, voxels(10 * k + j))
        write_volume(root / entry["label"], labels())
    return write_list(root, entries)


def ids(root, **options):
    return [case.id for case in DatalistLayout(root=root, **options).cases()]


def with_first(**changes):
    return [{key: value for key, value in (ENTRIES[0] | changes).items() if value is not ...}, *ENTRIES[1:]]


def test_monai_reads_the_same_files(tmp_path):
    write_list(tmp_path)
    expected = load_decathlon_datalist(tmp_path / "datalist.json", True, "training")
    found = DatalistLayout(root=tmp_path).cases()
    assert [(case.image, case.label) for case in found] == [(entry["image"], entry["label"]) for entry in expected]


def test_patients(tmp_path):
    write_list(tmp_path)
    by_key = DatalistLayout(root=tmp_path, patient_key="subject").cases()
    assert [case.patient_id for case in by_key] == ["p1", "p1", "7"]
    by_pattern = DatalistLayout(root=tmp_path, patient_pattern="^([abc])").cases()
    assert [case.patient_id for case in by_pattern] == ["a", "b", "c"]


@pytest.mark.parametrize(("folds", "expected"), [((0,), ["a"]), ((1,), ["b", "c"]), ((1, 0), ["a", "b", "c"])])
def test_folds(tmp_path, folds, expected):
    assert ids(write_list(tmp_path), folds=folds) == expected


def test_another_file_section_and_key(tmp_path, monkeypatch):
    entries = [{"image": "p1/a.nii.gz", "mask": "p1/a_seg.nii.gz"}]
    lists = write_list(tmp_path / "lists", None, "my.json", validation=entries)
    monkeypatch.setenv("MY_LISTS", str(lists))
    options = {"section": "validation", "label_key": "mask"}
    for file in ("lists/my.json", str(lists / "my.json"), "${MY_LISTS}/my.json"):
        assert ids(tmp_path, file=file, **options) == ["a"]


def test_names_that_repeat_are_told_apart_by_their_folders(tmp_path):
    entries = [{"image": f"{patient}/ct.nii.gz", "label": f"{patient}/seg.nii.gz"} for patient in ("p1", "./p2")]
    assert ids(write_list(tmp_path, entries)) == ["p1/ct", "p2/ct"]
    with pytest.raises(DataError, match=r"p1/ct: the image is listed more than once; list each once"):
        ids(write_list(tmp_path, [entries[0], *entries]))


def test_one_of_several_channel_files(tmp_path):
    entries = [
        {"image": [f"{name}_t1.nii.gz", f"{name}_t2.nii.gz"], "label": f"{name}_seg.nii.gz"} for name in ("a", "b")
    ]
    layout = DatalistLayout(root=write_files(tmp_path, entries), channel=1)
    assert [case.id for case in layout.cases()] == ["a_t2", "b_t2"]
    item = layout.load(layout.cases()[1].as_item())
    np.testing.assert_array_equal(item["image"][0], voxels(11))
    with pytest.raises(DataError, match=r"'entry 0', 'entry 1': found 2 images; say which one by `channel: 0` to 1"):
        ids(tmp_path)
    with pytest.raises(DataError, match=r"'entry 1': expected channel 2, found 2 images; set `channel` below that"):
        ids(tmp_path, channel=2)


def test_lists_and_single_files_do_not_mix(tmp_path):
    write_list(tmp_path, with_first(image=["p1/a.nii.gz", "p1/b.nii.gz"]))
    with pytest.raises(DataError, match="some images are one file and some are lists of files; write all in one way"):
        ids(tmp_path, channel=0)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../secret.nii.gz", "p1/../../x.nii.gz", "C:/x.nii.gz", "..\\x.nii.gz", "\\\\host\\x", ""]
)
@pytest.mark.parametrize("key", ["image", "label"])
def test_no_path_leaves_the_folder(tmp_path, key, path):
    write_list(tmp_path, [*ENTRIES[1:], ENTRIES[0] | {key: path}])
    with pytest.raises(ManifestError) as caught:
        ids(tmp_path)
    assert f"entry 2: expected a path inside {tmp_path}, found '{path}'" in str(caught.value)
    listed = [*ENTRIES[1:], ENTRIES[0] | {"image": ["p1/a.nii.gz", path]}]
    with pytest.raises(ManifestError, match="entry 2: expected a path inside"):
        ids(write_list(tmp_path, listed), channel=1)


def test_all_malformed_entries_are_listed(tmp_path):
    bad = ["a.nii.gz", {"label": "b"}, {"image": 3, "label": "b"}, {"image": [], "label": "b"}, {"image": "a"}]
    write_list(tmp_path, [*bad, {"image": "a", "label": ["b"]}, ENTRIES[0]])
    with pytest.raises(DataError) as caught:
        ids(tmp_path)
    assert [f"{one.case}: {one.problem}" for one in caught.value.unlisted] == [
        'entry 0: expected {"image": "path", ...}, found \'a.nii.gz\'',
        "entry 1: expected {\"image\": \"path\", ...}, found {'label': 'b'}",
        "entry 2: expected 'image' to be a path or a list of paths, found 3",
        "entry 3: expected 'image' to be a path or a list of paths, found []",
        "entry 4: expected the path of a mask under 'label', found None",
        "entry 5: expected the path of a mask under 'label', found ['b']",
    ]
    assert {one.remedy for one in caught.value.unlisted} == {"correct the entry, or take it out of the list"}


@pytest.mark.parametrize("value", [..., None, True, "", 1.5, ["p1"]])
def test_entries_without_patient_are_listed(tmp_path, value):
    write_list(tmp_path, with_first(subject=value))
    with pytest.raises(DataError, match="entry 0: expected a name or number under 'subject', found"):
        ids(tmp_path, patient_key="subject")


def test_entries_without_fold_are_listed(tmp_path):
    write_list(tmp_path, [*with_first(fold=...), ENTRIES[0] | {"fold": "0"}, ENTRIES[0] | {"fold": True}])
    with pytest.raises(DataError, match=r"have no whole number as their 'fold': 0, 3, 4; add it, or leave `folds` out"):
        ids(tmp_path, folds=(0,))


def test_folds_that_do_not_exist(tmp_path):
    with pytest.raises(DataError, match=r"no entry of 'training' is in fold 2, 5, found the folds 0, 1; correct `fol"):
        ids(write_list(tmp_path), folds=(0, 5, 2))


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (None, r"expected a list 'training' of labeled cases, found None; set `section` to one of its lists:"),
        ([], r"found \[\]; set"),
        ({"image": "a"}, "found {'image': 'a'}; set"),
    ],
)
def test_missing_section(tmp_path, training, message):
    with pytest.raises(DataError, match=message):
        ids(write_list(tmp_path, training, testing=[{"image": "a"}], folds=5))


def test_missing_and_broken_file(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"datalist\.json does not exist; set `root` and `file` to where"):
        ids(tmp_path)
    (tmp_path / "datalist.json").write_text("{")
    with pytest.raises(DataError, match=r"datalist\.json cannot be read as JSON"):
        ids(tmp_path)
    (tmp_path / "datalist.json").write_text("[]")
    with pytest.raises(DataError, match=r"expected {'training': \[\.\.\.\]}, found list; correct the file"):
        ids(tmp_path)
    monkeypatch.delenv("MY_LISTS", raising=False)
    with pytest.raises(ManifestError, match="file: the environment variable MY_LISTS is not set"):
        ids(tmp_path, file="${MY_LISTS}/my.json")
    with pytest.raises(ManifestError, match=r"expected the name of a JSON file, found 'a\\x00'; correct `file`"):
        ids(tmp_path, file="a\0")


def test_a_case_shows_one_patient(tmp_path):
    with pytest.raises(ValidationError, match="patient_key and patient_pattern both say whom a case shows; choose one"):
        DatalistLayout(root=tmp_path, patient_key="subject", patient_pattern="(.)")


@pytest.mark.realdata
def test_the_json_of_a_real_task_is_a_datalist(data_root):
    root = data_root / "Task04_Hippocampus"
    cases = DatalistLayout(root=root, file="dataset.json", patient_pattern=r"_(\d+)$").cases()
    expected = load_decathlon_datalist(root / "dataset.json", True, "training")
    assert [(case.image, case.label) for case in cases] == [(entry["image"], entry["label"]) for entry in expected]
    assert (cases[0].id, cases[0].patient_id) == ("hippocampus_001", "001")
