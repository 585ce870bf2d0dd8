"""The foreground pixels of a dataset as weighted points, of all samples together or of each sample apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.mixture.em import WeightedPoints
from medsegdist.errors import DataError

LEVELS = 256
"""Bins of the span of the foreground intensities if no width is given: about one per 8-bit gray level."""

COUNTED_AT_ONCE = 2**24
"""Pairs of place and bin that are counted in one pass over the samples, which bounds the memory to a few hundred MB."""

SAMPLE_CELLS = 4096
"""Cells that the pixels of each sample are counted in: mixtures of all pixels hardly move when refitted to so many."""


@dataclass(frozen=True, slots=True, eq=False)
class PixelCounts:
    """Distinct points with their masses.

    Args:
        points: (h, d) float64, finite.
        masses: (h,) float64, positive; normalized to sum to 1.
        widths: (d,) float64, >= 0: along each axis the width over which the mass of a point is spread. A pixel is a
            square, and a count in a bin may be anywhere in it; without that, a Gaussian that collapses onto one row of
            pixels would be infinitely likely. None for points that are points.

    Raises:
        DataError: there is no point, or one is NaN or infinite, or a mass is not positive.
    """

    points: Tensor
    masses: Tensor
    widths: Tensor | None = None

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.points.shape[0] == 0 or self.masses.shape != self.points.shape[:1]:
            raise DataError(
                "expected points (h, d) with h >= 1 and masses (h,), found "
                f"{tuple(self.points.shape)} and {tuple(self.masses.shape)}."
            )
        if not bool(torch.isfinite(self.points).all()):
            raise DataError("expected finite points, found NaN or infinite ones", "look at the images")
        if not bool((torch.isfinite(self.masses) & (self.masses > 0)).all()):
            raise DataError("expected positive finite masses, found zero, negative, NaN or infinite ones.")
        object.__setattr__(self, "masses", self.masses / self.masses.sum())
        if self.widths is None:
            object.__setattr__(self, "widths", self.points.new_zeros(self.points.shape[1]))

    def __len__(self) -> int:
        return len(self.points)

    def standardized(self, *, isotropic: bool = False) -> tuple[WeightedPoints, Tensor, Tensor]:
        """The points in units of :meth:`standard`, with the (d,) center and scale of those.

        Args:
            isotropic: one scale for all axes, so that what is a ball here is one in the unit of the points, too.
        """
        center, scale = self.standard()
        if isotropic:
            scale = scale.square().mean().sqrt().expand_as(scale).contiguous()
        assert self.widths is not None  # set above
        points = WeightedPoints.of((self.points - center) / scale, self.masses, self.widths.to(scale) / scale)
        return points, center, scale

    def standard(self) -> tuple[Tensor, Tensor]:
        """(d,) mean and (d,) standard deviation; an axis without spread takes that of the widest, or 1."""
        center = self.masses @ self.points
        spread = (self.masses @ (self.points - center).square()).sqrt()
        widest = float(spread.max())
        # Rounding leaves a constant axis with a spread near 1e-16.
        flat = spread <= 1e-9 * max(widest, float(self.points.abs().max()))
        return center, torch.where(flat, widest if widest > 0 and not bool(flat.all()) else 1.0, spread)


@dataclass(frozen=True, slots=True, eq=False)
class SampleCounts:
    """How many foreground pixels every sample has in each of a few cells, so that samples can be reweighted.

    Args:
        cells: h cells, in standard units: (points - center) / scale; their masses are those of the whole dataset.
        counts: (n, h) pixels of each sample in each cell.
        center: (d,) of the points.
        scale: (d,) of the points.
    """

    cells: WeightedPoints
    counts: sparse.csr_array
    center: Tensor
    scale: Tensor

    def reweighted(self, weights: Tensor) -> WeightedPoints:
        """The cells under other weights of the samples.

        Args:
            weights: (r, n) float64, >= 0; each row leaves at least one sample.
        """
        masses = torch.from_numpy(np.asarray(weights.cpu().numpy() @ self.counts))
        return WeightedPoints(self.cells.monomials, masses / masses.sum(1, keepdim=True))


def count_pixels(
    samples: SegmentationSamples,
    *,
    intensity: bool,
    intensity_bin: float | None = None,
    sample_index: Tensor | Sequence[int] | None = None,
) -> PixelCounts:
    """The set of all foreground pixels of a dataset (the paper's set G above Eq. 10), equal ones counted together.

    Every pixel carries the mass of its sample, so a large segment counts more than a small one. Without intensities the
    count loses nothing and is no larger than the grid. With them, pixels of one place whose intensities fall into one
    bin become one point at their mean intensity.

    Args:
        samples: n samples; read one at a time.
        intensity: whether the intensity is the last coordinate, after (slice,) row and column.
        intensity_bin: width of the bins, in intensity units; None takes 1/256 of the span of the foreground
            intensities.
        sample_index: which samples to count; all by default.

    Returns:
        Points in pixels (and intensity units), on the device of the samples.

    Raises:
        ValueError: the width of the bins is not positive, or so small that they cannot be counted.
        DataError: no sample was chosen, a mask is empty, or an intensity inside a mask is NaN or infinite.
    """
    if intensity_bin is not None and not intensity_bin > 0:
        raise ValueError(f"expected an intensity_bin > 0, found {intensity_bin}.")
    chosen = range(len(samples)) if sample_index is None else [int(k) for k in sample_index]
    if not len(chosen):
        raise DataError("expected at least 1 sample to count the pixels of, found none.", dataset=samples.name)
    for k in chosen:
        require_segment(samples, k)
    mass = samples.mass
    if not intensity:
        total = mass.new_zeros(samples.grid)
        for k in chosen:
            total += mass[k] * samples.masks[k]
        occupied = total.nonzero()
        return PixelCounts(
            points=occupied.to(torch.float64), masses=total[tuple(occupied.T)], widths=mass.new_ones(total.ndim)
        )
    return _count_binned(samples, chosen, mass, _IntensityBins.of(samples, chosen, intensity_bin))


def count_by_sample(
    samples: SegmentationSamples,
    *,
    intensity: bool,
    intensity_bin: float | None = None,
    limit: int = SAMPLE_CELLS,
    isotropic: bool = False,
) -> SampleCounts:
    """The foreground pixels of every sample, counted in cells that are common to all.

    Args:
        samples: n samples.
        intensity: whether intensities are the last coordinate.
        intensity_bin: as for :func:`count_pixels`.
        limit: the most cells.
        isotropic: one scale for all axes.

    Raises:
        DataError: as for :func:`count_pixels`.
    """
    pixels = count_pixels(samples, intensity=intensity, intensity_bin=intensity_bin)
    points, center, scale = pixels.standardized(isotropic=isotropic)
    group = points.grouping(limit)
    # Numbers of each sample's pixels' points, which grow as the points of the count do.
    everything = range(len(samples))
    _, number = _touched_places(samples, everything)
    keys = [number[samples.masks[k]] for k in everything]
    if intensity:
        bins = _IntensityBins.of(samples, everything, intensity_bin)
        keys = [key * bins.count + bins.levels(bins.heights(samples, k)) for k, key in enumerate(keys)]
    distinct = torch.unique(torch.cat([torch.unique(key) for key in keys]))
    cells = points.grouped(group)
    rows = [
        torch.bincount(group[torch.searchsorted(distinct, key)], minlength=len(cells)).cpu().numpy() for key in keys
    ]
    return SampleCounts(
        cells=WeightedPoints(cells.monomials.cpu(), cells.masses.cpu()),
        counts=sparse.csr_array(np.stack(rows).astype(np.float64)),
        center=center.cpu(),
        scale=scale.cpu(),
    )


def require_segment(samples: SegmentationSamples, k: int) -> None:
    """Raises DataError if the mask of sample k is empty."""
    if not bool(samples.masks[k].any()):
        raise DataError(
            "the mask is empty", "every sample needs a segment", dataset=samples.name, case=samples.case_ids[k]
        )


def segment_intensities(samples: SegmentationSamples, k: int) -> Tensor:
    """(pixels,) float64 intensities inside the mask of sample k; DataError if one is NaN or infinite."""
    intensities = samples.images[k][samples.masks[k]].to(torch.float64)
    if not bool(torch.isfinite(intensities).all()):
        raise DataError(
            "expected finite intensities inside the segment, found NaN or infinite ones",
            "look at the image",
            dataset=samples.name,
            case=samples.case_ids[k],
        )
    return intensities


@dataclass(frozen=True, slots=True)
class _IntensityBins:
    """`count` equal bins of a `width` from `low` over the intensities inside masks; width 0 if all are equal."""

    low: float
    width: float
    count: int

    @classmethod
    def of(cls, samples: SegmentationSamples, chosen: Sequence[int], width: float | None) -> _IntensityBins:
        low, high = math.inf, -math.inf
        for k in chosen:
            darkest, brightest = (float(value) for value in torch.aminmax(segment_intensities(samples, k)))
            low, high = min(low, darkest), max(high, brightest)
        width = (high - low) / LEVELS if width is None else width
        count = int((high - low) / width) + 1 if width > 0 else 1
        if count > COUNTED_AT_ONCE:
            raise ValueError(
                f"expected an intensity_bin that cuts the intensities {low:g} to {high:g} of dataset "
                f"'{samples.name}' into at most {COUNTED_AT_ONCE} bins, found {width}; choose a wider one."
            )
        return cls(low, width, count)

    def heights(self, samples: SegmentationSamples, k: int) -> Tensor:
        return samples.images[k][samples.masks[k]].to(torch.float64) - self.low

    def levels(self, heights: Tensor) -> Tensor:
        if self.width == 0:
            return torch.zeros_like(heights, dtype=torch.int64)
        return (heights / self.width).long().clamp_(max=self.count - 1)


def _count_binned(
    samples: SegmentationSamples, chosen: Sequence[int], mass: Tensor, bins: _IntensityBins
) -> PixelCounts:
    """Counts pixels by place and intensity bin; places are numbered among those in any mask."""
    places, number = _touched_places(samples, chosen)
    points, masses = [], []
    step = max(1, COUNTED_AT_ONCE // bins.count)
    for start in range(0, len(places), step):
        stop = min(start + step, len(places))
        total = mass.new_zeros((stop - start) * bins.count)
        moment = torch.zeros_like(total)
        for k in chosen:
            place, height = number[samples.masks[k]], bins.heights(samples, k)
            if step < len(places):
                here = (place >= start) & (place < stop)
                place, height = place[here], height[here]
            cell = (place - start) * bins.count + bins.levels(height)
            total.index_add_(0, cell, mass[k].expand(len(cell)))
            moment.index_add_(0, cell, mass[k] * height)
        occupied = total.nonzero()[:, 0]
        intensities = bins.low + moment[occupied] / total[occupied]
        points.append(
            torch.cat([places[start + occupied // bins.count].to(torch.float64), intensities[:, None]], dim=1)
        )
        masses.append(total[occupied])
    widths = mass.new_tensor([1.0] * number.ndim + [bins.width])
    return PixelCounts(points=torch.cat(points), masses=torch.cat(masses), widths=widths)


def _touched_places(samples: SegmentationSamples, chosen: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(p, d) int64 pixels that are in any mask, in reading order, and (*grid) int64 their numbers."""
    touched = samples.masks.new_zeros(samples.grid)
    for k in chosen:
        touched |= samples.masks[k]
    places = touched.nonzero()
    number = torch.zeros(samples.grid, dtype=torch.int64, device=touched.device)
    number[touched] = torch.arange(len(places), device=touched.device)
    return places, number
