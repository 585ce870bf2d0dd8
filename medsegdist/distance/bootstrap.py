"""Distances of datasets whose patients are drawn anew: how much of a distance is owed to who happened to be there."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance, ImagePair
from medsegdist.distance.metrics import MaskMetric, ResamplingMetric
from medsegdist.distance.resampling import Resamples, resample_patients


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How patients are drawn anew.

    Args:
        replicates: how often.
        level: of the intervals.
        seed: of the draws.

    Raises:
        ValueError: fewer than 2 replicates, or a level that is not between 0 and 1.
    """

    replicates: int = 200
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.replicates < 2:
            raise ValueError(f"expected at least 2 replicates, found {self.replicates}.")
        if not 0 < self.level < 1:
            raise ValueError(f"expected a level between 0 and 1, found {self.level}.")


@dataclass(frozen=True, slots=True, eq=False)
class ResampledDataset:
    """A dataset, its replicates, and what a metric makes of each of them.

    Args:
        summary: of the dataset.
        summaries: (1 + r) of the replicates, the first being the dataset itself; None if d_Y of replicates is a choice
            of rows and columns, or if there are too few patients.
        resamples: the replicates; None where there are too few patients.
    """

    summary: Any
    summaries: Sequence[Any] | None
    resamples: Resamples | None


def resample(
    samples: SegmentationSamples, metric: MaskMetric[Any], summary: Any, bootstrap: Bootstrap
) -> ResampledDataset:
    """The summaries of a dataset whose patients are drawn anew.

    Args:
        samples: the dataset.
        metric: summarizes it.
        summary: `metric.summarize(samples)`.
        bootstrap: how patients are drawn.
    """
    resamples = resample_patients(samples, bootstrap.replicates, bootstrap.seed)
    summaries: Sequence[Any] | None = None
    if resamples is None:
        pass
    elif isinstance(metric, ResamplingMetric):
        summaries = metric.resample(samples, summary, resamples.weights)
    else:
        drawn = (resamples.samples(samples, b) for b in range(1, len(resamples)))
        summaries = [summary, *(metric.summarize(replicate) for replicate in drawn)]
    return ResampledDataset(summary, summaries, resamples)


def resampled_values(
    distances: Mapping[str, DatasetDistance],
    images: ImagePair,
    mask_costs: Mapping[str, Tensor],
    sources: Mapping[str, ResampledDataset],
    targets: Mapping[str, ResampledDataset],
) -> dict[str, Tensor]:
    """Distances of the replicates of two datasets, the b-th of one to the b-th of the other.

    Every transport starts from the dual potentials of the datasets as they are; nothing of the images is read again.

    Args:
        distances: by the name of the method.
        images: of the n and m samples.
        mask_costs: d_Y of the datasets as they are, by the name of the method.
        sources: by the name of the method; all hold the same replicates.
        targets: likewise, as many replicates.

    Returns:
        For each method (1 + r,) float64 distances, the first of the datasets as they are; empty where a dataset has
        too few patients.
    """
    first, second = (next(iter(side.values())).resamples for side in (sources, targets))
    if first is None or second is None:
        return {}
    starts: dict[str, tuple[Tensor, Tensor]] = {}
    image_start: tuple[Tensor, Tensor] | None = None
    values: dict[str, list[float]] = {method: [] for method in distances}
    for b in range(len(first)):
        rows, columns = first.drawn(b), second.drawn(b)
        part = ImagePair(
            images.image_cost[rows][:, columns],
            first.weights[b][rows],
            second.weights[b][columns],
            None if image_start is None else (image_start[0][rows], image_start[1][columns]),
        )
        for method, distance in distances.items():
            one, other = sources[method].summaries, targets[method].summaries
            if one is None or other is None:
                mask_cost = mask_costs[method][rows][:, columns]
            else:
                mask_cost = distance.metric.compare(one[b], other[b], part.image_cost)
            start = starts.get(method)
            transport, *terms = distance.solve(
                part, mask_cost, None if start is None else (start[0][rows], start[1][columns])
            )
            values[method].append(sum(terms))
            if b == 0:
                starts[method] = transport.source_potential, transport.target_potential
        if b == 0 and "image_transport" in part.__dict__:
            image_start = part.image_transport.source_potential, part.image_transport.target_potential
    return {method: torch.tensor(found, dtype=torch.float64) for method, found in values.items()}


def noise_floors(
    distances: Mapping[str, DatasetDistance],
    images: ImagePair,
    datasets: Mapping[str, ResampledDataset],
    replicates: int = 25,
) -> dict[str, float]:
    """How far a dataset lies from a replicate of itself: what is below that is no distance between datasets.

    Args:
        distances: by the name of the method.
        images: of the dataset with itself.
        datasets: by the name of the method; all hold the same replicates.
        replicates: how many are looked at.

    Returns:
        For each method the median; empty where there are too few patients.
    """
    resamples = next(iter(datasets.values())).resamples
    if resamples is None:
        return {}
    own_costs = {
        method: distance.metric.compare(datasets[method].summary, datasets[method].summary, images.image_cost)
        for method, distance in distances.items()
        if datasets[method].summaries is None
    }
    found: dict[str, list[float]] = {method: [] for method in distances}
    for b in range(1, min(1 + replicates, len(resamples))):
        columns = resamples.drawn(b)
        part = ImagePair(images.image_cost[:, columns], images.source_weights, resamples.weights[b][columns])
        for method, distance in distances.items():
            summaries = datasets[method].summaries
            if summaries is None:
                mask_cost = own_costs[method][:, columns]
            else:
                mask_cost = distance.metric.compare(summaries[0], summaries[b], part.image_cost)
            _, *terms = distance.solve(part, mask_cost)
            found[method].append(sum(terms))
    return {method: statistics.median(values) for method, values in found.items()}
