"""Things that grow in lungs: invented lesions as clumps of balls, and real nodules' outlines filled with HU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from medsegdist.data.simulation.canvas import Canvas
from medsegdist.data.simulation.randomness import smooth_field

Calcification = Literal["popcorn", "laminated", "solid", "non-central", "central", "absent"]
Structure = Literal["soft tissue", "fluid", "fat", "air"]

_STRUCTURE_HU: dict[Structure, float] = {"soft tissue": 0.0, "fluid": 8.0, "fat": -75.0, "air": -700.0}


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """A clump of balls, irregular as a tumor is.

    Args:
        balls: (n, 4) x, y, z and radius of each, mm.
        spicules: (m, 2, 3) ends of thin strands that leave the clump, mm.
        seed: of the texture inside, the same on all slices.
    """

    balls: NDArray[np.float64]
    spicules: NDArray[np.float64]
    seed: int

    @classmethod
    def draw(
        cls, rng: np.random.Generator, center: tuple[float, float, float], diameter: float, lumps: int, strands: int
    ) -> Lesion:
        """A lesion of about `diameter` mm around `center`.

        Args:
            rng: drives the shape.
            center: x, y, z in mm.
            diameter: mm.
            lumps: how many smaller balls stick out of the main one.
            strands: how many spicules.
        """
        radius = diameter / 2
        heading = _directions(rng, lumps)
        size = radius * rng.uniform(0.35, 0.6, lumps)
        place = heading * (radius * rng.uniform(0.92, 1.0, lumps) - size)[:, None]
        main = [0.0, 0.0, 0.0, radius * 0.8]
        balls = np.vstack([[main], np.column_stack([place, size])])
        balls[:, :3] += center
        start = _directions(rng, strands)
        reach = radius * rng.uniform(1.2, 1.6, strands)
        spicules = np.stack([0.7 * radius * start, reach[:, None] * start], axis=1) + np.asarray(center)
        return cls(balls, spicules, seed=int(rng.integers(2**31)))

    @property
    def bottom_and_top(self) -> tuple[float, float]:
        """The lowest and the highest z of the lesion, mm."""
        z, radius = self.balls[:, 2], self.balls[:, 3]
        return float((z - radius).min()), float((z + radius).max())

    def paint(
        self, canvas: Canvas, z: float, thickness: float, value: float, within: NDArray[np.bool_], texture_hu: float
    ) -> None:
        """Paints and labels the lesion's cross section at height z.

        Args:
            canvas: the slice.
            z: its height, mm.
            thickness: of the slice, mm.
            value: HU of the lesion.
            within: (rows, columns) the tissue that the lesion can grow in.
            texture_hu: standard deviation of the HU within the lesion.
        """
        for start, end in self.spicules:
            if min(start[2], end[2]) - thickness / 2 <= z <= max(start[2], end[2]) + thickness / 2:
                strand = canvas.capsule((start[0], start[1]), (end[0], end[1]), 0.6)
                canvas.paint(strand, value, opacity=0.5 * within[strand.window].astype(np.float32))
        rng = np.random.default_rng(self.seed)
        field = texture_hu * smooth_field(rng, canvas.label.shape, 7 / canvas.edge_mm)
        for x, y, center_z, radius in self.balls:
            if abs(z - center_z) < radius:
                cut = math.sqrt(radius**2 - (z - center_z) ** 2)
                region = canvas.ellipse((x, y), (cut, cut))
                opacity = within[region.window].astype(np.float32)
                canvas.paint(region, value + field[region.window], label=True, opacity=opacity)


@dataclass(frozen=True, slots=True)
class NoduleLook:
    """How a nodule's inside looks, in the terms in which radiologists rate it.

    Args:
        texture: 1 ground glass to 5 solid.
        subtlety: 1 hardly seen to 5 obvious.
        margin: 1 poorly defined to 5 sharp.
        calcification: its pattern.
        structure: what it is made of.
    """

    texture: float
    subtlety: float
    margin: float
    calcification: Calcification
    structure: Structure

    def hounsfield(self, rng: np.random.Generator, lung_hu: float) -> float:
        """HU of the uncalcified part, in a lung of `lung_hu`."""
        solid = float(np.interp(self.texture, [1, 2, 3, 4, 5], [-620, -480, -290, -70, 35]))
        contrast = float(np.interp(self.subtlety, [1, 5], [0.75, 1.0]))
        return lung_hu + contrast * (solid + _STRUCTURE_HU[self.structure] - lung_hu) + float(rng.normal(0, 20))


def fill_outline(
    canvas: Canvas, mask: NDArray[np.bool_], corner: tuple[int, int], look: NoduleLook, value: float, seed: int
) -> None:
    """Fills a nodule's outline on one slice with HU.

    Args:
        canvas: the slice; its labels are left alone.
        mask: (rows, columns) of a box around the nodule.
        corner: row and column of the box's first pixel; the box may touch the border of the slice.
        look: how the nodule looks.
        value: HU of its uncalcified part.
        seed: the nodule's own, the same on all its slices.
    """
    pad = 6
    rows = slice(max(corner[0] - pad, 0), corner[0] + mask.shape[0] + pad)
    columns = slice(max(corner[1] - pad, 0), corner[1] + mask.shape[1] + pad)
    view = canvas.image[rows, columns]
    inside = np.zeros((view.shape[0], view.shape[1]), dtype=bool)
    top, left = corner[0] - rows.start, corner[1] - columns.start
    inside[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    blur_mm = float(np.interp(look.margin, [1, 5], [1.3, 0.4]))
    weight = gaussian_filter(inside.astype(np.float32), blur_mm / canvas.edge_mm, truncate=3.0)
    rng = np.random.default_rng(seed)
    content = np.float32(value) + 12 * smooth_field(rng, (inside.shape[0], inside.shape[1]), 4 / canvas.edge_mm)
    content += _calcium(rng, inside, look.calcification, canvas.edge_mm)
    # Only ever denser than what is there, unless the nodule holds air: a vessel that ends in it stays seen.
    blend = view + weight * (content - view)
    view[...] = blend if look.structure == "air" else np.maximum(view, blend)


def _calcium(
    rng: np.random.Generator, inside: NDArray[np.bool_], pattern: Calcification, pixel_mm: float
) -> NDArray[np.float32]:
    """HU that calcium adds, for each pixel."""
    if pattern == "absent" or not inside.any():
        return np.zeros(inside.shape, dtype=np.float32)
    depth = distance_transform_edt(inside).astype(np.float32)
    depth /= depth.max()
    match pattern:
        case "solid":
            added = 420.0 * inside
        case "central":
            added = 460.0 * np.clip((depth - 0.45) / 0.2, 0, 1)
        case "laminated":
            added = 340.0 * (np.sin(3 * math.pi * depth) > 0)
        case "popcorn":
            added = 380.0 * (smooth_field(rng, (inside.shape[0], inside.shape[1]), 3 / pixel_mm) > 0.2)
        case "non-central":
            rows, columns = np.nonzero(inside & (depth < 0.7))
            pick = int(rng.integers(len(rows)))
            row, column = np.ogrid[: inside.shape[0], : inside.shape[1]]
            added = 400.0 * (np.hypot(row - rows[pick], column - columns[pick]) * pixel_mm < 2.0)
    return np.asarray(added, dtype=np.float32)


def _directions(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    heading = rng.standard_normal((count, 3))
    return np.asarray(heading / np.linalg.norm(heading, axis=1, keepdims=True))
