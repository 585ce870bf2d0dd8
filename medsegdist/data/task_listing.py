"""The text files of a Decathlon task: dataset.json for everybody's readers, dataset.yaml for medsegdist."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.task_names import CaseName
from medsegdist.data.unfinished_task import IMAGES, LABELS, LISTING

MANIFEST = "dataset.yaml"
# As the Decathlon's own tasks call them.
_MODALITIES = {"CT": "CT", "MR": "MRI", "other": "other"}


def task_texts(
    manifest: DatasetManifest,
    names: Sequence[CaseName],
    *,
    label: str,
    channels: int,
    pictures: bool,
    sheared: Sequence[str],
    pseudonyms: bool,
) -> dict[str, str]:
    """Content of the task's text files, by file name.

    No path of this machine is in them, nor anything else that changes from one run to the next.

    Args:
        manifest: the dataset that the task was made from.
        names: of its cases, in order.
        label: what the foreground shows.
        channels: of every image.
        pictures: whether images were 2D pictures, whose size in mm is unknown.
        sheared: names of the cases whose axes are not at right angles.
        pseudonyms: whether cases and patients were renamed.
    """
    modality = _MODALITIES[manifest.modality]
    # nnU-Net and MONAI ask for all of these keys; nnU-Net demands imagesTs and "test" even of a task that has none.
    listing = {
        "name": manifest.name,
        "description": manifest.description,
        "reference": f"made by medsegdist from a dataset of layout '{manifest.layout.kind}'",
        "licence": manifest.license,
        "release": f"medsegdist {version('medsegdist')}",
        "tensorImageSize": "3D" if channels == 1 else "4D",
        "modality": {str(channel): modality for channel in range(channels)},
        "labels": {"0": "background", "1": label},
        "numTraining": len(names),
        "numTest": 0,
        "provenance": _provenance(manifest, pictures=pictures, sheared=sheared, pseudonyms=pseudonyms),
        "training": [_entry(name) for name in names],
        "test": [],
    }
    return {LISTING: json.dumps(listing, indent=2) + "\n", MANIFEST: _manifest_text(manifest, channels)}


def _entry(name: CaseName) -> dict[str, str]:
    files = {"image": f"./{IMAGES}/{name.case}.nii.gz", "label": f"./{LABELS}/{name.case}.nii.gz"}
    return files if name.patient is None else {**files, "patient_id": name.patient}


def _provenance(
    manifest: DatasetManifest, *, pictures: bool, sheared: Sequence[str], pseudonyms: bool
) -> dict[str, Any]:
    layout = manifest.layout
    options = layout.model_dump(mode="json")
    local = [name for name in options if isinstance(getattr(layout, name), Path)]
    found: dict[str, Any] = {
        "medsegdist": version("medsegdist"),
        "layout": {name: value for name, value in options.items() if name not in local},
        "foreground": "the only value beside 0" if manifest.foreground is None else list(manifest.foreground),
        "simulated": manifest.simulated or "nothing",
        "case_names": "pseudonyms" if pseudonyms else "those of the source",
    }
    if manifest.window is not None:
        found["window"] = list(manifest.window)
    if pictures:
        found["spacing"] = "unknown; 1 mm stands for one pixel"
    if sheared:
        found["not_at_right_angles"] = list(sheared)
    return found


def _manifest_text(manifest: DatasetManifest, channels: int) -> str:
    """A manifest of the task itself, so that a study can name it."""
    layout: dict[str, Any] = {"kind": "decathlon", "root": "."}
    if channels > 1:
        layout["channel"] = 0
    content = manifest.model_dump(mode="json", exclude={"layout", "foreground"}, exclude_defaults=True)
    return yaml.safe_dump({**content, "layout": layout, "foreground": [1]}, sort_keys=False)
