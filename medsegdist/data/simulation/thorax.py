"""A chest in CT: body, lungs with their vessels, mediastinum, bones. Simulated throughout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from medsegdist.data.simulation.bones import paint_ribs, paint_spine
from medsegdist.data.simulation.canvas import Canvas
from medsegdist.data.simulation.randomness import bends_of, smooth_field
from medsegdist.data.simulation.scanner import AIR, FAT, MUSCLE, paint_table
from medsegdist.data.simulation.vessels import Vessels

_SQUARENESS = 0.6  # of the chest cavity


@dataclass(frozen=True, slots=True)
class Pocket:
    """A place that must be lung, because a nodule lies there.

    Args:
        x: mm to the patient's left.
        y: mm to the back.
        radius: mm.
        level: height in the chest, 0 at the bases to 1 at the apices.
    """

    x: float
    y: float
    radius: float
    level: float


@dataclass(frozen=True, slots=True)
class Thorax:
    """One patient's chest.

    Args:
        center: x, y of the middle of the chest cavity, mm from the middle of the slice.
        half_width: of the chest cavity at its widest, mm.
        half_depth: of the chest cavity, mm.
        height: of the lungs, mm.
        wall: thickness of ribs and muscle, mm.
        fat: thickness under the skin, mm.
        heart: size relative to the usual.
        tilt: angle of the heart's axis.
        lung_hu: HU of lung tissue between vessels.
        blood_hu: HU of blood, higher after contrast.
        bone_hu: HU of spongy bone.
        rib_phase: where on the wall the ribs cross slice level 0, in turns between two ribs.
        noise_hu: standard deviation of the scanner's noise.
        vessels: of the lungs.
    """

    center: tuple[float, float]
    half_width: float
    half_depth: float
    height: float
    wall: float
    fat: float
    heart: float
    tilt: float
    lung_hu: float
    blood_hu: float
    bone_hu: float
    rib_phase: float
    noise_hu: float
    vessels: Vessels

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Thorax:
        """A chest of random size and make."""
        half_width = float(rng.normal(134, 8))
        half_depth = half_width * float(rng.uniform(0.66, 0.76))
        contrast = rng.random() < 0.4
        return cls(
            center=(float(rng.normal(0, 4)), float(rng.normal(8, 5))),
            half_width=half_width,
            half_depth=half_depth,
            height=float(rng.normal(250, 15)),
            wall=float(rng.uniform(15, 21)),
            fat=float(rng.uniform(6, 26)),
            heart=float(rng.uniform(0.88, 1.12)),
            tilt=float(rng.uniform(0.4, 0.7)),
            lung_hu=float(rng.normal(-865, 22)),
            blood_hu=float(rng.uniform(120, 200)) if contrast else float(rng.uniform(38, 50)),
            bone_hu=float(rng.uniform(130, 230)),
            rib_phase=float(rng.uniform(0, 1)),
            noise_hu=float(rng.uniform(14, 34)),
            vessels=Vessels.grow(rng, np.array([[-34.0, 2.0, 135.0], [34.0, 2.0, 142.0]])),
        )

    def holding(self, pockets: Sequence[Pocket]) -> Thorax:
        """The same chest, moved and widened by no more than it takes for the pockets to lie inside its cavity."""
        if not pockets:
            return self
        # Sideways and forward only as far as the nodules on both sides ask for, then wider for what is still outside.
        x, y = self.center
        for _ in range(3):
            x += 0.5 * _excess([p.x - x for p in pockets], 0.93 * self.half_width)
            y += 0.5 * _excess([p.y - y for p in pockets], 0.93 * self.half_depth)
        moved = replace(self, center=(x, y))
        reach = max(moved._reach(p) for p in pockets)
        scale = min(max(reach, 1.0), 1.25)
        return replace(moved, half_width=self.half_width * scale, half_depth=self.half_depth * scale)

    def cavity(self, level: float) -> tuple[float, float]:
        """Half width and half depth (mm) of the chest cavity at a height of 0 (bases) to 1 (apices)."""
        narrowing = 1.0 if level < 0.4 else 0.5 + 0.5 * math.sqrt(max(0.0, 1 - ((level - 0.4) / 0.62) ** 2))
        return self.half_width * narrowing, self.half_depth * (0.35 + 0.65 * narrowing)

    def paint(
        self, canvas: Canvas, level: float, thickness: float, rng: np.random.Generator, pockets: Sequence[Pocket] = ()
    ) -> None:
        """Paints the slice at a height of 0 (bases) to 1 (apices); lung ends up labeled.

        Args:
            canvas: in HU, its background air.
            level: height of the slice.
            thickness: of the slice, mm.
            rng: drives the texture.
            pockets: places on this slice that must be lung.
        """
        width, depth = self.cavity(level)
        self._paint_wall(canvas, level)
        x, y = self.center
        lung = canvas.ellipse((x, y), (width, depth), squareness=_SQUARENESS)
        texture = smooth_field(rng, canvas.label.shape, 24 / canvas.edge_mm)[lung.window]
        # Lung is denser where it is lowest, and the patient lies on the back.
        weight = (canvas.y[lung.window[0], None] - y) / np.float32(depth)
        air = (np.float32(self.lung_hu) + 28 * weight + 16 * texture).astype(np.float32)
        canvas.paint(lung, air, label=True)
        self.vessels.paint(canvas, level * self.height, thickness, 20.0)
        self._paint_mediastinum(canvas, level, rng)
        if level < 0.3:
            self._paint_domes(canvas, level, rng)
        for pocket in pockets:
            place = canvas.ellipse((pocket.x, pocket.y), (pocket.radius, pocket.radius), softness=2.0)
            # A nodule that touches lung needs no room made: it may well sit on the pleura.
            if canvas.label[place.window][place.weight >= 0.5].mean() < 0.35:
                canvas.paint(place, self.lung_hu + 20, label=True)
        self._paint_bones(canvas, level)
        paint_table(canvas, y + self.half_depth + self.wall + self.fat * 0.6 + 22)

    def _reach(self, pocket: Pocket) -> float:
        """How far out a pocket lies: 1 where its outer edge touches the wall of the cavity."""
        width, depth = self.cavity(pocket.level)
        u, v = (pocket.x - self.center[0]) / width, (pocket.y - self.center[1]) / depth
        inner = 0.5 * pocket.radius / min(width, depth)
        return math.sqrt(max(u * u + v * v - _SQUARENESS**2 * min(u * u, 1) * min(v * v, 1), 0.0)) + inner

    def _paint_wall(self, canvas: Canvas, level: float) -> None:
        x, y = self.center
        width, depth = self.half_width, self.half_depth
        shoulders = 14 * max(0.0, (level - 0.6) / 0.4)
        outer = (width + self.wall + self.fat + shoulders, depth + self.wall + 0.75 * self.fat + 6)
        canvas.paint(canvas.ellipse((x, y + 6), outer, squareness=0.68), 10.0)
        canvas.paint(canvas.ellipse((x, y + 6), (outer[0] - 2, outer[1] - 2), squareness=0.68), FAT)
        inner_width, inner_depth = self.cavity(level)
        canvas.paint(
            canvas.ellipse((x, y), (inner_width + self.wall, inner_depth + self.wall), squareness=_SQUARENESS), MUSCLE
        )
        # Fat between the layers of the wall, then the pleural side of it.
        canvas.paint(canvas.ellipse((x, y), (inner_width + 8, inner_depth + 8), squareness=_SQUARENESS), FAT + 60)
        canvas.paint(canvas.ellipse((x, y), (inner_width + 3, inner_depth + 3), squareness=_SQUARENESS), MUSCLE - 15)
        for side in (-1, 1):
            back = (x + side * 34, y + inner_depth + 14)
            canvas.paint(canvas.ellipse(back, (31, 15), side * 0.12), MUSCLE)
            if level > 0.4:
                rise = min(1.0, (level - 0.4) / 0.2)
                chest = (x + side * 0.5 * inner_width, y - inner_depth - 8)
                canvas.paint(canvas.ellipse(chest, (46, 11 * rise), side * 0.38), MUSCLE)
                scapular = (x + side * (inner_width + 10), y + 0.62 * inner_depth)
                canvas.paint(canvas.ellipse(scapular, (17 * rise + 4, 44), side * 0.55), MUSCLE)

    def _paint_mediastinum(self, canvas: Canvas, level: float, rng: np.random.Generator) -> None:
        x, y = self.center
        width, depth = self.cavity(level)
        blood = self.blood_hu
        wobble = bends_of(rng, 0.04)
        neck = max(0.0, (level - 0.8) / 0.2)
        breadth = (0.23 + 0.12 * neck) * width
        canvas.paint(canvas.ellipse((x, y - 0.12 * depth), (breadth, 0.9 * depth), wobble=wobble), FAT + 35)
        canvas.paint(canvas.ellipse((x, y + 0.86 * depth), (31, 0.42 * depth)), MUSCLE - 10)
        if 0.08 < level < 0.56:
            size = self.heart * math.sqrt(max(0.05, 1 - ((level - 0.3) / 0.27) ** 2))
            place = (x + 17 * self.heart, y - 0.3 * depth)
            canvas.paint(canvas.ellipse(place, (68 * size, 52 * size), self.tilt, wobble=wobble), FAT + 10)
            canvas.paint(canvas.ellipse(place, (63 * size, 47 * size), self.tilt, wobble=wobble), 0.5 * blood + 28)
            chambers = ((-20, 6, 24, 20), (18, 14, 27, 19)) if level > 0.3 else ((-14, -6, 23, 17), (20, 12, 26, 16))
            for dx, dy, rx, ry in chambers:
                spot = (place[0] + dx * size, place[1] + dy * size)
                canvas.paint(canvas.ellipse(spot, (rx * size, ry * size), self.tilt, softness=3), blood)
        if 0.5 < level < 0.62:
            canvas.paint(canvas.ellipse((x + 4, y - 0.18 * depth), (34, 12), -0.35), blood)
        if 0.48 < level < 0.7:
            canvas.paint(canvas.ellipse((x - 7, y - 0.33 * depth), (15, 15)), blood)
        if 0.68 <= level < 0.76:
            canvas.paint(canvas.ellipse((x + 9, y - 0.02 * depth), (12, 0.42 * depth), -0.5), blood)
        if level >= 0.76:
            for dx, back in ((-14, -0.12), (4, -0.16), (20, 0.04)):
                canvas.paint(canvas.ellipse((x + dx, y + back * depth), (5.5, 6.5)), blood)
        if level < 0.7:
            canvas.paint(canvas.ellipse((x + 22, y + 0.5 * depth), (12, 12)), blood)
        if level > 0.5:
            canvas.paint(canvas.ellipse((x - 24, y - 0.26 * depth), (8, 10)), blood)
        canvas.paint(canvas.ellipse((x + 4, y + 0.3 * depth), (7, 6)), 32.0)
        if level > 0.64:
            canvas.paint(canvas.ellipse((x - 1, y + 0.06 * depth), (9, 8.5)), AIR + 10)
        elif level > 0.5:
            spread = 9.0 + 160 * (0.64 - level)
            for side in (-1, 1):
                canvas.paint(canvas.ellipse((x + side * spread, y + 0.06 * depth), (7.5, 6), side * 0.4), AIR + 10)

    def _paint_domes(self, canvas: Canvas, level: float, rng: np.random.Generator) -> None:
        """The belly that bulges into the lungs from below: liver on the right, stomach and spleen on the left."""
        x, y = self.center
        width, depth = self.cavity(level)
        for side, top, value in ((-1, 0.3, 62.0 + 0.3 * (self.blood_hu - 40)), (1, 0.26, 52.0)):
            if level < top:
                size = math.sqrt(1 - (1 - (top - level) / top) ** 2)
                place = (x + side * 0.48 * width, y - 0.12 * depth)
                dome = (0.5 * width * size, 0.88 * depth * size)
                canvas.paint(canvas.ellipse(place, dome, squareness=0.5, wobble=bends_of(rng, 0.02)), value)
                if side > 0 and size > 0.6:
                    bubble = (place[0] - 8, place[1] - 0.45 * dome[1])
                    canvas.paint(canvas.ellipse(bubble, (0.5 * dome[0], 0.3 * dome[1]), softness=1), AIR + 80)

    def _paint_bones(self, canvas: Canvas, level: float) -> None:
        x, y = self.center
        width, depth = self.cavity(level)
        paint_spine(canvas, (x, y + 0.8 * depth), self.bone_hu, size=0.9 + 0.15 * (1 - level))
        paint_ribs(canvas, (x, y), (width + 7, depth + 7), level, self.rib_phase, self.bone_hu, front=-1.05)
        for side in (-1, 1):
            if level > 0.42:
                blade = (x + side * (width + 11), y + 0.64 * depth)
                canvas.paint(canvas.ellipse(blade, (2.6, 34 * min(1.0, (level - 0.42) / 0.15)), side * 0.55), 420.0)
            if level > 0.86:
                canvas.paint(canvas.ellipse((x + side * 38, y - depth - 6), (24, 5.5), side * -0.2), 480.0)
        if level > 0.3:
            breadth = 15 + 8 * max(0.0, level - 0.6) / 0.4
            canvas.paint(canvas.ellipse((x, y - depth - 9), (breadth, 6)), self.bone_hu + 220)
            canvas.paint(canvas.ellipse((x, y - depth - 9), (breadth - 2.5, 3.8)), self.bone_hu - 30)


def _excess(offsets: Sequence[float], limit: float) -> float:
    """How far a center should move for the largest offsets on both sides to be within `limit`, as far as it can."""
    return max(0.0, max(offsets) - limit) - max(0.0, -min(offsets) - limit)
