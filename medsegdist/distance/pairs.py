"""One dataset by one method, and two datasets by several: the tasks that a table of distances is made of.

Each is a plain function of one task with all its data, so that it may run in any process. What it returns is small: no
image, no whole coupling.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor

from medsegdist.data.class_samples import MulticlassSamples
from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import ClassPart, DatasetDistance, Distance
from medsegdist.distance.image_cost import ImagePair, pair_images
from medsegdist.distance.multiclass import ClassSamples, DirectMetric, class_weights, classes_of, pair_classes
from medsegdist.distance.resampling import (
    FLOOR_REPLICATES,
    Bootstrap,
    ResampledSummary,
    draw_patients,
    reflect,
    replicate_distances,
    replicate_weights,
    summarize_resamples,
)
from medsegdist.distance.transport import MatchedPair, SampleCosts, solve_transport, strongest_pairs
from medsegdist.parallel import map_ordered
from medsegdist.words import check_choice

Extension = Literal["decomposition", "direct"]  # how a binary distance is extended to several classes
STRONGEST = 3  # matched pairs of samples that are kept of each two datasets and method


@dataclass(frozen=True, slots=True, eq=False)
class PreparedClass:
    """A class of a dataset, or the only foreground it has, as methods that compare the same images compare it."""

    part: ClassSamples  # the class, with the samples that are compared
    # Of samples and replicates, by the methods that compare this dataset by these classes.
    summaries: Mapping[str, ResampledSummary]
    features: Tensor | None = None  # what d_X compares of the samples, if that is not pixels


@dataclass(frozen=True, slots=True, eq=False)
class PairTask:
    """Two datasets, and methods that compare the same images."""

    source: str
    target: str
    one: Mapping[str, PreparedClass]  # classes of the source by their names
    other: Mapping[str, PreparedClass]  # classes of the target by their names
    methods: Mapping[str, DatasetDistance]  # by their names
    given_weights: Mapping[str, float] | None = None  # of the classes, as for `class_weights`
    # d_Y that was found before, by the names of method and classes.
    known: Mapping[tuple[str, str, str], Tensor] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"the distance of '{self.source}' and '{self.target}'"

    def images(self, one: str, other: str) -> ImagePair:
        """The images of a class of the source and a class of the target side by side."""
        a, b = self.one[one], self.other[other]
        return pair_images(a.part.samples, b.part.samples, a.features, b.features)

    def mask_cost(self, method: str, one: str, other: str, images: ImagePair) -> Tensor:
        """d_Y of the samples of two classes."""
        if (method, one, other) in self.known:
            return self.known[method, one, other]
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
            sources, targets = (
                {name: one.part.share for name, one in side.items() if method in one.summaries}
                for side in (self.one, self.other)
            )
            pairs = pair_classes(list(sources), list(targets), partial(self.mask_distance, method))
            weights = class_weights(pairs, sources, targets, self.given_weights)
            for pair, weight in zip(pairs, weights, strict=True):
                found.setdefault(pair, {})[method] = weight
        return found


def prepare_all(
    datasets: Mapping[str, SegmentationSamples | MulticlassSamples],
    methods: Mapping[str, DatasetDistance],
    bootstrap: Bootstrap | None,
    workers: int | None,
) -> dict[str, dict[str, PreparedClass]]:
    """The classes of each dataset, summarized by the methods that compare them; all these compare the same images.

    They are by the names of dataset and class; the latter is empty for all images of a dataset.
    """
    first = next(iter(methods.values()))
    direct = [method for method, one in methods.items() if isinstance(one.metric, DirectMetric)]
    compared: dict[tuple[str, str], tuple[ClassSamples, Sequence[str]]] = {}
    tasks = []
    for name, samples in datasets.items():
        several = isinstance(samples, MulticlassSamples)
        parts = [one.subsample(first) for one in classes_of(samples)]
        groups: list[Sequence[str]] = [one.samples.patient_ids for one in parts]
        apart: Sequence[str] = [method for method in methods if not (several and method in direct)]
        by_class = [(one, apart) for one in parts]
        if several and direct:
            # All images at once; the metric takes the masks apart.
            whole = ClassSamples("", cast(SegmentationSamples, samples), 1.0, range(len(samples))).subsample(first)
            groups += [one.samples.patient_ids for one in classes_of(whole.samples)]
            by_class.append((whole, direct))
        times = None if bootstrap is None else draw_patients(samples.name, groups, bootstrap.replicates, bootstrap.seed)
        for one, by in by_class:
            compared[name, one.name] = one, by
            weights = None if times is None else replicate_weights(one.samples, times)
            tasks += [(one.samples, methods[method].metric, weights) for method in by]
    found = map_ordered(
        lambda task: summarize_resamples(*task),
        tasks,
        workers=workers,
        description="Summarizing",
        name_of=lambda task: f"{task[1].name} of '{task[0].name}'",
    )
    prepared: dict[str, dict[str, PreparedClass]] = {name: {} for name in datasets}
    for (name, class_name), (one, by) in compared.items():
        summaries = {method: next(found) for method in by}
        prepared[name][class_name] = PreparedClass(one, summaries, first.embed(one.samples))
    return prepared


def measure_costs(task: PairTask) -> tuple[dict[str, tuple[float, float]], dict[tuple[str, str, str], Tensor]]:
    """Means of d_X and d_Y**q of two datasets by each method, from which common scales are made; and d_Y to be `known`.

    Only a d_Y that is one number is returned: it may have taken long, and others are large.
    """
    found = {method: np.zeros(2) for method in task.methods}
    known = {}
    for pair, weights in task.weights().items():
        images = task.images(*pair)
        for method, weight in weights.items():
            mask_cost = task.mask_cost(method, *pair, images)
            found[method] += weight * np.array(task.methods[method].mean_costs(images, mask_cost))
            if mask_cost.numel() == 1:
                known[method, *pair] = mask_cost
    return {method: (float(image), float(mask)) for method, (image, mask) in found.items()}, known


def compare_pair(task: PairTask) -> dict[str, Distance]:
    """The distance of two datasets by methods that compare the same images: they share the image cost."""
    parts: dict[str, list[ClassPart]] = {method: [] for method in task.methods}
    compared: dict[str, list[set[int]]] = {method: [set(), set()] for method in task.methods}
    for pair, weights in task.weights().items():
        one, other = task.one[pair[0]], task.other[pair[1]]
        methods = {method: task.methods[method] for method in weights}
        places = one.part.index, other.part.index
        images = task.images(*pair)
        mask_costs, solved = {}, {}
        for method, distance in methods.items():
            mask_costs[method] = task.mask_cost(method, *pair, images)
            whole = distance.from_costs(images, mask_costs[method])
            assert whole.transport is not None
            strongest = strongest_pairs(whole.transport.plan, images.image_cost, STRONGEST)
            matches = tuple(MatchedPair(places[0][k.source], places[1][k.target], k.mass) for k in strongest)
            costs = distance.sample_costs(images, mask_costs[method], whole)
            source, target = (
                replace(a, samples=torch.tensor(b)[a.samples]) for a, b in zip(costs, places, strict=True)
            )
            # Without its coupling, which is as large as a cost.
            solved[method] = replace(whole, transport=None, matches=matches, sample_costs=(source, target))
        replicates = replicate_distances(methods, images, mask_costs, one.summaries, other.summaries)
        for method, part in solved.items():
            drawn = reflect(part.value, replicates[method]) if replicates else None
            parts[method].append(ClassPart(*pair, weights[method], replace(part, replicates=drawn)))
            for side, place in zip(compared[method], places, strict=True):
                side.update(place)
    return {
        method: _weighted_sum(of_method, task.source, task.target, *map(len, compared[method]))
        for method, of_method in parts.items()
    }


def _weighted_sum(parts: Sequence[ClassPart], source: str, target: str, n_source: int, n_target: int) -> Distance:
    """The distance of two datasets from those of their classes; matches are those of the class that counts most."""
    # fsum does not depend on the order of the classes.
    image_term = math.fsum(part.weight * part.distance.image_term for part in parts)
    mask_term = math.fsum(part.weight * part.distance.mask_term for part in parts)
    replicates = [part.weight * part.distance.replicates for part in parts if part.distance.replicates is not None]
    costs = [(part.weight, part.distance.sample_costs) for part in parts if part.distance.sample_costs is not None]
    of_source, of_target = (
        SampleCosts.sum_of(
            torch.cat([one[side].samples for _, one in costs]),
            torch.cat([weight * one[side].masses for weight, one in costs]),
            torch.cat([one[side].costs for _, one in costs]),
        )
        for side in (0, 1)
    )
    return replace(
        max(parts, key=lambda part: part.weight).distance,
        source=source,
        target=target,
        value=image_term + mask_term,
        image_term=image_term,
        mask_term=mask_term,
        n_source=n_source,
        n_target=n_target,
        optimality_gap=max(part.distance.optimality_gap or 0.0 for part in parts),
        replicates=torch.stack(replicates).sum(0) if len(replicates) == len(parts) else None,
        sample_costs=(of_source, of_target),
        parts=tuple(replace(part, distance=replace(part.distance, sample_costs=None)) for part in parts),
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


def multiclass_distance(
    source: MulticlassSamples,
    target: MulticlassSamples,
    distance: DatasetDistance,
    *,
    weights: Mapping[str, float] | None = None,
    extension: Extension = "decomposition",
) -> Distance:
    """d_multi(A, B) = sum over classes k of w_k d(A^k, B^k).

    Classes of one name are compared, or, if the datasets share no name, those whose mask distances sum to the least. A
    class without a counterpart takes no part.

    The paper has two extensions. They differ in the images only. "decomposition" computes the binary distance of each
    class as it is, with the images that show the class. "direct" is for a metric with one number for a whole dataset,
    above all the mixtures of :class:`~medsegdist.distance.metrics.GmmMetric`: one mixture for each class, sum_k w_k
    MW2(g_k, g'_k)**q, and one transport of all images. If every sample shows every class, both are the same; if a class
    is rare, the decomposition gives the images that show it more weight.

    Args:
        source: one dataset.
        target: the other, prepared alike.
        distance: the binary distance to extend. Its `max_samples` limits the samples of each class in
            "decomposition", and all samples in "direct".
        weights: w_k, a number >= 0 for each class of the target that has a counterpart, in any scale. None takes the
            class's share of the foreground pixels, the mean of both datasets, so that neither their sizes nor their
            order matter.
        extension: "decomposition" or "direct".

    Returns:
        The distance; in a decomposition its `parts` are those of the classes.

    Raises:
        PreprocessingMismatchError: they were not prepared alike.
        DataError: a class is in no sample, or cannot be summarized by the metric.
        ValueError: weights are negative, not finite, all 0 or missing, or the extension is unknown or does not fit the
            metric.
    """
    check_choice("the extension", extension, get_args(Extension))
    if extension == "direct":
        return replace(distance, metric=DirectMetric(distance.metric, weights))(source, target)  # type: ignore[arg-type]
    methods = {distance.metric.name: distance}
    sides = prepare_all({"source": source, "target": target}, methods, None, 1)
    task = PairTask(source.name, target.name, sides["source"], sides["target"], methods, weights)
    return compare_pair(task)[distance.metric.name]
