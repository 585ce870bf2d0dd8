"""The segment pixels of a dataset, counted for every sample apart, so that samples can be weighed anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.em_steps import Cells
from medsegdist.distance.pixel_histogram import IntensityBins, pixel_histogram, touched_places

CELLS = 4096
"""Cells that pixels are counted in. Mixtures that were fitted to all pixels hardly move when refitted to so many."""


@dataclass(frozen=True, slots=True, eq=False)
class SampleHistograms:
    """How many segment pixels every sample has in each cell.

    Args:
        cells: h cells, in standard units: (points - center) / scale; their masses are those of the whole dataset.
        counts: (n, h) pixels of each sample in each cell.
        center: (d,) of the points.
        scale: (d,) of the points.
    """

    cells: Cells
    counts: sparse.csr_array
    center: Tensor
    scale: Tensor

    def weighed(self, weights: Tensor) -> Cells:
        """The cells as they are under other weights of the samples.

        Args:
            weights: (r, n) float64, >= 0; each row leaves at least one sample.
        """
        masses = torch.from_numpy(np.asarray(weights.cpu().numpy() @ self.counts))
        return Cells(self.cells.monomials, masses / masses.sum(1, keepdim=True))


def sample_histograms(
    samples: SegmentationSamples,
    *,
    intensity: bool,
    intensity_bin: float | None = None,
    limit: int = CELLS,
    isotropic: bool = False,
) -> SampleHistograms:
    """Counts the segment pixels of every sample in cells that are common to all.

    Args:
        samples: n samples.
        intensity: whether intensities are the last coordinate.
        intensity_bin: as for :func:`~medsegdist.distance.pixel_histogram.pixel_histogram`.
        limit: the most cells.
        isotropic: one scale for all axes.

    Raises:
        DataError: as for :func:`~medsegdist.distance.pixel_histogram.pixel_histogram`.
    """
    histogram = pixel_histogram(samples, intensity=intensity, intensity_bin=intensity_bin)
    points, center, scale = histogram.standard_cells(isotropic=isotropic)
    group = points.grouping(limit)
    keys = _point_numbers(samples, intensity, intensity_bin)
    distinct = torch.unique(torch.cat([torch.unique(key) for key in keys]))
    cells = points.grouped(group)
    rows = [
        torch.bincount(group[torch.searchsorted(distinct, key)], minlength=len(cells)).cpu().numpy() for key in keys
    ]
    return SampleHistograms(
        cells=Cells(cells.monomials.cpu(), cells.masses.cpu()),
        counts=sparse.csr_array(np.stack(rows).astype(np.float64)),
        center=center.cpu(),
        scale=scale.cpu(),
    )


def _point_numbers(samples: SegmentationSamples, intensity: bool, intensity_bin: float | None) -> list[Tensor]:
    """For every sample the numbers of its pixels' points, which grow as the points of the histogram do."""
    everything = range(len(samples))
    _, number = touched_places(samples, everything)
    places = [number[samples.masks[k]] for k in everything]
    if not intensity:
        return places
    bins = IntensityBins.of(samples, everything, intensity_bin)
    heights = (samples.images[k][samples.masks[k]].to(torch.float64) - bins.low for k in everything)
    return [place * bins.count + bins.levels(height) for place, height in zip(places, heights, strict=True)]
