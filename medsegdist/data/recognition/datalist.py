"""Whether a folder holds a datalist of MONAI or Auto3DSeg."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from medsegdist.data.layouts.listing import read_listing
from medsegdist.data.recognition.found import Found, found_in, words_in
from medsegdist.errors import DataError
from medsegdist.words import counted

LOOKED_FOR = '*.json with a list of {"image": ..., "label": ...} (MONAI datalist)'

_LABEL_KEYS = ("label", "mask", "seg", "segmentation")
_PATIENT_KEYS = ("patient_id", "patient", "subject", "subject_id")


def recognize_datalist(folder: Path) -> Found | None:
    """What the first datalist in the folder says of it; None if no JSON file in it is one.

    Args:
        folder: where to look; a JSON file itself is taken for the list.
    """
    lists = [folder] if folder.is_file() else sorted(folder.glob("*.json"))
    found = [one for path in lists if (one := _of_file(path)) is not None]
    if not found:
        return None
    if len(found) > 1:
        others = ", ".join(one.layout["file"] for one in found[1:])
        return _with_remark(found[0], f"other datalists here: {others}; write one of them as `file` to use it")
    return found[0]


def _of_file(path: Path) -> Found | None:
    try:
        content = read_listing(path, "restore it")
    except DataError:
        # Any other JSON file may lie beside a dataset.
        return None
    if not isinstance(content, Mapping):
        return None
    sections = {name: key for name, value in content.items() if isinstance(name, str) and (key := _label_key(value))}
    if not sections:
        return None
    section = "training" if "training" in sections else next(iter(sections))
    entries = content[section]
    layout: dict[str, Any] = {"kind": "datalist", "file": path.name}
    if section != "training":
        layout["section"] = section
    if sections[section] != "label":
        layout["label_key"] = sections[section]
    patient = next((key for key in _PATIENT_KEYS if all(key in entry for entry in entries)), None)
    if patient is not None:
        layout["patient_key"] = patient
    remarks = []
    if isinstance(entries[0]["image"], list) and len(entries[0]["image"]) > 1:
        layout["channel"] = 0
        remarks.append(f"channel: 0 is the first of {counted(len(entries[0]['image']), 'image')} of a case")
    words = words_in(content.get("modality"))
    what = f"a MONAI datalist ({path.name}, '{section}')"
    return found_in(content, what=what, layout=layout, channels=words, file=path.name, remarks=remarks)


def _label_key(value: Any) -> str | None:
    """Under which key the entries of a section have their mask; None if it is no list of labeled cases."""
    if not isinstance(value, list) or not value or not all(isinstance(entry, dict) for entry in value):
        return None
    if not all("image" in entry for entry in value):
        return None
    return next((key for key in _LABEL_KEYS if all(isinstance(entry.get(key), str) for entry in value)), None)


def _with_remark(found: Found, remark: str) -> Found:
    return replace(found, remarks=(*found.remarks, remark))
