"""What a dataset looks like in a few numbers: the characteristics of the paper's Table 14 (Sec. 6.5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion, laplace
from skimage.measure import label, regionprops

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.features import box_of, intensity_deviation, intensity_entropy, region_boundary

RING = 3  # pixels around a segment that it is contrasted with

Image = NDArray[np.float64]
Mask = NDArray[np.bool_]


def segment_contrast(image: Image, mask: Mask) -> float:
    """Mean intensity of the segment minus that of the 3 pixels around it, in intensity units.

    Above 0 for a segment brighter than what surrounds it; NaN for one that fills the grid.
    """
    box = box_of(mask, margin=RING)
    around = binary_dilation(mask[box], iterations=RING) & ~mask[box]
    return float(image[mask].mean() - image[box][around].mean()) if around.any() else math.nan


def edge_sharpness(image: Image, mask: Mask) -> float:
    """Mean length of the intensity gradient on the boundary, over that in the whole image, no unit.

    The boundary is one pixel on either side of it; 1 means that it is no sharper than anything else, as where the image
    has no contrast. NaN for a segment that fills the grid.
    """
    edge = binary_dilation(mask) & ~binary_erosion(mask, border_value=1)
    if mask.all():
        return math.nan
    slopes = (np.gradient(image, axis=axis) for axis in range(image.ndim) if image.shape[axis] > 1)
    length = np.sqrt(sum(np.square(slope) for slope in slopes))
    return float(length[edge].mean() / length.mean()) if length.any() else 1.0


def boundary_complexity(image: Image, mask: Mask) -> float:
    """How many times longer the boundary is than that of a disk (ball) of the same size: 1 for a disk, no unit.

    The mean over the connected regions, by their sizes. A square has 2 / sqrt(pi) = 1.13. Lengths are estimated on a
    grid, so that regions of a few pixels come out somewhat off, even below 1.
    """
    regions = regionprops(label(mask[box_of(mask)]))
    sizes = np.array([float(region.area) for region in regions])
    lengths = np.array([region_boundary(region) for region in regions])
    smallest = 2 * np.sqrt(np.pi * sizes) if mask.ndim == 2 else (36 * np.pi * sizes**2) ** (1 / 3)
    return float(np.average(lengths / smallest, weights=sizes))


def segment_location(image: Image, mask: Mask) -> float:
    """How far the centroid of the foreground is from the center of the grid: 0 there, 1 in a corner, no unit."""
    center = (np.array(mask.shape) - 1) / 2
    half_diagonal = float(np.linalg.norm(center))
    offset = np.array([axis.mean() for axis in np.nonzero(mask)]) - center
    return float(np.linalg.norm(offset)) / half_diagonal if half_diagonal > 0 else 0.0


CHARACTERISTICS: Mapping[str, tuple[str, Callable[[Image, Mask], float]]] = {
    # Standard deviation of all intensities (RMS contrast).
    "image_contrast": ("intensity", lambda image, mask: image.std()),
    "segment_contrast": ("intensity", segment_contrast),
    # Mean intensity of the segment minus that of the whole image.
    "segment_brightness": ("intensity", lambda image, mask: image[mask].mean() - image.mean()),
    "edge_sharpness": ("", edge_sharpness),
    "segment_size": ("pixels", lambda image, mask: mask.sum()),
    # Connected regions, over edges and corners.
    "segment_regions": ("", lambda image, mask: label(mask[box_of(mask)], return_num=True)[1]),
    # Root mean square distance of the pixels of the segment from their centroid.
    "segment_spread": ("pixels", lambda image, mask: math.sqrt(sum(axis.var() for axis in np.nonzero(mask)))),
    "boundary_complexity": ("", boundary_complexity),
    "segment_location": ("", segment_location),
    "texture_deviation": ("intensity", intensity_deviation),
    "texture_entropy": ("bits", intensity_entropy),
    # Standard deviation of the Laplacian of the whole image.
    "fine_texture": ("intensity", lambda image, mask: laplace(image, mode="nearest").std()),
    # Standard deviation of the intensities outside the segment; NaN if there are none.
    "background_variation": ("intensity", lambda image, mask: math.nan if mask.all() else image[~mask].std()),
}
"""Unit and function of each: the six rows of Table 14, most of which have several numbers."""


def characterize(samples: SegmentationSamples) -> dict[str, tuple[str, float, float]]:
    """Unit, mean and standard deviation, over samples by their weights, of each characteristic of a dataset.

    Samples are slices or volumes as they were prepared, and so are intensities and pixels: only datasets that were
    prepared alike can be compared. Mean and deviation are NaN if no sample has the characteristic.
    """
    images, masks, mass = (one.cpu().numpy() for one in (samples.images, samples.masks, samples.mass))
    found = {}
    for name, (unit, measure) in CHARACTERISTICS.items():
        pairs = zip(images, masks, strict=True)
        values = np.array([float(measure(image.astype(np.float64), mask)) for image, mask in pairs])
        known = np.isfinite(values)
        mean = deviation = math.nan
        if known.any():
            mean = float(np.average(values[known], weights=mass[known]))
            deviation = math.sqrt(float(np.average((values[known] - mean) ** 2, weights=mass[known])))
        found[name] = ("voxels" if name == "segment_size" and len(samples.grid) == 3 else unit, mean, deviation)
    return found
