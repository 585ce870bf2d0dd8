"""What a folder was recognized as, before an image of it is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medsegdist.data.layouts.listing import read_listing

_CT = {"ct", "cta", "cect", "cbct"}
_MR = {"mr", "mri", "t1", "t2", "t1w", "t2w", "t1ce", "t1gd", "t1gdw", "flair", "adc", "dwi", "lge"}
_OTHER = {"us", "ultrasound", "cxr", "dx", "cr", "xray", "rgb", "endoscopy", "microscopy", "fundus", "oct", "pet", "pt"}

_NUMBER = re.compile(r"-?[0-9]{1,8}")


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder is, by its listing or by the names of its files.

    Args:
        what: in words, such as "a Decathlon task (dataset.json)".
        layout: the keys of a manifest's `layout`, without `root`.
        name: what the dataset calls itself; empty if it does not.
        labels: label values by their name, without the background; empty if no listing tells them.
        segments: names of the segments or regions of DICOM drawings, of which one has to be chosen.
        modality: "CT", "MR" or "other"; None if nothing tells.
        modality_reason: what tells.
        description: what it shows, as it says itself.
        license: its license, as it says itself.
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


def modality_of(words: Iterable[str]) -> str | None:
    """The modality that words name, such as "MRI", "T1w" or "liver_ct2d"; None if they name none, or several.

    Args:
        words: what a listing or a folder is called; parts between letters and digits count.
    """
    parts = {re.sub(r"[23]d$", "", part) for word in words for part in re.findall("[a-z0-9]+", word.casefold())}
    named = [name for name, known in (("CT", _CT), ("MR", _MR), ("other", _OTHER)) if parts & known]
    return named[0] if len(named) == 1 else None


def dataset_json(folder: Path) -> Mapping[str, Any]:
    """The listing of a Decathlon task or an nnU-Net dataset; empty where there is none, or one of another form.

    Args:
        folder: where to look.

    Raises:
        DataError: dataset.json is no JSON.
    """
    listing = folder / "dataset.json"
    content = read_listing(listing, "restore it") if listing.is_file() else None
    return content if isinstance(content, dict) else {}


def found_in(
    content: Mapping[str, Any],
    *,
    what: str,
    layout: Mapping[str, Any],
    channels: Sequence[str],
    file: str = "dataset.json",
    remarks: Sequence[str] = (),
) -> Found:
    """What a listing says of its dataset.

    Args:
        content: of the listing.
        what: in words, what it lists.
        layout: the keys of a manifest's `layout`.
        channels: names of the channels, of which the first one is taken.
        file: name of the listing.
        remarks: what a reader of the study should know.
    """
    return Found(
        what=what,
        layout=layout,
        name=text_of(content, "name"),
        labels=labels_of(content.get("labels")),
        modality=modality_of(channels[:1]),
        modality_reason=f"{file} says {channels[0]}" if channels else "",
        description=text_of(content, "description"),
        license=text_of(content, "licence", "license"),
        remarks=tuple(remarks),
    )


def text_of(content: Mapping[str, Any], *keys: str) -> str:
    """The first text that a listing has under one of these keys, on one line; empty if there is none."""
    texts = (content.get(key) for key in keys)
    return next((" ".join(text.split()) for text in texts if isinstance(text, str) and text.strip()), "")


def words_in(value: Any) -> list[str]:
    """The texts in a value such as {"0": "MRI"}, ["T1", "T2"] or "CT"."""
    values = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def labels_of(value: Any) -> dict[str, tuple[int, ...]]:
    """Label values by name, of {"1": "liver"}, {"liver": 1} or {"whole": [1, 2]}, without background and "ignore"."""
    found: dict[str, tuple[int, ...]] = {}
    for key, entry in value.items() if isinstance(value, Mapping) else ():
        name, values = (entry, key) if isinstance(entry, str) and _NUMBER.fullmatch(str(key)) else (key, entry)
        listed = values if isinstance(values, list) else [values]
        numbers = tuple(int(one) for one in listed if _NUMBER.fullmatch(str(one)))
        if 0 not in numbers and numbers and len(numbers) == len(listed) and str(name).casefold() != "ignore":
            found[" ".join(str(name).split()) or str(numbers[0])] = numbers
    return found
