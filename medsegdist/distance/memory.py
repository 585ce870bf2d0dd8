"""How much memory two datasets take while they are compared."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.image_cost import BLOCK_BYTES
from medsegdist.distance.mask_metrics import DemandingMetric
from medsegdist.distance.pairs import sharing
from medsegdist.distance.transport import SOLVING
from medsegdist.errors import MedSegDistError
from medsegdist.words import counted

MIXING = 9
"""Matrices of the size of a cost, besides those of a transport, that p > 1 takes: the two terms, their shares, and what
they are made of."""

COMPARING = 3
"""The same for a metric that compares: two of its own, and what a replicate has of the images."""

LEAST_BLOCK = 2**20
"""Blocks of fewer bytes are slow."""

SAMPLE_BYTES = 5
"""Of a pixel with its mask."""


def within(
    memory: int, datasets: Iterable[SegmentationSamples], distances: Mapping[str, DatasetDistance]
) -> dict[str, DatasetDistance]:
    """The same distances in blocks so small that a comparison of two datasets stays within a budget.

    A comparison of n and m samples holds one image cost and one mask cost for each method that compares sample by
    sample, 8 n m bytes each; beside them, the larger of the one transport that is being solved (6 such matrices, 15
    where p > 1) and of what one metric compares with (as told by its `least_bytes`); one block; and a copy of
    the samples that are compared of a larger dataset. Not counted are the summaries of both datasets, their samples
    otherwise, which the system can drop from memory where they are mapped from a store, and what Python and its
    libraries take (about 0.5 GiB).

    Args:
        memory: the budget of one process in bytes.
        datasets: those that are compared.
        distances: by the name of the method.

    Raises:
        MedSegDistError: all but the block takes more.
    """
    compared = list(datasets)
    found = dict(distances)
    for group in sharing(distances) if compared else ():
        most = next(iter(group.values())).max_samples
        largest = min(max(len(samples) for samples in compared), most)
        mixing = MIXING if any(distance.p > 1 for distance in group.values()) else 0
        of_metrics = {method: _of_metric(distance, compared) for method, distance in group.items()}
        greediest = max(of_metrics, key=lambda method: of_metrics[method])
        solving, comparing = ((SOLVING + mixing) * 8 * largest**2, COMPARING * 8 * largest**2 + of_metrics[greediest])
        needed = 8 * largest**2 * (1 + len(group)) + max(solving, comparing) + _of_copies(compared, most)
        if memory < needed + LEAST_BLOCK:
            of_one = (
                f", {_mebibytes(of_metrics[greediest])} of it for '{greediest}' alone" if comparing > solving else ""
            )
            raise MedSegDistError(
                f"expected a memory of at least {_mebibytes(needed + LEAST_BLOCK)} to compare {largest} with {largest} "
                f"samples by {counted(len(group), 'method')}{of_one}, found {_mebibytes(memory)}; allow more "
                "(--memory), or compare fewer samples or methods at once."
            )
        block = min(BLOCK_BYTES, memory - needed)
        found.update({method: distance.in_blocks_of(block) for method, distance in group.items()})
    return found


def _of_metric(distance: DatasetDistance, compared: Sequence[SegmentationSamples]) -> int:
    metric = distance.metric
    if not isinstance(metric, DemandingMetric):
        return 0
    return max(metric.least_bytes(grid) for grid in {samples.grid for samples in compared})


def _of_copies(compared: Sequence[SegmentationSamples], most: int) -> int:
    """Samples that are chosen from larger datasets, on both sides."""
    larger = (most * math.prod(samples.grid) * SAMPLE_BYTES for samples in compared if len(samples) > most)
    return sum(heapq.nlargest(2, larger))


def _mebibytes(count: int) -> str:
    return f"{-(-count // 2**20)}MiB"
