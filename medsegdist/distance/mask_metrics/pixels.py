"""Wasserstein distance between all segment pixels, without a mixture between."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.image_cost import BLOCK_BYTES
from medsegdist.distance.pixel_bins import WeightedBins, bin_pixels, finest_width
from medsegdist.distance.sinkhorn import VECTORS, blurred_epsilon, lattice_softmin, require_blur, sinkhorn_divergence
from medsegdist.distance.transport import SOLVING, solve_transport
from medsegdist.errors import DataError

MAX_BINS = 4096
"""Occupied bins a side that exact transport is solved for: 128 MB of costs, several times over, and some seconds."""

COMMON_BINS = 1024
"""Occupied bins at most where no width is asked for: a quarter of a second a pair."""

COARSE_BINS = 512
"""Occupied bins at most where only differences of distances count."""

MAX_LATTICE = 2**22
"""Bins, occupied or not, of the box that Sinkhorn's iterations run over."""


@dataclass(frozen=True, slots=True)
class PixelsMetric:
    """d_Y = W2 between the segment pixels of two datasets, counted in bins.

    The Earth Mover's distance of the paper's Tables 2 and 4, which its mixtures stand in for. Each bin stands at the
    mean of its pixels, so that W2 of all pixels lies within the sum of both summaries' `error` of what is computed;
    that is 0 for bins of one pixel without intensities. MW2 of two mixtures is never below W2 of their densities (Delon
    and Desolneux 2020), but it can lie on either side of W2 of the pixels they were fitted to: with one component each
    it is a lower bound (Gelbrich 1990), with one for every pixel it is equal.

    Args:
        intensity: True measures (row, column, intensity), one unit of intensity counting as one pixel; False
            (row, column). Volumes have the slice before the row.
        bin: edge of the bins in pixels (and intensity units). None takes, for "exact", the finest of 1, 2, 3, 4, 6,
            8 ... that leaves a dataset at most 1024 occupied bins, and 1 for "sinkhorn".
        solver: "exact" transport, or "sinkhorn": the debiased divergence in the log domain, whose kernel is separable
            over the axes, for more bins than exact transport can take. It places bins at their centers.
        blur: what Sinkhorn's entropy smears, as a length in pixels: the kernel is a Gaussian with this standard
            deviation. Shifts are measured exactly at any blur; what is finer than the blur is not seen.
        power: q of the dataset distance; squared pixels, as `gmm2d` and `gmm3d` have them.
        block_bytes: what Sinkhorn's iterations compute at once may take.

    Raises:
        ValueError: `bin` is less than 1, or the solver is unknown.
    """

    intensity: bool = False
    bin: int | None = None
    solver: Literal["exact", "sinkhorn"] = "exact"
    blur: float = 4.0
    power: float = 2.0
    block_bytes: int = BLOCK_BYTES

    def __post_init__(self) -> None:
        if self.bin is not None and self.bin < 1:
            raise ValueError(f"expected a bin of at least 1 pixel, found {self.bin}.")
        if self.solver not in ("exact", "sinkhorn"):
            raise ValueError(f"expected the solver 'exact' or 'sinkhorn', found '{self.solver}'.")
        require_blur(self.blur)

    @property
    def name(self) -> str:
        """What tables call it."""
        return "pixels"

    def in_blocks_of(self, block_bytes: int) -> PixelsMetric:
        """The same metric with blocks that take no more than `block_bytes`."""
        return replace(self, block_bytes=block_bytes)

    def least_bytes(self, grid: Sequence[int]) -> int:
        """The one transport between as many bins as the `grid` may have, or the vectors over their box."""
        most = {"exact": MAX_BINS if self.bin else COMMON_BINS, "sinkhorn": MAX_LATTICE}[self.solver]
        if not self.intensity:
            most = min(most, math.prod(-(-size // (self.bin or 1)) for size in grid))
        return 8 * (SOLVING * most**2 if self.solver == "exact" else VECTORS * most)

    def summarize(self, samples: SegmentationSamples, /) -> WeightedBins:
        """The occupied bins of the dataset.

        Raises:
            DataError: exact transport was asked for, with a bin that leaves too many of them.
        """
        width = 1 if self.bin is None and self.solver == "sinkhorn" else self.bin
        bins = bin_pixels(samples, intensity=self.intensity, width=width, limit=COMMON_BINS)
        if self.solver == "exact" and len(bins) > MAX_BINS:
            fitting = finest_width(samples, intensity=self.intensity, limit=MAX_BINS)
            raise DataError(
                f"dataset '{samples.name}': expected at most {MAX_BINS} occupied bins for exact transport, found "
                f"{len(bins)} with bin = {self.bin}; bin = {fitting} would fit, and solver = 'sinkhorn' takes more."
            )
        return bins.weighed(samples.weights)

    def resummarize(
        self, samples: SegmentationSamples, summary: WeightedBins, weights: Tensor, /
    ) -> list[WeightedBins]:
        """The bins of the dataset when its samples are weighed anew; exact, for pixels are counted by sample."""
        return [summary.counted.weighed(row) for row in weights]

    def repeated(self, source: WeightedBins, target: WeightedBins, /) -> Callable[[WeightedBins, WeightedBins], Tensor]:
        """Compares replicates of `source` and `target` in at most 512 bins where transport is exact."""
        most = COARSE_BINS if self.solver == "exact" else MAX_LATTICE
        return lambda one, other: self.compare(one.coarser(most), other.coarser(most), torch.ones(1, 1))

    def compare(self, source: WeightedBins, target: WeightedBins, image_cost: Tensor, /) -> Tensor:
        """(1, 1) W2 in pixels (and intensity units), not squared."""
        squared = self._exact(source, target) if self.solver == "exact" else self._sinkhorn(source, target)
        return torch.full((1, 1), squared**0.5, dtype=torch.float64, device=image_cost.device)

    def _exact(self, source: WeightedBins, target: WeightedBins) -> float:
        cost = torch.zeros(len(source), len(target), dtype=torch.float64)
        for one, other in zip(source.points.T, target.points.T, strict=True):
            cost += (one[:, None] - other[None, :]).square()
        return solve_transport(cost, source.masses, target.masses).value

    def _sinkhorn(self, source: WeightedBins, target: WeightedBins) -> float:
        low = torch.minimum(source.index.amin(0), target.index.amin(0))
        shape = (torch.maximum(source.index.amax(0), target.index.amax(0)) - low + 1).tolist()
        bins = torch.Size(shape).numel()
        if bins > MAX_LATTICE:
            factor = 2
            while torch.Size([-(-size // factor) + 1 for size in shape]).numel() > MAX_LATTICE:
                factor += 1
            raise DataError(
                f"expected at most {MAX_LATTICE} bins in the box around both datasets' segments, found {bins} with "
                f"bin = {source.counted.width}; bin = {factor * source.counted.width} would fit."
            )
        softmin = lattice_softmin(shape, source.counted.width, block_bytes=self.block_bytes)
        masses = [torch.zeros(shape, dtype=torch.float64) for _ in range(2)]
        for side, total in zip((source, target), masses, strict=True):
            total[tuple((side.index - low).T)] = side.masses
        largest = float(sum(((size - 1) * source.counted.width) ** 2 for size in shape))
        divergence = sinkhorn_divergence(
            masses[0].reshape(-1),
            masses[1].reshape(-1),
            (softmin, softmin, softmin, softmin),
            epsilon=blurred_epsilon(self.blur),
            largest=largest,
        )
        return max(divergence, 0.0)
