"""A folder that was recognized and looked into."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from medsegdist.data.case import Case
from medsegdist.data.layouts.listing import PartialListingError
from medsegdist.data.layouts.paths import expand_path, is_picture
from medsegdist.data.recognition.found import Found
from medsegdist.data.recognition.recognize import recognize, refuse_absent
from medsegdist.data.validation import explain
from medsegdist.errors import DataError, ManifestError
from medsegdist.words import counted, sentence

if TYPE_CHECKING:
    from medsegdist.data.recognition.looking import Looks

# A name that ends in a number after another one, as liver_001_081: slice 81 of patient 1.
_SLICES = r"^(.*\d.*)[_-]\d+$"


@dataclass(frozen=True, slots=True)
class Examined:
    """What is known of a folder.

    Args:
        given: the folder as somebody wrote it, ${VARIABLES} and all.
        path: the folder itself.
        found: what it was recognized as.
        layout: the keys of its `layout`, without `root`.
        labels: label values by name: those that a listing tells, else those that a few masks hold.
        listed: whether a listing tells them.
        looks: what a few cases are like; None if only one of several DICOM segments can be read, not yet chosen.
        remarks: what a reader of the study should know.
    """

    given: str
    path: Path
    found: Found
    layout: dict[str, Any]
    labels: dict[str, tuple[int, ...]]
    listed: bool
    looks: Looks
    remarks: tuple[str, ...]

    @property
    def title(self) -> str:
        """What to call it: its own name, or that of the folder, without `Task04_` and the like."""
        own = self.found.name or (self.path.stem if self.path.is_file() else self.path.name)
        return manifest_name(re.sub(r"^(Task|Dataset)\d+_", "", own))

    @property
    def choices(self) -> tuple[str, ...]:
        """Names of the labels, or of DICOM segments, that may be foreground each for itself."""
        return self.found.segments or tuple(self.labels)


def examine(given: str, directory: Path | None = None) -> Examined:
    """Recognize a folder and look into it.

    Args:
        given: the folder, or a datalist in it; may hold ${VARIABLES} and ~.
        directory: what a relative path is relative to; None is the working directory.

    Raises:
        ManifestError: a variable in the path is not set.
        DataError: it is no dataset that is recognized, or its cases cannot be read.
    """
    from medsegdist.data.recognition.looking import look_at

    path = located(given, directory)
    found = recognize(path)
    layout = dict(found.layout)
    remarks = list(found.remarks)
    if found.segments:
        layout[segment_key(layout)] = found.segments[0]
    try:
        cases, model, partial = cases_of(layout, path)
        looks = look_at(model, cases)
    except DataError as error:
        raise DataError(_of_folder(path, error)) from error
    if partial:
        remarks.append(partial)
    if pattern := _patients(cases):
        layout["patient_pattern"] = pattern
    remarks.append(_patients_told(cases, layout))
    labels = dict(found.labels)
    seen = set(looks.values)
    if labels:
        named = {value for values in labels.values() for value in values}
        if seen - named:
            remarks.append(f"masks hold {_listed(seen - named)}, which dataset.json does not name; it stays background")
        if named - seen:
            remarks.append(
                f"looked at {looks.seen} of {counted(looks.cases, 'mask')}, none of which holds {_listed(named - seen)}"
            )
    elif layout["kind"] != "dicom":
        labels = {str(value): (value,) for value in looks.values}
        if not labels:
            looked_at = f"{looks.seen} of {counted(looks.cases, 'mask')}"
            raise DataError(f"{path}: expected masks with foreground, found 0 only in {looked_at}; check them.")
    return Examined(given, path, found, layout, labels, bool(found.labels), looks, tuple(remarks))


def located(given: str, directory: Path | None = None) -> Path:
    """The folder, or the datalist, that somebody means.

    Args:
        given: as for :func:`examine`.
        directory: as for :func:`examine`.

    Raises:
        ManifestError: a variable in the path is not set.
        DataError: there is none.
    """
    try:
        path = expand_path(given, directory)
    except ValueError as error:
        raise ManifestError(sentence(f"{given}: {error}")) from error
    refuse_absent(path)
    return path


def cases_of(layout: dict[str, Any], path: Path) -> tuple[list[Case], Any, str]:
    """The cases of a recognized folder that can be listed, its layout, and a remark if there are others.

    Args:
        layout: the keys of the layout, without `root`.
        path: the folder, or a datalist in it.

    Raises:
        DataError: the files are not what the layout needs.
    """
    from medsegdist.data.manifest import Layout

    kinds = {kind.model_fields["kind"].default: kind for kind in get_args(get_args(Layout)[0])}
    kind = kinds[layout["kind"]]
    try:
        model = kind.model_validate({**layout, "root": folder_of(path)})
    except ValidationError as error:
        told = " ".join(explain(error, kind, "layout"))
        raise DataError(f"{path}: the files cannot be described as a {layout['kind']} layout: {told}") from error
    try:
        return model.cases(), model, ""
    except PartialListingError as error:
        if not error.listed:
            raise
        first = error.unlisted[0]
        about = f"{first.case}: " if first.case else ""
        found = counted(len(error.listed), "case")
        remark = f"{found} can be used; `medsegdist check` names what cannot, such as {about}{first.problem}"
        return list(error.listed), model, remark


def folder_of(path: Path) -> Path:
    """The folder itself, or that of a datalist."""
    return path.parent if path.is_file() else path


def segment_key(layout: dict[str, Any]) -> str:
    """Under which key of a DICOM layout the wanted segment is named."""
    return "segment" if layout["segmentation"] == "seg" else "roi"


def manifest_name(text: str) -> str:
    """`text` as the name of a dataset: spaces for underscores, and only characters that a name may have."""
    spaced = unicodedata.normalize("NFC", text.replace("_", " "))
    cleaned = "".join(one for one in spaced if one.isalpha() or one.isdecimal() or one in " .+()-")
    return " ".join(cleaned.lstrip(" .+()-").split())[:60].strip() or "dataset"


def _of_folder(path: Path, error: DataError) -> str:
    text = str(error).rstrip(".")
    where = "" if text.startswith(str(path)) else f"{path}: "
    return f"{where}{text}, or leave this folder out."


def _patients(cases: Sequence[Case]) -> str | None:
    """A pattern that finds the patient of slices in their names; None if the names tell of none."""
    if not all(is_picture(case.image) and case.patient_id == case.id for case in cases):
        return None
    matches = [re.search(_SLICES, case.id) for case in cases]
    patients = {match.group(1) for match in matches if match}
    return _SLICES if all(matches) and 1 < len(patients) < len(cases) else None


def _patients_told(cases: Sequence[Case], layout: Mapping[str, Any]) -> str:
    """Who counts as a patient, and what to do if that is wrong: patients are what intervals are drawn from."""
    noun = "image" if any(is_picture(case.image) for case in cases) else "case"
    if layout["kind"] == "dicom":
        # Of another segment there may be other cases; how many patients they have is not known yet.
        return f"patients: as the DICOM headers name them; a {noun} without a name counts as one"
    if pattern := layout.get("patient_pattern"):
        found = [re.search(pattern, case.id) for case in cases]
        count = counted(len({match.group(1) for match in found if match}), "patient")
        return (
            f"patients: {count} in {counted(len(cases), noun)}, as patient_pattern takes names that differ in their "
            "last number only for one patient's slices"
        )
    patients = {case.patient_id for case in cases}
    if len(patients) < len(cases) or "patient_key" in layout:
        return f"patients: {counted(len(patients), 'patient')} in {counted(len(cases), noun)}, as the listing says"
    return f"patients: each {noun} counts as one ({len(cases)}); set patient_pattern if several are of one patient"


def _listed(values: set[int]) -> str:
    return ", ".join(map(str, sorted(values)))


def written_root(examined: Examined, out: Path) -> str:
    """The folder as a study in `out` names it: as it was given where that holds ${VARIABLES}, else by its path.

    Args:
        examined: the folder.
        out: folder of the study; a relative path is written relative to it.
    """
    given = examined.given
    if examined.path.is_file():
        given = os.fspath(Path(given).parent)
    folder = folder_of(examined.path)
    if "${" in given or given.startswith("~"):
        return given if expand_path(given, out) == folder else f"{os.path.relpath(Path.cwd(), out)}/{given}"
    return given if Path(given).is_absolute() else Path(os.path.relpath(folder, out)).as_posix()
