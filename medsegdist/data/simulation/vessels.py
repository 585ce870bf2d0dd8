"""The vessels of the lungs, as two bushes of thick lines that grow from the hila."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsegdist.data.simulation.canvas import Canvas

_TRUNKS = 14
_GENERATIONS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Vessels:
    """Straight pieces of vessel.

    Args:
        start: (n, 3) x, y, z in mm.
        end: (n, 3) x, y, z in mm.
        radius: (n,) mm.
    """

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    radius: NDArray[np.float64]

    @classmethod
    def grow(cls, rng: np.random.Generator, hila: NDArray[np.float64]) -> Vessels:
        """Two bushes from the right and the left hilum, which are the rows of `hila`, (2, 3) mm."""
        root = np.repeat(hila, _TRUNKS, axis=0)
        heading = rng.standard_normal((len(root), 3)) * (1.0, 1.2, 1.5)
        heading[:, 0] = np.sign(root[:, 0]) * (np.abs(heading[:, 0]) + 0.2)
        radius = rng.uniform(3.2, 5.0, len(root))
        length = rng.uniform(24, 46, len(root))
        starts, ends, radii = [], [], []
        for _ in range(_GENERATIONS):
            heading /= np.linalg.norm(heading, axis=1, keepdims=True)
            tip = root + heading * length[:, None]
            starts.append(root)
            ends.append(tip)
            radii.append(radius)
            root = np.repeat(tip, 2, axis=0)
            heading = np.repeat(heading, 2, axis=0) + 0.42 * rng.standard_normal((len(root), 3))
            radius = np.repeat(radius, 2) * rng.uniform(0.62, 0.85, len(root))
            length = np.repeat(length, 2) * rng.uniform(0.65, 0.95, len(root))
        return cls(np.concatenate(starts), np.concatenate(ends), np.concatenate(radii))

    def paint(self, canvas: Canvas, z: float, thickness: float, value: float) -> None:
        """Paints what a slice of `thickness` mm at height `z` mm shows, wherever the canvas is labeled as lung."""
        half = np.maximum(thickness / 2, 0.6 * self.radius)
        climb = self.end[:, 2] - self.start[:, 2]
        climb = np.where(np.abs(climb) < 1e-6, 1e-6, climb)
        enter, leave = ((z - half - self.start[:, 2]) / climb, (z + half - self.start[:, 2]) / climb)
        first, last = np.clip(np.minimum(enter, leave), 0, 1), np.clip(np.maximum(enter, leave), 0, 1)
        along = self.end - self.start
        for k in np.flatnonzero(last > first):
            a, b = self.start[k] + first[k] * along[k], self.start[k] + last[k] * along[k]
            region = canvas.capsule((a[0], a[1]), (b[0], b[1]), self.radius[k])
            # A vessel thinner than the slice shares its voxels with lung.
            share = min(1.0, 2.2 * self.radius[k] / thickness)
            canvas.paint(region, value, label=True, opacity=share * canvas.label[region.window])
