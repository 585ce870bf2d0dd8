"""The YAML of a study, with the reason of each entry as a comment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from medsegdist.data.layouts.paths import DIRECTORY
from medsegdist.data.problems import printable
from medsegdist.data.recognition.proposal import Proposal
from medsegdist.data.study import Study
from medsegdist.data.validation import explain
from medsegdist.errors import ManifestError
from medsegdist.words import counted

_LONGEST = 80


def study_text(
    proposals: Sequence[tuple[Proposal, str]],
    targets: Sequence[str],
    sources: Sequence[str],
    *,
    grid: Sequence[int],
    grid_reason: str,
    file: str,
) -> str:
    """The YAML of a study.

    Args:
        proposals: each dataset, and its folder as the file is to name it.
        targets: names of the targets.
        sources: names of the sources.
        grid: size of every sample; its length says 2D or 3D.
        grid_reason: why that grid.
        file: name of the file, for the comment on top.
    """
    flat = len(grid) == 2
    axes = "rows, columns" if flat else "slices, rows, columns"
    roots = [(proposal.examined.path, root) for proposal, root in proposals]
    twice = len({path for path, _ in roots}) < len(roots)
    lines = [
        f"# Written by `medsegdist init`, to be edited. `medsegdist check {file}` says whether it can be used,",
        f"# `medsegdist rank {file}` ranks the sources.",
        f"name: {_flow(_study_name(targets))}",
        "preprocessing:  # the same for all datasets",
        _entry(
            "dimensions", len(grid), "axial slices, as in the paper; 3 compares whole volumes" if flat else "volumes"
        ),
        _entry("grid", list(grid), f"{axes}: {grid_reason}"),
        "  # spacing: [1, 1]  # mm; each sample is stretched to the grid unless this is given"
        if flat
        else "  # spacing: [2, 1, 1]  # mm; each sample is stretched to the grid unless this is given",
        _entry("intensity", "window", "zscore where brightness is to count for nothing"),
    ]
    if any(proposal.modality == "CT" and proposal.window is None for proposal, _ in proposals):
        lines.append(_entry("ct_window", [-1000, 400], "HU, lung to contrast; soft tissue alone: [-160, 240]"))
    lines += [
        _entry("min_pixels", 10, "smaller segments are left out"),
        _entry("max_samples", 500, "of a dataset, spread over its patients"),
        "datasets:",
    ]
    for proposal, root in proposals:
        lines += _dataset(proposal, root)
    lines += [f"targets: {_flow(list(targets))}", f"sources: {_flow(list(sources))}"]
    if twice:
        lines.append("shared_images: allow  # several datasets are tasks on the same images")
    return "\n".join(lines) + "\n"


def check_text(text: str, file: Path) -> None:
    """Refuse a text that `load_study` would not read.

    Args:
        text: the YAML.
        file: where it is to lie.

    Raises:
        ManifestError: something in it is wrong, such as a grid that is too large.
    """
    try:
        Study.model_validate(yaml.safe_load(text), context={DIRECTORY: file.absolute().parent})
    except ValidationError as error:
        raise ManifestError("\n".join(explain(error, Study, file))) from error


def _study_name(targets: Sequence[str]) -> str:
    *most, last = targets
    named = f"sources for {', '.join(most)} and {last}" if most else f"sources for {last}"
    return named if len(named) <= _LONGEST or not most else f"sources for {counted(len(targets), 'target')}"


def _dataset(proposal: Proposal, root: str) -> list[str]:
    examined, reasons = proposal.examined, proposal.reasons
    lines = [f"  # {_comment(examined.found.what)}: {counted(examined.looks.cases, 'case')}"]
    lines += [f"  # {_comment(remark)}" for remark in examined.remarks]
    lines += [f"  - name: {_flow(proposal.name)}"]
    if examined.found.description:
        lines.append(_entry("description", examined.found.description[:300], indent=4))
    if examined.found.license:
        lines.append(_entry("license", examined.found.license[:200], indent=4))
    lines.append(_entry("modality", proposal.modality, reasons["modality"], indent=4))
    if proposal.window is None:
        lines.append(f"    # no window: {_comment(reasons['window'])}")
    else:
        lines.append(_entry("window", [_short(bound) for bound in proposal.window], reasons["window"], indent=4))
    layout: Mapping[str, Any] = {"kind": proposal.layout["kind"], "root": root, **proposal.layout}
    lines.append("    layout:")
    lines += [
        _entry(key, value, reasons.get("segment", "") if key in ("segment", "roi") else "", indent=6)
        for key, value in layout.items()
    ]
    if proposal.foreground is not None:
        lines.append(_entry("foreground", list(proposal.foreground), reasons["foreground"], indent=4))
    return lines


def _entry(key: str, value: Any, reason: str = "", indent: int = 2) -> str:
    comment = f"  # {_comment(reason)}" if reason else ""
    return f"{' ' * indent}{key}: {_flow(value)}{comment}"


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    # A text with line breaks of any kind would stand on several lines but for quotes.
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    text = yaml.safe_dump(
        value, default_style=style, default_flow_style=True, width=math.inf, allow_unicode=style is None
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _comment(text: str) -> str:
    """`text` for a comment: whoever wrote a listing must not end the comment."""
    return printable(" ".join(text.split()))


def _short(bound: float) -> float:
    return int(bound) if float(bound).is_integer() else bound
