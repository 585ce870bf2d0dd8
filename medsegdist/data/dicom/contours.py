"""Contours of one slice of a structure set as the voxels that they enclose together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from skimage.draw import line, polygon
from skimage.measure import grid_points_in_poly, points_in_poly

from medsegdist.data.dicom.series import TOLERANCE

ContourEdges = Literal["exclude", "include"]
"""Whether voxels that an outline only passes through belong to what it encloses."""


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """A contour and the voxels that it encloses.

    Args:
        outline: (n, 2) column and row of its points.
        window: the columns and rows of the slice that the masks cover.
        closed: bool, the voxels inside or on it.
        inside: bool, those of them that are not on it.
    """

    outline: NDArray[np.float64]
    window: tuple[slice, slice]
    closed: NDArray[np.bool_]
    inside: NDArray[np.bool_]


def fill(outline: NDArray[np.float64], shape: tuple[int, int], contour_edges: ContourEdges) -> Filled:
    """Fills a contour by the even-odd rule.

    Args:
        outline: (n, 2) column and row of its points, within the slice.
        shape: columns and rows of the slice.
        contour_edges: as for :func:`~medsegdist.data.dicom.drawings.read_structure_set`.
    """
    last = np.array(shape) - 1
    low = np.clip(np.floor(outline.min(axis=0)), 0, last).astype(int)
    high = np.clip(np.ceil(outline.max(axis=0)), 0, last).astype(int)
    window = (slice(low[0], high[0] + 1), slice(low[1], high[1] + 1))
    size = (int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1)
    if contour_edges == "exclude":
        labels = grid_points_in_poly(size, outline - low, binarize=False)
        return Filled(outline, window, labels > 0, labels == 1)
    # The outer edge of the last voxel is rounded away from it.
    corners = np.minimum(np.round(outline), last).astype(int) - low
    edges, painted = np.zeros(size, dtype=np.bool_), np.zeros(size, dtype=np.bool_)
    painted[polygon(*corners.T)] = True
    # polygon_perimeter would do this for what has an area, and fails for a point or a line.
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edges[line(*start, *end)] = True
    return Filled(outline, window, painted | edges, painted & ~edges)


def combine(contours: Sequence[Filled], mask: NDArray[np.bool_], exclusive: bool) -> bool:
    """Adds what contours of one slice enclose to its mask, and says whether any overlap or are drawn twice.

    Args:
        contours: of one region.
        mask: (columns, rows) bool, empty; written in place.
        exclusive: whether contours that overlap are combined by exclusive or, and not united.
    """
    doubtful = False
    kept: list[Filled] = []
    around: list[list[int]] = []
    depths: list[int] = []
    for contour in sorted(contours, key=lambda one: -_area(one.outline)):
        own, core = (_on_slice(part, contour, mask.shape) for part in (contour.closed, contour.inside))
        outer: list[int] = []
        for index, other in enumerate(kept):
            if not (own[other.window] & other.closed).any():
                continue
            inside = _lies_within(contour, other)
            doubtful |= not inside
            rim = other.closed & ~core[other.window]
            if inside and (_lies_within(other, contour) or not rim.any()):
                # What either of the two encloses counts.
                doubtful = True
                np.logical_or(other.closed, own[other.window], out=other.closed)
                np.logical_or(other.inside, core[other.window], out=other.inside)
                break
            if inside:
                outer.append(index)
        else:
            kept.append(contour)
            around.append(outer)
            depths.append(max((depths[index] + 1 for index in outer), default=0))
    for index, contour in enumerate(kept):
        if exclusive:
            mask[contour.window] ^= contour.inside
        elif depths[index] % 2 == 0:
            own = _on_slice(contour.closed, contour, mask.shape)
            for hole, outer, depth in zip(kept, around, depths, strict=True):
                if depth == depths[index] + 1 and index in outer:
                    own[hole.window] &= ~hole.inside
            mask |= own
    if exclusive:
        for contour in kept:
            mask[contour.window] |= contour.closed & ~contour.inside
    return doubtful


def _on_slice(part: NDArray[np.bool_], contour: Filled, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    whole = np.zeros(shape, dtype=np.bool_)
    whole[contour.window] = part
    return whole


def _lies_within(contour: Filled, other: Filled) -> bool:
    """Whether a contour lies inside of another one, to a tenth of a voxel."""
    depth = _depths(_samples(contour.outline), other.outline).min()
    return bool(depth >= -TOLERANCE and _depths(_samples(other.outline), contour.outline).max() <= TOLERANCE)


def _samples(outline: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners and middles of edges."""
    return np.concatenate([outline, (outline + np.roll(outline, -1, axis=0)) / 2])


def _depths(points: NDArray[np.float64], outline: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far (n, 2) points are from an outline; less than 0 outside of it."""
    away = np.full(len(points), np.inf)
    for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        along = end - start
        place = np.clip((points - start) @ along / max(along @ along, 1e-30), 0, 1)
        away = np.minimum(away, np.linalg.norm(points - start - place[:, None] * along, axis=1))
    return np.where(points_in_poly(points, outline), away, -away)


def _area(outline: NDArray[np.float64]) -> float:
    x, y = outline.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
