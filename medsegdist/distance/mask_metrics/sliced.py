"""Sliced Wasserstein distance between all segment pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.image_cost import BLOCK_BYTES
from medsegdist.distance.pixel_bins import WeightedBins, bin_pixels
from medsegdist.distance.slices import slice_directions, sliced_wasserstein

COARSE_BINS = 1024
"""Occupied bins at most where only differences of distances count."""


@dataclass(frozen=True, slots=True)
class SlicedMetric:
    """d_Y = root mean square, over directions, of W2 between the segment pixels projected on them.

    At most W2 / d^(1/2) in d dimensions, and that for shifts: a shift by t gives |t| / d^(1/2). Transport along a
    direction is exact, and the directions are the same for all datasets.

    Args:
        intensity: True measures (row, column, intensity), one unit of intensity counting as one pixel; False
            (row, column). Volumes have the slice before the row.
        directions: how many at least; they come in orthonormal bases.
        max_bins: pixels are counted in the finest bins of 1, 2, 3, 4, 6, 8 ... pixels that leave a dataset at most this
            many, each at the mean of its pixels.
        power: q of the dataset distance; squared pixels, as `gmm3d` has them.
        seed: of the directions, >= 0.
        block_bytes: what a block of directions may take.

    Raises:
        ValueError: fewer than 1 direction, or fewer than 16 bins.
    """

    intensity: bool = True
    directions: int = 60
    max_bins: int = 4096
    power: float = 2.0
    seed: int = 0
    block_bytes: int = BLOCK_BYTES

    def __post_init__(self) -> None:
        if self.directions < 1:
            raise ValueError(f"expected at least 1 direction, found {self.directions}.")
        if self.max_bins < 16:
            raise ValueError(f"expected max_bins of at least 16, found {self.max_bins}.")

    @property
    def name(self) -> str:
        """What tables call it."""
        return "sliced"

    def in_blocks_of(self, block_bytes: int) -> SlicedMetric:
        """The same metric with blocks that take no more than `block_bytes`."""
        return replace(self, block_bytes=block_bytes)

    def summarize(self, samples: SegmentationSamples, /) -> WeightedBins:
        """The occupied bins of the dataset."""
        return bin_pixels(samples, intensity=self.intensity, limit=self.max_bins).weighed(samples.weights)

    def resummarize(
        self, samples: SegmentationSamples, summary: WeightedBins, weights: Tensor, /
    ) -> list[WeightedBins]:
        """The bins of the dataset when its samples are weighed anew; exact, for pixels are counted by sample."""
        return [summary.counted.weighed(row) for row in weights]

    def repeated(self, source: WeightedBins, target: WeightedBins, /) -> Callable[[WeightedBins, WeightedBins], Tensor]:
        """Compares replicates of `source` and `target` in at most 1024 bins."""
        return lambda one, other: self.compare(one.coarser(COARSE_BINS), other.coarser(COARSE_BINS), torch.ones(1, 1))

    def compare(self, source: WeightedBins, target: WeightedBins, image_cost: Tensor, /) -> Tensor:
        """(1, 1) sliced W2 in pixels (and intensity units), not squared."""
        directions = slice_directions(source.points.shape[1], self.directions, self.seed)
        sides = source.points, source.masses, target.points, target.masses
        value = sliced_wasserstein(*sides, directions, block_bytes=self.block_bytes)
        return torch.full((1, 1), value, dtype=torch.float64, device=image_cost.device)
