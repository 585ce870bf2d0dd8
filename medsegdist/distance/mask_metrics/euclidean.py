"""Euclidean distance between neutralized segments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import sparse
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.image_cost import BLOCK_BYTES, segment_cost
from medsegdist.errors import DataError


@dataclass(frozen=True, slots=True)
class EuclideanMetric:
    """d_Y(k, l) = ||S_k - S'_l||_2 between neutralized segments (the paper's Eq. 7 to 9), in intensity units.

    Args:
        delta: value outside every intensity, subtracted from segments before all else is set to 0: -1 for
            intensities in [0, 255], -2048 for HU.
        power: q of the dataset distance.
        block_bytes: as for :func:`~medsegdist.distance.image_cost.segment_cost`.
    """

    delta: float = -1.0
    power: float = 1.0
    block_bytes: int = BLOCK_BYTES

    @property
    def name(self) -> str:
        """What tables call it."""
        return "euclidean"

    @property
    def pairwise(self) -> Literal[True]:
        """d_Y of two samples depends on nothing else."""
        return True

    def in_blocks_of(self, block_bytes: int) -> EuclideanMetric:
        """The same metric with blocks that take no more than `block_bytes`."""
        return replace(self, block_bytes=block_bytes)

    def summarize(self, samples: SegmentationSamples, /) -> sparse.csr_array:
        """Neutralized segments S (Eq. 8), one row per sample: (n, pixels) float64, zero outside the segment.

        Raises:
            DataError: an intensity is not above delta.
        """
        values, pixels = [], []
        for image, mask, case_id in zip(samples.images, samples.masks, samples.case_ids, strict=True):
            inside = mask.reshape(-1).nonzero()[:, 0]
            segment = image.reshape(-1)[inside].cpu().numpy().astype(np.float64) - self.delta
            if (segment <= 0).any():
                raise DataError(
                    f"dataset '{samples.name}', case '{case_id}': expected intensities above delta = {self.delta:g}, "
                    f"found {segment.min() + self.delta:g}; choose a delta below the whole range (Eq. 7)."
                )
            values.append(segment)
            pixels.append(inside.cpu().numpy())
        ends = np.cumsum([0, *(len(segment) for segment in values)])
        shape = (len(samples), int(np.prod(samples.grid)))
        return sparse.csr_array((np.concatenate(values), np.concatenate(pixels), ends), shape=shape)

    def compare(self, source: sparse.csr_array, target: sparse.csr_array, image_cost: Tensor, /) -> Tensor:
        """(n, m) distances in the unit of the intensities times sqrt(pixels)."""
        return segment_cost(source, target, block_bytes=self.block_bytes).to(image_cost.device)
