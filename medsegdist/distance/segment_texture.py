"""Numbers that describe the intensities inside a segment."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

BINS = 32
"""Gray levels that entropy counts."""

Image = NDArray[np.float64]
Mask = NDArray[np.bool_]


def intensity_mean(image: Image, mask: Mask) -> float:
    """Mean intensity inside the mask, in intensity units."""
    return float(image[mask].mean())


def intensity_deviation(image: Image, mask: Mask) -> float:
    """Standard deviation of the intensities inside the mask, in intensity units; 0 for one pixel."""
    return float(image[mask].std())


def intensity_entropy(image: Image, mask: Mask) -> float:
    """Shannon entropy in bits, 0 to 5, of the intensities inside the mask.

    They are counted in 32 equal bins over the segment's own range (the "fixed bin number" of the Image Biomarker
    Standardisation Initiative), so that the unit of the intensities does not matter. Few pixels cannot fill 32 bins:
    small segments have a low entropy.
    """
    inside = image[mask]
    if inside.max() == inside.min():
        return 0.0
    counts = np.histogram(inside, bins=BINS)[0]
    share = counts[counts > 0] / len(inside)
    return float(-(share * np.log2(share)).sum())


def intensity_gradient(image: Image, mask: Mask) -> float:
    """Mean length of the intensity gradient inside the mask, in intensity units per pixel.

    By central differences, which at the border of the segment reach one pixel out of it.
    """
    slopes = [np.gradient(image, axis=axis)[mask] for axis in range(image.ndim) if image.shape[axis] > 1]
    return float(np.sqrt(np.square(slopes).sum(axis=0)).mean()) if slopes else 0.0


TEXTURES: Mapping[str, Callable[[Image, Mask], float]] = {
    "intensity_mean": intensity_mean,
    "intensity_deviation": intensity_deviation,
    "intensity_entropy": intensity_entropy,
    "intensity_gradient": intensity_gradient,
}
"""By the names that features have."""
