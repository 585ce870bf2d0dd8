"""Which labels of a folder are foreground: all as one, each for itself, or those that somebody names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medsegdist.data.recognition.examined import Examined, manifest_name
from medsegdist.errors import ManifestError
from medsegdist.words import counted, did_you_mean

if TYPE_CHECKING:
    from medsegdist.data.recognition.looking import Looks

EACH, ALL = "each", "all"


@dataclass(frozen=True, slots=True)
class Choice:
    """One foreground of a folder.

    Args:
        name: what it is called; empty if it is all that the folder has.
        values: label values; None for a DICOM segment.
        segment: the DICOM segment or region; None for label values, or if there is only one.
        reason: why, in a short line.
    """

    name: str
    values: tuple[int, ...] | None
    segment: str | None
    reason: str


def foregrounds_of(folders: Sequence[Examined], asked: Sequence[str]) -> list[list[Choice]]:
    """The foregrounds of each folder; each of them becomes a dataset.

    Args:
        folders: those of the study.
        asked: of each --foreground, what :func:`chosen` takes; FOLDER= before it means one folder, called by its path
            or its last part. Without, it is meant for every folder that has several labels.

    Raises:
        ManifestError: there is no such folder or label, or nothing to choose.
    """
    found: list[list[Choice]] = [[] for _ in folders]
    for words in asked:
        match = re.fullmatch(r"(?:(.+)=)?([^=]+)", words)
        if match is None:
            raise ManifestError(f"expected --foreground LABELS or FOLDER=LABELS, found '{words}'.")
        folder, labels = match.groups()
        meant = [k for k, one in enumerate(folders) if _is_meant(one, folder)]
        if folder is not None and not meant:
            names = [one.path.name for one in folders]
            raise ManifestError(
                f"expected a folder among {', '.join(names)} in --foreground {words}, found '{folder}'"
                f"{did_you_mean(folder, names) or '.'}"
            )
        if not meant:
            raise ManifestError(
                f"expected several labels to choose from by --foreground {words}, found one in each folder; leave it "
                "out."
            )
        for k in meant:
            found[k] += chosen(folders[k], labels)
    return [choices or [default_choice(one)] for choices, one in zip(found, folders, strict=True)]


def _is_meant(one: Examined, folder: str | None) -> bool:
    if folder is None:
        return len(one.choices) > 1
    return folder in (one.given, one.given.rstrip("/"), str(one.path), one.path.name)


def default_choice(examined: Examined) -> Choice:
    """All labels of a folder as one foreground; of DICOM segments the most frequent one."""
    if examined.layout["kind"] == "dicom":
        segments = examined.found.segments
        if not segments:
            return Choice("", None, None, "the only segment of each drawing")
        several = f"the most frequent of {', '.join(segments)}" if len(segments) > 1 else "the segment that all have"
        return Choice("", None, segments[0], several)
    values = tuple(sorted({value for values in examined.labels.values() for value in values}))
    if not examined.listed:
        return Choice("", values, None, _seen(examined.looks))
    named = ", ".join(examined.labels)
    if len(examined.labels) == 1:
        return Choice("", values, None, f"{named}, says the listing")
    return Choice("", values, None, f"{named} as one; --foreground each makes a dataset of each")


def _seen(looks: Looks) -> str:
    """Which of the masks that were looked at hold which values."""
    masks = f"looked at {looks.seen} of {counted(looks.cases, 'mask')}"
    if looks.seen == looks.cases:
        masks = "looked at the only mask" if looks.seen == 1 else f"looked at all {looks.cases} masks"
    held = ["all" if count == looks.seen else str(count) for count in looks.counts]
    if len(held) > 1 and looks.seen > 1:
        return f"{masks}: " + ", ".join(
            f"{value} is in {count}" for value, count in zip(looks.values, held, strict=True)
        )
    values = ", ".join(map(str, looks.values))
    if looks.seen == 1:
        return f"{masks}, which holds {values}"
    return f"{masks}, {held[0]} of which {'holds' if held[0] == '1' else 'hold'} {values}"


def chosen(examined: Examined, words: str) -> list[Choice]:
    """The foregrounds that somebody asked for.

    Args:
        examined: the folder.
        words: "all" for one foreground, "each" for one of every label, else names or values of labels with commas
            between, which are one foreground together.

    Raises:
        ManifestError: the folder has no such label.
    """
    if words == ALL:
        return [default_choice(examined)]
    if words == EACH:
        return [_together(examined, [name]) for name in examined.choices] or [default_choice(examined)]
    return [_together(examined, [part.strip() for part in words.split(",")])]


def _together(examined: Examined, parts: Sequence[str]) -> Choice:
    by_value = {str(value): name for name, values in examined.labels.items() if len(values) == 1 for value in values}
    names = [part if part in examined.choices else by_value.get(part, part) for part in parts]
    for name in names:
        if name not in examined.choices:
            known = ", ".join(told(examined, one) for one in examined.choices) or "one unnamed segment only"
            raise ManifestError(
                f"{examined.path}: expected a foreground among {known}, found '{name}'"
                f"{did_you_mean(name, examined.choices) or '.'} Write FOLDER=VALUES to mean one folder only."
            )
    called = manifest_name(" ".join(names))
    if examined.layout["kind"] == "dicom":
        if len(names) > 1:
            raise ManifestError(f"{examined.path}: expected one DICOM segment, found {', '.join(names)}; choose one.")
        return Choice(called, None, names[0], "as asked for")
    values = tuple(sorted({value for name in names for value in examined.labels[name]}))
    return Choice(called, values, None, f"{', '.join(names)}, as asked for" if examined.listed else "as asked for")


def told(examined: Examined, name: str) -> str:
    """A label by its values and its name."""
    values = ", ".join(map(str, examined.labels.get(name, ())))
    return name if values in ("", name) else f"{values} ({name})"
