"""Random numbers that depend only on names: the same anatomy on every machine, in every process, in any order."""

from __future__ import annotations

from zlib import crc32

import numpy as np
from numpy.typing import NDArray


def generator(*key: str | int) -> np.random.Generator:
    """Random numbers of their own for whatever the key names, such as ("texture", scan id, seed)."""
    return np.random.default_rng([crc32(part.encode()) if isinstance(part, str) else part for part in key])


def smooth_field(rng: np.random.Generator, size: tuple[int, int], scale: float) -> NDArray[np.float32]:
    """(rows, columns) float32 noise of mean 0 and standard deviation about 1 that changes over `scale` pixels."""
    knots = [max(2, round(length / scale) + 1) for length in size]
    values = rng.standard_normal(knots, dtype=np.float32) * np.float32(1.5)  # interpolating averages, and so shrinks
    rows, columns = (_between(length, count) for length, count in zip(size, knots, strict=True))
    return np.asarray(rows @ values @ columns.T, dtype=np.float32)


def bends_of(rng: np.random.Generator, strength: float) -> list[complex]:
    """Amplitudes of the 2nd to 4th harmonic around the edge of a shape, each about `strength` of its radius."""
    return [complex(real, imaginary) for real, imaginary in rng.normal(0, strength, (3, 2))]


def _between(length: int, knots: int) -> NDArray[np.float32]:
    """(length, knots) weights of linear interpolation between evenly spaced knots."""
    place = np.linspace(0, knots - 1, length)
    return np.asarray(np.maximum(0, 1 - np.abs(place[:, None] - np.arange(knots))), dtype=np.float32)
