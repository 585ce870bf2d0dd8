"""DICOM segmentation objects (SEG): masks stored frame by frame, each with its own place in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medsegdist.data.dicom.headers import discreet
from medsegdist.data.dicom.series import TOLERANCE, Grid, require_highdicom
from medsegdist.errors import DataError


def read_segmentation(
    path: Path, segment: int, grid: Grid, fractional_threshold: float | None = None
) -> NDArray[np.bool_]:
    """The mask of one segment on the voxels of the images it was drawn on, (columns, rows, slices).

    Frames are placed by their positions: slices without a frame are empty, segments may overlap, and frames may show
    a part of the slice.

    Args:
        path: a BINARY, FRACTIONAL or LABELMAP segmentation object.
        segment: its number.
        grid: the voxels of the images.
        fractional_threshold: a voxel of a FRACTIONAL segmentation belongs to the segment from this fraction on;
            None refuses such segmentations.

    Raises:
        DataError: the file cannot be read, is FRACTIONAL without a threshold, or its frames are not on the grid.
        MissingDependencyError: highdicom is not installed.
    """
    segread = require_highdicom().seg.segread
    with discreet():
        try:
            stored = segread(path)
        # highdicom fails in many ways; its message might quote the header.
        except Exception as error:  # noqa: BLE001
            raise DataError(f"highdicom cannot read it ({type(error).__name__})", "export it again") from None
        kind = str(stored.SegmentationType)
        least = _least_value(stored, kind, segment, fractional_threshold)
        mask = np.zeros(grid.shape, dtype=np.bool_)
        for number in range(1, int(stored.NumberOfFrames) + 1):
            groups = (stored.PerFrameFunctionalGroupsSequence[number - 1], stored.SharedFunctionalGroupsSequence[0])
            if kind != "LABELMAP" and _segment_of(groups) != segment:
                continue
            part = _place(mask, groups, (int(stored.Columns), int(stored.Rows)), grid)
            pixels = np.asarray(_pixels(stored, number)).T
            part |= pixels == segment if kind == "LABELMAP" else pixels >= least
    return mask


def _least_value(stored: Dataset, kind: str, segment: int, threshold: float | None) -> float:
    """The least stored value that belongs to the segment."""
    if kind != "FRACTIONAL":
        return 1
    if threshold is None:
        raise DataError(
            "expected a mask of yes and no, found a FRACTIONAL segmentation",
            "choose a `fractional_threshold`, such as 0.5",
        )
    return max(threshold * int(stored.MaximumFractionalValue), 1)


def _pixels(stored: Any, number: int) -> NDArray[np.generic]:
    try:
        frame: NDArray[np.generic] = stored.get_stored_frame(number)
    # Truncated or undecodable pixels end in errors of many kinds.
    except Exception as error:  # noqa: BLE001
        raise DataError(f"frame {number} cannot be decoded ({type(error).__name__})", "export it again") from None
    return frame


def _segment_of(groups: Sequence[Dataset]) -> int:
    return int(_group(groups, "SegmentIdentificationSequence", "a segment").ReferencedSegmentNumber)


def _place(mask: NDArray[np.bool_], groups: Sequence[Dataset], size: tuple[int, int], grid: Grid) -> NDArray[np.bool_]:
    """The part of the mask, (columns, rows), that a frame covers."""
    position = np.array(_group(groups, "PlanePositionSequence", "a position").ImagePositionPatient, dtype=np.float64)
    directions = np.array(_group(groups, "PlaneOrientationSequence", "an orientation").ImageOrientationPatient)
    spacing = np.array(_group(groups, "PixelMeasuresSequence", "a pixel size").PixelSpacing, dtype=np.float64)
    # The same pixels: the last one of the frame's first row and column must not be off by more than the tolerance.
    steps = directions.astype(np.float64).reshape(2, 3).T * spacing[::-1]
    pixel = float(np.linalg.norm(grid.affine[:3, :2], axis=0).min())
    drift = np.linalg.norm((steps - grid.affine[:3, :2]) * np.array(size), axis=0).max()
    k = grid.slice_at(position)
    if drift > TOLERANCE * pixel or k is None:
        raise _off_grid(position, "slices" if drift <= TOLERANCE * pixel else "pixels")
    offset = np.linalg.inv(grid.affine)[:3] @ np.append(position, 1)
    start = np.round(offset[:2])
    column, row = (int(value) for value in start)
    outside = min(column, row) < 0 or column + size[0] > grid.shape[0] or row + size[1] > grid.shape[1]
    if np.abs(offset[:2] - start).max() > TOLERANCE or outside:
        raise _off_grid(position, "pixels")
    return mask[column : column + size[0], row : row + size[1], k]


def _group(groups: Sequence[Dataset], keyword: str, what: str) -> Dataset:
    """The first item of a functional group that belongs to a frame, or to all frames."""
    for group in groups:
        if group.get(keyword):
            item: Dataset = group[keyword].value[0]
            return item
    raise DataError(f"expected {what} for every frame, found none ({keyword})", "export it again")


def _off_grid(position: NDArray[np.float64], what: str) -> DataError:
    where = ", ".join(f"{value:g}" for value in position)
    return DataError(
        f"expected frames on the {what} of the images, found one at [{where}] mm that is not",
        "resample the segmentation to the images",
    )
