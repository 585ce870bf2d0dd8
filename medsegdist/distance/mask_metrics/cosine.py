"""Cosine distance between neutralized segments."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import sparse
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.image_cost import BLOCK_BYTES, segment_cost
from medsegdist.distance.mask_metrics.euclidean import EuclideanMetric


@dataclass(frozen=True, slots=True)
class CosineMetric:
    """d_Y(k, l) = 1 - cos(S_k, S'_l) between neutralized segments (Eq. 8), the similarity of the paper's [22].

    From 0 for segments that are multiples of each other to 1 for disjoint ones; neutralized intensities are positive,
    so no cosine is negative. It is no metric: it grows with the square of small angles, and breaks the triangle
    inequality. The angle itself obeys it, and is a metric between segments up to a factor of all their intensities.
    Numbers up to 1 are lost beside d_X unless `DatasetDistance(mask_weight=...)` lifts them or `image_weight=0` leaves
    the images out.

    Args:
        delta: value outside every intensity (Eq. 7): -1 for intensities in [0, 255], -2048 for HU.
        angular: True takes the angle between S_k and S'_l, divided by the right angle, and the name "angular".
        power: q of the dataset distance.
        block_bytes: as for :func:`~medsegdist.distance.image_cost.segment_cost`.
    """

    delta: float = -1.0
    angular: bool = False
    power: float = 1.0
    block_bytes: int = BLOCK_BYTES

    @property
    def name(self) -> str:
        """What tables call it."""
        return "angular" if self.angular else "cosine"

    @property
    def pairwise(self) -> Literal[True]:
        """d_Y of two samples depends on nothing else."""
        return True

    def in_blocks_of(self, block_bytes: int) -> CosineMetric:
        """The same metric with blocks that take no more than `block_bytes`."""
        return replace(self, block_bytes=block_bytes)

    def summarize(self, samples: SegmentationSamples, /) -> sparse.csr_array:
        """Neutralized segments of length 1, one row per sample: (n, pixels) float64.

        Raises:
            DataError: an intensity is not above delta.
        """
        segments = EuclideanMetric(delta=self.delta).summarize(samples)
        length = np.sqrt(segments.multiply(segments).sum(axis=1))
        return sparse.csr_array(segments.multiply(1 / length[:, None]))

    def compare(self, source: sparse.csr_array, target: sparse.csr_array, image_cost: Tensor, /) -> Tensor:
        """(n, m) without a unit, 0 to 1."""
        # Of unit vectors u, v: 1 - cos = ||u - v||^2 / 2 and angle = 2 asin(||u - v|| / 2). Neither form cancels where
        # segments are alike, as 1 - <u, v> does.
        chord = segment_cost(source, target, block_bytes=self.block_bytes).clamp(max=math.sqrt(2)).to(image_cost.device)
        if self.angular:
            return ((chord / 2).asin() * (4 / math.pi)).clamp(max=1)
        return (chord.square() / 2).clamp(max=1)
