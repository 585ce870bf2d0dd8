"""A male pelvis in T2-weighted MR. Simulated throughout, in the arbitrary units of an MR scanner."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from medsegdist.data.simulation.canvas import Canvas, Image
from medsegdist.data.simulation.randomness import bends_of, smooth_field

NOTHING = 4.0
_FAT, _MUSCLE, _CORTEX, _MARROW = 650.0, 140.0, 45.0, 470.0


@dataclass(frozen=True, slots=True)
class Pelvis:
    """One patient's pelvis around the prostate.

    A level is a height from 0 (apex of the prostate) to 1 (its base).

    Args:
        center: x, y of the prostate, mm from the middle of the slice.
        half_width: of the prostate at its widest, mm.
        half_depth: of the prostate, mm.
        height: of the prostate, mm.
        transition: share of the prostate that the transition zone takes, 0 to 1.
        fullness: size of bladder and rectum relative to the usual.
        gain: of the receiver, which sets the scale of all intensities.
        noise: standard deviation of the noise, in the same units.
        bias: strength of the coil's uneven sensitivity.
        seed: of the shapes that are the same at all levels.
    """

    center: tuple[float, float]
    half_width: float
    half_depth: float
    height: float
    transition: float
    fullness: float
    gain: float
    noise: float
    bias: float
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Pelvis:
        """A pelvis of random size and make."""
        half_width = float(rng.uniform(22, 29))
        gain = float(rng.uniform(0.7, 1.5))
        return cls(
            center=(float(rng.normal(0, 2.5)), float(rng.normal(2, 4))),
            half_width=half_width,
            half_depth=half_width * float(rng.uniform(0.68, 0.88)),
            height=float(rng.uniform(34, 52)),
            transition=float(rng.uniform(0.55, 0.8)),
            fullness=float(rng.uniform(0.8, 1.2)),
            gain=gain,
            noise=14 * gain,
            bias=float(rng.uniform(0.05, 0.15)),
            seed=int(rng.integers(2**31)),
        )

    def paint(self, canvas: Canvas, level: float) -> None:
        """Paints the slice at a level and labels the whole prostate, both zones.

        Args:
            canvas: in the scanner's units, its background `NOTHING`.
            level: 0 to 1; beyond, the prostate is not seen.
        """
        rng = np.random.default_rng(self.seed)
        texture = smooth_field(rng, canvas.label.shape, 5 / canvas.edge_mm)
        self._paint_frame(canvas, texture)
        self._paint_organs(canvas, level, rng)
        self._paint_prostate(canvas, level, rng, texture)
        canvas.image *= np.float32(self.gain)

    def _paint_frame(self, canvas: Canvas, texture: Image) -> None:
        """Skin, fat, muscles and bones."""
        x, y = self.center
        canvas.paint(canvas.ellipse((x, y + 6), (178, 112), squareness=0.5), 200.0)
        body = canvas.ellipse((x, y + 6), (175, 109), squareness=0.5)
        canvas.paint(body, _FAT + 22 * texture[body.window])
        for side in (-1, 1):
            canvas.paint(canvas.ellipse((x + side * 76, y + 80), (58, 27), side * -0.5), _MUSCLE)  # gluteus
            canvas.paint(canvas.ellipse((x + side * 78, y - 58), (26, 21), side * 0.3), _MUSCLE)  # iliopsoas, pectineus
            canvas.paint(canvas.ellipse((x + side * 122, y - 18), (22, 40), side * -0.2), _MUSCLE)
            for radius, value in ((31.0, _CORTEX), (28.0, _MARROW), (26.5, _CORTEX), (24.0, _MARROW + 70)):
                canvas.paint(canvas.ellipse((x + side * 94, y + 4), (radius, radius)), value)
            for grow, value in ((3.0, _CORTEX), (0.0, _MARROW)):
                canvas.paint(canvas.ellipse((x + side * 63, y + 14), (10 + grow, 30 + grow), side * 0.35), value)
                canvas.paint(canvas.ellipse((x + side * 27, y - 54), (25 + grow, 10 + grow), side * -0.25), value)
            canvas.paint(canvas.ellipse((x + side * 46, y + 3), (8, 36), side * 0.12), _MUSCLE)  # obturator internus
            canvas.paint(canvas.capsule((x + side * 33, y - 4), (x + side * 21, y + 40), 2.6), _MUSCLE - 20)  # levator
        for grow, value in ((2.5, _CORTEX), (0.0, _MARROW)):
            canvas.paint(canvas.ellipse((x, y + 92), (15 + grow, 9 + grow)), value)  # coccyx

    def _paint_organs(self, canvas: Canvas, level: float, rng: np.random.Generator) -> None:
        x, y = self.center
        inner = canvas.ellipse((x, y - 2), (39, 42), softness=2)
        canvas.paint(inner, 400.0)
        if level > 0.35:
            size = self.fullness * min(1.0, (level - 0.35) / 0.5)
            spot = (x, y - 23 - 4 * level)
            canvas.paint(canvas.ellipse(spot, (31 * size, 15 * size), wobble=bends_of(rng, 0.02)), 170.0)
            canvas.paint(canvas.ellipse(spot, (28 * size, 12.5 * size)), 900.0)
        rectum = (x + 1.5, y + self.half_depth + 16)
        size = self.fullness * (0.8 + 0.3 * level)
        canvas.paint(canvas.ellipse(rectum, (18 * size, 14 * size), wobble=bends_of(rng, 0.04)), 210.0)
        gas = rng.random() < 0.5
        canvas.paint(canvas.ellipse(rectum, (14 * size, 10 * size), wobble=bends_of(rng, 0.06)), 25.0 if gas else 330.0)

    def _paint_prostate(self, canvas: Canvas, level: float, rng: np.random.Generator, texture: Image) -> None:
        size = math.sqrt(max(0.0, 1 - 0.85 * (2 * level - 1) ** 2)) if 0 <= level <= 1 else 0.0
        if size == 0:
            return
        x, y = self.center
        width, depth = self.half_width * size, self.half_depth * size
        bends = bends_of(rng, 0.025)
        for side in (-1, 1):
            for dy in (0.1, 0.45, 0.75):  # plexus and neurovascular bundles
                place = (x + side * width * math.sqrt(1 - (dy - 0.1) ** 2) * 1.12, y + depth * dy)
                canvas.paint(canvas.ellipse(place, (3.2, 4.0)), float(rng.uniform(400, 800)))
        canvas.paint(canvas.ellipse((x, y), (width + 1.2, depth + 1.2), squareness=0.35, wobble=bends), 110.0)
        gland = canvas.ellipse((x, y), (width, depth), squareness=0.35, wobble=bends)
        canvas.paint(gland, 590 + 50 * texture[gland.window], label=True)
        inner = (x, y - depth * (1 - self.transition) * 0.85)
        reach = (width * (0.25 + 0.7 * self.transition), depth * self.transition)
        zone = canvas.ellipse(inner, reach, wobble=bends_of(rng, 0.03))
        canvas.paint(zone, 120.0, label=True)
        zone = canvas.ellipse(inner, (reach[0] - 1.2, reach[1] - 1.2), wobble=bends_of(rng, 0.03))
        canvas.paint(zone, 285 + 42 * texture[zone.window], label=True)
        for _ in range(9):  # adenoma
            turn, far = float(rng.uniform(0, 2 * math.pi)), math.sqrt(float(rng.uniform(0, 0.5)))
            place = (inner[0] + reach[0] * far * math.cos(turn), inner[1] + reach[1] * far * math.sin(turn))
            radius = float(rng.uniform(0.1, 0.22)) * reach[0]
            value = float(rng.uniform(160, 470))
            canvas.paint(canvas.ellipse(place, (radius, radius), softness=1), value, label=True)
        front = canvas.ellipse((x, y - 0.86 * depth), (0.5 * width, 0.17 * depth))
        inside = canvas.label[front.window].astype(np.float32)
        canvas.paint(front, 95.0, label=True, opacity=inside)  # fibromuscular stroma
