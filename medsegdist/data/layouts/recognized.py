"""What a layout recognizes of a folder, before an image in it is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medsegdist.data.layouts.listing import read_listing

_CT = {"ct", "cta", "cect", "cbct"}
_MR = {"mr", "mri", "t1", "t2", "t1w", "t2w", "t1ce", "t1gd", "t1gdw", "flair", "adc", "dwi", "lge"}
_OTHER = {"us", "ultrasound", "cxr", "dx", "cr", "xray", "rgb", "endoscopy", "microscopy", "fundus", "oct", "pet", "pt"}
_NUMBER = re.compile(r"-?[0-9]{1,8}")


@dataclass(frozen=True, slots=True)
class Recognized:
    """What a folder is, by its listing or by the names of its files.

    Args:
        what: in words, such as "a Decathlon task (dataset.json)".
        layout: the keys of a manifest's `layout`, without `root`.
        name: the dataset's own name; empty if it has none.
        labels: label values by name, without the background; empty if there is no listing of them.
        segments: names of the segments or regions of DICOM drawings, of which one has to be chosen.
        modality: "CT", "MR" or "other"; None if unknown.
        modality_reason: what says so.
        description: what it shows, in its own words.
        license: its license, in its own words.
        remarks: what a reader of the study should know.
    """

    what: str
    layout: Mapping[str, Any]
    name: str = ""
    labels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    segments: tuple[str, ...] = ()
    modality: str | None = None
    modality_reason: str = ""
    description: str = ""
    license: str = ""
    remarks: tuple[str, ...] = ()


def read_dataset_json(folder: Path) -> Mapping[str, Any]:
    """The dataset.json of a Decathlon task or an nnU-Net dataset; empty if there is none, or one of another form.

    Args:
        folder: where it would be.

    Raises:
        DataError: dataset.json is no JSON.
    """
    listing = folder / "dataset.json"
    content = read_listing(listing, "restore it") if listing.is_file() else None
    return content if isinstance(content, dict) else {}


def recognized_listing(
    content: Mapping[str, Any], what: str, layout: dict[str, Any], channels: Any, file: str = "dataset.json"
) -> Recognized:
    """What a listing says of its dataset.

    Args:
        content: of the listing.
        what: in words, what it lists.
        layout: the keys of a manifest's `layout`; of several channels the first one is added.
        channels: names of the channels, as the listing has them.
        file: name of the listing.
    """
    values = (
        channels.values() if isinstance(channels, Mapping) else channels if isinstance(channels, list) else [channels]
    )
    names = [name for name in values if isinstance(name, str)]
    remarks: tuple[str, ...] = ()
    if len(names) > 1 and layout["kind"] != "datalist":
        layout = {**layout, "channel": 0}
        remarks = (f"channel: 0 is {names[0]}, the first of {', '.join(names)}",)
    return Recognized(
        what=what,
        layout=layout,
        name=_text_of(content, "name"),
        labels=labels_of(content.get("labels")),
        modality=modality_of(names[:1]),
        modality_reason=f"{file} says {names[0]}" if names else "",
        description=_text_of(content, "description"),
        license=_text_of(content, "licence", "license"),
        remarks=remarks,
    )


def modality_of(words: Iterable[str]) -> str | None:
    """The modality that words name; None if they name none, or several.

    Args:
        words: names of channels or folders; parts between letters and digits count.

    >>> modality_of(["liver_ct2d"]), modality_of(["T1w"]), modality_of(["ct and mr"])
    ('CT', 'MR', None)
    """
    parts = {re.sub(r"[23]d$", "", part) for word in words for part in re.findall("[a-z0-9]+", word.casefold())}
    named = [name for name, known in (("CT", _CT), ("MR", _MR), ("other", _OTHER)) if parts & known]
    return named[0] if len(named) == 1 else None


def labels_of(value: Any) -> dict[str, tuple[int, ...]]:
    """Label values by name, without the background and "ignore".

    Args:
        value: the labels of a listing.

    >>> labels_of({"0": "background", "1": "liver"}), labels_of({"background": 0, "whole": [1, 2]})
    ({'liver': (1,)}, {'whole': (1, 2)})
    """
    found: dict[str, tuple[int, ...]] = {}
    for key, entry in value.items() if isinstance(value, Mapping) else ():
        name, values = (entry, key) if isinstance(entry, str) and _NUMBER.fullmatch(str(key)) else (key, entry)
        several = values if isinstance(values, list) else [values]
        numbers = tuple(int(one) for one in several if _NUMBER.fullmatch(str(one)))
        if 0 not in numbers and numbers and len(numbers) == len(several) and str(name).casefold() != "ignore":
            found[" ".join(str(name).split()) or str(numbers[0])] = numbers
    return found


def _text_of(content: Mapping[str, Any], *keys: str) -> str:
    """The first text under one of these keys, on one line; empty if there is none."""
    texts = (content.get(key) for key in keys)
    return next((" ".join(text.split()) for text in texts if isinstance(text, str) and text.strip()), "")
