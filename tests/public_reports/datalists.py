"""Datalists with absolute paths or a base folder, and an example of each layout."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from medsegdist.data.layouts.datalist import DatalistLayout
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.layouts.nnunet import NnunetLayout
from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.study import load_study
from medsegdist.errors import DataError, ManifestError
from tests.data.making import labels, voxels, write_task, write_volume
from tests.data.making_dicom import rectangle, stack, stored_values, structure_set, write, write_slices
from tests.public_reports import Report
from tests.public_reports.jobs import run

DATALIST = "Project-MONAI/MONAI#465"


def listing(data: Path, file: Path, named: Callable[[Path], str], cases: tuple[str, ...] = ("p1/ct", "p2/ct")) -> Path:
    """Volumes in a folder, and a datalist of them that names them in some way."""
    entries = []
    for k, case in enumerate(cases):
        image, label = data / f"{case}.nii.gz", data / f"{case}_seg.nii.gz"
        write_volume(image, voxels(k))
        write_volume(label, labels())
        entries.append({"image": named(image), "label": named(label)})
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"training": entries}))
    return file


def read(layout: DatalistLayout) -> list[str]:
    """The ids of its cases, each of which can be loaded."""
    cases = layout.cases()
    for k, case in enumerate(cases):
        np.testing.assert_array_equal(layout.load(case.as_item())["image"][0], voxels(k))
    return [case.id for case in cases]


def absolute_below_root(folder: Path) -> None:
    listing(folder / "data", folder / "data" / "datalist.json", str)
    assert read(DatalistLayout(root=folder / "data")) == ["p1/ct", "p2/ct"]


def absolute_with_a_list_elsewhere(folder: Path) -> None:
    file = listing(folder / "data", folder / "lists" / "folds.json", str)
    assert read(DatalistLayout(root=folder / "data", file=str(file))) == ["p1/ct", "p2/ct"]


def absolute_and_relative_mixed(folder: Path) -> None:
    def named(path: Path) -> str:
        return str(path) if path.name == "ct.nii.gz" else os.path.relpath(path, folder / "data")

    listing(folder / "data", folder / "data" / "datalist.json", named)
    assert read(DatalistLayout(root=folder / "data")) == ["p1/ct", "p2/ct"]


def absolute_through_a_link(folder: Path) -> None:
    listing(folder / "disk", folder / "disk" / "datalist.json", str)
    try:
        (folder / "data").symlink_to(folder / "disk", target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    assert read(DatalistLayout(root=folder / "data")) == ["p1/ct", "p2/ct"]


def root_with_dots(folder: Path) -> None:
    listing(folder / "data", folder / "data" / "datalist.json", str)
    (folder / "lists").mkdir()
    assert read(DatalistLayout(root=folder / "lists" / ".." / "data")) == ["p1/ct", "p2/ct"]


def absolute_without_root(folder: Path) -> None:
    listing(folder / "data", folder / "lists" / "folds.json", str)
    content = {"name": "a", "modality": "CT", "layout": {"kind": "datalist", "file": "lists/folds.json"}}
    (folder / "a.yaml").write_text(yaml.safe_dump(content))
    from medsegdist.data.manifest import load_dataset

    layout = load_dataset(folder / "a.yaml").layout
    assert isinstance(layout, DatalistLayout)
    assert read(layout) == ["p1/ct", "p2/ct"]
    # What was read once can be written and read once more.
    assert read(DatalistLayout.model_validate(layout.model_dump())) == ["p1/ct", "p2/ct"]


def relative_without_root(folder: Path) -> None:
    file = listing(
        folder / "data", folder / "data" / "datalist.json", lambda path: os.path.relpath(path, folder / "data")
    )
    assert read(DatalistLayout(file=str(file))) == ["p1/ct", "p2/ct"]


def base_folder(folder: Path) -> None:
    listing(folder / "data", folder / "lists" / "folds.json", lambda path: os.path.relpath(path, folder / "data"))
    assert read(DatalistLayout(root=folder / "data", file="../lists/folds.json")) == ["p1/ct", "p2/ct"]


def absolute_task(folder: Path) -> None:
    write_task(folder / "task")
    path = folder / "task" / "dataset.json"
    content = json.loads(path.read_text())
    for entry in content["training"]:
        entry |= {key: str(folder / "task" / entry[key]) for key in ("image", "label")}
    path.write_text(json.dumps(content))
    layout = {"kind": "decathlon", "root": folder / "task"}
    manifest = DatasetManifest.model_validate({"name": "a", "modality": "CT", "layout": layout})
    assert len(manifest.cases()) == 3


def forty_outside(folder: Path) -> None:
    names = tuple(f"case{k}" for k in range(40))
    listing(folder / "data", folder / "lists" / "datalist.json", str, names)
    with pytest.raises(ManifestError) as caught:
        DatalistLayout(root=folder / "lists").cases()
    text = str(caught.value)
    assert "\n" not in text
    assert "entry 0: expected a path inside" in text
    assert "and so of 39 more entries" in text
    assert "or leave `root` out (for `init`: name the list itself) to follow absolute paths anywhere" in text


def forty_without_mask(folder: Path) -> None:
    entries = [{"image": f"a{k}.nii.gz", "label": {"path": f"b{k}.nii.gz"}} for k in range(40)]
    (folder / "datalist.json").write_text(json.dumps({"training": entries}))
    with pytest.raises(DataError) as caught:
        DatalistLayout(root=folder).cases()
    lines = str(caught.value).split("\n")
    assert len(lines) <= 3
    assert "'entry 0', 'entry 1'" in lines[1]
    assert "(so of 'entry 0'; the others alike)" in lines[1]


def forty_missing(folder: Path) -> None:
    entries = [{"image": str(folder / f"a{k}.nii.gz"), "label": str(folder / f"b{k}.nii.gz")} for k in range(40)]
    (folder / "datalist.json").write_text(json.dumps({"training": entries}))
    write_task(folder / "task")
    layouts = [{"kind": "datalist", "root": str(folder)}, {"kind": "decathlon", "root": str(folder / "task")}]
    datasets = [{"name": f"d{k}", "modality": "MR", "layout": layout} for k, layout in enumerate(layouts)]
    study = {"name": "s", "preprocessing": {"grid": [8, 8]}, "datasets": datasets, "targets": ["d1"]}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    text = run("check", folder / "study.yaml", status=1)
    assert len(text.splitlines()) < 40
    assert "Errors: 1," in text or "Errors: 2," in text


def init_of_a_list(folder: Path) -> None:
    cases = ("p1_ct", "p2_ct", "p3_ct")
    file = listing(folder / "data", folder / "lists" / "folds.json", str, cases)
    write_task(folder / "task_ct")
    (folder / "studies").mkdir()
    out = folder / "studies" / "study.yaml"
    run("init", "--target", file, "--source", folder / "task_ct", "--modality", "CT", "--out", out)
    first = load_study(out).datasets[0].layout
    assert isinstance(first, DatalistLayout)
    assert first.root is None
    assert len(first.cases()) == 3
    # A folder is named for its own files: its list leads nowhere else.
    source = ("--source", folder / "task_ct", "--out", folder / "other.yaml")
    assert "leave `root` out" in run("init", "--target", folder / "lists", *source, status=2).replace("\n", " ")


# Examples


def examples_of_layouts(folder: Path) -> None:
    from importlib.resources import files

    text = (files("medsegdist.data_manifests") / "README.md").read_text(encoding="utf-8")
    _, *sections = re.split(r"^### ", text[text.index("## Layouts") :], flags=re.M)
    from medsegdist.data.inspect import _LAYOUTS

    shown = {one.split("\n")[0].strip() for one in sections}
    assert {"decathlon", "nnunet", "datalist", "folder", "dicom", "lidc", "phantom"} <= shown <= set(_LAYOUTS)
    for section in sections:
        kind = section.split("\n")[0].strip()
        content = yaml.safe_load(section.split("```yaml\n")[1].split("```")[0])
        assert content["layout"]["kind"] == kind
        root = folder / kind
        if kind in EXAMPLES:
            content["layout"]["root"] = str(root / content["layout"]["root"])
            EXAMPLES[kind](Path(content["layout"]["root"]))
        assert DatasetManifest.model_validate(content).cases(), kind


def _nnunet(root: Path) -> None:
    names = ("la_001", "la_002")
    for name in names:
        write_volume(root / "imagesTr" / f"{name}_0000.nii.gz", voxels(0))
        write_volume(root / "labelsTr" / f"{name}.nii.gz", labels())
    content = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "heart": 1}}
    (root / "dataset.json").write_text(json.dumps({**content, "numTraining": 2, "file_ending": ".nii.gz"}))


def keys_given_twice(folder: Path) -> None:
    entry = '{"image": "a.nii", "label": "m.nii"}'
    twice = {
        DatalistLayout: f'{{"training": [{entry}], "training": [{entry}]}}',
        DecathlonLayout: '{"training": [{"image": "a.nii", "label": "m.nii", "label": "n.nii"}]}',
        NnunetLayout: '{"dataset": {"a": {"images": [], "label": ""}, "a": {"images": [], "label": ""}}}',
    }
    for kind, text in twice.items():
        for name in ("datalist.json", "dataset.json"):
            (folder / name).write_text(text)
        with pytest.raises(DataError, match=r"the key '(training|label|a)' is given twice"):
            kind(root=folder).cases()


def patients_with_blanks(folder: Path) -> None:
    file = listing(folder, folder / "datalist.json", str, tuple("abcd"))
    content = json.loads(file.read_text())
    for entry, patient in zip(content["training"], ("p1", " p1", "p1 ", "P1"), strict=True):
        entry["who"] = patient
    file.write_text(json.dumps(content))
    layout = DatalistLayout(root=folder, patient_key="who")
    assert [case.patient_id for case in layout.cases()] == ["p1", "p1", "p1", "P1"]
    file.write_text(json.dumps({"training": [entry | {"who": " "} for entry in content["training"]]}))
    with pytest.raises(DataError, match="expected a name or number under 'who', found"):
        layout.cases()


def _datalist(root: Path) -> None:
    listing(root, root / "datalist.json", lambda path: os.path.relpath(path, root), tuple("abcd"))
    content = json.loads((root / "datalist.json").read_text())
    for k, entry in enumerate(content["training"]):
        entry |= {"fold": k, "patient": f"p{k}"}
    (root / "datalist.json").write_text(json.dumps(content))


def _folder(root: Path) -> None:
    from tests.data.making import write_picture

    for name, value in (("images/a.png", 90), ("masks/a_mask.png", 255)):
        write_picture(root / name, np.full((12, 10), value, dtype=np.uint8))


def _dicom(root: Path) -> None:
    slices = stack(stored_values((3, 40, 30)))
    write_slices(root, slices)
    write(root / "drawn.dcm", structure_set({"GTV": [rectangle(3.5, 12.5, 1)]}, slices))


EXAMPLES: dict[str, Callable[[Path], object]] = {
    "decathlon": write_task,
    "nnunet": _nnunet,
    "datalist": _datalist,
    "folder": _folder,
    "dicom": _dicom,
}


REPORTS = [
    Report(DATALIST, "datalist: absolute paths below root", "read, ids by folder", absolute_below_root),
    Report("", "datalist: absolute paths, the list in another folder", "read", absolute_with_a_list_elsewhere),
    Report("", "datalist: absolute images, relative masks", "read", absolute_and_relative_mixed),
    Report("", "datalist: root is a link to where the paths lead", "read", absolute_through_a_link),
    Report("", "datalist: root with .. in it, absolute paths", "read", root_with_dots),
    Report("", "datalist: absolute paths, no root", "read", absolute_without_root),
    Report("", "datalist: relative paths, no root", "read from the list's folder", relative_without_root),
    Report(DATALIST, "datalist: a base folder, the list elsewhere", "read from the base folder", base_folder),
    Report("", "dataset.json with absolute paths", "read", absolute_task),
    Report("", "datalist: 40 paths outside of root", "refused in one line", forty_outside),
    Report("", "datalist: 40 entries without the path of a mask", "one line", forty_without_mask),
    Report("", "datalist: 40 files that are not there", "check merges them", forty_missing),
    Report("", "init of a datalist with absolute paths", "a study that reads", init_of_a_list),
    Report("", "a key that stands twice in a JSON listing", "refused", keys_given_twice),
    Report("", "patients that differ in blanks at their ends", "one patient", patients_with_blanks),
    Report("", "an example of each layout", "lists the cases it describes", examples_of_layouts),
]
