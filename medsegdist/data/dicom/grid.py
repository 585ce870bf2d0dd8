"""Where the voxels of an image series lie in the patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.1
"""How far a slice or pixel may lie from its place, in slice gaps or pixels: headers round their numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Where the voxels of a series lie.

    Args:
        shape: columns, rows, slices.
        affine: (4, 4), from (column, row, slice) to mm in the patient: left, posterior, superior (LPS).
        levels: (slices,) mm along the normal of the slices, ascending.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    levels: NDArray[np.float64]

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit vector across the slices, towards the last one."""
        across = np.cross(self.affine[:3, 0], self.affine[:3, 1])
        return np.asarray(across / np.linalg.norm(across))

    @property
    def gap(self) -> float:
        """Mm from slice to slice, along the normal."""
        return float(self.affine[:3, 2] @ self.normal)

    def slice_at(self, point: NDArray[np.float64]) -> int | None:
        """The slice that a point in mm lies on, or None if it lies on none."""
        away = np.abs(self.levels - point @ self.normal)
        nearest = int(away.argmin())
        return nearest if away[nearest] <= TOLERANCE * self.gap else None
