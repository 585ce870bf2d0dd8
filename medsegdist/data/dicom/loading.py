"""Reading the image and the mask of a DICOM case, as MONAI tensors.

This module imports MONAI: layouts import it inside `loader()` only.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import Transform
from monai.utils.enums import MetaKeys, SpaceKeys
from numpy.typing import NDArray

from medsegdist.data.dicom._highdicom import require_highdicom
from medsegdist.data.dicom.grid import Grid
from medsegdist.data.dicom.segmentation import read_segmentation
from medsegdist.data.dicom.series import read_series, read_series_grid
from medsegdist.data.dicom.sources import DrawnSegment, SeriesFiles
from medsegdist.data.dicom.structure_set import ContourEdges, read_structure_set
from medsegdist.errors import DataError


class ReadDicom(Transform):
    """Read the image series and the drawing of an item as (1, columns, rows, slices) with their affine (RAS+, mm).

    Both are float32: rescaled intensities (HU for CT), and a mask of 0 and 1.

    Args:
        fractional_threshold: from which fraction on a voxel of a FRACTIONAL segmentation belongs to the segment; None
            refuses such segmentations.
        contour_edges: whether the outlines of an RTSTRUCT belong to the mask, as `read_structure_set` has it.
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

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with "image" and "label" read.

        Args:
            data: item with :class:`SeriesFiles` under "image" and :class:`DrawnSegment` under "label"; its other
                entries are kept.
        """
        files: SeriesFiles = data["image"]
        drawing: DrawnSegment = data["label"]
        if drawing.problem:
            raise DataError(drawing.problem)
        voxels, grid = read_series([Path(path) for path in files.paths])
        try:
            mask = self._mask(drawing, grid)
        except DataError as error:
            raise DataError(f"{Path(drawing.path).name}: {error}") from None
        item = dict(data)
        item["image"] = as_tensor(voxels, grid)
        item["label"] = as_tensor(mask.astype(np.float32), grid)
        return item

    def headers(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with "image" as a tensor on the meta device: shape and affine, but no voxel.

        "label" is the same: a drawing has no grid of its own, and whether it fits shows when it is read.

        Args:
            data: as for calling it.

        Raises:
            DataError: files are missing, their headers damaged, or the slices make no volume.
        """
        files: SeriesFiles = data["image"]
        drawing: DrawnSegment = data["label"]
        if drawing.problem:
            raise DataError(drawing.problem)
        grid = read_series_grid([Path(path) for path in files.paths])
        image = _tensor(torch.empty((1, *grid.shape), device="meta"), grid)
        return {**data, "image": image, "label": image}

    def _mask(self, drawing: DrawnSegment, grid: Grid) -> NDArray[np.bool_]:
        path = Path(drawing.path)
        if drawing.kind == "seg":
            return read_segmentation(path, drawing.number, grid, self.fractional_threshold)
        return read_structure_set(path, drawing.number, grid, self.contour_edges)


def as_tensor(voxels: NDArray[np.float32], grid: Grid) -> MetaTensor:
    """Voxels as a MONAI tensor (1, columns, rows, slices) that knows where it lies.

    Args:
        voxels: (columns, rows, slices).
        grid: where they lie.
    """
    return _tensor(torch.from_numpy(voxels[None]), grid)


def _tensor(voxels: torch.Tensor, grid: Grid) -> MetaTensor:
    # DICOM counts mm to the left and the back, NIfTI and MONAI to the right and the front.
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine
    return MetaTensor(voxels, affine=torch.from_numpy(affine), meta={MetaKeys.SPACE: SpaceKeys.RAS.value})
