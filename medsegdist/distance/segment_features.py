"""Numbers that describe the segments of a mask, by which fake classes are clustered (paper, Sec. 4.2.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.measure import label, marching_cubes, mesh_surface_area, regionprops
from torch import Tensor

AXES = {2: ("row", "column"), 3: ("slice", "row", "column")}


def feature_names(dimensions: int) -> tuple[str, ...]:
    """Names of the columns of :func:`segment_features`, for slices (2) or volumes (3)."""
    size = ("mean_area", "mean_perimeter") if dimensions == 2 else ("mean_volume", "mean_surface")
    return ("regions", *size, *(f"largest_{axis}" for axis in AXES[dimensions]))


def segment_features(masks: Tensor) -> Tensor:
    """The paper's features of every mask: number of regions, their mean size, and where the largest one lies.

    Regions are connected over edges and corners. In volumes the area of a region becomes its volume and the
    perimeter its surface. Of equally large regions the first in reading order counts.

    Args:
        masks: (n, *grid) bool, none of them empty.

    Returns:
        (n, 3 + d) float64 CPU tensor, d = 2 or 3, columns as :func:`feature_names`: a count; pixels (voxels);
        pixel edges (voxel faces); pixel coordinates from 0.

    Raises:
        ValueError: a mask is empty.
    """
    return torch.from_numpy(np.stack([_features_of(mask) for mask in masks.cpu().numpy()]))


def _features_of(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    # A box around the foreground: tiny segments on large grids are the rule.
    corner = np.array([_first_and_last(mask, axis)[0] for axis in range(mask.ndim)])
    box = tuple(slice(first, last + 1) for first, last in (_first_and_last(mask, axis) for axis in range(mask.ndim)))
    regions = regionprops(label(mask[box]))
    areas = np.array([region.area for region in regions])
    boundaries = [_boundary_of(region) for region in regions]
    centroid = np.array(regions[int(areas.argmax())].centroid) + corner
    return np.array([len(regions), areas.mean(), np.mean(boundaries), *centroid], dtype=np.float64)


def _first_and_last(mask: NDArray[np.bool_], axis: int) -> tuple[int, int]:
    occupied = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
    if len(occupied) == 0:
        raise ValueError("expected a mask with foreground, found an empty one; samples always have a segment.")
    return int(occupied[0]), int(occupied[-1])


def _boundary_of(region: Any) -> float:
    if region.image.ndim == 2:
        return float(region.perimeter_crofton)
    vertices, faces, *_ = marching_cubes(np.pad(region.image, 1).astype(np.float32), level=0.5)
    return float(mesh_surface_area(vertices, faces))
