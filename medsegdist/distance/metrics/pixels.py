"""Distances between all foreground pixels of two datasets, counted in bins: earth mover's and energy distance."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import ClassVar

import numpy as np
import torch
from scipy import sparse
from scipy.spatial.distance import cdist
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.image_cost import BLOCK_BYTES
from medsegdist.distance.mixture.pixel_counts import require_segment, segment_intensities
from medsegdist.distance.transport import solve_transport
from medsegdist.errors import DataError

MAX_BINS = 4096
"""Occupied bins a side that transport is solved for: 128 MB of costs, several times over, and some seconds."""

COMMON_BINS = 1024
"""Occupied bins at most if no width is asked for: a quarter of a second a pair."""

LEVELS = 2**32
"""Intensity levels that a key has room for, half of them below 0."""

COARSE_BINS = 512
"""Occupied bins at most of bootstrap replicates, of which only the differences count."""


@dataclass(frozen=True, slots=True, eq=False)
class WeightedBins:
    """Occupied bins, each at the mean of its pixels.

    Args:
        index: (h, d) int64 place of each bin on the lattice, in bins from the origin.
        points: (h, d) float64 mean of the pixels of each bin.
        masses: (h,) float64, positive, sum to 1.
        error: root mean square distance of a pixel from the mean of its bin. W2 between the pixels of two datasets
            differs from W2 between their bins by at most the sum of both errors (triangle inequality).
        counted: the pixels of every sample, to reweight them.
        replicate: whether it is one of the bootstrap.
    """

    index: Tensor
    points: Tensor
    masses: Tensor
    error: float
    counted: PixelBins
    replicate: bool = False

    def __len__(self) -> int:
        return len(self.masses)

    def coarser(self, limit: int) -> WeightedBins:
        """The same pixels in bins of twice the width, and twice that, until the dataset occupies at most `limit`.

        Masses and means stay exact. The width depends on all bins of the dataset, not on those that have a mass here,
        and with intensities on both sides of 0 there are always two bins at least.
        """
        factor = 1
        while len(np.unique(self.counted.index // factor, axis=0)) > limit:
            factor *= 2
        if factor == 1:
            return self
        index, place = np.unique(self.index.numpy() // factor, axis=0, return_inverse=True)
        group, masses = place.reshape(-1), self.masses.numpy()
        total = np.bincount(group, masses)
        points = np.stack([np.bincount(group, masses * axis) / total for axis in self.points.numpy().T], 1)
        moved = self.points.numpy() - points[group]
        return WeightedBins(
            index=torch.from_numpy(index),
            points=torch.from_numpy(points),
            masses=torch.from_numpy(total),
            error=(self.error**2 + float(masses @ (moved**2).sum(1))) ** 0.5,
            counted=self.counted,
        )


@dataclass(frozen=True, slots=True, eq=False)
class PixelBins:
    """What every sample has in each occupied bin.

    Args:
        index: (h, d) int64 place of each bin on the lattice.
        moments: d + 2 sparse (n, h) matrices: pixels, sums of their d offsets from the corner of the bin, sums of the
            offsets' squared norms.
        width: edge of the bins.
    """

    index: np.ndarray
    moments: tuple[sparse.csr_array, ...]
    width: int

    def __len__(self) -> int:
        return len(self.index)

    def reweighted(self, weights: Tensor) -> WeightedBins:
        """The bins under (n,) weights of the samples, >= 0 and not all 0; bins that lose their last pixel are left out.

        The points are exact under any weights, for the offsets of every sample are known.
        """
        row = weights.detach().cpu().double().numpy()
        total, *sums = (np.asarray(row @ moment) for moment in self.moments)
        held = total > 0
        offsets = np.stack(sums[:-1], 1)[held] / total[held, None]
        masses = total[held] / total.sum()
        spread = np.maximum(sums[-1][held] / total[held] - (offsets**2).sum(1), 0.0)
        index = self.index[held]
        return WeightedBins(
            index=torch.from_numpy(index),
            points=torch.from_numpy(index * self.width + offsets),
            masses=torch.from_numpy(masses),
            error=float(masses @ spread) ** 0.5,
            counted=self,
        )

    def replicates(self, weights: Tensor) -> list[WeightedBins]:
        """The bins of r bootstrap replicates, given by (r, n) weights of the samples."""
        return [replace(self.reweighted(row), replicate=True) for row in weights]


def coarse_replicates(source: WeightedBins, target: WeightedBins, limit: int) -> tuple[WeightedBins, WeightedBins]:
    """Replicates in at most `limit` bins, for only their differences matter; other pairs as they are."""
    if source.replicate and target.replicate and source.counted is not target.counted:
        return source.coarser(limit), target.coarser(limit)
    return source, target


@dataclass(frozen=True, slots=True)
class PixelsMetric:
    """d_Y = W2 between the foreground pixels of two datasets, counted in bins.

    The Earth Mover's distance of the paper's Tables 2 and 4, which its mixtures stand in for. Each bin stands at the
    mean of its pixels, so that W2 of all pixels is within the sum of both summaries' `error` of what is computed;
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

    name: ClassVar[str] = "pixels"
    intensity: bool = False
    bin: int | None = None
    power: float = 2.0

    def __post_init__(self) -> None:
        if self.bin is not None and self.bin < 1:
            raise ValueError(f"expected a bin of at least 1 pixel, found {self.bin}.")

    def summarize(self, samples: SegmentationSamples, /) -> WeightedBins:
        """The occupied bins of the dataset.

        Raises:
            DataError: the bin that was asked for leaves too many of them.
        """
        bins = bin_pixels(samples, intensity=self.intensity, width=self.bin, limit=COMMON_BINS)
        if len(bins) > MAX_BINS:
            fitting = bin_pixels(samples, intensity=self.intensity, limit=MAX_BINS).width
            raise DataError(
                f"expected at most {MAX_BINS} occupied bins for exact transport, found {len(bins)} with bin = "
                f"{self.bin}",
                f"bin = {fitting} would fit",
                dataset=samples.name,
            )
        return bins.reweighted(samples.weights)

    def resample(self, samples: SegmentationSamples, summary: WeightedBins, weights: Tensor, /) -> list[WeightedBins]:
        """The bins of the dataset under other weights of its samples."""
        return summary.counted.replicates(weights)

    def compare(self, source: WeightedBins, target: WeightedBins, image_cost: Tensor, /) -> Tensor:
        """(1, 1) W2 in pixels (and intensity units), not squared."""
        source, target = coarse_replicates(source, target, COARSE_BINS)
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

    name: ClassVar[str] = "mmd"
    intensity: bool = True
    intensity_scale: float = 1.0
    max_bins: int = 1024
    power: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.intensity_scale < math.inf:
            raise ValueError(f"expected a finite intensity_scale > 0, found {self.intensity_scale}.")
        if self.max_bins < 16:
            raise ValueError(f"expected max_bins of at least 16, found {self.max_bins}.")

    def summarize(self, samples: SegmentationSamples, /) -> WeightedBins:
        """The occupied bins of the dataset."""
        return bin_pixels(
            samples, intensity=self.intensity, limit=self.max_bins, intensity_scale=self.intensity_scale
        ).reweighted(samples.weights)

    def resample(self, samples: SegmentationSamples, summary: WeightedBins, weights: Tensor, /) -> list[WeightedBins]:
        """The bins of the dataset under other weights of its samples."""
        return summary.counted.replicates(weights)

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


def bin_pixels(
    samples: SegmentationSamples,
    *,
    intensity: bool,
    width: int | None = None,
    limit: int | None = None,
    intensity_scale: float = 1.0,
) -> PixelBins:
    """The foreground pixels of every sample, counted in cubic bins.

    The lattice starts at pixel 0 and intensity 0 for every dataset, so that equal pixels share a bin.

    Args:
        samples: n samples; read one at a time, once per width that is tried.
        intensity: whether the intensity is the last coordinate, after (slice,) row and column.
        width: edge of the bins in pixels, and in scaled units of intensity; None takes the finest of 1, 2, 3, 4, 6,
            8, 12 ... that leaves at most `limit` occupied bins.
        limit: the most occupied bins if no width is given, >= 16.
        intensity_scale: how many pixels one unit of intensity counts for.

    Raises:
        DataError: a mask is empty, or an intensity inside a mask is NaN, infinite or too large to be counted.
    """
    powers = chain.from_iterable((2**i, 3 * 2 ** (i - 1)) for i in count(1))
    widths = chain([1], powers) if width is None else chain([width])
    most = limit if width is None else None
    tried = ((edge, _count(samples, intensity, intensity_scale, edge, most)) for edge in widths)
    width, (keys, rows) = next((edge, counted) for edge, counted in tried if counted is not None)
    ends = np.cumsum([0, *(len(row_keys) for row_keys, _ in rows)])
    columns = np.concatenate([np.searchsorted(keys, row_keys) for row_keys, _ in rows])
    data = np.concatenate([moments for _, moments in rows])
    shape = (len(samples), len(keys))
    return PixelBins(
        index=_index_of(keys, samples.grid, intensity, width),
        moments=tuple(
            sparse.csr_array((np.ascontiguousarray(column), columns, ends), shape=shape) for column in data.T
        ),
        width=width,
    )


def _count(
    samples: SegmentationSamples, intensity: bool, intensity_scale: float, width: int, limit: int | None
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]] | None:
    """Keys of all occupied bins, and for every sample its keys and moments; None as soon as there are too many bins."""
    keys = np.zeros(0, dtype=np.int64)
    rows = []
    for k in range(len(samples)):
        points = _points(samples, k, intensity, intensity_scale)
        index = np.floor(points / width)
        row_keys, inverse = np.unique(_keys_of(index, samples, k, intensity, width), return_inverse=True)
        offsets = points - index * width
        moments = [np.ones(len(points)), *offsets.T, (offsets**2).sum(1)]
        rows.append((row_keys, np.stack([np.bincount(inverse, moment) for moment in moments], 1)))
        keys = np.union1d(keys, row_keys)
        if limit is not None and len(keys) > limit:
            return None
    return keys, rows


def _points(samples: SegmentationSamples, k: int, intensity: bool, intensity_scale: float) -> np.ndarray:
    """(pixels, d) float64 foreground pixels of a sample."""
    require_segment(samples, k)
    points = samples.masks[k].nonzero().cpu().numpy().astype(np.float64)
    if not intensity:
        return points
    values = segment_intensities(samples, k).cpu().numpy() * intensity_scale
    return np.concatenate([points, values[:, None]], axis=1)


def _keys_of(index: np.ndarray, samples: SegmentationSamples, k: int, intensity: bool, width: int) -> np.ndarray:
    """One int64 for each bin; they sort like the bins in reading order."""
    axes = len(samples.grid)
    key = np.asarray(np.ravel_multi_index(tuple(index[:, :axes].astype(np.int64).T), _shape(samples.grid, width)))
    if not intensity:
        return key
    level = index[:, -1] + LEVELS // 2
    if level.min() < 0 or level.max() >= LEVELS:
        raise DataError(
            f"expected intensities within {LEVELS // 2} bins of 0, found {np.abs(index[:, -1]).max():.3g}",
            "rescale the intensities",
            dataset=samples.name,
            case=samples.case_ids[k],
        )
    return np.asarray(key * LEVELS + level.astype(np.int64))


def _index_of(keys: np.ndarray, grid: tuple[int, ...], intensity: bool, width: int) -> np.ndarray:
    place = keys // LEVELS if intensity else keys
    index = np.unravel_index(place, _shape(grid, width))
    return np.stack([*index, keys % LEVELS - LEVELS // 2] if intensity else index, 1)


def _shape(grid: tuple[int, ...], width: int) -> tuple[int, ...]:
    return tuple(-(-size // width) for size in grid)
