"""Sliced Wasserstein distance: exact transport along many directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import ot
import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.metrics.pixels import WeightedBins, bin_pixels, coarse_replicates

COARSE_BINS = 1024  # occupied bins at most of bootstrap replicates, of which only the differences count


@dataclass(frozen=True, slots=True)
class SlicedMetric:
    """d_Y = root mean square, over directions, of W2 between the foreground pixels projected on them.

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

    Raises:
        ValueError: fewer than 1 direction, or fewer than 16 bins.
    """

    name: ClassVar[str] = "sliced"
    intensity: bool = True
    directions: int = 60
    max_bins: int = 4096
    power: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.directions < 1:
            raise ValueError(f"expected at least 1 direction, found {self.directions}.")
        if self.max_bins < 16:
            raise ValueError(f"expected max_bins of at least 16, found {self.max_bins}.")

    def summarize(self, samples: SegmentationSamples, /) -> WeightedBins:
        """The occupied bins of the dataset."""
        return bin_pixels(samples, intensity=self.intensity, limit=self.max_bins).reweighted(samples.weights)

    def resample(self, samples: SegmentationSamples, summary: WeightedBins, weights: Tensor, /) -> list[WeightedBins]:
        """The bins of the dataset under other weights of its samples."""
        return summary.counted.replicates(weights)

    def compare(self, source: WeightedBins, target: WeightedBins, image_cost: Tensor, /) -> Tensor:
        """(1, 1) sliced W2 in pixels (and intensity units), not squared."""
        source, target = coarse_replicates(source, target, COARSE_BINS)
        directions = slice_directions(source.points.shape[1], self.directions, self.seed)
        value = sliced_wasserstein(source.points, source.masses, target.points, target.masses, directions)
        return torch.full((1, 1), value, dtype=torch.float64, device=image_cost.device)


def slice_directions(dimensions: int, count: int, seed: int) -> np.ndarray:
    """(d, directions) float64 unit vectors, the same for everything compared; as many at least as asked for.

    They come in orthonormal bases, so that a shift by t has the mean square |t|^2 / d along them exactly.
    """
    rng = np.random.default_rng([seed, dimensions])
    bases = -(-count // dimensions)
    return np.concatenate(
        [np.linalg.qr(rng.normal(size=(dimensions, min(dimensions, count))))[0] for _ in range(bases)], axis=1
    )


def sliced_wasserstein(
    points: Tensor, masses: Tensor, other_points: Tensor, other_masses: Tensor, directions: np.ndarray
) -> float:
    """Root mean square, over (d, directions) unit vectors, of W2 between projected points (Bonneel et al. 2015).

    Along a direction the transport is that of the weighted quantiles, and exact. Points are (n, d) and (m, d), their
    masses (n,) and (m,).
    """
    arrays = [one.cpu().numpy() for one in (points, other_points, masses, other_masses)]
    return float(ot.sliced_wasserstein_distance(*arrays, projections=directions, p=2))
