"""What a folder of images and masks holds: its layout, its labels and what a few of its cases are like."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from medsegdist.data.layouts.listing import Case, PartialListingError, Recognized
from medsegdist.data.layouts.paths import ending_of, expand_path, is_picture
from medsegdist.data.manifest import Layout
from medsegdist.data.validation import explain
from medsegdist.errors import DataError, ManifestError
from medsegdist.progress import track
from medsegdist.words import counted, listed, printable, sentence

_LAYOUTS = {one.model_fields["kind"].default: one for one in get_args(get_args(Layout)[0])}
_VOLUMES_READ, _PICTURES_READ = 4, 16
_MOST_VALUES = 64  # masks with more values are instances, or edges that JPEG blurred
_FEWEST_GRAYS = 16  # fewer values below 3/4 of 8 or 16 bits are labels
# A name that ends in a number after another one, as liver_001_081: slice 81 of patient 1.
_SLICES = r"^(.*\d.*)[_-]\d+$"


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the first, the last and some cases between are like."""

    seen: int  # how many were read
    cases: int  # how many there are
    values: Mapping[int, int]  # label values but 0, in order -> how many of the masks that were read hold them
    low: float
    high: float
    whole: bool  # whether all intensities are whole numbers
    # (rows, columns) of each picture read, (slices, rows, columns) of each volume in LPS.
    sizes: tuple[tuple[int, ...], ...]
    pictures: bool  # whether any image is one
    # Half of the full value of masks with soft edges, whose `values` are then those of cut masks.
    threshold: float | None = None
    grays: int = 0  # how many values those hold
    unusable: tuple[DataError, ...] = ()  # what is wrong with those that cannot be used


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known of a folder."""

    given: str  # the folder as it was written, ${VARIABLES} and all
    path: Path  # the folder itself, or a datalist in it
    found: Recognized
    layout: dict[str, Any]  # the keys of its `layout`, without `root`
    labels: Mapping[str, tuple[int, ...]]  # values by name: of a listing, or else of a few masks
    statistics: Statistics  # of a few cases; of DICOM segments, of the most frequent one
    remarks: tuple[str, ...]  # for the reader of the study

    @property
    def choices(self) -> tuple[str, ...]:
        """Names of the labels, or of DICOM segments, each of which may be the foreground."""
        return self.found.segments or tuple(self.labels)


def recognize(path: Path) -> Recognized:
    """What a folder is: the first layout that fits it, or a DataError of what was looked for and found."""
    layouts = [one for one in _LAYOUTS.values() if hasattr(one, "recognize")]
    for layout in layouts:
        found: Recognized | None = layout.recognize(path)
        if found is not None:
            return found
    entries = sorted(islice(path.glob("[!.]*"), 10_000))
    folders = [f"{printable(one.name)}/" for one in entries if one.is_dir()]
    files = [one.name for one in entries if one.is_file()]
    endings = Counter(ending_of(name).lower() or Path(name).suffix or "without an ending" for name in files)
    parts = [f"{count} {printable(ending)}" for ending, count in endings.most_common(5)]
    parts += [f"{counted(len(folders), 'folder')} ({listed(folders)})"] if folders else []
    tasks = sorted(printable(one.parent.name) for one in islice(path.glob("*/dataset.json"), 5))
    remedy = "name the folder that holds both, rename the files, or describe the dataset by hand as in data_manifests/"
    if tasks:
        remedy = f"these folders in it have a dataset.json: {', '.join(tasks)}; name one of them"
    lines = [f"{path}: no layout was recognized. Looked for:", *(f"  {layout.looked_for}" for layout in layouts)]
    shown = "a file of another kind" if path.is_file() else ", ".join(parts) or "nothing"
    raise DataError("\n".join([*lines, f"Found: {shown}"]), remedy)


def inspect(given: str) -> Inspection:
    """Recognize a folder, or the datalist in it, and read a few of its cases; `given` may hold ${VARIABLES} and ~."""
    try:
        path = expand_path(given)
    except ValueError as error:
        raise ManifestError(sentence(f"{given}: {error}")) from error
    if not path.is_file() and not path.is_dir():
        raise DataError(f"the folder {path} does not exist", "name the folder that holds the images and their masks")
    found = recognize(path)
    layout, remarks = dict(found.layout), list(found.remarks)
    if found.segments:
        layout[segment_key(layout)] = found.segments[0]
    try:
        model, cases, partial = list_cases(layout, path)
        statistics = read_statistics(model, cases, given)
    except DataError as error:
        where = "" if str(error).startswith(str(path)) else f"{path}: "
        remedy = ", ".join(part for part in (error.remedy, "or leave this folder out") if part)
        raise DataError(f"{where}{error.problem}", remedy) from error
    remarks += [partial] if partial else []
    if statistics.unusable:
        first, tried = statistics.unusable[0], statistics.seen + len(statistics.unusable)
        remarks.append(
            f"{len(statistics.unusable)} of {counted(tried, 'case')} that were read cannot be used, such as "
            f"{first.problem}; `medsegdist check --full` names all"
        )
    if pattern := _slices_pattern(cases):
        layout["patient_pattern"] = pattern
    remarks.append(_patient_remark(cases, layout))
    labels, seen = dict(found.labels), set(statistics.values)
    read = f"{statistics.seen} of {counted(statistics.cases, 'mask')}"
    if statistics.threshold is not None:
        labels = {}
    elif labels:
        named = {value for values in labels.values() for value in values}
        if unnamed := ", ".join(map(str, sorted(seen - named))):
            remarks.append(f"masks hold {unnamed}, which dataset.json does not name; it stays background")
        if unseen := ", ".join(map(str, sorted(named - seen))):
            remarks.append(f"looked at {read}, none of which holds {unseen}")
    elif layout["kind"] != "dicom":
        labels = {str(value): (value,) for value in statistics.values}
        if not labels:
            raise DataError(f"{path}: expected masks with foreground, found 0 only in {read}", "check them")
    return Inspection(given, path, found, layout, labels, statistics, tuple(remarks))


def read_statistics(layout: Any, cases: Sequence[Case], name: str = "") -> Statistics:
    """What a few cases are like, spread evenly over the dataset; if none can be read, the first one's DataError."""
    import numpy as np

    from medsegdist.transforms.geometry import along_patient

    pictures = any(is_picture(case.image) for case in cases)
    count = min(len(cases), _PICTURES_READ if pictures else _VOLUMES_READ)
    places = np.unique(np.linspace(0, len(cases) - 1, count).round().astype(int))
    counts: Counter[int] = Counter()
    soft, problems, lows, highs, whole, sizes = [(0, 0)], [], [], [], True, []
    for case in track([cases[place] for place in places], f"Looking into {name}"):
        files = {"image": case.image, "label": case.label}
        try:
            item = layout.load(case.as_item())
            files = {"label": case.label}
            mask, held = np.asarray(item["label"]), np.unique(item["label"])
            full = full_value(mask, held, str(case.label))
            values = _label_values(held) if full is None else set[int]()
            files = {"image": case.image}
            image = np.asarray(item["image"])
            if not np.isfinite(image).all():
                raise DataError("the image holds NaN or infinite intensities", "repair the image")
        except DataError as error:
            shown = [f"{key} {file}" for key, file in files.items() if isinstance(file, str)]
            named = any(str(file) in str(error) for file in files.values())
            where = f" ({', '.join(shown)})" if shown and not named else ""
            problems.append(DataError(f"case '{case.id}'{where}: {error.problem}", error.remedy))
            continue
        counts.update(values)
        soft += [] if full is None else [(full, len(held))]
        shape = tuple(item["image"].shape[1:])
        sizes.append((along_patient(shape, item["image"].affine.numpy()) or shape)[::-1] if len(shape) == 3 else shape)
        lows.append(float(image.min()))
        highs.append(float(image.max()))
        whole &= bool(np.array_equal(image, np.rint(image)))
    if not sizes:
        raise problems[0]
    full, grays = max(soft)
    return Statistics(
        seen=len(sizes),
        cases=len(cases),
        values=dict(sorted(counts.items())),
        low=min(lows),
        high=max(highs),
        whole=whole,
        sizes=tuple(sizes),
        pictures=pictures,
        threshold={0: None, 1: 0.5}.get(full, (full + 1) // 2),
        grays=grays,
        unusable=tuple(problems),
    )


def full_value(mask: Any, values: Any, file: str) -> int | None:
    """The value of whole foreground in a mask with soft edges, such as 255, 65535 or 1; None if its values are labels.

    Soft edges are those that JPEG, smoothing or interpolation made, and probabilities: values between 0 and the full
    one, at edges. Labels have areas. A largest value such as 100, for percent, is the full one if most pixels have it.
    The mask is (1, *spatial), `values` are all of it in order.
    """
    import numpy as np

    full = next((one for one in (1, 255, 65535) if values[-1] <= one), 0)
    if values[0] < 0 or not full or not np.isfinite(values).all():
        return None
    fractional = (values != values.round()).any()
    if full == 1 or len(values) < 5:
        # A JPEG file without noise is one by luck.
        jpeg = full == 255 and file.lower().endswith((".jpg", ".jpeg"))
        return full if (fractional or jpeg) and (full == 1 or values[-1] >= full * 3 / 4) else None
    # Not all that is found probable is certain.
    if values[-1] >= full * 3 / 4 and _has_soft_edges(mask, full, 4):
        return full
    full = int(values[-1])
    return full if len(values) >= _FEWEST_GRAYS and _has_soft_edges(mask, full, 1) else None


def _has_soft_edges(mask: Any, full: int, most: float) -> bool:
    """Whether values between 0 and `full` are at edges, and not more than `most` times as frequent as those near it."""
    import numpy as np

    between = (mask > full / 10) & (mask < full * 9 / 10)
    if between.sum() > most * (mask >= full * 9 / 10).sum():
        # An image in the place of a mask.
        return False
    flat = between.copy()
    for axis in range(1, mask.ndim):
        for side in (1, -1):
            flat &= mask == np.roll(mask, side, axis)
    return bool(flat.sum() <= between.sum() / 10)


def _label_values(found: Any) -> set[int]:
    whole = found.round()
    if (found != whole).any():
        # Shown is the one that is least whole: -7.9999999 would read as -8.
        odd = found[found != whole]
        value = odd[abs(odd - odd.round()).argmax()]
        raise DataError(f"expected a mask of whole numbers, found {value:g}", "threshold it, and save it again")
    if len(found) > _MOST_VALUES:
        raise DataError(
            f"expected a mask of at most {_MOST_VALUES} label values, found {len(found)}",
            "if it numbers instances, save it with one value for each label; if its edges are soft, describe the "
            "dataset by hand with `mask_threshold`",
        )
    return {int(value) for value in whole} - {0}


def segment_key(layout: Mapping[str, Any]) -> str:
    """The key of a DICOM layout that names the wanted segment."""
    return "segment" if layout["segmentation"] == "seg" else "roi"


def list_cases(layout: Mapping[str, Any], path: Path) -> tuple[Any, list[Case], str]:
    """The layout of a recognized folder, its cases that can be listed, and a remark if there are others."""
    kind = _LAYOUTS[layout["kind"]]
    try:
        model = kind.model_validate({"root": path.parent if path.is_file() else path, **layout})
    except ValidationError as error:
        wrong = " ".join(explain(error, kind, "layout"))
        raise DataError(f"{path}: the files cannot be described as a {layout['kind']} layout: {wrong}") from error
    try:
        return model, model.cases(), ""
    except PartialListingError as error:
        if not error.listed:
            raise
        first = error.unlisted[0]
        about = f"{first.case}: " if first.case else ""
        usable = counted(len(error.listed), "case")
        remark = f"{usable} can be used; `medsegdist check` names what cannot, such as {about}{first.problem}"
        return model, list(error.listed), remark


def _slices_pattern(cases: Sequence[Case]) -> str | None:
    """A pattern that finds the patient of slices in their names; None if the names hold none."""
    slices = all(is_picture(case.image) and case.patient_id == case.id for case in cases)
    patients = [re.sub(_SLICES, r"\1", case.id) for case in cases]
    all_match = all(patient != case.id for patient, case in zip(patients, cases, strict=True))
    return _SLICES if slices and all_match and 1 < len(set(patients)) < len(cases) else None


def _patient_remark(cases: Sequence[Case], layout: Mapping[str, Any]) -> str:
    """Who counts as a patient, and what to do if that is wrong: intervals are bootstrapped over patients."""
    noun = "image" if any(is_picture(case.image) for case in cases) else "case"
    if layout["kind"] == "dicom":
        # Another segment may have other cases; how many patients they have is not known yet.
        return f"patients: as the DICOM headers name them; a {noun} without a name counts as one"
    patients = {case.patient_id for case in cases}
    if pattern := layout.get("patient_pattern"):
        patients = {match.group(1) for case in cases if (match := re.search(pattern, case.id))}
        why = "as patient_pattern takes names that differ in their last number only for one patient's slices"
    elif len(patients) < len(cases) or "patient_key" in layout:
        why = "as the listing says"
    else:
        return f"patients: each {noun} counts as one ({len(cases)}); set patient_pattern if several are of one patient"
    return f"patients: {counted(len(patients), 'patient')} in {counted(len(cases), noun)}, {why}"
