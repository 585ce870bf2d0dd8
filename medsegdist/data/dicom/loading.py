"""The image and the mask of a DICOM case, as MONAI tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medsegdist.data.dicom.headers import DrawnSegment, SeriesFiles
from medsegdist.data.dicom.rtstruct import ContourEdges, read_structure_set
from medsegdist.data.dicom.seg import read_segmentation
from medsegdist.data.dicom.series import as_tensor, read_series, read_series_grid, require_highdicom
from medsegdist.errors import DataError


def read_dicom(
    item: Mapping[Any, Any],
    fractional_threshold: float | None = None,
    contour_edges: ContourEdges = "exclude",
    *,
    header_only: bool = False,
) -> dict[Any, Any]:
    """An item with its image series and drawing read as (1, columns, rows, slices) with their affine (RAS+, mm).

    Both are float32: rescaled intensities (HU for CT), and a mask of 0 and 1.

    Args:
        item: with :class:`SeriesFiles` under "image" and :class:`DrawnSegment` under "label"; its other entries are
            kept.
        fractional_threshold: from which fraction on a voxel of a FRACTIONAL segmentation belongs to the segment; None
            refuses such segmentations.
        contour_edges: whether the outlines of an RTSTRUCT belong to the mask, as for `read_structure_set`.
        header_only: whether shape and affine alone are read; the tensors are then on the meta device. A drawing has no
            grid of its own, so whether it fits shows only when it is read.

    Raises:
        MissingDependencyError: highdicom is needed but not installed.
        DataError: files are missing or damaged, or drawing and images do not fit together.
    """
    files: SeriesFiles = item["image"]
    drawing: DrawnSegment = item["label"]
    if drawing.kind == "seg":
        require_highdicom()
    if drawing.problem:
        raise DataError(drawing.problem, drawing.remedy)
    paths, path = [Path(name) for name in files.paths], Path(drawing.path)
    if header_only:
        grid = read_series_grid(paths)
        image = as_tensor(grid.shape, grid.affine)
        return {**item, "image": image, "label": image}
    voxels, grid = read_series(paths)
    try:
        if drawing.kind == "seg":
            mask = read_segmentation(path, drawing.number, grid, fractional_threshold)
        else:
            mask = read_structure_set(path, drawing.number, grid, contour_edges)
    except DataError as error:
        raise DataError(f"{path.name}: {error.problem}", error.remedy) from None
    label = as_tensor(mask.astype(np.float32), grid.affine)
    return {**item, "image": as_tensor(voxels, grid.affine), "label": label}
