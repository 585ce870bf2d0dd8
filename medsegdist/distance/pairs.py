"""One dataset by one method, and two datasets by several: the tasks that a table of distances is made of.

Each is a plain function of one task with all its data, so that it may run in any process. What it returns is small: no
image, no whole coupling.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from medsegdist.data.samples import SegmentationSamples, spread_over_patients
from medsegdist.distance.dataset_distance import DatasetDistance, Distance, ImagePair, pair_images
from medsegdist.distance.resampling import (
    Bootstrap,
    ResampledSummary,
    noise_floors,
    reflect,
    replicate_distances,
    summarize_resamples,
)
from medsegdist.distance.transport import MatchedPair, strongest_pairs

STRONGEST = 3
"""Matched pairs of samples that are kept of each two datasets and method."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedDataset:
    """A dataset as methods that compare the same images of it compare it.

    Args:
        samples: all of them; which ones are compared follows from the methods' `max_samples` and `seed`.
        summaries: of those that are compared, and of their replicates, by the name of the method.
        features: what d_X compares of those, if that is not pixels.
    """

    samples: SegmentationSamples
    summaries: Mapping[str, ResampledSummary]
    features: Tensor | None = None


PairTask = tuple[PreparedDataset, PreparedDataset, Mapping[str, DatasetDistance]]
"""Two datasets, and methods that compare the same images."""


def summarize(task: tuple[SegmentationSamples, str, DatasetDistance, Bootstrap | None]) -> ResampledSummary:
    """What a method has to know of a dataset.

    Args:
        task: the dataset, the name of the method, the method, and how patients are resampled.
    """
    samples, _, distance, bootstrap = task
    return summarize_resamples(distance.subsample(samples), distance.metric, bootstrap)


def compare_images(task: PairTask) -> ImagePair:
    """The images of two datasets side by side.

    Args:
        task: the datasets and the methods.
    """
    one, other, methods = task
    first = next(iter(methods.values()))
    return pair_images(first.subsample(one.samples), first.subsample(other.samples), one.features, other.features)


def compare_masks(task: PairTask, images: ImagePair) -> dict[str, Tensor]:
    """The mask cost of two datasets by each method.

    Args:
        task: the datasets and the methods.
        images: of both datasets.
    """
    one, other, methods = task
    return {
        name: distance.metric.compare(one.summaries[name].summary, other.summaries[name].summary, images.image_cost)
        for name, distance in methods.items()
    }


def measure_costs(task: PairTask) -> dict[str, tuple[float, float]]:
    """Means of d_X and d_Y**q of two datasets by each method, from which common scales are made.

    Args:
        task: the datasets and the methods.
    """
    images = compare_images(task)
    mask_costs = compare_masks(task, images)
    return {name: distance.mean_costs(images, mask_costs[name]) for name, distance in task[2].items()}


def compare_pair(task: PairTask) -> dict[str, Distance]:
    """The distance of two datasets by methods that compare the same images: they share the image cost.

    Args:
        task: the datasets and the methods.
    """
    one, other, methods = task
    images = compare_images(task)
    mask_costs = compare_masks(task, images)
    first = next(iter(methods.values()))
    places = [spread_over_patients(side.samples.patient_ids, first.max_samples, first.seed) for side in (one, other)]
    found = {}
    for name, distance in methods.items():
        solved = distance.from_costs(images, mask_costs[name])
        assert solved.transport is not None
        strongest = strongest_pairs(solved.transport.plan, images.image_cost, STRONGEST)
        matches = tuple(MatchedPair(places[0][k.source], places[1][k.target], k.mass) for k in strongest)
        # Without its coupling, which is as large as a cost.
        found[name] = replace(solved, transport=None, matches=matches)
    replicates = replicate_distances(methods, images, mask_costs, one.summaries, other.summaries)
    return {
        name: replace(solved, replicates=reflect(solved.value, replicates[name])) if replicates else solved
        for name, solved in found.items()
    }


def measure_noise(task: PairTask) -> dict[str, float]:
    """The noise floor of a dataset by each method: its median distance to its own replicates.

    Args:
        task: the dataset twice, and the methods.

    Returns:
        Empty if the dataset has one patient only.
    """
    dataset, _, methods = task
    if all(one.resamples is None for one in dataset.summaries.values()):
        return {}
    floors = noise_floors(methods, compare_images(task), dataset.summaries)
    return {name: statistics.median(values.tolist()) for name, values in floors.items()}
