"""Ribs and vertebrae in CT. Simulated throughout."""

from __future__ import annotations

import math

from medsegdist.data.simulation.canvas import Canvas

_RIBS = 8  # that a slice crosses on either side


def paint_ribs(
    canvas: Canvas,
    center: tuple[float, float],
    radii: tuple[float, float],
    level: float,
    phase: float,
    bone_hu: float,
    front: float,
) -> None:
    """The ribs that a slice cuts, along a wall around `center`.

    Args:
        canvas: the slice.
        center: x, y in mm.
        radii: half width and half depth of the wall that the ribs lie in, mm.
        level: height of the slice, 0 to 1.
        phase: where ribs cross level 0, in turns between two ribs.
        bone_hu: HU of spongy bone.
        front: angle (radians, negative to the front) beyond which ribs are cartilage.
    """
    x, y = center
    width, depth = radii
    for side in (-1, 1):
        for k in range(_RIBS):
            # Ribs fall forward: going up, each crossing moves along the wall toward the front.
            theta = math.pi * (0.43 - 0.93 * (k + (phase + 9 * level) % 1) / _RIBS)
            corner = 1 + 0.055 * abs(math.sin(2 * theta))  # the wall is squarer than an ellipse
            place = (x + side * width * corner * math.cos(theta), y + depth * corner * math.sin(theta))
            tangent = math.atan2(depth * math.cos(theta), -side * width * math.sin(theta))
            length = 10 + 5 * math.sin(3.1 * k + 6 * level)
            if theta < front:
                canvas.paint(canvas.ellipse(place, (length, 4.2), tangent), 105.0)
            else:
                canvas.paint(canvas.ellipse(place, (length, 4.4), tangent), bone_hu + 330)
                canvas.paint(canvas.ellipse(place, (length - 2.2, 2.2), tangent), bone_hu)


def paint_spine(canvas: Canvas, center: tuple[float, float], bone_hu: float, size: float = 1.0) -> None:
    """A vertebra around `center` (x, y of its body, mm): body, arch, canal and processes."""
    x, y = center
    for side in (-1, 1):
        canvas.paint(canvas.capsule((x + side * 14 * size, y + 17 * size), (x + side * 34, y + 22), 4.2), bone_hu + 180)
        canvas.paint(canvas.capsule((x + side * 12 * size, y + 10), (x + side * 13 * size, y + 26), 4.0), bone_hu + 240)
        canvas.paint(canvas.capsule((x + side * 12 * size, y + 27), (x, y + 36 * size), 3.5), bone_hu + 260)
    canvas.paint(canvas.capsule((x, y + 34 * size), (x, y + 58 * size), 3.2), bone_hu + 160)
    canvas.paint(canvas.ellipse((x, y), (20 * size, 16 * size), squareness=0.3), bone_hu + 260)
    canvas.paint(canvas.ellipse((x, y), (18 * size, 14 * size), squareness=0.3), bone_hu)
    canvas.paint(canvas.ellipse((x, y + 22 * size), (10, 8)), 28.0)
