"""What the machine adds to the anatomy: table, blur, noise, whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from medsegdist.data.simulation.canvas import Canvas, Region
from medsegdist.data.simulation.randomness import smooth_field

AIR, FAT, MUSCLE = -1000.0, -100.0, 55.0  # HU


def paint_table(canvas: Canvas, top: float) -> None:
    """The CT table: two curved shells, the upper one `top` mm behind the middle of the body."""
    curve = top - canvas.x**2 / np.float32(1600)
    for drop, value in ((6.0, -250.0), (30.0, -350.0)):
        distance = np.abs(canvas.y[:, None] - (curve + np.float32(drop))[None, :])
        weight = np.clip((np.float32(1.6) - distance) / np.float32(canvas.edge_mm) + 0.5, 0, 1)
        # Never over the body, which may bulge farther back than the table's shell.
        weight *= canvas.image < -900
        canvas.paint(Region((slice(None), slice(None)), weight), value)


def scan_ct(canvas: Canvas, rng: np.random.Generator, noise_hu: float) -> NDArray[np.float32]:
    """The slice as a CT scanner stores it: (rows, columns) float32, whole HU from -1024 to 3071.

    Args:
        canvas: the anatomy, in HU.
        rng: drives the noise.
        noise_hu: standard deviation of the noise.
    """
    noise = gaussian_filter(rng.standard_normal(canvas.image.shape, dtype=np.float32), 0.7, truncate=2.0)
    blurred = gaussian_filter(canvas.image, 0.45, truncate=2.5)
    # A 0.7-pixel Gaussian leaves 0.41 of white noise's standard deviation.
    values = np.rint(blurred + noise * np.float32(noise_hu / 0.41))
    return np.asarray(np.clip(values, -1024, 3071), dtype=np.float32)


def scan_mr(canvas: Canvas, rng: np.random.Generator, noise: float, bias: float) -> NDArray[np.float32]:
    """The slice as an MR scanner stores it: (rows, columns) float32, whole numbers from 0.

    Args:
        canvas: the anatomy, in the scanner's arbitrary units.
        rng: drives noise and bias field.
        noise: standard deviation of the noise in either channel; the magnitude of the two is Rician.
        bias: relative strength of the coil's slowly varying sensitivity.
    """
    field = 1 + np.float32(bias) * smooth_field(rng, canvas.label.shape, max(canvas.label.shape) / 2)
    signal = gaussian_filter(canvas.image, 0.6, truncate=2.5) * np.maximum(field, np.float32(0.2))
    real, imaginary = rng.standard_normal((2, *signal.shape), dtype=np.float32) * np.float32(noise)
    return np.asarray(np.rint(np.hypot(signal + real, imaginary)), dtype=np.float32)
