"""Hausdorff distance between the surfaces of masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.metrics.mask_metric import PairwiseMetric


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    """The surface pixels of the masks of one dataset."""

    pixels: NDArray[np.int64]  # (s,) int64 numbers of the pixels on the raveled grid, sample after sample
    ends: NDArray[np.int64]  # (n + 1,) int64; those of sample k are pixels[ends[k]:ends[k + 1]]
    grid: tuple[int, ...]  # (rows, columns) or (slices, rows, columns)


@dataclass(frozen=True)
class HausdorffMetric(PairwiseMetric):
    """d_Y(k, l) = Hausdorff distance between the surfaces of two masks, in pixels of the common grid.

    The surface of a mask is its pixels with a neighbor outside it, over edges (faces in volumes); what is beyond the
    grid is outside. The largest distance from a pixel of one surface to the other surface, whichever way is larger,
    is a metric between surfaces (a disk and its rim are at 0). A percentile below 100 forgives outliers and is no
    metric: it may be 0 for different surfaces, and breaks the triangle inequality.

    Args:
        percentile: of the distances from either surface to the other, 0 to 100; 100 is the Hausdorff distance, 95
            what is reported for segmentations as HD95, with linear interpolation as in MONAI.

    Raises:
        ValueError: the percentile is not between 0 and 100.
    """

    percentile: float = 100.0

    def __post_init__(self) -> None:
        if not 0 <= self.percentile <= 100:
            raise ValueError(f"expected a percentile of 0 to 100, found {self.percentile}.")

    @property
    def name(self) -> str:
        """The name of the method in tables: "hausdorff", or with the percentile, as "hausdorff95"."""
        return "hausdorff" if self.percentile == 100 else f"hausdorff{self.percentile:g}"

    def summarize(self, samples: SegmentationSamples, /) -> Surfaces:
        """The surface pixels of every mask."""
        pixels = [np.flatnonzero(mask & ~ndimage.binary_erosion(mask)) for mask in samples.masks.cpu().numpy()]
        ends = np.cumsum([0, *(len(surface) for surface in pixels)])
        return Surfaces(np.concatenate(pixels), ends, samples.grid)

    def compare(self, source: Surfaces, target: Surfaces, image_cost: Tensor, /) -> Tensor:
        """(n, m) in pixels."""
        there = _directed(source, target, self.percentile)
        back = there if source is target else _directed(target, source, self.percentile)
        return torch.from_numpy(np.maximum(there, back.T)).to(image_cost.device)


def _directed(source: Surfaces, target: Surfaces, percentile: float) -> NDArray[np.float64]:
    """(n, m) percentiles of the distances from the pixels of source surfaces to the nearest one of target surfaces.

    One distance transform per target serves all sources.
    """
    found = []
    for pixels in np.split(target.pixels, target.ends[1:-1]):
        elsewhere = np.ones(target.grid, dtype=bool)
        elsewhere.flat[pixels] = False
        found.append(_percentiles(source, ndimage.distance_transform_edt(elsewhere).ravel(), percentile))
    return np.stack(found, axis=1)


def _percentiles(source: Surfaces, distance: NDArray[np.float64], percentile: float) -> NDArray[np.float64]:
    """For each sample the percentile of a field of distances over its surface."""
    sizes, starts = np.diff(source.ends), source.ends[:-1]
    position = (sizes - 1) * (percentile / 100)
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, sizes - 1)
    # Squared distances on a grid are whole, so that sample and squared distance fit one integer, and one sort
    # puts every sample's distances in order.
    keys = np.rint(distance[source.pixels] ** 2).astype(np.int64)
    keys += np.repeat(np.arange(len(sizes), dtype=np.int64) << 32, sizes)
    keys.sort()
    low, high = (np.sqrt(keys[starts + rank] & 0xFFFFFFFF) for rank in (below, above))
    return np.asarray(low + (high - low) * (position - below))
