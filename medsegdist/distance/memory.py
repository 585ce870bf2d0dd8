"""How much memory two datasets take while they are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.image_cost import BLOCK_BYTES
from medsegdist.distance.pairs import sharing
from medsegdist.errors import MedSegDistError

SOLVING = 6
"""Matrices of the size of a cost that one exact transport takes: the cost, the coupling, the simplex's own copies
(measured with POT 0.9.7: 5.0)."""

MIXING = 9
"""Further ones where p > 1: the two terms, their shares, and what they are made of."""

LEAST_BLOCK = 2**20
"""Blocks of fewer bytes are slow."""


def within(
    memory: int, datasets: Iterable[SegmentationSamples], distances: Mapping[str, DatasetDistance]
) -> dict[str, DatasetDistance]:
    """The same distances in blocks of pixels so small that a comparison of two datasets stays within a budget.

    The peak of a comparison of n and m samples is one image cost, one mask cost for each method that compares sample by
    sample, and the one transport that is being solved (6 matrices, 15 where p > 1), each of 8 n m bytes, and a block.
    Beside it stand the summaries of both datasets, their samples, which the system can drop from memory where they are
    mapped from a store, and what Python and its libraries take (about 0.5 GiB).

    Args:
        memory: the budget of one process in bytes.
        datasets: those that are compared.
        distances: by the name of the method.

    Raises:
        MedSegDistError: the costs alone take more.
    """
    sizes = [len(samples) for samples in datasets]
    found = dict(distances)
    for group in sharing(distances):
        largest = min(max(sizes, default=0), next(iter(group.values())).max_samples)
        mixing = MIXING if any(distance.p > 1 for distance in group.values()) else 0
        costs = 8 * largest**2 * (1 + len(group) + SOLVING + mixing)
        if memory < costs + LEAST_BLOCK:
            raise MedSegDistError(
                f"expected a memory of at least {_mebibytes(costs + LEAST_BLOCK)} to compare {largest} with {largest} "
                f"samples by {len(group)} methods, found {_mebibytes(memory)}; allow more (--memory), or compare fewer "
                "samples or methods at once."
            )
        block = min(BLOCK_BYTES, memory - costs)
        found.update({method: distance.in_blocks_of(block) for method, distance in group.items()})
    return found


def _mebibytes(count: int) -> str:
    return f"{-(-count // 2**20)}MiB"
