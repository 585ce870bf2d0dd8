"""Distances between all foreground pixels of two datasets, counted in bins: W2, energy distance and sliced W2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, count
from typing import ClassVar

import numpy as np
import ot
import pandas as pd
import torch
from scipy import sparse
from scipy.spatial.distance import cdist
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.image_cost import BLOCK_BYTES
from medsegdist.distance.mixture.pixel_counts import require_segment, segment_intensities
from medsegdist.distance.transport import solve_transport
from medsegdist.errors import DataError

MAX_LEVEL = 2**31  # bins that an intensity may be from 0
# Occupied bins at most of bootstrap replicates, of which only the differences count.
COARSE_BINS, COARSE_SLICED_BINS = 512, 1024


@dataclass(frozen=True, slots=True, eq=False)
class WeightedBins:
    """Occupied bins, each at the mean of its pixels."""

    index: Tensor  # (h, d) int64 place of each bin on the lattice, in bins from the origin
    points: Tensor  # (h, d) float64 mean of the pixels of each bin
    masses: Tensor  # (h,) float64, positive, sum to 1
    # Root mean square distance of a pixel from the mean of its bin: W2 of pixels and W2 of bins differ by at most the
    # sum of both errors (triangle inequality).
    error: float
    counted: PixelBins  # the pixels of every sample, to reweight them
    replicate: bool = False  # whether it is one of the bootstrap

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
    """What every sample has in each occupied bin."""

    index: np.ndarray  # (h, d) int64 place of each bin on the lattice
    # d + 2 sparse (n, h) matrices: pixels, sums of their d offsets from the corner of the bin and of the squared norms.
    moments: tuple[sparse.csr_array, ...]
    width: int  # edge of the bins

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


def coarse_replicates(source: WeightedBins, target: WeightedBins, limit: int) -> tuple[WeightedBins, WeightedBins]:
    """Replicates in at most `limit` bins, for only their differences matter; other pairs as they are."""
    if source.replicate and target.replicate and source.counted is not target.counted:
        return source.coarser(limit), target.coarser(limit)
    return source, target


@dataclass(frozen=True)
class BinOptions:
    """All foreground pixels of a dataset, counted in bins, each of which stands at the mean of its pixels.

    Args:
        intensity: True measures (row, column, intensity), one unit of intensity counting as one pixel; False
            (row, column). Volumes have the slice before the row.
        max_bins: the edge of the bins is the smallest of 1, 2, 3, 4, 6, 8 ... pixels that leaves a dataset at most so
            many occupied ones; time and memory grow with its square, those of `sliced` with it.

    Raises:
        ValueError: `max_bins` is less than 16.
    """

    intensity: bool = True
    max_bins: int = 1024

    def __post_init__(self) -> None:
        if self.max_bins < 16:
            raise ValueError(f"expected max_bins of at least 16, found {self.max_bins}.")

    def summarize(self, samples: SegmentationSamples, /) -> WeightedBins:
        """The occupied bins of the dataset."""
        return bin_pixels(samples, intensity=self.intensity, limit=self.max_bins).reweighted(samples.weights)

    def resample(self, samples: SegmentationSamples, summary: WeightedBins, weights: Tensor, /) -> list[WeightedBins]:
        """The bins of the dataset under other weights of its samples."""
        return [replace(summary.counted.reweighted(row), replicate=True) for row in weights]


@dataclass(frozen=True)
class PixelsMetric(BinOptions):
    """d_Y = W2 between the foreground pixels of two datasets, counted in bins.

    The Earth Mover's distance of the paper's Tables 2 and 4, which its mixtures stand in for. W2 of all pixels is
    within the sum of both summaries' `error` of what is computed, which is 0 for bins of one pixel without intensities.
    MW2 of two mixtures is never below W2 of their densities (Delon
    and Desolneux 2020), but it can lie on either side of W2 of the pixels they were fitted to: with one component each
    it is a lower bound (Gelbrich 1990), with one for every pixel it is equal.

    Args:
        power: q of the dataset distance; squared pixels, as `gmm2d` and `gmm3d` have them.
    """

    name: ClassVar[str] = "pixels"
    intensity: bool = False
    power: float = 2.0

    def compare(self, source: WeightedBins, target: WeightedBins, image_cost: Tensor, /) -> Tensor:
        """(1, 1) W2 in pixels (and intensity units), not squared."""
        source, target = coarse_replicates(source, target, COARSE_BINS)
        cost = torch.zeros(len(source), len(target), dtype=torch.float64)
        for one, other in zip(source.points.T, target.points.T, strict=True):
            cost += (one[:, None] - other[None, :]).square()
        squared = solve_transport(cost, source.masses, target.masses).value
        return torch.full((1, 1), squared**0.5, dtype=torch.float64, device=image_cost.device)


@dataclass(frozen=True)
class MmdMetric(BinOptions):
    """d_Y = (2 E|x - y| - E|x - x'| - E|y - y'|)^(1/2) between the foreground pixels x and y of two datasets.

    Its square is the energy distance (Szekely and Rizzo 2013): twice the squared maximum mean discrepancy (Gretton et
    al. 2012) of the kernel (|x| + |y| - |x - y|) / 2 (Sejdinovic et al. 2013). That kernel is taken because it has no
    bandwidth: with a Gaussian kernel the distances of two pairs would be comparable only if all pairs shared one. The
    expectations are those of the weighted pixels themselves (the biased V-statistic): never negative, and 0 for equal
    datasets exactly, as the unbiased one is not. Pixels of one segment are no independent draws, so that unbiasedness
    would mean little.

    It grows with |shift| where segments are apart, with its square where they overlap.

    Args:
        power: q of the dataset distance; 2 is the energy distance, in pixels.
    """

    name: ClassVar[str] = "mmd"
    power: float = 2.0

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


@dataclass(frozen=True)
class SlicedMetric(BinOptions):
    """d_Y = root mean square, over directions, of W2 between the foreground pixels projected on them.

    At most W2 / d^(1/2) in d dimensions, and that for shifts: a shift by t gives |t| / d^(1/2). Transport along a
    direction is exact, and the directions are the same for all datasets.

    Args:
        directions: how many at least; they come in orthonormal bases.
        power: q of the dataset distance; squared pixels, as `gmm3d` has them.
        seed: of the directions, >= 0.

    Raises:
        ValueError: fewer than 1 direction, or fewer than 16 bins.
    """

    name: ClassVar[str] = "sliced"
    max_bins: int = 4096
    directions: int = 60
    power: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        BinOptions.__post_init__(self)
        if self.directions < 1:
            raise ValueError(f"expected at least 1 direction, found {self.directions}.")

    def compare(self, source: WeightedBins, target: WeightedBins, image_cost: Tensor, /) -> Tensor:
        """(1, 1) sliced W2 in pixels (and intensity units), not squared."""
        source, target = coarse_replicates(source, target, COARSE_SLICED_BINS)
        directions = slice_directions(source.points.shape[1], self.directions, self.seed)
        value = sliced_wasserstein(source.points, source.masses, target.points, target.masses, directions)
        return torch.full((1, 1), value, dtype=torch.float64, device=image_cost.device)


def bin_pixels(samples: SegmentationSamples, *, intensity: bool, limit: int) -> PixelBins:
    """The foreground pixels of every sample, counted in cubic bins of ([slice,] row, column[, intensity]).

    The lattice starts at pixel 0 and intensity 0 for every dataset, so that equal pixels share a bin. Bins are the
    finest of 1, 2, 3, 4, 6, 8, 12 ... pixels of which at most `limit` are occupied, at least 16.
    """
    for k in range(len(samples)):
        require_segment(samples, k)
    owner, *axes = (axis.cpu().numpy() for axis in samples.masks.nonzero(as_tuple=True))
    if intensity:
        axes.append(torch.cat([segment_intensities(samples, k) for k in range(len(samples))]).cpu().numpy())
    points = np.stack(axes, 1).astype(np.float64)
    for edge in chain([1], chain.from_iterable((2**i, 3 * 2 ** (i - 1)) for i in count(1))):
        place = np.floor(points / edge)
        farthest = int(np.abs(place[:, -1]).argmax())
        if abs(place[farthest, -1]) > MAX_LEVEL:
            raise DataError(
                f"expected intensities within {MAX_LEVEL} bins of 0, found {abs(place[farthest, -1]):.3g}",
                "rescale the intensities",
                dataset=samples.name,
                case=samples.case_ids[owner[farthest]],
            )
        groups = pd.DataFrame(place.astype(np.int64)).groupby(list(range(place.shape[1])))
        if groups.ngroups <= limit:
            break
    offsets = points - place * edge
    cells = owner, groups.ngroup().to_numpy()
    return PixelBins(
        index=np.array(groups.size().index.to_list()),
        moments=tuple(
            sparse.csr_array((moment, cells), shape=(len(samples), groups.ngroups))
            for moment in (np.ones(len(points)), *offsets.T, (offsets**2).sum(1))
        ),
        width=edge,
    )


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
