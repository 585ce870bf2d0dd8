"""An image series: slices in files of their own, put in order by their positions in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsegdist.data.dicom.frames import read_frames
from medsegdist.data.dicom.grid import TOLERANCE, Grid
from medsegdist.data.dicom.slices import Slice, frames_in, read_pixels, read_slice
from medsegdist.errors import DataError

_SAME_PLACE = 1e-3  # mm


def read_series(paths: Sequence[Path]) -> tuple[NDArray[np.float32], Grid]:
    """The voxels of a series, (columns, rows, slices), and where they lie.

    Slices are ordered by their position along their common normal, whatever their files or numbers say. Intensities
    are rescaled by each slice's own slope and intercept, which gives HU for CT.

    Args:
        paths: the files, one slice each, or one file with all frames (which needs highdicom).

    Raises:
        DataError: a file cannot be read, or the slices make no volume: different sizes, pixel spacings or
            orientations, two at one position, one missing.
    """
    if len(paths) == 1 and frames_in(paths[0]) > 1:
        return read_frames(paths[0])
    slices = ordered_slices(paths)
    grid = _grid(slices)
    voxels = np.empty(grid.shape[::-1], dtype=np.float32)
    for k, part in enumerate(slices):
        voxels[k] = read_pixels(part)
    return voxels.T, grid


def read_series_grid(paths: Sequence[Path]) -> Grid:
    """Where the voxels of a series lie; no pixel is read, unless one file holds all of its frames.

    Args:
        paths: as for :func:`read_series`.

    Raises:
        DataError: as for :func:`read_series`.
    """
    if len(paths) == 1 and frames_in(paths[0]) > 1:
        return read_frames(paths[0])[1]
    return _grid(ordered_slices(paths))


def ordered_slices(paths: Sequence[Path], *, one_per_position: bool = False) -> list[Slice]:
    """The slices of a series, by their position along their common normal; no pixel is read.

    Args:
        paths: the files, one slice each.
        one_per_position: of slices at the same position, keep only the one with the lowest InstanceNumber.

    Raises:
        DataError: a file cannot be read, or the slices have different sizes, pixel spacings or orientations.
    """
    slices = sorted(map(read_slice, paths), key=lambda part: (round(part.level / _SAME_PLACE), part.number))
    _check_alike(slices)
    if one_per_position:
        return [part for k, part in enumerate(slices) if not k or part.level - slices[k - 1].level > _SAME_PLACE]
    return slices


def _check_alike(slices: Sequence[Slice]) -> None:
    first = slices[0]
    for part in slices[1:]:
        for what, here, there, tolerance in (
            ("rows and columns", np.array(first.shape), np.array(part.shape), 0.0),
            ("a pixel spacing", first.spacing, part.spacing, 1e-3),
            ("an orientation", first.directions, part.directions, 1e-3),
        ):
            if not np.allclose(here, there, rtol=0, atol=tolerance):
                raise DataError(
                    f"expected slices alike, found {what} of {_numbers(here)} in {first.path.name} and "
                    f"{_numbers(there)} in {part.path.name}; split the series."
                )


def _grid(slices: Sequence[Slice]) -> Grid:
    first, last = slices[0], slices[-1]
    levels = np.array([part.level for part in slices])
    steps = max(len(slices) - 1, 1)
    if len(slices) == 1:
        if first.thickness is None:
            raise DataError(f"{first.path.name}: one slice that does not state its thickness; add SliceThickness.")
        step = first.normal * first.thickness
    else:
        _check_gaps(levels)
        step = (last.position - first.position) / steps
    # Slices of a tilted gantry are shifted evenly, which the affine says; anything else is no grid.
    places = first.position + np.outer(levels - levels[0], step) / (step @ first.normal)
    away = np.linalg.norm(np.array([part.position for part in slices]) - places, axis=1)
    if away.max() > TOLERANCE * first.spacing.min():
        worst = slices[int(away.argmax())]
        raise DataError(
            f"expected slices in a straight stack, found {worst.path.name} shifted sideways by {away.max():.3g} mm; "
            "split the series."
        )
    affine = np.eye(4)
    # PixelSpacing is the distance of rows, then that of columns; a row runs across the columns.
    affine[:3, 0] = first.directions[0] * first.spacing[1]
    affine[:3, 1] = first.directions[1] * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return Grid(shape=(first.shape[1], first.shape[0], len(slices)), affine=affine, levels=levels)


def _check_gaps(levels: NDArray[np.float64]) -> None:
    gaps = np.diff(levels)
    doubled = sorted({f"{low:g}" for (low, _), gap in zip(pairwise(levels), gaps, strict=True) if gap <= _SAME_PLACE})
    if doubled:
        raise DataError(
            f"expected one slice at each position, found several at {_listed(doubled)} mm; "
            "remove the copies, or split the phases of the series."
        )
    usual = float(np.median(gaps))
    odd = [
        f"{low:g} to {high:g}"
        for (low, high), gap in zip(pairwise(levels), gaps, strict=True)
        if abs(gap - usual) > TOLERANCE * usual
    ]
    if odd:
        raise DataError(
            f"expected slices {usual:g} mm apart, found gaps from {_listed(odd)} mm; "
            "restore the missing slices, or leave the series out."
        )


def _numbers(values: NDArray[np.generic]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in values.ravel().tolist()) + "]"


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts[:5]) + (f" and {len(texts) - 5} more" if len(texts) > 5 else "")
