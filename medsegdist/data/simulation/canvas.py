"""A slice to paint anatomy on, in millimeters, with the segment that belongs to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A part of a slice with soft edges.

    Args:
        window: rows and columns of the slice that hold the region.
        weight: (rows, columns) of the window, 0 outside to 1 inside.
    """

    window: tuple[slice, slice]
    weight: Image


class Canvas:
    """One slice, painted from back to front.

    Args:
        size: rows and columns.
        pixel_mm: height and width of a pixel.
        background: intensity before anything is painted.
        middle: row and column of x = y = 0; by default the middle of the slice.

    Attributes:
        image: (rows, columns) float32 intensities.
        label: (rows, columns) bool, True where the topmost thing painted was the segment.
    """

    def __init__(
        self,
        size: tuple[int, int],
        pixel_mm: tuple[float, float],
        background: float,
        middle: tuple[float, float] | None = None,
    ) -> None:
        row, column = middle if middle is not None else ((size[0] - 1) / 2, (size[1] - 1) / 2)
        self.pixel_mm = pixel_mm
        self.x = ((np.arange(size[1]) - column) * pixel_mm[1]).astype(np.float32)
        self.y = ((np.arange(size[0]) - row) * pixel_mm[0]).astype(np.float32)
        self.image: Image = np.full(size, background, dtype=np.float32)
        self.label = np.zeros(size, dtype=bool)

    @property
    def edge_mm(self) -> float:
        """Width over which an edge fades: one pixel, as partial volume makes it."""
        return math.sqrt(self.pixel_mm[0] * self.pixel_mm[1])

    def window(self, center: tuple[float, float], reach: tuple[float, float]) -> tuple[slice, slice]:
        """Rows and columns within `reach` (x, y) mm of `center` (x, y), cut at the border of the slice."""
        columns = np.searchsorted(self.x, (center[0] - reach[0], center[0] + reach[0]))
        rows = np.searchsorted(self.y, (center[1] - reach[1], center[1] + reach[1]))
        return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))

    def ellipse(
        self,
        center: tuple[float, float],
        radii: tuple[float, float],
        angle: float = 0.0,
        squareness: float = 0.0,
        wobble: Sequence[complex] = (),
        softness: float = 0.0,
    ) -> Region:
        """An ellipse, or what is left of one after bending it.

        Args:
            center: x, y in mm.
            radii: along x and y before turning, mm.
            angle: radians from x toward y.
            squareness: 0 for an ellipse, toward 1 for a rectangle with round corners.
            wobble: complex amplitudes, relative to the radius, of the 2nd, 3rd, ... harmonic around the edge.
            softness: mm over which the edge fades, beyond the one pixel of partial volume.
        """
        swing = 1.0 + sum(abs(amplitude) for amplitude in wobble)
        cosine, sine = math.cos(angle), math.sin(angle)
        grow = swing if swing > 1 else 1.0
        margin = self.edge_mm + softness
        if squareness:
            half_x = abs(cosine) * radii[0] + abs(sine) * radii[1]
            half_y = abs(sine) * radii[0] + abs(cosine) * radii[1]
        else:
            half_x, half_y = (
                math.hypot(cosine * radii[0], sine * radii[1]),
                math.hypot(sine * radii[0], cosine * radii[1]),
            )
        window = self.window(center, (half_x * grow + margin, half_y * grow + margin))
        dx = self.x[None, window[1]] - np.float32(center[0])
        dy = self.y[window[0], None] - np.float32(center[1])
        # An upright ellipse stays separable, which is several times faster.
        u = dx * np.float32(cosine / radii[0]) + (dy * np.float32(sine / radii[0]) if sine else 0)
        v = dy * np.float32(cosine / radii[1]) - (dx * np.float32(sine / radii[1]) if sine else 0)
        uu, vv = u * u, v * v
        squared = uu + vv
        if squareness:
            # Fernandez-Guasti's squircle; beyond |u|, |v| = 1 its formula turns back, so the corners are held outside.
            squared -= np.float32(squareness**2) * np.minimum(uu, 1) * np.minimum(vv, 1)
        radius = np.sqrt(squared, out=squared)
        steepness = np.float32(math.sqrt(radii[0] * radii[1]) / margin)
        if wobble:
            turn = (u + 1j * v).astype(np.complex64) / np.maximum(radius, np.float32(1e-3))
            power = turn
            boundary = np.ones_like(radius)
            for amplitude in wobble:
                power = power * turn
                boundary += (power * np.complex64(amplitude)).real
            radius -= boundary - 1
        radius *= -steepness
        radius += steepness + np.float32(0.5)
        return Region(window, np.clip(radius, 0, 1, out=radius))

    def capsule(self, start: tuple[float, float], end: tuple[float, float], radius: float) -> Region:
        """A thick line with round ends; all in mm."""
        center = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        reach = radius + self.edge_mm
        window = self.window(center, (abs(end[0] - start[0]) / 2 + reach, abs(end[1] - start[1]) / 2 + reach))
        dx = self.x[None, window[1]] - np.float32(start[0])
        dy = self.y[window[0], None] - np.float32(start[1])
        along_x, along_y = end[0] - start[0], end[1] - start[1]
        length_squared = max(along_x**2 + along_y**2, 1e-6)
        along = np.clip((dx * np.float32(along_x) + dy * np.float32(along_y)) / np.float32(length_squared), 0, 1)
        distance = np.hypot(dx - along * np.float32(along_x), dy - along * np.float32(along_y))
        return Region(window, np.clip((np.float32(radius) - distance) / np.float32(self.edge_mm) + 0.5, 0, 1))

    def paint(self, region: Region, value: float | Image, *, label: bool = False, opacity: float | Image = 1.0) -> None:
        """Covers a region.

        Args:
            region: where.
            value: intensity, one or for each pixel of the region's window.
            label: whether this is the segment that the slice's mask is of.
            opacity: 0..1, one or for each pixel of the region's window.
        """
        weight = region.weight if isinstance(opacity, float) and opacity == 1 else region.weight * np.float32(opacity)
        view = self.image[region.window]
        view += weight * (np.float32(value) - view)
        np.copyto(self.label[region.window], label, where=weight >= 0.5)
