"""How a study would describe a folder that was looked into: modality, window and grid, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from medsegdist.data.recognition.examined import Examined, cases_of, manifest_name, segment_key
from medsegdist.data.recognition.foreground import Choice
from medsegdist.data.recognition.found import modality_of
from medsegdist.data.recognition.looking import Looks, look_at

# No photograph and no MR goes as low; air in HU is -1000.
_AIR = -500
_STEP, _SMALLEST, _LARGEST = {2: 32, 3: 16}, {2: 32, 3: 16}, {2: 256, 3: 96}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A dataset as the study will describe it.

    Args:
        examined: the folder.
        name: the dataset's name.
        modality: "CT", "MR" or "other".
        layout: the keys of its `layout`, without `root`.
        foreground: label values; None for DICOM.
        window: (low, high) of its own intensities, or None.
        looks: what a few of its cases are like.
        reasons: key of the manifest -> why it is proposed, in a short line.
    """

    examined: Examined
    name: str
    modality: str
    layout: dict[str, Any]
    foreground: tuple[int, ...] | None
    window: tuple[float, float] | None
    looks: Looks
    reasons: dict[str, str] = field(default_factory=dict)


def propose(examined: Examined, choice: Choice, modality: str | None = None) -> Proposal:
    """A dataset of one foreground.

    Args:
        examined: the folder.
        choice: the foreground.
        modality: as somebody says; None takes what the folder tells.
    """
    layout = dict(examined.layout)
    looks = examined.looks
    if choice.segment is not None:
        layout[segment_key(layout)] = choice.segment
        if choice.segment != examined.layout[segment_key(layout)]:
            cases, model, _ = cases_of(layout, examined.path)
            looks = look_at(model, cases)
    told, reason = (modality, "as you said") if modality else modality_with_reason(examined)
    window, why = window_of(told, looks)
    where = "segment" if choice.values is None else "foreground"
    return Proposal(
        examined=examined,
        name=manifest_name(f"{examined.title} {choice.name}"),
        modality=told,
        layout=layout,
        foreground=choice.values,
        window=window,
        looks=looks,
        reasons={"modality": reason, "window": why, where: choice.reason},
    )


def with_modality(proposal: Proposal, modality: str) -> Proposal:
    """The proposal with the modality that somebody says it is, and the window that goes with it."""
    window, why = window_of(modality, proposal.looks)
    reasons = {**proposal.reasons, "modality": "as you said", "window": why}
    return replace(proposal, modality=modality, window=window, reasons=reasons)


def modality_with_reason(examined: Examined) -> tuple[str, str]:
    """The modality of a folder, and what tells: its listing, its name, or its intensities."""
    if examined.found.modality:
        return examined.found.modality, examined.found.modality_reason
    looks = examined.looks
    by_name = modality_of([examined.path.name])
    if by_name:
        return by_name, f"by the folder's name, {examined.path.name}"
    if looks.low <= _AIR and looks.whole:
        return "CT", f"intensities from {looks.low:g} to {looks.high:g} look like HU"
    return "other", f"nothing tells (intensities from {looks.low:g} to {looks.high:g}); write CT or MR if it is"


def window_of(modality: str, looks: Looks) -> tuple[tuple[float, float] | None, str]:
    """The window that a dataset needs for itself, None for the study's rule, and why.

    Args:
        modality: "CT", "MR" or "other".
        looks: what a few cases are like.
    """
    # A little above 255: the weights of a luminance, which is no whole number, are rounded.
    within = looks.low >= 0 and 1 < looks.high < 255.5
    if within and looks.whole and modality == "CT":
        return (0, 255), "8-bit gray, no longer HU"
    if within and looks.pictures:
        return (0, 255), "the whole range of 8-bit pictures"
    seen = f"from {looks.low:g} to {looks.high:g}"
    if modality != "CT":
        return None, f"percentiles of each image ({seen} in those read)"
    if looks.low >= 0:
        return None, f"no value below 0 ({seen}) is hardly HU: if 1024 was added, write window: [24, 1424]"
    return None, f"HU ({seen}), cut to ct_window"


def grid_of(sizes: Sequence[tuple[int, ...]], dimensions: int) -> tuple[tuple[int, ...], str]:
    """The grid that samples are brought to, and why.

    Args:
        sizes: of images of the targets, as :class:`~medsegdist.data.recognition.looking.Looks` has them.
        dimensions: 2 or 3.
    """
    fitting = [size[-dimensions:] for size in sizes if len(size) >= dimensions]
    middle = [int(median(axis)) for axis in zip(*fitting, strict=True)]
    step, least, most = _STEP[dimensions], _SMALLEST[dimensions], _LARGEST[dimensions]
    grid = tuple(min(most, max(least, -(-size // step) * step)) for size in middle)
    return grid, f"the target's images have about {' x '.join(map(str, middle))}; at most {most} to begin with"


def with_distinct_names(proposals: Sequence[Proposal]) -> list[Proposal]:
    """The proposals, with a number behind a name that an earlier one has."""
    taken: set[str] = set()
    named = []
    for proposal in proposals:
        name, number = proposal.name, 2
        while name in taken:
            name, number = f"{proposal.name} {number}", number + 1
        taken.add(name)
        named.append(replace(proposal, name=name))
    return named
