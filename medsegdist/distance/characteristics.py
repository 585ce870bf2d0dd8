"""What a dataset looks like in a few numbers: the characteristics of the paper's Table 14 (Sec. 6.5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion, laplace
from skimage.measure import label, regionprops

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.features import box_of, intensity_deviation, intensity_entropy, region_boundary

RING = 3  # pixels around a segment that it is contrasted with

Image = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Characteristic:
    """One number of a dataset."""

    name: str  # see :data:`CHARACTERISTICS`
    unit: str  # of mean and deviation
    mean: float  # over the samples, by their weights; NaN if no sample has one
    deviation: float  # standard deviation over the samples, by their weights


def image_contrast(image: Image, mask: Mask) -> float:
    """Standard deviation of all intensities of the image (RMS contrast), in intensity units."""
    return float(image.std())


def segment_contrast(image: Image, mask: Mask) -> float:
    """Mean intensity of the segment minus that of the 3 pixels around it, in intensity units.

    Above 0 for a segment brighter than what surrounds it; NaN for one that fills the grid.
    """
    box = box_of(mask, margin=RING)
    around = binary_dilation(mask[box], iterations=RING) & ~mask[box]
    return float(image[mask].mean() - image[box][around].mean()) if around.any() else math.nan


def segment_brightness(image: Image, mask: Mask) -> float:
    """Mean intensity of the segment minus that of the whole image, in intensity units."""
    return float(image[mask].mean() - image.mean())


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


def fine_texture(image: Image, mask: Mask) -> float:
    """Standard deviation of the Laplacian of the whole image, in intensity units."""
    return float(laplace(image, mode="nearest").std())


def segment_regions(image: Image, mask: Mask) -> float:
    """Connected regions of the foreground (over edges and corners)."""
    return float(label(mask[box_of(mask)], return_num=True)[1])


def segment_spread(image: Image, mask: Mask) -> float:
    """How far the foreground reaches: the root mean square distance of its pixels from their centroid, in pixels."""
    return math.sqrt(sum(float(axis.var()) for axis in np.nonzero(mask)))


def segment_size(image: Image, mask: Mask) -> float:
    """Pixels (voxels) of the foreground."""
    return float(mask.sum())


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


def background_variation(image: Image, mask: Mask) -> float:
    """Standard deviation of the intensities outside the segment, in intensity units; NaN if there are none."""
    return float(image[~mask].std()) if not mask.all() else math.nan


CHARACTERISTICS: Mapping[str, tuple[str, Callable[[Image, Mask], float]]] = {
    "image_contrast": ("intensity", image_contrast),
    "segment_contrast": ("intensity", segment_contrast),
    "segment_brightness": ("intensity", segment_brightness),
    "edge_sharpness": ("", edge_sharpness),
    "segment_size": ("pixels", segment_size),
    "segment_regions": ("", segment_regions),
    "segment_spread": ("pixels", segment_spread),
    "boundary_complexity": ("", boundary_complexity),
    "segment_location": ("", segment_location),
    "texture_deviation": ("intensity", intensity_deviation),
    "texture_entropy": ("bits", intensity_entropy),
    "fine_texture": ("intensity", fine_texture),
    "background_variation": ("intensity", background_variation),
}
"""Unit and function of each: the six rows of Table 14, most of which have several numbers."""


def characterize(samples: SegmentationSamples) -> dict[str, Characteristic]:
    """Characteristics of a dataset, over its slices or volumes as they were prepared, in the order of CHARACTERISTICS.

    Intensities and pixels are those after preprocessing: only datasets that were prepared alike can be compared.
    """
    images, masks = samples.images.cpu().numpy(), samples.masks.cpu().numpy()
    measured = np.array(
        [
            [measure(images[k].astype(np.float64), masks[k]) for _, measure in CHARACTERISTICS.values()]
            for k in range(len(samples))
        ]
    )
    mass = samples.mass.cpu().numpy()
    found = {}
    for (name, (unit, _)), column in zip(CHARACTERISTICS.items(), measured.T, strict=True):
        known = np.isfinite(column)
        mean = deviation = math.nan
        if known.any():
            mean = float(np.average(column[known], weights=mass[known]))
            deviation = math.sqrt(float(np.average((column[known] - mean) ** 2, weights=mass[known])))
        unit = "voxels" if name == "segment_size" and masks.ndim == 4 else unit
        found[name] = Characteristic(name, unit, mean, deviation)
    return found
