"""Distances between all foreground pixels of two datasets, without a mixture: earth mover's and energy distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.image_cost import BLOCK_BYTES
from medsegdist.distance.pixel_bins import WeightedBins, bin_pixels, finest_width
from medsegdist.distance.transport import solve_transport
from medsegdist.errors import DataError

MAX_BINS = 4096
"""Occupied bins a side that transport is solved for: 128 MB of costs, several times over, and some seconds."""

COMMON_BINS = 1024
"""Occupied bins at most if no width is asked for: a quarter of a second a pair."""

COARSE_BINS = 512
"""Occupied bins at most of bootstrap replicates, of which only the differences count."""


@dataclass(frozen=True, slots=True)
class PixelsMetric:
    """d_Y = W2 between the foreground pixels of two datasets, counted in bins.

    The Earth Mover's distance of the paper's Tables 2 and 4, which its mixtures stand in for. Each bin stands at the
    mean of its pixels, so that W2 of all pixels lies within the sum of both summaries' `error` of what is computed;
    that is 0 for bins of one pixel without intensities. MW2 of two mixtures is never below W2 of their densities (Delon
    and Desolneux 2020), but it can lie on either side of W2 of the pixels they were fitted to: with one component each
    it is a lower bound (Gelbrich 1990), with one for every pixel it is equal.

    Args:
        intensity: True measures (row, column, intensity), one unit of intensity counting as one pixel; False
            (row, column). Volumes have the slice before the row.
        bin: edge of the bins in pixels (and intensity units). None takes the finest of 1, 2, 3, 4, 6, 8 ... that leaves
            a dataset at most 1024 occupied bins.
        power: q of the dataset distance; squared pixels, as `gmm2d` and `gmm3d` have them.

    Raises:
        ValueError: `bin` is less than 1.
    """

    intensity: bool = False
    bin: int | None = None
    power: float = 2.0

    def __post_init__(self) -> None:
        if self.bin is not None and self.bin < 1:
            raise ValueError(f"expected a bin of at least 1 pixel, found {self.bin}.")

    @property
    def name(self) -> str:
        """The name of the method in tables."""
        return "pixels"

    def summarize(self, samples: SegmentationSamples, /) -> WeightedBins:
        """The occupied bins of the dataset.

        Raises:
            DataError: the bin that was asked for leaves too many of them.
        """
        bins = bin_pixels(samples, intensity=self.intensity, width=self.bin, limit=COMMON_BINS)
        if len(bins) > MAX_BINS:
            fitting = finest_width(samples, intensity=self.intensity, limit=MAX_BINS)
            raise DataError(
                f"expected at most {MAX_BINS} occupied bins for exact transport, found {len(bins)} with bin = "
                f"{self.bin}",
                f"bin = {fitting} would fit",
                dataset=samples.name,
            )
        return bins.weighed(samples.weights)

    def resample(self, samples: SegmentationSamples, summary: WeightedBins, weights: Tensor, /) -> list[WeightedBins]:
        """At most 512 bins of the dataset under other weights of its samples."""
        return [summary.counted.weighed(row).coarser(COARSE_BINS) for row in weights]

    def compare(self, source: WeightedBins, target: WeightedBins, image_cost: Tensor, /) -> Tensor:
        """(1, 1) W2 in pixels (and intensity units), not squared."""
        cost = torch.zeros(len(source), len(target), dtype=torch.float64)
        for one, other in zip(source.points.T, target.points.T, strict=True):
            cost += (one[:, None] - other[None, :]).square()
        squared = solve_transport(cost, source.masses, target.masses).value
        return torch.full((1, 1), squared**0.5, dtype=torch.float64, device=image_cost.device)


@dataclass(frozen=True, slots=True)
class MmdMetric:
    """d_Y = (2 E|x - y| - E|x - x'| - E|y - y'|)^(1/2) between the foreground pixels x and y of two datasets.

    Its square is the energy distance (Szekely and Rizzo 2013): twice the squared maximum mean discrepancy (Gretton et
    al. 2012) of the kernel (|x| + |y| - |x - y|) / 2 (Sejdinovic et al. 2013). That kernel is taken because it has no
    bandwidth: with a Gaussian kernel the distances of two pairs would be comparable only if all pairs shared one. The
    expectations are those of the weighted pixels themselves (the biased V-statistic): never negative, and 0 for equal
    datasets exactly, as the unbiased one is not. Pixels of one segment are no independent draws, so that unbiasedness
    would mean little.

    It grows with |shift| where segments are apart, with its square where they overlap.

    Args:
        intensity: True measures (row, column, intensity); False (row, column). Volumes have the slice before the row.
        intensity_scale: how many pixels one unit of intensity counts for; 1 as in `gmm3d`, less for raw HU.
        max_bins: pixels are counted in the finest bins of 1, 2, 3, 4, 6, 8 ... pixels that leave a dataset at most this
            many, each at the mean of its pixels; time and memory grow with its square.
        power: q of the dataset distance; 2 is the energy distance, in pixels.

    Raises:
        ValueError: `intensity_scale` is not above 0, or `max_bins` is less than 16.
    """

    intensity: bool = True
    intensity_scale: float = 1.0
    max_bins: int = 1024
    power: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.intensity_scale < math.inf:
            raise ValueError(f"expected a finite intensity_scale > 0, found {self.intensity_scale}.")
        if self.max_bins < 16:
            raise ValueError(f"expected max_bins of at least 16, found {self.max_bins}.")

    @property
    def name(self) -> str:
        """The name of the method in tables."""
        return "mmd"

    def summarize(self, samples: SegmentationSamples, /) -> WeightedBins:
        """The occupied bins of the dataset."""
        return bin_pixels(
            samples, intensity=self.intensity, limit=self.max_bins, intensity_scale=self.intensity_scale
        ).weighed(samples.weights)

    def resample(self, samples: SegmentationSamples, summary: WeightedBins, weights: Tensor, /) -> list[WeightedBins]:
        """The bins of the dataset under other weights of its samples."""
        return [summary.counted.weighed(row) for row in weights]

    def compare(self, source: WeightedBins, target: WeightedBins, image_cost: Tensor, /) -> Tensor:
        """(1, 1) square root of the energy distance, in the square root of pixels."""
        # As one signed measure, in which equal points cancel before anything is added up.
        points, place = np.unique(torch.cat([source.points, target.points]).numpy(), axis=0, return_inverse=True)
        signed = np.zeros(len(points))
        np.add.at(signed, place[: len(source)], source.masses.numpy())
        np.subtract.at(signed, place[len(source) :], target.masses.numpy())
        rows = max(1, BLOCK_BYTES // (8 * len(points)))
        squared = -sum(
            float(signed[k : k + rows] @ cdist(points[k : k + rows], points) @ signed)
            for k in range(0, len(points), rows)
        )
        return torch.full((1, 1), max(squared, 0.0) ** 0.5, dtype=torch.float64, device=image_cost.device)
