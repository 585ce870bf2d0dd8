"""Which datasets have an up that is anterior: volumes of CT and MR, and nothing that is a picture."""

from __future__ import annotations

import json

import pytest

from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.orientation import is_oriented


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
    assert is_oriented(manifest) is oriented


@pytest.mark.parametrize(("ending", "oriented"), [(".nii.gz", True), (".png", False)])
def test_a_datalist_is_told_by_its_files(tmp_path, ending, oriented):
    files(tmp_path, ending)
    (tmp_path / "list.json").write_text(
        json.dumps({"training": [{"image": f"images/a{ending}", "label": f"masks/a{ending}"}]})
    )
    layout = {"kind": "datalist", "root": str(tmp_path), "file": "list.json"}
    assert is_oriented(DatasetManifest(name="some", modality="CT", layout=layout)) is oriented
    (tmp_path / "list.json").unlink()
    assert is_oriented(DatasetManifest(name="some", modality="CT", layout=layout)) is None
