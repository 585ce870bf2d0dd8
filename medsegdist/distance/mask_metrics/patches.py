"""Optimal transport between local pairs of image and label."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.image_cost import BLOCK_BYTES
from medsegdist.distance.image_cost import image_cost as euclidean_distances
from medsegdist.distance.local_patches import LocalPatches, draw_patches
from medsegdist.distance.sinkhorn import blurred_epsilon, matrix_softmin, require_blur, sinkhorn_divergence
from medsegdist.distance.slices import slice_directions, sliced_wasserstein
from medsegdist.distance.transport import SOLVING, solve_transport

SLICES = 128
"""Directions of the sliced solver."""


@dataclass(frozen=True, slots=True, eq=False)
class WeightedPatches:
    """Local pairs with their masses.

    Args:
        drawn: p patches.
        masses: (p,) float64, sum to 1; 0 for patches of samples that are not there.
    """

    drawn: LocalPatches
    masses: Tensor

    def there(self) -> tuple[Tensor, Tensor]:
        """Those that have a mass."""
        there = self.masses > 0
        return self.drawn.patches[there], self.masses[there]


@dataclass(frozen=True, slots=True)
class PatchesMetric:
    """d_Y = W2 between the local pairs of two datasets: z-scored image patches and the label patches under them.

    It asks what a segmentation network must learn locally, and ignores where things lie. Ours, beyond the paper.
    The ground distance is (mean (z - z')^2 + label_weight^2 mean (y - y')^2)^(1/2) over the pixels of a patch.
    As with every metric image_weight * d_X is added to it; `DatasetDistance(PatchesMetric(), image_weight=0)` compares
    patches alone.

    A patch is z-scored by itself; one without contrast is 0 everywhere. Over the border of the image, image and label
    are reflected. Two sets of patches from one distribution lie well apart, for patches have many dimensions: look
    at differences between sources, and at the noise floor.

    Args:
        width: odd edge of the patches in pixels. In volumes a patch has width**3 voxels: 1331 for 11, 13 MB of
            patches per 600, and the same transport.
        count: patches a dataset at most, as many from every sample; at least one of every kind is taken from a sample,
            and if that is too many, samples are chosen in turn over the patients. Exact transport of 1,200 takes
            some tenths of a second a pair, and a third of that for every replicate of the bootstrap.
        mix: shares of centers on the boundary of the segment, elsewhere in it, and outside.
        label_weight: 2 makes labels -1 and 1, which is the scale of z-scores.
        solver: "exact" transport; "sliced", which takes any number of patches and measures far smaller numbers; or
            "sinkhorn", the debiased divergence, for more patches than the simplex can take: at 1,200 it is 15 times
            slower than "exact" (10 s).
        blur: what Sinkhorn's entropy smears, in the unit of the ground distance.
        power: q of the dataset distance.
        seed: of the choice of centers and of the slices, >= 0.
        block_bytes: what a block of patches, of directions or of Sinkhorn's iterations may take.

    Raises:
        ValueError: an option is unknown or out of range.
    """

    width: int = 11
    count: int = 1200
    mix: tuple[float, float, float] = (0.5, 0.25, 0.25)
    label_weight: float = 2.0
    solver: Literal["exact", "sliced", "sinkhorn"] = "exact"
    blur: float = 0.5
    power: float = 1.0
    seed: int = 0
    block_bytes: int = BLOCK_BYTES

    def __post_init__(self) -> None:
        if self.width < 1 or self.width % 2 == 0:
            raise ValueError(f"expected an odd width of patches, found {self.width}.")
        if len(self.mix) != 3 or not all(0 <= share < math.inf for share in self.mix) or sum(self.mix) == 0:
            raise ValueError(
                f"expected a mix of three shares >= 0 (boundary, foreground, background), found {self.mix}."
            )
        if self.count < 3:
            raise ValueError(f"expected a count of at least 3 patches, found {self.count}.")
        if not 0 <= self.label_weight < math.inf:
            raise ValueError(f"expected a finite label_weight >= 0, found {self.label_weight}.")
        if self.solver not in ("exact", "sliced", "sinkhorn"):
            raise ValueError(f"expected the solver 'exact', 'sliced' or 'sinkhorn', found '{self.solver}'.")
        require_blur(self.blur)

    @property
    def name(self) -> str:
        """What tables call it."""
        return "patches"

    def in_blocks_of(self, block_bytes: int) -> PatchesMetric:
        """The same metric with blocks that take no more than `block_bytes`."""
        return replace(self, block_bytes=block_bytes)

    def least_bytes(self, grid: Sequence[int]) -> int:
        """The patches of both sides that have a mass, and matrices between them, for a `grid` of so many axes."""
        matrices = {"exact": 2 + SOLVING, "sinkhorn": 4, "sliced": 0}[self.solver]  # of all patches, of those there
        return 8 * (matrices * self.count**2 + 2 * self.count * 2 * math.prod(self.width for _ in grid))

    def summarize(self, samples: SegmentationSamples, /) -> WeightedPatches:
        """Patches of the dataset, with their masses."""
        drawn = draw_patches(
            samples,
            width=self.width,
            count=self.count,
            mix=self.mix,
            label_weight=self.label_weight,
            seed=self.seed,
        )
        return WeightedPatches(drawn, drawn.masses(samples.weights))

    def resummarize(
        self, samples: SegmentationSamples, summary: WeightedPatches, weights: Tensor, /
    ) -> list[WeightedPatches]:
        """The same patches under other weights of the samples; new ones only where none of theirs is left."""
        found = []
        for row in weights:
            masses = summary.drawn.masses(row)
            if bool(masses.any()):
                found.append(WeightedPatches(summary.drawn, masses))
            else:
                left = (row > 0).nonzero()[:, 0]
                others = replace(samples.take(left.tolist()), weights=row[left].to(samples.weights.device))
                found.append(self.summarize(others))
        return found

    def repeated(
        self, source: WeightedPatches, target: WeightedPatches, /
    ) -> Callable[[WeightedPatches, WeightedPatches], Tensor]:
        """Compares replicates by the distances between all patches of `source` and `target`, computed once if exact."""
        nothing = torch.ones(1, 1)
        if self.solver != "exact":
            return lambda one, other: self.compare(one, other, nothing)
        cost = self._squared_distances(source.drawn.patches, target.drawn.patches)

        def compare(one: WeightedPatches, other: WeightedPatches) -> Tensor:
            if one.drawn is not source.drawn or other.drawn is not target.drawn:
                return self.compare(one, other, nothing)
            rows, columns = one.masses > 0, other.masses > 0
            squared = solve_transport(cost[rows][:, columns], one.masses[rows], other.masses[columns]).value
            return torch.full((1, 1), squared**0.5, dtype=torch.float64)

        return compare

    def compare(self, source: WeightedPatches, target: WeightedPatches, image_cost: Tensor, /) -> Tensor:
        """(1, 1) W2, not squared, in standard deviations of a patch."""
        (patches, masses), (other_patches, other_masses) = source.there(), target.there()
        if self.solver == "sliced":
            directions = slice_directions(patches.shape[1], SLICES, self.seed)
            sides = patches, masses, other_patches, other_masses
            value = sliced_wasserstein(*sides, directions, block_bytes=self.block_bytes)
        else:
            cost = self._squared_distances(patches, other_patches)
            if self.solver == "exact":
                squared = solve_transport(cost, masses, other_masses).value
            else:
                within = (self._squared_distances(side, side) for side in (patches, other_patches))
                blocks = self.block_bytes
                softmins = [matrix_softmin(matrix, block_bytes=blocks) for matrix in (cost, cost.T, *within)]
                squared = sinkhorn_divergence(
                    masses,
                    other_masses,
                    softmins,
                    epsilon=blurred_epsilon(self.blur),
                    largest=float(cost.max()),
                )
            value = max(squared, 0.0) ** 0.5
        return torch.full((1, 1), value, dtype=torch.float64, device=image_cost.device)

    def _squared_distances(self, patches: Tensor, others: Tensor) -> Tensor:
        return euclidean_distances(patches, others, block_bytes=self.block_bytes).square_()
