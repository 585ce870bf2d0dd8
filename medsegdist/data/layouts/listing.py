"""What layouts share: cases, those that cannot be listed, loading of files, JSON listings, what `init` recognizes."""

from __future__ import annotations

import json
import re
import reprlib
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from medsegdist.data.layouts.paths import Color
from medsegdist.data.problems import merge_similar, problem_of
from medsegdist.errors import DataError, ManifestError
from medsegdist.files import read_text
from medsegdist.words import counted, printable, sentence

_CT = {"ct", "cta", "cect", "cbct"}
_MR = {"mr", "mri", "t1", "t2", "t1w", "t2w", "t1ce", "t1gd", "t1gdw", "flair", "adc", "dwi", "lge"}
_OTHER = {"us", "ultrasound", "cxr", "dx", "cr", "xray", "rgb", "endoscopy", "microscopy", "fundus", "oct", "pet", "pt"}
_MOST_SECONDS = 10
_SEARCH = """
import json, re, sys
pattern, names = json.load(sys.stdin)
found = (re.search(pattern, name) for name in names)
print(json.dumps([match and match.group(1) for match in found]))
"""
_NUMBER = re.compile(r"-?[0-9]{1,8}")
shown = reprlib.repr  # of any JSON, for a message: neither long nor deep


@dataclass(frozen=True, slots=True)
class Case:
    """One image with its mask, named but not read."""

    id: str  # unique within its dataset
    patient_id: str  # splits and resampling never cut a patient
    image: Any  # what the layout loads the image from: the path of a file, or a layout's own description
    label: Any  # the same for the mask

    def as_item(self) -> dict[Any, Any]:
        """The case as an item of a MONAI datalist: image, label, case_id, patient_id."""
        return {"image": self.image, "label": self.label, "case_id": self.id, "patient_id": self.patient_id}


class FileLayout(BaseModel):
    """Base of the layouts whose images and masks are files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def load(
        self, item: Mapping[Hashable, Any], *, header_only: bool = False, keys: Sequence[str] = ("image", "label")
    ) -> dict[Hashable, Any]:
        """A case read from its files, see :func:`~medsegdist.data.readers.read_pair`."""
        from medsegdist.data.readers import read_pair

        color: Color = getattr(self, "color", "luminance")
        return read_pair(item, channel=self._channel_in_file, color=color, header_only=header_only, keys=keys)

    @property
    def _channel_in_file(self) -> int | None:
        """The channel to take of each image's file; None if files have no channels."""
        return getattr(self, "channel", None)


class PartialListingError(DataError):
    """Some cases cannot be listed, and the others, `listed`, can.

    What is wrong has the case, file or entry as `case`; empty for the dataset as a whole.
    """

    def __init__(self, where: str, unlisted: Sequence[DataError] = (), usable: Sequence[Case] = ()) -> None:
        total = len({case.id for case in usable} | {one.case for one in unlisted})
        shown = merge_similar([replace(problem_of(one, "", one.case), total=total) for one in unlisted])
        lines = [f"{where}: {counted(len(unlisted), 'problem')} with its files or cases:"]
        # What is named is not always a case, but an entry of a list or a file.
        named = ((f"{one.case}: " if one.case else "", one) for one in shown)
        lines += [f"  {printable(sentence(f'{name}{one.problem}; {one.remedy}'))}" for name, one in named]
        if any(one.cases for one in shown):
            lines.append("  `medsegdist check` lists all by --json.")
        super().__init__("\n".join(lines))
        self.unlisted = tuple(unlisted)
        self.listed = tuple(usable)


def read_listing(path: Path, remedy: str) -> Any:
    """The content of a JSON file, or a DataError."""
    try:
        # Windows editors put a mark at the beginning of UTF-8.
        return json.loads(read_text(path, encoding="utf-8-sig"), object_pairs_hook=_each_key_once)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", remedy) from error
    # Nesting without end is a RecursionError.
    except (OSError, ValueError, RecursionError) as error:
        problem = f"{path} cannot be read as JSON ({str(error).rstrip('.')})"
        raise DataError(problem, "download or write it again") from error


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        first = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {shown(first)} is given twice; keep what is meant")
    return content


def check_patient(entry: dict[str, Any], key: str) -> None:
    """Refuse an entry whose patient is neither a name nor a number."""
    patient = entry.get(key)
    if type(patient) not in (str, int) or not str(patient).strip():
        raise DataError(f"expected a name or number under '{key}', found {shown(patient)}")


def read_entries(
    listing: Path, entries: Iterable[tuple[int, Any]], read: Callable[[Any], tuple[Path, Path]]
) -> tuple[list[tuple[Path, Path, Any]], list[DataError]]:
    """Image, mask and entry of each entry that `read` can use, and what is wrong with each of the others."""
    found, wrong, escaping = [], [], []
    for index, entry in entries:
        try:
            found.append((*read(entry), entry))
        except ManifestError as error:
            escaping.append((index, error))
        except DataError as error:
            remedy = error.remedy or "correct the entry, or take it out of the list"
            wrong.append(DataError(error.problem, remedy, case=f"entry {index}"))
    # Paths that leave the folder are refused all together.
    if escaping:
        (index, first), more = escaping[0], len(escaping) - 1
        others = f" (and so of {counted(more, 'more entry', 'more entries')})" if more else ""
        raise ManifestError(f"{listing}: entry {index}: {first.problem}{others}", first.remedy)
    return found, wrong


def build_cases(
    found: Sequence[tuple[str, Any, Any, object]], pattern: str | None, where: Path, unlisted: Sequence[DataError] = ()
) -> list[Case]:
    """Cases from name, image, label and patient of each, who is the case itself if that is None or empty.

    What cannot be listed, is listed twice or has no patient by the pattern is in one PartialListingError.
    """
    cases: dict[str, Case] = {}
    twice, unknown = {}, []
    matched = {} if pattern is None else find_patients(pattern, [name for name, *_ in found])
    for name, image, label, patient in found:
        if name in cases:
            twice[name] = DataError("the image is listed more than once", "list each once", case=name)
            continue
        patient = matched.get(name, patient)
        if pattern is not None and not patient:
            problem = f"patient_pattern '{pattern}' finds no patient in the case's name"
            remedy = "correct the pattern, or leave it out to make every case a patient of its own"
            unknown.append(DataError(problem, remedy, case=name))
        cases[name] = Case(name, name if patient is None else str(patient).strip() or name, image, label)
    if wrong := [*unlisted, *twice.values(), *unknown]:
        raise PartialListingError(str(where), wrong, list(cases.values()))
    return list(cases.values())


def find_patients(pattern: str, names: Sequence[str]) -> dict[str, str | None]:
    """The patient that a pattern finds in each name; None or empty where it finds none.

    Some patterns of a few characters take longer than anybody can wait. Those that may are searched for in another
    process, which is ended after ten seconds.
    """
    # One repeat takes at most the square of a name's length.
    if len(re.findall(r"[*+{]|\(\?P=|\\[1-9]", pattern)) < 2 and "|" not in pattern:
        return {name: match.group(1) if (match := re.search(pattern, name)) else None for name in names}
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _SEARCH],
            input=json.dumps([pattern, list(names)]),
            capture_output=True,
            check=True,
            encoding="ascii",
            timeout=_MOST_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise ManifestError(
            f"expected a patient_pattern that is found within {_MOST_SECONDS} seconds in "
            f"{counted(len(names), 'name')}, found one that takes longer",
            "write it without a repeat within a repeat, as in (a+)+",
        ) from None
    return dict(zip(names, json.loads(answer.stdout), strict=True))


@dataclass(frozen=True, slots=True)
class Recognized:
    """What a folder is, by its listing or by the names of its files."""

    what: str  # in words, such as "a Decathlon task (dataset.json)"
    layout: Mapping[str, Any]  # the keys of a manifest's `layout`, without `root`
    name: str = ""
    labels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # values by name, without the background
    segments: tuple[str, ...] = ()  # names of DICOM segments or regions, of which one has to be chosen
    modality: str | None = None  # "CT", "MR" or "other"; None if unknown
    modality_reason: str = ""  # what says so
    description: str = ""
    license: str = ""
    remarks: tuple[str, ...] = ()  # for the reader of the study


def read_dataset_json(folder: Path) -> Mapping[str, Any]:
    """The dataset.json of a Decathlon task or an nnU-Net dataset; empty if there is none, or one of another form."""
    listing = folder / "dataset.json"
    content = read_listing(listing, "restore it") if listing.is_file() else None
    return content if isinstance(content, dict) else {}


def recognized_listing(
    content: Mapping[str, Any], what: str, layout: dict[str, Any], channels: Any, file: str = "dataset.json"
) -> Recognized:
    """What a listing says of its dataset; `channels` are their names, of several of which the first one is chosen."""
    found = list(channels.values()) if isinstance(channels, Mapping) else channels
    names = [name for name in (found if isinstance(found, list) else [found]) if isinstance(name, str)]
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

    >>> modality_of(["liver_ct2d"]), modality_of(["T1w"]), modality_of(["ct and mr"])
    ('CT', 'MR', None)
    """
    parts = {re.sub(r"[23]d$", "", part) for word in words for part in re.findall("[a-z0-9]+", word.casefold())}
    named = [name for name, known in (("CT", _CT), ("MR", _MR), ("other", _OTHER)) if parts & known]
    return named[0] if len(named) == 1 else None


def labels_of(value: Any) -> dict[str, tuple[int, ...]]:
    """Label values by name, without the background and "ignore".

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
