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


class ReadDicom:
    """Read the image series and the drawing of an item as (1, columns, rows, slices) with their affine (RAS+, mm).

    Both are float32: rescaled intensities (HU for CT), and a mask of 0 and 1.

    Args:
        fractional_threshold: from which fraction on a voxel of a FRACTIONAL segmentation belongs to the segment; None
            refuses such segmentations.
        contour_edges: whether the outlines of an RTSTRUCT belong to the mask, as for `read_structure_set`.
        needs_highdicom: whether to ask for highdicom at once, rather than at the first case.

    Raises:
        MissingDependencyError: highdicom is needed but not installed.
        DataError: when called: files are missing or damaged, or drawing and images do not fit together.
    """

    def __init__(
        self,
        fractional_threshold: float | None = None,
        contour_edges: ContourEdges = "exclude",
        *,
        needs_highdicom: bool = False,
    ) -> None:
        if needs_highdicom:
            require_highdicom()
        self.fractional_threshold = fractional_threshold
        self.contour_edges: ContourEdges = contour_edges

    def __call__(self, item: Mapping[Any, Any]) -> dict[Any, Any]:
        """The item with "image" and "label" read.

        Args:
            item: with :class:`SeriesFiles` under "image" and :class:`DrawnSegment` under "label"; its other entries
                are kept.
        """
        drawing: DrawnSegment = item["label"]
        path = Path(drawing.path)
        voxels, grid = read_series(_files_of(item))
        try:
            if drawing.kind == "seg":
                mask = read_segmentation(path, drawing.number, grid, self.fractional_threshold)
            else:
                mask = read_structure_set(path, drawing.number, grid, self.contour_edges)
        except DataError as error:
            raise DataError(f"{path.name}: {error.problem}", error.remedy) from None
        label = as_tensor(mask.astype(np.float32), grid.affine)
        return {**item, "image": as_tensor(voxels, grid.affine), "label": label}

    def headers(self, item: Mapping[Any, Any]) -> dict[Any, Any]:
        """The item with "image" as a tensor on the meta device: shape and affine, but no voxel.

        "label" is the same: a drawing has no grid of its own, and whether it fits shows when it is read.

        Args:
            item: as for calling it.

        Raises:
            DataError: files are missing, their headers damaged, or the slices make no volume.
        """
        grid = read_series_grid(_files_of(item))
        image = as_tensor(grid.shape, grid.affine)
        return {**item, "image": image, "label": image}


def _files_of(item: Mapping[Any, Any]) -> list[Path]:
    files: SeriesFiles = item["image"]
    drawing: DrawnSegment = item["label"]
    if drawing.problem:
        raise DataError(drawing.problem, drawing.remedy)
    return [Path(path) for path in files.paths]
