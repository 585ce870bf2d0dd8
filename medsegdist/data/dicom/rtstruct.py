"""DICOM structure sets (RTSTRUCT): regions of interest as contours in mm, filled on the voxels of the images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from skimage.draw import line, polygon, polygon2mask

from medsegdist.data.dicom.headers import discreet
from medsegdist.data.dicom.series import Grid
from medsegdist.errors import DataError

ContourEdges = Literal["exclude", "include"]
"""Whether voxels that an outline only passes through belong to what it encloses."""

_FILLED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def read_structure_set(path: Path, roi: int, grid: Grid, contour_edges: ContourEdges = "exclude") -> NDArray[np.bool_]:
    """The mask of one region of interest (ROI) on the voxels of the images, (columns, rows, slices).

    A voxel belongs to a contour if its center is inside or on it, by the even-odd rule, so a contour with a keyhole
    channel keeps its hole. Contours of one slice are combined by exclusive or: one inside another is a hole, an
    island in the hole is filled again. Nothing is filled between slices.

    With the edges included, contours are painted as rt-utils and OpenCV do: their points are moved to the nearest
    voxel, they are filled, and every voxel on an outline, also on that of a hole, belongs to the region. That makes it
    about half a voxel wider on every side.

    Args:
        path: the structure set.
        roi: the ROI's number.
        grid: the voxels of the images.
        contour_edges: "exclude" goes by the centers of voxels, "include" paints the outlines as well.

    Raises:
        DataError: the file cannot be read, or a contour is not closed, is not on a slice or leaves the images.
    """
    mask = np.zeros(grid.shape, dtype=np.bool_)
    edges = np.zeros_like(mask)
    to_voxel = np.linalg.inv(grid.affine)
    for points in _contours(path, roi):
        # A point or a line has no inside, only an edge.
        if len(points) < 3 and contour_edges == "exclude":
            continue
        k = _slice_of(points, grid)
        inside = (np.column_stack([points, np.ones(len(points))]) @ to_voxel.T)[:, :2]
        if inside.min() < -0.5 or (inside > np.array(grid.shape[:2]) - 0.5).any():
            raise DataError(
                f"a contour at {points[0] @ grid.normal:g} mm leaves the images",
                "pair the structure set with the series that it was drawn on",
            )
        if contour_edges == "exclude":
            mask[..., k] ^= polygon2mask(grid.shape[:2], inside)
            continue
        # The outer edge of the last voxel is rounded away from it.
        corners = np.minimum(np.round(inside), np.array(grid.shape[:2]) - 1).astype(int)
        painted = np.zeros(grid.shape[:2], dtype=np.bool_)
        rows, columns = corners.T
        painted[polygon(rows, columns)] = True
        mask[..., k] ^= painted
        # polygon_perimeter would do this for what has an area, and fails for a point or a line.
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            edges[(*line(*start, *end), k)] = True
    return mask | edges


def _slice_of(points: NDArray[np.float64], grid: Grid) -> int:
    found = {grid.slice_at(point) for point in points}
    if len(found) != 1 or None in found:
        heights = points @ grid.normal
        raise DataError(
            f"expected each contour on one slice, found one from {heights.min():g} to {heights.max():g} mm "
            f"where slices are from {grid.levels[0]:g} to {grid.levels[-1]:g} mm, {grid.gap:g} mm apart",
            "restore the missing slices, or pair the structure set with the series that it was drawn on",
        )
    (k,) = found
    assert k is not None  # just excluded
    return k


def _contours(path: Path, roi: int) -> list[NDArray[np.float64]]:
    """(n, 3) mm for each contour of the ROI."""
    with discreet():
        try:
            content = pydicom.dcmread(path, specific_tags=["ROIContourSequence"], force=True)
            contours = [
                contour
                for region in content.get("ROIContourSequence") or ()
                if int(region.ReferencedROINumber) == roi
                for contour in region.get("ContourSequence") or ()
            ]
            return [_points(contour) for contour in contours]
        except DataError:
            raise
        # A damaged file fails in many ways, and what it holds is not repeated.
        except Exception as error:  # noqa: BLE001
            raise DataError(f"the contours cannot be read ({type(error).__name__})", "export the file again") from None


def _points(contour: Dataset) -> NDArray[np.float64]:
    kind = str(contour.ContourGeometricType)
    if kind not in _FILLED:
        raise DataError(f"expected closed contours, found the type {kind}", "choose an ROI that has an inside")
    points = np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(points).all():
        raise DataError("a contour holds NaN or infinite coordinates", "export the file again")
    return points
