"""Distances between neutralized segments: Euclidean (the paper's) and by their cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.image_cost import segment_cost
from medsegdist.distance.metrics.mask_metric import PairwiseMetric
from medsegdist.errors import DataError


@dataclass(frozen=True)
class EuclideanMetric(PairwiseMetric):
    """d_Y(k, l) = ||S_k - S'_l||_2 between neutralized segments (the paper's Eq. 7 to 9), in intensity units.

    Args:
        delta: value outside every intensity, subtracted from segments before all else is set to 0: -1 for
            intensities in [0, 255], -2048 for HU.
    """

    name: ClassVar[str] = "euclidean"
    delta: float = -1.0

    def summarize(self, samples: SegmentationSamples, /) -> sparse.csr_array:
        """Neutralized segments S (Eq. 8), one row per sample: (n, pixels) float64, zero outside the segment.

        Raises:
            DataError: an intensity is not above delta.
        """
        return neutralized_segments(samples, self.delta)

    def compare(self, source: sparse.csr_array, target: sparse.csr_array, image_cost: Tensor, /) -> Tensor:
        """(n, m) distances in the unit of the intensities times sqrt(pixels)."""
        return segment_cost(source, target).to(image_cost.device)


@dataclass(frozen=True)
class CosineMetric(PairwiseMetric):
    """d_Y(k, l) = 1 - cos(S_k, S'_l) between neutralized segments (Eq. 8), the similarity of the paper's [22].

    From 0 for segments that are multiples of each other to 1 for disjoint ones; neutralized intensities are positive,
    so no cosine is negative. It is no metric: it grows with the square of small angles, and breaks the triangle
    inequality. The angle itself obeys it, and is a metric between segments up to a factor of all their intensities.
    Numbers up to 1 are lost next to d_X unless `DatasetDistance(mask_weight=...)` lifts them or `image_weight=0` leaves
    the images out.

    Args:
        delta: value outside every intensity (Eq. 7): -1 for intensities in [0, 255], -2048 for HU.
        angular: True takes the angle between S_k and S'_l, divided by the right angle, and the name "angular".
    """

    delta: float = -1.0
    angular: bool = False

    @property
    def name(self) -> str:
        """The name of the method in tables: "cosine" or "angular"."""
        return "angular" if self.angular else "cosine"

    def summarize(self, samples: SegmentationSamples, /) -> sparse.csr_array:
        """Neutralized segments of length 1, one row per sample: (n, pixels) float64.

        Raises:
            DataError: an intensity is not above delta.
        """
        segments = neutralized_segments(samples, self.delta)
        length = np.sqrt(segments.multiply(segments).sum(axis=1))
        return sparse.csr_array(segments.multiply(1 / length[:, None]))

    def compare(self, source: sparse.csr_array, target: sparse.csr_array, image_cost: Tensor, /) -> Tensor:
        """(n, m) without a unit, 0 to 1."""
        # Of unit vectors u, v: 1 - cos = ||u - v||^2 / 2 and angle = 2 asin(||u - v|| / 2). Neither form cancels where
        # segments are alike, as 1 - <u, v> does.
        chord = segment_cost(source, target).clamp(max=math.sqrt(2)).to(image_cost.device)
        if self.angular:
            return ((chord / 2).asin() * (4 / math.pi)).clamp(max=1)
        return (chord.square() / 2).clamp(max=1)


def neutralized_segments(samples: SegmentationSamples, delta: float) -> sparse.csr_array:
    """(n, pixels) float64 intensities minus delta inside each mask and 0 outside (the paper's Eq. 7, 8)."""
    masks = samples.masks.flatten(1)
    values = samples.images.flatten(1)[masks].cpu().numpy().astype(np.float64) - delta
    rows, pixels = (one.cpu().numpy() for one in masks.nonzero(as_tuple=True))
    ends = np.concatenate([[0], np.bincount(rows, minlength=len(masks)).cumsum()])
    if (values <= 0).any():
        k = int(np.searchsorted(ends, np.argmax(values <= 0), side="right")) - 1
        raise DataError(
            f"expected intensities above delta = {delta:g}, found {values[ends[k] : ends[k + 1]].min() + delta:g}",
            "choose a delta below the whole range (Eq. 7)",
            dataset=samples.name,
            case=samples.case_ids[k],
        )
    kind = sparse.get_index_dtype(maxval=max(len(values), masks.shape[1]))
    return sparse.csr_array((values, pixels.astype(kind), ends.astype(kind)), shape=tuple(masks.shape))
