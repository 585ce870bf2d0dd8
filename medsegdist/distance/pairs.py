"""One dataset by one method, and two datasets by several: the tasks that a table of distances is made of.

Each is a plain function of one task with all its data, so that it may run in any process. What it returns is small: no
image, no whole coupling.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from medsegdist.data.class_samples import MulticlassSamples
from medsegdist.data.samples import SegmentationSamples, spread_over_patients
from medsegdist.distance.dataset_distance import DatasetDistance, Distance, ImagePair, pair_images
from medsegdist.distance.metrics import MaskMetric
from medsegdist.distance.resampling import (
    FLOOR_REPLICATES,
    Bootstrap,
    ResampledSummary,
    draw_patients,
    reflect,
    replicate_distances,
    replicate_weights,
    summarize_resamples,
    summarize_weights,
)
from medsegdist.distance.transport import MatchedPair, solve_transport, strongest_pairs
from medsegdist.parallel import map_ordered

STRONGEST = 3
"""Matched pairs of samples that are kept of each two datasets and method."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassSamples:
    """One class of a dataset as a binary dataset.

    Args:
        name: of the class; empty for the foreground of a dataset without classes.
        samples: those that show it.
        share: of the foreground pixels of its dataset.
        index: (n,) their numbers in the dataset.
    """

    name: str
    samples: SegmentationSamples
    share: float
    index: Sequence[int]

    def compared(self, distance: DatasetDistance) -> list[int]:
        """The numbers in the dataset of the samples that a distance compares."""
        chosen = spread_over_patients(self.samples.patient_ids, distance.max_samples, distance.seed)
        return [self.index[k] for k in chosen]


def classes_of(samples: SegmentationSamples | MulticlassSamples) -> list[ClassSamples]:
    """The classes of a dataset; a dataset without classes has one.

    Args:
        samples: the dataset.

    Raises:
        DataError: a class is in no sample.
    """
    if not isinstance(samples, MulticlassSamples):
        return [ClassSamples("", samples, 1.0, range(len(samples)))]
    binary, shares = samples.by_class, samples.shares
    return [ClassSamples(name, binary[name], shares[name], samples.shown(name).tolist()) for name in samples.classes]


def assign(sources: Sequence[str], targets: Sequence[str], costs: Tensor) -> dict[str, str]:
    """The pairs of classes, as source to target, whose (k, k') costs sum to the least."""
    rows, columns = linear_sum_assignment(costs.numpy())
    return {sources[row]: targets[column] for row, column in zip(rows.tolist(), columns.tolist(), strict=True)}


def pair_classes(
    sources: Sequence[str], targets: Sequence[str], cost: Callable[[str, str], float]
) -> list[tuple[str, str]]:
    """Classes of two datasets in pairs: those of one name, or, if they share none, those whose costs sum to the least.

    Args:
        sources: names of the classes of one dataset.
        targets: names of the classes of the other.
        cost: of a source class and a target class; called only if the datasets have no name in common.
    """
    common = [name for name in sources if name in targets]
    if common:
        return [(name, name) for name in common]
    costs = torch.tensor([[cost(one, other) for other in targets] for one in sources], dtype=torch.float64)
    return list(assign(sources, targets, costs).items())


@dataclass(frozen=True)
class DirectMetric:
    """The direct extension as a mask metric of datasets with classes: d_Y**q = sum_k w_k MW2(g_k, g'_k)**q.

    w_k is the class's share of the foreground pixels, the mean of both datasets; classes are matched as by
    :func:`pair_classes`. A summary holds the share and the metric's summary of each class, by its name.

    Args:
        metric: with one number for a whole dataset, such as :class:`~medsegdist.distance.metrics.GmmMetric`.
    """

    metric: MaskMetric[Any]

    @property
    def name(self) -> str:
        """That of the metric."""
        return self.metric.name

    @property
    def power(self) -> float:
        """That of the metric."""
        return self.metric.power

    def summarize(self, samples: SegmentationSamples | MulticlassSamples, /) -> Mapping[str, tuple[float, Any]]:
        """The share and the summary of each class."""
        return {one.name: (one.share, self.metric.summarize(one.samples)) for one in classes_of(samples)}

    def resample(
        self,
        samples: SegmentationSamples | MulticlassSamples,
        summary: Mapping[str, tuple[float, Any]],
        weights: Tensor,
        /,
    ) -> Sequence[Mapping[str, tuple[float, Any]]]:
        """Summaries under other weights of the samples; the shares stay."""
        found: list[dict[str, tuple[float, Any]]] = [{} for _ in weights]
        for one in classes_of(samples):
            share, own = summary[one.name]
            replicates = summarize_weights(one.samples, self.metric, own, weights[:, list(one.index)])
            for known, replicate in zip(found, replicates or (), strict=True):
                known[one.name] = (share, replicate)
        return found

    def compare(
        self, source: Mapping[str, tuple[float, Any]], target: Mapping[str, tuple[float, Any]], image_cost: Tensor, /
    ) -> Tensor:
        """(1, 1) d_Y of the matched classes together."""

        def powered(one: str, other: str) -> Tensor:
            return self.metric.compare(source[one][1], target[other][1], image_cost) ** self.power

        pairs = pair_classes(list(source), list(target), lambda one, other: float(powered(one, other)))
        shares = [(source[one][0] + target[other][0]) / 2 for one, other in pairs]
        total = math.fsum(shares)
        parts = [share / total * powered(*pair) for pair, share in zip(pairs, shares, strict=True)]
        together: Tensor = torch.stack(parts).sum(0) ** (1 / self.power)
        return together


@dataclass(frozen=True, slots=True, eq=False)
class PreparedClass:
    """A class of a dataset, or the only foreground it has, as methods that compare the same images compare it.

    Args:
        samples: all that show it; which ones are compared follows from the methods' `max_samples` and `seed`.
        summaries: of those that are compared, and of their replicates, by the name of the method. Methods that compare
            this dataset by other classes are left out.
        features: what d_X compares of those, if that is not pixels.
    """

    samples: ClassSamples
    summaries: Mapping[str, ResampledSummary]
    features: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PairTask:
    """Two datasets, and methods that compare the same images.

    Args:
        source: name of one dataset.
        target: name of the other.
        one: classes of the source by their names.
        other: classes of the target by their names.
        methods: by their names.
    """

    source: str
    target: str
    one: Mapping[str, PreparedClass]
    other: Mapping[str, PreparedClass]
    methods: Mapping[str, DatasetDistance]

    def images(self, one: str, other: str) -> ImagePair:
        """The images of a class of the source and a class of the target side by side."""
        first = next(iter(self.methods.values()))
        a, b = self.one[one], self.other[other]
        compared = first.subsample(a.samples.samples), first.subsample(b.samples.samples)
        return pair_images(*compared, a.features, b.features)

    def mask_cost(self, method: str, one: str, other: str, images: ImagePair) -> Tensor:
        """d_Y of the samples of two classes."""
        summaries = self.one[one].summaries[method].summary, self.other[other].summaries[method].summary
        return self.methods[method].metric.compare(*summaries, images.image_cost)

    def mask_distance(self, method: str, one: str, other: str) -> float:
        """The least sum of pi * d_Y**q of two classes, images aside: what classes are assigned by."""
        images = self.images(one, other)
        powered = self.mask_cost(method, one, other, images) ** self.methods[method].metric.power
        if powered.numel() == 1:
            return float(powered)
        return solve_transport(powered, images.source_weights, images.target_weights).value

    def weights(self) -> dict[tuple[str, str], dict[str, float]]:
        """The pairs of classes that are compared, and how much each counts by each method; together that is 1."""
        found: dict[tuple[str, str], dict[str, float]] = {}
        for method in self.methods:
            names = [[name for name, one in side.items() if method in one.summaries] for side in (self.one, self.other)]
            pairs = pair_classes(names[0], names[1], partial(self.mask_distance, method))
            shares = [(self.one[a].samples.share + self.other[b].samples.share) / 2 for a, b in pairs]
            total = math.fsum(shares)
            for pair, share in zip(pairs, shares, strict=True):
                found.setdefault(pair, {})[method] = share / total
        return found


def prepare_all(
    datasets: Mapping[str, SegmentationSamples | MulticlassSamples],
    methods: Mapping[str, DatasetDistance],
    bootstrap: Bootstrap | None,
    workers: int | None,
) -> dict[str, dict[str, PreparedClass]]:
    """The classes of each dataset, summarized by the methods that compare them.

    Args:
        datasets: by name.
        methods: by name; they compare the same images.
        bootstrap: how patients are resampled; None makes no replicates.
        workers: as for :func:`~medsegdist.parallel.map_ordered`.

    Returns:
        By the name of the dataset, then of the class; the name is empty for all images of a dataset.
    """
    first = next(iter(methods.values()))
    direct = [method for method, one in methods.items() if isinstance(one.metric, DirectMetric)]
    compared: dict[tuple[str, str], tuple[ClassSamples, Sequence[str]]] = {}
    tasks = []
    for name, samples in datasets.items():
        classes = classes_of(samples)
        groups = [[samples.patient_ids[k] for k in one.compared(first)] for one in classes]
        if isinstance(samples, MulticlassSamples):
            compared |= {(name, one.name): (one, [m for m in methods if m not in direct]) for one in classes}
            if direct:
                # All images at once; the metric takes the masks apart.
                whole = ClassSamples("", cast(SegmentationSamples, samples), 1.0, range(len(samples)))
                compared[name, ""] = whole, direct
                chosen = set(whole.compared(first))
                groups += [[samples.patient_ids[k] for k in one.index if k in chosen] for one in classes]
        else:
            compared[name, ""] = classes[0], list(methods)
        times = None if bootstrap is None else draw_patients(samples.name, groups, bootstrap.replicates, bootstrap.seed)
        tasks += [
            (part, method, replace(methods[method], embedding=None), times)
            for (dataset, _), (part, by) in compared.items()
            if dataset == name
            for method in by
        ]
    found = map_ordered(
        _summarize,
        tasks,
        workers=workers,
        description="Summarizing",
        name_of=lambda task: f"{task[1]} of '{task[0].samples.name}'",
    )
    prepared: dict[str, dict[str, PreparedClass]] = {name: {} for name in datasets}
    for (name, class_name), (part, by) in compared.items():
        features = None if first.embedding is None else first.embed(first.subsample(part.samples))
        prepared[name][class_name] = PreparedClass(part, {method: next(found) for method in by}, features)
    return prepared


def _summarize(
    task: tuple[ClassSamples, str, DatasetDistance, Mapping[str, NDArray[np.int64]] | None],
) -> ResampledSummary:
    """What a method has to know of a class, whose patients are drawn so often."""
    one, _, distance, times = task
    samples = distance.subsample(one.samples)
    weights = None if times is None else replicate_weights(samples, times)
    return summarize_resamples(samples, distance.metric, weights)


def measure_costs(task: PairTask) -> dict[str, tuple[float, float]]:
    """Means of d_X and d_Y**q of two datasets by each method, from which common scales are made."""
    found = {method: np.zeros(2) for method in task.methods}
    for pair, weights in task.weights().items():
        images = task.images(*pair)
        for method, weight in weights.items():
            costs = task.methods[method].mean_costs(images, task.mask_cost(method, *pair, images))
            found[method] += weight * np.array(costs)
    return {method: (float(image), float(mask)) for method, (image, mask) in found.items()}


def compare_pair(task: PairTask) -> dict[str, Distance]:
    """The distance of two datasets by methods that compare the same images: they share the image cost."""
    found: dict[str, list[tuple[float, Distance]]] = {method: [] for method in task.methods}
    indices: dict[str, list[set[int]]] = {method: [set(), set()] for method in task.methods}
    for pair, weights in task.weights().items():
        one, other = task.one[pair[0]], task.other[pair[1]]
        methods = {method: task.methods[method] for method in weights}
        places = [side.samples.compared(next(iter(methods.values()))) for side in (one, other)]
        images = task.images(*pair)
        mask_costs, solved = {}, {}
        for method, distance in methods.items():
            mask_costs[method] = task.mask_cost(method, *pair, images)
            whole = distance.from_costs(images, mask_costs[method])
            assert whole.transport is not None
            strongest = strongest_pairs(whole.transport.plan, images.image_cost, STRONGEST)
            matches = tuple(MatchedPair(places[0][k.source], places[1][k.target], k.mass) for k in strongest)
            # Without its coupling, which is as large as a cost.
            solved[method] = replace(whole, transport=None, matches=matches)
        replicates = replicate_distances(methods, images, mask_costs, one.summaries, other.summaries)
        for method, part in solved.items():
            drawn = reflect(part.value, replicates[method]) if replicates else None
            found[method].append((weights[method], replace(part, replicates=drawn)))
            for side, place in zip(indices[method], places, strict=True):
                side.update(place)
    return {
        method: _weighted_sum(parts, task.source, task.target, *(len(side) for side in indices[method]))
        for method, parts in found.items()
    }


def _weighted_sum(
    parts: Sequence[tuple[float, Distance]], source: str, target: str, n_source: int, n_target: int
) -> Distance:
    """The distance of two datasets from those of their classes; matches are those of the class that counts most."""
    _, largest = max(parts, key=lambda part: part[0])
    image_term, mask_term = (
        math.fsum(weight * getattr(one, term) for weight, one in parts) for term in ("image_term", "mask_term")
    )
    replicates = [weight * one.replicates for weight, one in parts if one.replicates is not None]
    return replace(
        largest,
        source=source,
        target=target,
        value=image_term + mask_term,
        image_term=image_term,
        mask_term=mask_term,
        n_source=n_source,
        n_target=n_target,
        optimality_gap=max(one.optimality_gap for _, one in parts),
        replicates=torch.stack(replicates).sum(0) if len(replicates) == len(parts) else None,
    )


def measure_noise(task: PairTask) -> dict[str, float]:
    """The median distance of a dataset, in a task of it twice, to its own replicates; empty for one patient."""
    found: dict[str, Tensor] = {}
    for pair, weights in task.weights().items():
        summaries, images = task.one[pair[0]].summaries, task.images(*pair)
        resamples = next(iter(summaries.values())).weights
        if resamples is None:
            return {}
        methods = {method: task.methods[method] for method in weights}
        costs = {method: task.mask_cost(method, *pair, images) for method in methods}
        own = [(0, b) for b in range(min(1 + FLOOR_REPLICATES, len(resamples)))]
        for method, values in replicate_distances(methods, images, costs, summaries, summaries, own).items():
            found[method] = found.get(method, torch.zeros(())) + weights[method] * values[1:]
    return {method: statistics.median(values.tolist()) for method, values in found.items()}
