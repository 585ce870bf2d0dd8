"""Maximum mean discrepancy between all segment pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.image_cost import BLOCK_BYTES
from medsegdist.distance.pixel_bins import WeightedBins, bin_pixels


@dataclass(frozen=True, slots=True)
class MmdMetric:
    """d_Y = (2 E|x - y| - E|x - x'| - E|y - y'|)^(1/2) between the segment pixels x and y of two datasets.

    Its square is the energy distance (Szekely and Rizzo 2013): twice the squared maximum mean discrepancy (Gretton et
    al. 2012) of the kernel (|x| + |y| - |x - y|) / 2 (Sejdinovic et al. 2013). That kernel is taken because it has no
    bandwidth: with a Gaussian kernel the distances of two pairs would be comparable only if all pairs shared one. The
    expectations are those of the weighted pixels themselves (the biased V-statistic): never negative, and 0 for equal
    datasets exactly, as the unbiased one is not. Pixels of one segment are no independent draws, so that unbiasedness
    would mean little.

    It grows with |shift| where segments lie apart, with its square where they overlap.

    Args:
        intensity: True measures (row, column, intensity); False (row, column). Volumes have the slice before the row.
        intensity_scale: how many pixels one unit of intensity counts for; 1 as in `gmm3d`, less for raw HU.
        max_bins: pixels are counted in the finest bins of 1, 2, 3, 4, 6, 8 ... pixels that leave a dataset at most this
            many, each at the mean of its pixels; time and memory grow with its square.
        power: q of the dataset distance; 2 is the energy distance, in pixels.
        block_bytes: what a block of distances between bins may take.

    Raises:
        ValueError: `intensity_scale` is not above 0, or `max_bins` is less than 16.
    """

    intensity: bool = True
    intensity_scale: float = 1.0
    max_bins: int = 1024
    power: float = 2.0
    block_bytes: int = BLOCK_BYTES

    def __post_init__(self) -> None:
        if not 0 < self.intensity_scale < math.inf:
            raise ValueError(f"expected a finite intensity_scale > 0, found {self.intensity_scale}.")
        if self.max_bins < 16:
            raise ValueError(f"expected max_bins of at least 16, found {self.max_bins}.")

    @property
    def name(self) -> str:
        """What tables call it."""
        return "mmd"

    def in_blocks_of(self, block_bytes: int) -> MmdMetric:
        """The same metric with blocks that take no more than `block_bytes`."""
        return replace(self, block_bytes=block_bytes)

    def summarize(self, samples: SegmentationSamples, /) -> WeightedBins:
        """The occupied bins of the dataset."""
        return bin_pixels(
            samples, intensity=self.intensity, limit=self.max_bins, intensity_scale=self.intensity_scale
        ).weighed(samples.weights)

    def resummarize(
        self, samples: SegmentationSamples, summary: WeightedBins, weights: Tensor, /
    ) -> list[WeightedBins]:
        """The bins of the dataset when its samples are weighed anew; exact, for pixels are counted by sample."""
        return [summary.counted.weighed(row) for row in weights]

    def compare(self, source: WeightedBins, target: WeightedBins, image_cost: Tensor, /) -> Tensor:
        """(1, 1) square root of the energy distance, in the square root of pixels."""
        # As one signed measure, in which equal points cancel before anything is added up.
        points, place = np.unique(torch.cat([source.points, target.points]).numpy(), axis=0, return_inverse=True)
        signed = np.zeros(len(points))
        np.add.at(signed, place[: len(source)], source.masses.numpy())
        np.subtract.at(signed, place[len(source) :], target.masses.numpy())
        rows = max(1, self.block_bytes // (8 * len(points)))
        squared = -sum(
            float(signed[k : k + rows] @ cdist(points[k : k + rows], points) @ signed)
            for k in range(0, len(points), rows)
        )
        return torch.full((1, 1), max(squared, 0.0) ** 0.5, dtype=torch.float64, device=image_cost.device)
