"""An upper abdomen in CT, portal-venous phase. Simulated throughout."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medsegdist.data.simulation.bones import paint_ribs, paint_spine
from medsegdist.data.simulation.canvas import Canvas, Image
from medsegdist.data.simulation.randomness import bends_of, smooth_field
from medsegdist.data.simulation.scanner import AIR, FAT, MUSCLE, paint_table

AbdominalOrgan = Literal["liver", "spleen"]


@dataclass(frozen=True, slots=True)
class Abdomen:
    """One patient's upper abdomen.

    A level is a height from 0 (lower poles of the kidneys) to 1 (dome of the liver).

    Args:
        center: x, y of the middle of the body, mm from the middle of the slice.
        half_width: of the space inside the muscles, mm.
        half_depth: of the same, mm.
        height: from level 0 to level 1, mm.
        fat: thickness under the skin, mm.
        liver: size of the liver relative to the usual.
        spleen: size of the spleen relative to the usual.
        liver_hu: HU of the liver.
        spleen_hu: HU of the spleen.
        blood_hu: HU of the aorta.
        bone_hu: HU of spongy bone.
        rib_phase: where on the wall the ribs cross level 0, in turns between two ribs.
        noise_hu: standard deviation of the scanner's noise.
        seed: of the shapes that are the same at all levels.
    """

    center: tuple[float, float]
    half_width: float
    half_depth: float
    height: float
    fat: float
    liver: float
    spleen: float
    liver_hu: float
    spleen_hu: float
    blood_hu: float
    bone_hu: float
    rib_phase: float
    noise_hu: float
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Abdomen:
        """An abdomen of random size and make."""
        half_width = float(rng.normal(140, 10))
        return cls(
            center=(float(rng.normal(0, 4)), float(rng.normal(2, 5))),
            half_width=half_width,
            half_depth=half_width * float(rng.uniform(0.66, 0.76)),
            height=float(rng.normal(210, 12)),
            fat=float(rng.uniform(8, 28)),
            liver=float(rng.uniform(0.84, 1.0)),
            spleen=float(rng.uniform(0.8, 1.25)),
            liver_hu=float(rng.normal(106, 11)),
            spleen_hu=float(rng.normal(118, 10)),
            blood_hu=float(rng.uniform(135, 175)),
            bone_hu=float(rng.uniform(130, 230)),
            rib_phase=float(rng.uniform(0, 1)),
            noise_hu=float(rng.uniform(11, 24)),
            seed=int(rng.integers(2**31)),
        )

    def extent(self, organ: AbdominalOrgan) -> tuple[float, float]:
        """The lowest and the highest level at which the organ is well seen."""
        return (0.12, 0.99) if organ == "liver" else (0.42, 0.92)

    def paint(self, canvas: Canvas, level: float, organ: AbdominalOrgan) -> None:
        """Paints the slice at a level and labels one organ.

        Args:
            canvas: in HU, its background air.
            level: 0 to 1.
            organ: which one becomes the canvas's label.
        """
        rng = np.random.default_rng(self.seed)
        bends = [bends_of(rng, 0.03) for _ in range(6)]
        texture = smooth_field(rng, canvas.label.shape, 9 / canvas.edge_mm)
        self._paint_wall(canvas, level, texture)
        self._paint_vessels(canvas)
        if level < 0.62:
            self._paint_bowel(canvas, level, rng)
        self._paint_kidneys(canvas, level)
        if level > 0.4:
            self._paint_stomach(canvas, level, bends[0])
        if 0.28 < level < 0.58:
            x, y = self.center
            a, b = self.half_width, self.half_depth
            start, end = (x - 0.18 * a, y - 0.12 * b), (x + 0.42 * a, y + 0.06 * b)
            canvas.paint(canvas.capsule(start, end, 11 * self._bulge(level, 0.28, 0.58)), 92.0)
        self._paint_spleen(canvas, level, bends[1], label=organ == "spleen")
        self._paint_liver(canvas, level, bends[2:], texture, label=organ == "liver")
        x, y = self.center
        paint_spine(canvas, (x, y + 0.5 * self.half_depth), self.bone_hu, size=1.1)
        paint_table(canvas, y + self.half_depth + 0.6 * self.fat + 28)

    def _bulge(self, level: float, low: float, high: float) -> float:
        """Size of a rounded body between two levels, 0 at both and 1 halfway."""
        place = (2 * level - low - high) / (high - low)
        return math.sqrt(max(0.0, 1 - place**2))

    def _paint_wall(self, canvas: Canvas, level: float, texture: Image) -> None:
        x, y = self.center
        a, b = self.half_width, self.half_depth
        outer = (a + 15 + self.fat, b + 16 + 0.8 * self.fat)
        canvas.paint(canvas.ellipse((x, y + 4), outer, squareness=0.6), 10.0)
        canvas.paint(canvas.ellipse((x, y + 4), (outer[0] - 2, outer[1] - 2), squareness=0.6), FAT)
        for side in (-1, 1):
            canvas.paint(canvas.ellipse((x + side * 40, y + 0.86 * b), (36, 24), side * 0.1), MUSCLE)
        canvas.paint(canvas.ellipse((x, y), (a + 12, b + 9), squareness=0.6), MUSCLE)
        inside = canvas.ellipse((x, y), (a, b), squareness=0.6)
        canvas.paint(inside, FAT - 5 + 8 * texture[inside.window])
        if level > 0.76:
            # The lungs reach down behind and beside the dome of the diaphragm.
            canvas.paint(inside, -830.0)
            size = 1 - 0.24 * (level - 0.76) / 0.24
            dome = canvas.ellipse((x, y - b * (1 - size) - 2), (a * size - 3, b * size - 2), squareness=0.6)
            canvas.paint(dome, FAT + 20)
        canvas.paint(canvas.ellipse((x, y + 0.72 * b), (42, 0.4 * b)), MUSCLE)
        if level < 0.5:
            for side in (-1, 1):
                psoas = 22 * (1 - level) ** 0.5
                canvas.paint(canvas.ellipse((x + side * 36, y + 0.5 * b), (psoas * 0.8, psoas)), MUSCLE + 5)
        if level > 0.2:
            # Below the thorax the ribs no longer reach round to the front.
            paint_ribs(
                canvas, self.center, (a + 6, b + 6), level, self.rib_phase, self.bone_hu, front=-0.2 - 0.8 * level
            )

    def _paint_vessels(self, canvas: Canvas) -> None:
        x, y = self.center
        b = self.half_depth
        canvas.paint(canvas.ellipse((x + 8, y + 0.26 * b), (10.5, 10.5)), self.blood_hu)
        canvas.paint(canvas.ellipse((x - 22, y + 0.2 * b), (13, 10)), self.blood_hu - 15)

    def _paint_bowel(self, canvas: Canvas, level: float, rng: np.random.Generator) -> None:
        x, y = self.center
        a, b = self.half_width, self.half_depth
        for _ in range(15):
            px, py = x + a * float(rng.uniform(-0.72, 0.78)), y - b * float(rng.uniform(0.02, 0.7))
            turn, length, radius = float(rng.uniform(0, math.pi)), float(rng.uniform(8, 26)), float(rng.uniform(8, 14))
            middle = float(rng.uniform(-0.1, 0.55))
            filling = float(rng.choice([30.0, 45.0, 70.0, AIR + 60]))
            size = self._bulge(level, middle - 0.16, middle + 0.16)
            if size > 0.2 and math.hypot((px - x) / a, (py - y) / b) < 0.8:
                step = (length * math.cos(turn), length * math.sin(turn))
                canvas.paint(canvas.capsule((px, py), (px + step[0], py + step[1]), radius * size), 72.0)
                if radius * size > 4:
                    canvas.paint(canvas.capsule((px, py), (px + step[0], py + step[1]), radius * size - 2.5), filling)

    def _paint_kidneys(self, canvas: Canvas, level: float) -> None:
        x, y = self.center
        for side, low, high in ((-1, -0.05, 0.48), (1, 0.0, 0.54)):
            size = self._bulge(level, low, high)
            if size > 0.15:
                place = (x + side * 0.46 * self.half_width, y + 0.46 * self.half_depth)
                canvas.paint(canvas.ellipse(place, (27 * size, 34 * size), side * -0.5), 178.0)
                if size > 0.6:
                    hilum = (place[0] - side * 12, place[1] - 6)
                    canvas.paint(canvas.ellipse(hilum, (13 * size, 11 * size), side * -0.5, softness=2), FAT + 50)

    def _paint_stomach(self, canvas: Canvas, level: float, bend: list[complex]) -> None:
        x, y = self.center
        a, b = self.half_width, self.half_depth
        size = self._bulge(level, 0.36, 1.08)
        place = (x + 0.4 * a, y - 0.34 * b)
        canvas.paint(canvas.ellipse(place, (0.34 * a * size, 0.36 * b * size), 0.4, wobble=bend), 75.0)
        canvas.paint(canvas.ellipse(place, (0.34 * a * size - 4, 0.36 * b * size - 4), 0.4, wobble=bend), 22.0)
        gas = (place[0], place[1] - 0.17 * b * size)
        canvas.paint(canvas.ellipse(gas, (0.2 * a * size, 0.13 * b * size), softness=1), AIR + 40)

    def _paint_spleen(self, canvas: Canvas, level: float, bend: list[complex], *, label: bool) -> None:
        x, y = self.center
        a, b = self.half_width, self.half_depth
        size = self._bulge(level, 0.36, 0.99) * self.spleen
        if size > 0.15:
            place = (x + 0.69 * a, y + 0.26 * b)
            region = canvas.ellipse(place, (0.19 * a * size, 0.42 * b * size), 0.42, wobble=bend)
            canvas.paint(region, self.spleen_hu, label=label)
            # The side that faces stomach and kidney is hollow.
            hollow = (place[0] - 0.24 * a * size, place[1] - 0.02 * b)
            canvas.paint(canvas.ellipse(hollow, (0.15 * a * size, 0.28 * b * size), 0.42), FAT)

    def _paint_liver(
        self, canvas: Canvas, level: float, bends: list[list[complex]], texture: Image, *, label: bool
    ) -> None:
        x, y = self.center
        a, b = self.half_width, self.half_depth
        right = self.liver * float(np.interp(level, [0.06, 0.18, 0.4, 0.65, 0.88, 1.0], [0, 0.4, 0.74, 1, 0.85, 0.4]))
        left = self.liver * self._bulge(level, 0.42, 1.02)
        parts = []
        if right > 0.1:
            place = (x - a * (0.97 - 0.41 * right), y + b * (0.04 - 0.06 * right))
            parts.append(canvas.ellipse(place, (0.4 * a * right, 0.68 * b * right), 0.12, 0.35, bends[0]))
        if left > 0.1:
            parts.append(
                canvas.ellipse((x - 0.12 * a, y - 0.46 * b), (0.43 * a * left, 0.23 * b * left), -0.18, 0, bends[1])
            )
        tissue = np.zeros(canvas.label.shape, dtype=np.float32)
        for part in parts:
            tissue[part.window] = np.maximum(tissue[part.window], part.weight)
            canvas.paint(part, self.liver_hu + 3 * texture[part.window], label=label)
        rng = np.random.default_rng([self.seed, 1])
        for _ in range(14):
            px, py = x - a * float(rng.uniform(0.2, 0.78)), y + b * float(rng.uniform(-0.5, 0.45))
            turn, length = float(rng.uniform(0, math.pi)), float(rng.uniform(6, 24))
            middle = float(rng.uniform(0.3, 0.95))
            near = self._bulge(level, middle - 0.13, middle + 0.13)
            vein = canvas.capsule((px, py), (px + length * math.cos(turn), py + length * math.sin(turn)), 3.2 * near)
            if near > 0.2:
                canvas.paint(vein, self.liver_hu + 32, label=label, opacity=tissue[vein.window])
        if 0.24 < level < 0.5:
            size = self._bulge(level, 0.24, 0.5)
            canvas.paint(canvas.ellipse((x - 0.33 * a, y - 0.36 * b), (15 * size, 22 * size), 0.5), 8.0)
