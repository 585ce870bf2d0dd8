"""Segment pixels counted in the bins of one lattice, for every sample apart, so that samples can be weighed anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.pixel_histogram import require_segment, segment_intensities
from medsegdist.errors import DataError

LEVELS = 2**32
"""Intensity levels that a key has room for, half of them below 0."""


@dataclass(frozen=True, slots=True, eq=False)
class WeightedBins:
    """Occupied bins, each at the mean of its pixels.

    Args:
        index: (h, d) int64 place of each bin on the lattice, in bins from the origin.
        points: (h, d) float64 mean of the pixels of each bin.
        masses: (h,) float64, positive, sum to 1.
        error: root mean square distance of a pixel from the mean of its bin. W2 between the pixels of two datasets
            differs from W2 between their bins by at most the sum of both errors (triangle inequality).
        counted: the pixels of every sample, to weigh them anew.
    """

    index: Tensor
    points: Tensor
    masses: Tensor
    error: float
    counted: PixelBins

    def __len__(self) -> int:
        return len(self.masses)

    def coarser(self, limit: int) -> WeightedBins:
        """The same pixels in bins of twice the width, and twice that, until the dataset occupies at most `limit`.

        Masses and means stay exact. The width hangs on all bins of the dataset, not on those that have a mass here, and
        where intensities lie on both sides of 0 there are always two bins at least.
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

    def weighed(self, weights: Tensor) -> WeightedBins:
        """The bins under (n,) weights of the samples, >= 0 and not all 0; bins that lose their last pixel are left out.

        The points are exact under any weights, for the offsets of every sample are known.
        """
        row = weights.detach().cpu().double().numpy()
        total, *sums = (np.asarray(row @ moment) for moment in self.moments)
        there = total > 0
        offsets = np.stack(sums[:-1], 1)[there] / total[there, None]
        masses = total[there] / total.sum()
        spread = np.maximum(sums[-1][there] / total[there] - (offsets**2).sum(1), 0.0)
        index = self.index[there]
        return WeightedBins(
            index=torch.from_numpy(index),
            points=torch.from_numpy(index * self.width + offsets),
            masses=torch.from_numpy(masses),
            error=float(masses @ spread) ** 0.5,
            counted=self,
        )


def bin_pixels(
    samples: SegmentationSamples,
    *,
    intensity: bool,
    width: int | None = None,
    limit: int | None = None,
    intensity_scale: float = 1.0,
) -> PixelBins:
    """Counts the segment pixels of every sample in cubic bins.

    The lattice starts at pixel 0 and intensity 0 whatever the dataset, so that equal pixels share a bin.

    Args:
        samples: n samples; read one at a time, once per width that is tried.
        intensity: whether the intensity is the last coordinate, after (slice,) row and column.
        width: edge of the bins in pixels, and in scaled units of intensity; None takes the finest of 1, 2, 3, 4, 6,
            8, 12 ... that leaves at most `limit` occupied bins.
        limit: the most occupied bins where no width is given, >= 16.
        intensity_scale: how many pixels one unit of intensity counts for.

    Raises:
        DataError: a mask is empty, or an intensity inside a segment is NaN, infinite or too large to be counted.
    """
    if width is not None:
        counted = _counted(samples, intensity, intensity_scale, width, None)
    else:
        width, counted = next(
            (width, counted)
            for width in _widths()
            if (counted := _counted(samples, intensity, intensity_scale, width, limit)) is not None
        )
    assert counted is not None
    keys, rows = counted
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


def finest_width(samples: SegmentationSamples, *, intensity: bool, limit: int) -> int:
    """The finest width with which the segment pixels occupy at most `limit` bins."""
    return next(width for width in _widths() if _counted(samples, intensity, 1.0, width, limit) is not None)


def _widths() -> Iterator[int]:
    """1, 2, 3, 4, 6, 8, 12, 16 ..."""
    return chain([1], chain.from_iterable((2**i, 3 * 2 ** (i - 1)) for i in count(1)))


_Row = tuple[np.ndarray, np.ndarray]


def _counted(
    samples: SegmentationSamples, intensity: bool, intensity_scale: float, width: int, limit: int | None
) -> tuple[np.ndarray, list[_Row]] | None:
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
    """(pixels, d) float64 segment pixels of a sample."""
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
            f"dataset '{samples.name}', case '{samples.case_ids[k]}': expected intensities within {LEVELS // 2} bins "
            f"of 0, found {np.abs(index[:, -1]).max():.3g}; rescale the intensities."
        )
    return np.asarray(key * LEVELS + level.astype(np.int64))


def _index_of(keys: np.ndarray, grid: tuple[int, ...], intensity: bool, width: int) -> np.ndarray:
    place = keys // LEVELS if intensity else keys
    index = np.unravel_index(place, _shape(grid, width))
    return np.stack([*index, keys % LEVELS - LEVELS // 2] if intensity else index, 1)


def _shape(grid: tuple[int, ...], width: int) -> tuple[int, ...]:
    return tuple(-(-size // width) for size in grid)
