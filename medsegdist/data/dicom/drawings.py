"""Masks that were drawn on an image series: segmentation objects (SEG) and structure sets (RTSTRUCT).

A SEG stores its mask frame by frame, each with its own place in the patient; an RTSTRUCT stores contours in mm, which
are filled on the voxels of the images.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy.ndimage import binary_fill_holes
from skimage.draw import line

from medsegdist.data.dicom.headers import discreet
from medsegdist.data.dicom.series import TOLERANCE, Grid, require_highdicom
from medsegdist.data.problems import DoubtfulFileWarning
from medsegdist.errors import DataError
from medsegdist.words import counted

ContourEdges = Literal["exclude", "include"]
"""Whether voxels that an outline only passes through belong to what it encloses."""

_FILLED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_OPEN = ("POINT", "OPEN_PLANAR", "OPEN_NONPLANAR")
_MOST_DOUBT, _NOISE = 0.25, 0.0005  # in voxels; headers round directions and positions, too
_EXACT = 1e-9  # in voxels, for what arithmetic rounds
_FEWEST_STEPS = 5  # of a few coordinates all may be whole millimeters by chance


def read_segmentation(
    path: Path, segment: int, grid: Grid, fractional_threshold: float | None = None
) -> NDArray[np.bool_]:
    """The mask of one segment of a SEG on the voxels of the images it was drawn on, (columns, rows, slices).

    Frames are placed by their positions: slices without a frame are empty, segments may overlap, and frames may show a
    part of the slice. Of a FRACTIONAL one, voxels belong to the segment from the threshold on.
    """
    segread = require_highdicom().seg.segread
    with discreet("highdicom cannot read it"):
        stored = segread(path)
        kind, least = str(stored.SegmentationType), 1.0
        if kind == "FRACTIONAL":
            if fractional_threshold is None:
                problem = "expected a mask of yes and no, found a FRACTIONAL segmentation"
                raise DataError(problem, "choose a `fractional_threshold`, such as 0.5")
            # 0.07 * 100 is a little more than 7.
            least = max(round(fractional_threshold * int(stored.MaximumFractionalValue), 6), 1)
        mask = np.zeros(grid.shape, dtype=np.bool_)
        for number in range(1, int(stored.NumberOfFrames) + 1):
            groups = (stored.PerFrameFunctionalGroupsSequence[number - 1], stored.SharedFunctionalGroupsSequence[0])
            if kind != "LABELMAP":
                named = _group(groups, "SegmentIdentificationSequence", "a segment").ReferencedSegmentNumber
                if int(named) != segment:
                    continue
            part = _place(mask, groups, (int(stored.Columns), int(stored.Rows)), grid)
            with discreet(f"frame {number} cannot be decoded"):
                pixels = np.asarray(stored.get_stored_frame(number)).T
            part |= pixels == segment if kind == "LABELMAP" else pixels >= least
    return mask


def _place(mask: NDArray[np.bool_], groups: Sequence[Dataset], size: tuple[int, int], grid: Grid) -> NDArray[np.bool_]:
    """The part of the mask, (columns, rows), that a frame covers."""
    position = np.array(_group(groups, "PlanePositionSequence", "a position").ImagePositionPatient, dtype=np.float64)
    directions = np.array(_group(groups, "PlaneOrientationSequence", "an orientation").ImageOrientationPatient)
    spacing = np.array(_group(groups, "PixelMeasuresSequence", "a pixel size").PixelSpacing, dtype=np.float64)
    # The same pixels: the last one of the frame's first row and column must not be off by more than the tolerance.
    steps = directions.astype(np.float64).reshape(2, 3).T * spacing[::-1]
    pixel = float(np.linalg.norm(grid.affine[:3, :2], axis=0).min())
    drift = np.linalg.norm((steps - grid.affine[:3, :2]) * np.array(size), axis=0).max()
    offset = (np.linalg.inv(grid.affine) @ np.append(position, 1))[:2]
    column, row = np.round(offset).astype(int).tolist()
    outside = min(column, row) < 0 or column + size[0] > grid.shape[0] or row + size[1] > grid.shape[1]
    is_near = drift <= TOLERANCE * pixel and np.abs(offset - [column, row]).max() <= TOLERANCE
    on_pixels = is_near and not outside
    k = grid.slice_at(position)
    if not on_pixels or k is None:
        what, where = "slices" if on_pixels else "pixels", ", ".join(f"{value:g}" for value in position)
        problem = f"expected frames on the {what} of the images, found one at [{where}] mm that is not"
        raise DataError(problem, "resample the segmentation to the images")
    return mask[column : column + size[0], row : row + size[1], k]


def _group(groups: Sequence[Dataset], keyword: str, what: str) -> Dataset:
    """The first item of a functional group that belongs to a frame, or to all frames."""
    for group in groups:
        if group.get(keyword):
            item: Dataset = group[keyword].value[0]
            return item
    raise DataError(f"expected {what} for every frame, found none ({keyword})", "export it again")


def read_structure_set(path: Path, roi: int, grid: Grid, contour_edges: ContourEdges = "exclude") -> NDArray[np.bool_]:
    """The mask of one region of interest (ROI) on the voxels of the images, (columns, rows, slices).

    A voxel belongs to a contour if its center is inside or on it, to a thousandth of a voxel, by the non-zero winding
    rule: what a contour goes round twice is inside, and a keyhole channel keeps its hole. Points that were on a row or
    column of centers before their coordinates were rounded are put back there. Of contours of one slice, one inside
    another is a hole, whose own outline belongs to the region, and one in the hole is an island; those that overlap are
    united (of the type CLOSEDPLANAR_XOR combined by exclusive or), and one that is drawn twice (to a tenth of a voxel,
    or with no voxel between) counts once. Warnings say so, and where a contour overlaps itself, is drawn forth and
    back, or may have moved by more than a quarter of a voxel when it was rounded; it is then read as it is written.

    With the edges included, contours are painted as rt-utils and OpenCV do: their points are moved to the nearest
    voxel, they are filled, and every voxel on an outline, also on that of a hole, belongs to the region.
    """
    on_slice: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
    to_voxel = np.linalg.inv(grid.affine)
    contours, (written, rounding), exclusive = _contours(path, roi)
    # In voxels along columns and rows. By more than a quarter, edges of voxels could be taken for centers.
    moved = np.abs(to_voxel[:2, :3]) @ written
    doubt = np.where(moved <= _MOST_DOUBT, moved, 0) + _NOISE
    for points in contours:
        # A point or a line has no inside, only an edge.
        if len(points) < 3 and contour_edges == "exclude":
            continue
        k = _slice_of(points, grid)
        outline = np.round((np.column_stack([points, np.ones(len(points))]) @ to_voxel.T)[:, :2], 3)
        centers = np.round(outline)
        outline = np.where(np.abs(outline - centers) <= doubt, centers, outline)
        if outline.min() < -0.5 or (outline > np.array(grid.shape[:2]) - 0.5).any():
            problem = f"a contour at {points[0] @ grid.normal:g} mm leaves the images"
            raise DataError(problem, "pair the structure set with the series that it was drawn on")
        on_slice[k].append(outline)
    mask = np.zeros(grid.shape, dtype=np.bool_)
    doubtful = 0
    for k, outlines in on_slice.items():
        doubtful += combine([fill(one, grid.shape[:2], contour_edges) for one in outlines], mask[..., k], exclusive)
    if doubtful:
        problem = f"contours overlap or are drawn twice on {counted(doubtful, 'slice')}"
        warnings.warn(DoubtfulFileWarning(path, problem, "look at them there"), stacklevel=2)
    several = [len(np.unique(along)) >= _FEWEST_STEPS for along in np.concatenate([*contours, np.empty((0, 3))]).T]
    moves = np.abs(to_voxel[:2, :3]) * np.where(several, rounding, 0)
    halves_of_voxels = 2 * np.concatenate([np.empty((0, 2)), *chain(*on_slice.values())])
    whole = np.abs(halves_of_voxels - np.round(halves_of_voxels)).max(axis=0, initial=0) <= 2 * _NOISE
    # Through the centers or along the edges of pixels as large as the steps they are as they should be.
    moved = np.where(whole & (moves.sum(axis=1) <= 0.5), 0, moves.sum(axis=1))
    if moved.max() > _MOST_DOUBT:
        steps = 2 * rounding[moves[moved.argmax()].argmax()]
        pixel = np.linalg.norm(grid.affine[:3, :2], axis=0)
        problem = (
            f"the coordinates of ROI {roi} go by steps of {steps:g} mm on pixels of {pixel[0]:.3g} x {pixel[1]:.3g} "
            f"mm; if they were rounded, its outline is off by up to {np.linalg.norm(moved * pixel):.2g} mm"
        )
        warnings.warn(DoubtfulFileWarning(path, problem, "export it with more decimals"), stacklevel=2)
    return mask


def _slice_of(points: NDArray[np.float64], grid: Grid) -> int:
    k, *others = {grid.slice_at(point) for point in points}
    if others or k is None:
        heights = points @ grid.normal
        raise DataError(
            f"expected each contour on one slice, found one from {heights.min():g} to {heights.max():g} mm "
            f"where slices are from {grid.levels[0]:g} to {grid.levels[-1]:g} mm, {grid.gap:g} mm apart",
            "restore the missing slices, or pair the structure set with the series that it was drawn on",
        )
    return k


def _contours(path: Path, roi: int) -> tuple[list[NDArray[np.float64]], NDArray[np.float64], bool]:
    """(n, 3) mm for each contour, (2, 3) mm of rounding, of decimals written and not 0, and whether by exclusive or."""
    with discreet("the contours cannot be read", "export the file again"):
        content = pydicom.dcmread(path, specific_tags=["ROIContourSequence"], force=True)
        regions = content.get("ROIContourSequence") or ()
        wanted = [region for region in regions if int(region.ReferencedROINumber) == roi]
        contours = [contour for region in wanted for contour in region.get("ContourSequence") or ()]
        exclusive = any(contour.ContourGeometricType == "CLOSEDPLANAR_XOR" for contour in contours)
        read = [_points(contour) for contour in contours]
        # Zeros at the end are often left out, so the finest coordinate along an axis says how all are rounded.
        decimals = np.array([places for _, places in read]).reshape(-1, 2, 3).max(axis=0, initial=0)
        return [points for points, _ in read], 0.5 * 10.0**-decimals, exclusive


def _points(contour: Dataset) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(n, 3) mm, and (2, 3) the most decimals along each axis, those that are written and those without zeros."""
    kind = str(contour.ContourGeometricType)
    if kind not in _FILLED:
        found = f"the type {kind}" if kind in _OPEN else "an unknown type"
        raise DataError(f"expected closed contours, found {found}", "choose an ROI that has an inside")
    # As bytes: pydicom's numbers take twenty times their memory, and above 64 kB it takes them for no numbers.
    value = contour.get_item("ContourData").value
    values = value.rstrip(b"\0 ").decode("ascii").split("\\") if isinstance(value, bytes) else list(map(str, value))
    points = np.array(values, dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(points).all():
        raise DataError("a contour holds NaN or infinite coordinates", "export the file again")
    exact = [(number, number.normalize()) for number in map(Decimal, values)]
    decimals = np.array([[-int(one.as_tuple().exponent) for one in both] for both in exact]).reshape(-1, 3, 2)
    return points, decimals.max(axis=0, initial=0).T


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """A contour and the voxels that it encloses."""

    outline: NDArray[np.float64]  # (n, 2) column and row of its points
    window: tuple[slice, slice]  # columns and rows of the slice that the masks cover
    closed: NDArray[np.bool_]  # the voxels inside or on it
    inside: NDArray[np.bool_]  # those of them that are not on it
    doubtful: bool  # whether it overlaps itself, or goes round voxels and encloses none


def fill(outline: NDArray[np.float64], shape: tuple[int, int], contour_edges: ContourEdges) -> Filled:
    """Fills a contour, (n, 2) column and row of its points within a slice of this shape, by the non-zero rule."""
    last = np.array(shape) - 1
    low = np.clip(np.floor(outline.min(axis=0)), 0, last).astype(int)
    high = np.clip(np.ceil(outline.max(axis=0)), 0, last).astype(int)
    window = (slice(low[0], high[0] + 1), slice(low[1], high[1] + 1))
    size = (int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1)
    # The outer edge of the last voxel is rounded away from it.
    corners = np.minimum(np.round(outline), last).astype(int) - low
    points = outline - low if contour_edges == "exclude" else corners
    ends = np.stack([points, np.roll(points, -1, axis=0)])
    least, most = ends.min(axis=0), ends.max(axis=0)
    # Each row of centers that an edge reaches, and the columns, mostly one, in which it is there.
    first = np.ceil(least[:, 1])
    rows = (np.floor(most[:, 1]) - first + 1).astype(int)
    edge = np.repeat(np.arange(len(points)), rows)
    row = ((first - np.cumsum(rows) + rows)[edge] + np.arange(len(edge))).astype(int)
    (x, y), (to_x, to_y) = ends[0, edge].T, ends[1, edge].T
    across = x + (row - y) * (to_x - x) / np.where(y == to_y, 1, to_y - y)
    left, right = (np.where(y == to_y, one[edge, 0], across) for one in (least, most))

    def summed(columns: NDArray[np.float64], values: NDArray[Any] | int) -> NDArray[np.int64]:
        steps = np.zeros((size[0] + 1, size[1]), dtype=np.int64)
        np.add.at(steps, (columns.astype(int), row), values)
        return steps[:-1].cumsum(axis=0)

    turns = (y <= row).astype(int) - (to_y <= row)
    edges = summed(np.ceil(left - _EXACT), 1) > summed(np.floor(right + _EXACT) + 1, 1)
    inside = (summed(np.floor(left) + 1, turns) != 0) & ~edges
    doubtful = bool((inside & (summed(np.floor(left) + 1, np.abs(turns)) % 2 == 0)).any())
    if contour_edges == "include" or not inside.any():
        painted = np.zeros(size, dtype=np.bool_)
        # polygon_perimeter would do this for what has an area, and fails for a point or a line.
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            painted[line(*start, *end)] = True
        doubtful |= not inside.any() and bool((binary_fill_holes(painted) & ~painted).any())
        edges |= painted & (contour_edges == "include")
    return Filled(outline, window, inside | edges, inside & ~edges, doubtful)


def combine(contours: Sequence[Filled], mask: NDArray[np.bool_], exclusive: bool) -> bool:
    """Adds what contours of one slice enclose to its mask, and says whether any overlap or are drawn twice."""
    doubtful = any(contour.doubtful for contour in contours)
    kept: list[Filled] = []
    around: list[list[int]] = []  # which of them each lies in
    depths: list[int] = []
    # What a contour lies in comes before it.
    for contour in sorted(contours, key=lambda one: (-one.closed.sum(), -_area(one.outline))):
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
    if exclusive:
        for contour in kept:
            mask[contour.window] ^= contour.inside
        for contour in kept:
            mask[contour.window] |= contour.closed & ~contour.inside
        return doubtful
    for index, contour in enumerate(kept):
        if depths[index] % 2 == 0:
            own = _on_slice(contour.closed, contour, mask.shape)
            for hole, outer, depth in zip(kept, around, depths, strict=True):
                if depth == depths[index] + 1 and index in outer:
                    own[hole.window] &= ~hole.inside
            mask |= own
    return doubtful


def _on_slice(part: NDArray[np.bool_], contour: Filled, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    whole = np.zeros(shape, dtype=np.bool_)
    whole[contour.window] = part
    return whole


def _lies_within(contour: Filled, other: Filled) -> bool:
    """Whether a contour lies inside of another one, to a tenth of a voxel: its corners and the middles of its edges."""
    own, theirs = (
        np.concatenate([one, (one + np.roll(one, -1, axis=0)) / 2]) for one in (contour.outline, other.outline)
    )
    is_inside = _depths(own, other.outline).min() >= -TOLERANCE
    return bool(is_inside and _depths(theirs, contour.outline).max() <= TOLERANCE)


def _depths(points: NDArray[np.float64], outline: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far (n, 2) points are from an outline; less than 0 outside of it."""
    away, turns = np.full(len(points), np.inf), np.zeros(len(points))
    for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        along = end - start
        x, y = (points - start).T
        place = np.clip((points - start) @ along / max(along @ along, 1e-30), 0, 1)
        away = np.minimum(away, np.linalg.norm(points - start - place[:, None] * along, axis=1))
        turns += ((along[0] * y - along[1] * x) * along[1] < 0) * ((y >= 0) * 1 - (y >= along[1]))
    return np.where(turns != 0, away, -away)


def _area(outline: NDArray[np.float64]) -> float:
    x, y = outline.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
