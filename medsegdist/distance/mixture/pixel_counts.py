"""The foreground pixels of a dataset as weighted points, of all samples together or of each sample apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.mixture.em import WeightedPoints
from medsegdist.errors import DataError

LEVELS = 256  # bins of the span of the foreground intensities: about one per 8-bit gray level
SAMPLE_CELLS = 4096  # that the pixels of each sample are counted in: mixtures hardly move when refitted to so many


@dataclass(frozen=True, slots=True, eq=False)
class PixelCounts:
    """Distinct points with their masses."""

    points: Tensor  # (h, d) float64, finite
    masses: Tensor  # (h,) float64, positive; normalized to sum to 1
    # (d,) float64, >= 0: along each axis the width over which the mass of a point is spread. A pixel is a square, and a
    # count in a bin may be anywhere in it; without that, a Gaussian that collapses onto one row of pixels would be
    # infinitely likely. None for points that are points.
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

    def standardized(self) -> tuple[WeightedPoints, Tensor, Tensor]:
        """The points in standard deviations from their mean, with the (d,) center and scale of these units."""
        center = self.masses @ self.points
        spread = (self.masses @ (self.points - center).square()).sqrt()
        widest = float(spread.max())
        # Rounding leaves a constant axis with a spread near 1e-16; it takes that of the widest, or 1.
        flat = spread <= 1e-9 * max(widest, float(self.points.abs().max()))
        scale = torch.where(flat, widest if widest > 0 and not bool(flat.all()) else 1.0, spread)
        assert self.widths is not None  # set above
        points = WeightedPoints.of((self.points - center) / scale, self.masses, self.widths.to(scale) / scale)
        return points, center, scale


@dataclass(frozen=True, slots=True, eq=False)
class SampleCounts:
    """How many foreground pixels every sample has in each of a few cells, so that samples can be reweighted."""

    cells: WeightedPoints  # h of them, at (points - center) / scale, with the masses of the whole dataset
    counts: sparse.csr_array  # (n, h) pixels of each sample in each cell
    center: Tensor  # (d,) of the points
    scale: Tensor  # (d,) of the points

    def reweighted(self, weights: Tensor) -> WeightedPoints:
        """The cells under (r, n) other weights of the samples; each row leaves at least one sample."""
        masses = torch.from_numpy(np.asarray(weights.cpu().numpy() @ self.counts))
        return WeightedPoints(self.cells.monomials, masses / masses.sum(1, keepdim=True))


def count_pixels(
    samples: SegmentationSamples,
    *,
    intensity: bool,
    sample_index: Tensor | Sequence[int] | None = None,
) -> PixelCounts:
    """The set of all foreground pixels of a dataset (the paper's set G above Eq. 10), equal ones counted together.

    Every pixel carries the mass of its sample, so a large segment counts more than a small one. Without intensities the
    count loses nothing and is no larger than the grid. With them, pixels of one place whose intensities fall into one
    of 256 bins over the span of the foreground become one point at their mean intensity. Points are ([slice,] row,
    column[, intensity]), of all samples unless some are chosen.
    """
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
    return _count_binned(samples, chosen)[0]


def count_by_sample(
    samples: SegmentationSamples,
    *,
    intensity: bool,
    limit: int = SAMPLE_CELLS,
) -> SampleCounts:
    """The foreground pixels of every sample, counted in at most `limit` cells that are common to all."""
    if intensity:
        pixels, numbers = _count_binned(samples, range(len(samples)))
    else:
        pixels = count_pixels(samples, intensity=False)
        number = torch.zeros(samples.grid, dtype=torch.int64, device=pixels.points.device)
        number[tuple(pixels.points.long().T)] = torch.arange(len(pixels), device=number.device)
        numbers = [number[mask] for mask in samples.masks]
    points, center, scale = pixels.standardized()
    group = points.grouping(limit)
    cells = points.grouped(group)
    rows = [torch.bincount(group[of_sample], minlength=len(cells)).cpu().numpy() for of_sample in numbers]
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


def _count_binned(samples: SegmentationSamples, chosen: Sequence[int]) -> tuple[PixelCounts, Sequence[Tensor]]:
    """The pixels by place and intensity bin, and the number of its point for each pixel of each chosen sample."""
    intensities = [segment_intensities(samples, k) for k in chosen]
    sizes = [len(one) for one in intensities]
    heights = torch.cat(intensities)
    low = heights.min()
    heights -= low
    width = float(heights.max()) / LEVELS
    level = (heights / width).long().clamp_(max=LEVELS - 1) if width > 0 else torch.zeros_like(heights).long()
    places = torch.cat([samples.masks[k].reshape(-1).nonzero()[:, 0] for k in chosen])
    distinct, number = torch.unique(places * LEVELS + level, return_inverse=True)
    mass = samples.mass[list(chosen)].repeat_interleave(torch.tensor(sizes, device=heights.device))
    masses = torch.bincount(number, mass)
    brightness = low + torch.bincount(number, mass * heights) / masses
    axes = torch.unravel_index(distinct // LEVELS, samples.grid)
    points = torch.stack([*axes, brightness], 1)
    widths = mass.new_tensor([1.0] * len(axes) + [width])
    return PixelCounts(points=points, masses=masses, widths=widths), number.split(sizes)
