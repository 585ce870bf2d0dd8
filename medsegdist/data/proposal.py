"""What `medsegdist init` proposes: datasets of the folders it inspected, and the text of a study of them."""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from medsegdist.data.inspect import Inspection, Statistics, segment_key
from medsegdist.data.layouts.listing import modality_of
from medsegdist.data.layouts.paths import expand_path
from medsegdist.data.study import Study
from medsegdist.data.validation import validate
from medsegdist.errors import ManifestError
from medsegdist.words import and_listed, counted, did_you_mean, printable

_AIR = -500  # no photograph and no MR goes as low; air in HU is -1000
# Of grids, by dimensions: sizes are multiples of the first number, between it and the second one.
_GRIDS = {2: (32, 256), 3: (16, 96)}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A dataset as the study will describe it."""

    inspection: Inspection
    name: str
    modality: str
    layout: dict[str, Any]  # without `root`
    foreground: tuple[int, ...] | None  # None for DICOM, and for masks with soft edges
    threshold: float | None  # from which value on such a mask is foreground
    window: tuple[float, float] | None  # of its own intensities; None for the study's rule
    reasons: dict[str, str]  # key of the manifest -> why, in a short line


def choose_labels(folders: Sequence[Inspection], asked: Sequence[str]) -> list[list[str]]:
    """The labels to propose for each folder, as :func:`propose` takes them; "all" if none were asked for.

    FOLDER= in front of labels means one folder, by its path or its last part; without, every folder with several labels
    is meant.
    """
    chosen: list[list[str]] = [[] for _ in folders]
    for words in asked:
        match = re.fullmatch(r"(?:(.+)=)?([^=]+)", words)
        if match is None:
            raise ManifestError(f"expected --foreground LABELS or FOLDER=LABELS, found '{words}'")
        (folder, labels), meant = match.groups(), False
        for one, labels_of_one in zip(folders, chosen, strict=True):
            called = (one.given, one.given.rstrip("/"), str(one.path), one.path.name)
            if folder in called or (folder is None and len(one.choices) > 1):
                labels_of_one.append(labels)
                meant = True
        if not meant and folder is None:
            problem = f"expected several labels to choose from by --foreground {words}, found one in each folder"
            raise ManifestError(problem, "leave it out")
        if not meant:
            names = [one.path.name for one in folders]
            problem = f"expected a folder among {', '.join(names)} in --foreground {words}, found '{folder}'"
            raise ManifestError(problem + (did_you_mean(folder, names) or "."))
    return [labels or ["all"] for labels in chosen]


def propose(inspection: Inspection, labels: str = "all", modality: str | None = None) -> list[Proposal]:
    """The datasets that a folder becomes.

    Labels are "all" for one foreground of all (of DICOM segments the most frequent one), "each" for a dataset of every
    label, or names or values with commas between, which are one foreground together.
    """
    if labels == "each" and inspection.choices:
        return [_propose_one(inspection, [name], modality) for name in inspection.choices]
    parts = None if labels in ("all", "each") else [part.strip() for part in labels.split(",")]
    return [_propose_one(inspection, parts, modality)]


def _propose_one(inspection: Inspection, parts: Sequence[str] | None, modality: str | None) -> Proposal:
    names = None if parts is None else _names_of(inspection, parts)
    layout = dict(inspection.layout)
    foreground, key, reason = None, "segment", "as asked for"
    threshold = inspection.statistics.threshold
    if threshold is not None:
        key, full = "mask_threshold", {128: "8 bits", 0.5: "1", 32768: "16 bits"}.get(threshold, "the largest value")
        reason = (
            f"half of {full}: edges are soft, as of JPEG or smoothing ({inspection.statistics.grays} values in a mask)"
        )
    elif layout["kind"] != "dicom":
        key = "foreground"
        wanted = tuple(inspection.labels) if names is None else names
        foreground = tuple(sorted({value for name in wanted for value in inspection.labels[name]}))
        if names is None:
            reason = _label_reason(inspection)
        elif inspection.found.labels:
            reason = f"{', '.join(names)}, as asked for"
    elif names is None:
        segments = inspection.found.segments
        reason = "the segment that all have" if segments else "the only segment of each drawing"
        if len(segments) > 1:
            reason = f"the most frequent of {', '.join(segments)}"
    elif names[0] != layout[segment_key(layout)]:
        layout[segment_key(layout)] = names[0]
    path, found = inspection.path, inspection.found
    title = re.sub(r"^(Task|Dataset)\d+_", "", found.name or (path.stem if path.is_file() else path.name))
    name = manifest_name(f"{title} {manifest_name(' '.join(names)) if names else ''}")
    named, said = (modality, "as you said") if modality else _modality_of(inspection)
    window, why = window_of(named, inspection.statistics)
    reasons = {"modality": said, "window": why, key: reason}
    return Proposal(inspection, name, named, layout, foreground, threshold, window, reasons)


def _names_of(inspection: Inspection, parts: Sequence[str]) -> list[str]:
    """The choices that names or values mean."""
    by_value = {str(value): name for name, values in inspection.labels.items() if len(values) == 1 for value in values}
    names = [part if part in inspection.choices else by_value.get(part, part) for part in parts]
    for name in names:
        if name not in inspection.choices:
            values = {one: ", ".join(map(str, inspection.labels.get(one, ()))) for one in inspection.choices}
            known = [one if value in ("", one) else f"{value} ({one})" for one, value in values.items()]
            raise ManifestError(
                f"{inspection.path}: expected a foreground among {', '.join(known) or 'one unnamed segment only'}, "
                f"found '{name}'{did_you_mean(name, values) or '.'} Write FOLDER=VALUES to mean one folder only."
            )
    if inspection.layout["kind"] == "dicom" and len(names) > 1:
        raise ManifestError(f"{inspection.path}: expected one DICOM segment, found {', '.join(names)}", "choose one")
    return names


def _label_reason(inspection: Inspection) -> str:
    """Why all labels are the foreground: the listing names them, or so many of the masks that were read hold them."""
    named = ", ".join(inspection.labels)
    if inspection.found.labels:
        several = f"{named} as one; --foreground each makes a dataset of each"
        return several if len(inspection.labels) > 1 else f"{named}, says the listing"
    seen, cases = inspection.statistics.seen, inspection.statistics.cases
    held = [f"{value} is in {'all' if n == seen else n}" for value, n in inspection.statistics.values.items()]
    return f"looked at {'all' if seen == cases else f'{seen} of'} {counted(cases, 'mask')}: {', '.join(held)}"


def _modality_of(inspection: Inspection) -> tuple[str, str]:
    """The modality of a folder, and what says so: its listing, its name, or its intensities."""
    found, seen = inspection.found, inspection.statistics
    if found.modality:
        return found.modality, found.modality_reason
    if by_name := modality_of([inspection.path.name]):
        return by_name, f"by the folder's name, {inspection.path.name}"
    if seen.low <= _AIR and seen.whole:
        return "CT", f"intensities from {seen.low:g} to {seen.high:g} look like HU"
    return "other", f"unknown (intensities from {seen.low:g} to {seen.high:g}); write CT or MR if it is"


def window_of(modality: str, statistics: Statistics) -> tuple[tuple[float, float] | None, str]:
    """The window that a dataset needs for itself, None for the study's rule, and why."""
    low, high, whole = statistics.low, statistics.high, statistics.whole
    # A little above 255: the weights of a luminance, which is no whole number, are rounded.
    within = low >= 0 and 1 < high < 255.5
    if within and whole and modality == "CT":
        return (0, 255), "8-bit gray, no longer HU"
    if within and statistics.pictures:
        return (0, 255), "the whole range of 8-bit pictures"
    seen = f"from {low:g} to {high:g}"
    if modality != "CT":
        return None, f"percentiles of each image ({seen} in those read)"
    if low >= 0:
        return None, f"no value below 0 ({seen}) is hardly HU: if 1024 was added, write window: [24, 1424]"
    return None, f"HU ({seen}), cut to ct_window"


def grid_of(sizes: Sequence[tuple[int, ...]], dimensions: int) -> tuple[tuple[int, ...], str]:
    """The grid that samples are brought to, and why."""
    fitting = [size[-dimensions:] for size in sizes if len(size) >= dimensions]
    middle = [int(median(axis)) for axis in zip(*fitting, strict=True)]
    step, most = _GRIDS[dimensions]
    grid = tuple(min(most, max(step, -(-size // step) * step)) for size in middle)
    return grid, f"the target's images have about {' x '.join(map(str, middle))}; at most {most} to begin with"


def manifest_name(text: str) -> str:
    """`text` as the name of a dataset: spaces for underscores, and only characters that a name may have."""
    spaced = unicodedata.normalize("NFC", text.replace("_", " "))
    cleaned = "".join(one for one in spaced if one.isalpha() or one.isdecimal() or one in " .+()-")
    return " ".join(cleaned.lstrip(" .+()-").split())[:60].strip() or "dataset"


def with_distinct_names(proposals: Sequence[Proposal]) -> list[Proposal]:
    """The proposals, with a number behind a name that an earlier one has."""
    named: dict[str, Proposal] = {}
    for one in proposals:
        names = (one.name, *(f"{one.name} {number}" for number in range(2, len(proposals) + 2)))
        name = next(name for name in names if name not in named)
        named[name] = replace(one, name=name)
    return list(named.values())


def study_text(
    proposals: Sequence[Proposal],
    targets: Sequence[str],
    grid: Sequence[int],
    grid_reason: str,
    out: Path,
    left_out: Mapping[str, str] | None = None,
) -> str:
    """The YAML of a study, with the reason of each entry as a comment.

    Datasets that are no target are sources, and of targets alone the first one is. Folders that were left out, and why,
    become comments to be filled in.

    Raises:
        ManifestError: something in it is wrong, such as a grid that is too large.
    """
    sources = [one.name for one in proposals if one.name not in targets]
    if not sources:
        targets, sources = targets[:1], list(targets[1:])
    title = f"sources for {and_listed(targets)}"
    if len(targets) > 1 and len(title) > 80:
        title = f"sources for {counted(len(targets), 'target')}"
    axes, spacing, what = "rows, columns", "[1, 1]", "axial slices, as in the paper; 3 compares whole volumes"
    if len(grid) == 3:
        axes, spacing, what = "slices, rows, columns", "[2, 1, 1]", "volumes"
    lines = [
        f"# Written by `medsegdist init`, to be edited. `medsegdist check {out.name}` says whether it can be used,",
        f"# `medsegdist rank {out.name}` ranks the sources.",
        f"name: {_flow(title)}",
        "preprocessing:  # the same for all datasets",
        f"  dimensions: {len(grid)}  # {what}",
        f"  grid: {list(grid)}  # {axes}: {_comment(grid_reason)}",
        f"  # spacing: {spacing}  # mm; each sample is stretched to the grid unless this is given",
        "  intensity: window  # zscore if brightness is not to count",
    ]
    if any(one.modality == "CT" and one.window is None for one in proposals):
        lines.append("  ct_window: [-1000, 400]  # HU, lung to contrast; soft tissue alone: [-160, 240]")
    lines += [
        "  min_pixels: 10  # smaller segments are left out",
        "  max_samples: 500  # of a dataset, spread over its patients",
        "datasets:",
    ]
    for one in proposals:
        lines += _dataset_lines(one, written_root(one.inspection, out.absolute().parent))
    for given, problem in (left_out or {}).items():
        lines += [
            f"  # left out: {_comment(problem.splitlines()[0])}",
            f"  # - name: {_flow(manifest_name(Path(given).name))}  # to be filled in, and named under sources",
            "  #   modality: other",
            f"  #   layout: {{kind: folder, root: {_flow(given)}, images: 'images/*.png', masks: 'masks/*.png'}}",
        ]
    lines += [f"targets: {_flow(list(targets))}", f"sources: {_flow(sources)}"]
    if len({one.inspection.path for one in proposals}) < len(proposals):
        lines.append("shared_images: allow  # several datasets are tasks on the same images")
    text = "\n".join(lines) + "\n"
    validate(Study, yaml.safe_load(text), out.absolute())
    return text


def written_root(inspection: Inspection, out: Path) -> str:
    """The folder as a study in `out` names it: as it was given if that holds ${VARIABLES}, else by its path."""
    given, folder = inspection.given, inspection.path
    if folder.is_file():
        given, folder = os.fspath(Path(given).parent), folder.parent
    if "${" in given or given.startswith("~"):
        return given if expand_path(given, out) == folder else f"{os.path.relpath(Path.cwd(), out)}/{given}"
    return given if Path(given).is_absolute() else Path(os.path.relpath(folder, out)).as_posix()


def _dataset_lines(proposal: Proposal, root: str) -> list[str]:
    inspection, reasons = proposal.inspection, proposal.reasons
    found = inspection.found
    layout = {"kind": "", "root": root, **proposal.layout}
    if layout["root"] is None:
        # The datalist is named by a path of its own; what is None is left out.
        layout["file"] = f"{root}/{inspection.path.name}"
    first = {
        "description": found.description[:300],
        "license": found.license[:200],
        "modality": proposal.modality,
        "window": proposal.window and list(proposal.window),
    }
    last = {"mask_threshold": proposal.threshold, "foreground": proposal.foreground and list(proposal.foreground)}
    comments = [f"{found.what}: {counted(inspection.statistics.cases, 'case')}", *inspection.remarks]
    return [
        *(f"  # {_comment(one)}" for one in comments),
        f"  - name: {_flow(proposal.name)}",
        *_entries(first, reasons, indent=4),
        *([] if proposal.window else [f"    # no window: {_comment(reasons['window'])}"]),
        "    layout:",
        *_entries(layout, dict.fromkeys(("segment", "roi"), reasons.get("segment", "")), indent=6),
        *_entries(last, reasons, indent=4),
    ]


def _entries(values: Mapping[str, Any], reasons: Mapping[str, str], indent: int) -> list[str]:
    """A line for each value that is not empty, with the reason for it."""
    return [
        f"{' ' * indent}{key}: {_flow(value)}" + (f"  # {_comment(reasons[key])}" if reasons.get(key) else "")
        for key, value in values.items()
        if value not in (None, "")
    ]


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    # A text with line breaks of any kind would stand on several lines but for quotes.
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    text = yaml.safe_dump(
        value, default_style=style, default_flow_style=True, width=math.inf, allow_unicode=style is None
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _comment(text: str) -> str:
    """`text` for a comment: what a listing holds must not end the comment."""
    return printable(" ".join(text.split()))
