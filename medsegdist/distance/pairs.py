"""One dataset by one method, and two datasets by several: the tasks that a table of distances is made of.

Each is a plain function of one task with all its data, so that it may run in any process. What it returns is small: no
image, no whole coupling.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
import torch
from torch import Tensor

from medsegdist.data.class_samples import MulticlassSamples
from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import UNSCALED, ClassPart, DatasetDistance, Distance
from medsegdist.distance.image_cost import ImagePair, pair_images
from medsegdist.distance.metrics.mask_metric import MaskMetric, ReplicatesMetric
from medsegdist.distance.multiclass import ClassSamples, DirectMetric, classes_of, summarize_weights, weigh_classes
from medsegdist.distance.resampling import Bootstrap, draw_patients, reflect, replicate_weights
from medsegdist.distance.transport import (
    EXACT_REPLICATES,
    MatchedPair,
    SampleCosts,
    predicted,
    solve_transport,
    strongest_pairs,
)
from medsegdist.parallel import map_ordered
from medsegdist.words import check_choice

Extension = Literal["decomposition", "direct"]  # how a binary distance is extended to several classes
STRONGEST = 3  # matched pairs of samples that are kept of each two datasets and method
FLOOR_REPLICATES = 25  # replicates that a noise floor is the median of


@dataclass(frozen=True, slots=True, eq=False)
class PreparedClass:
    """A class of a dataset, or the only foreground it has, as methods that compare the same images compare it."""

    part: ClassSamples  # the class, with the samples that are compared
    # The summary of the samples, and those of their replicates, the first of the samples themselves, by the methods
    # that compare this dataset by these classes. The latter are None if there are none, or if d_Y of replicates is a
    # choice of rows and columns.
    summaries: dict[str, tuple[Any, Sequence[Any] | None]]
    # (1 + r, n) of the samples in replicates, the first their own; None without a bootstrap, or for one patient.
    weights: Tensor | None
    features: Tensor | None  # what d_X compares of the samples, if that is not pixels


@dataclass(frozen=True, slots=True, eq=False)
class PairTask:
    """Two datasets, and methods that compare the same images."""

    source: str
    target: str
    one: Mapping[str, PreparedClass]  # classes of the source by their names
    other: Mapping[str, PreparedClass]  # classes of the target by their names
    methods: Mapping[str, DatasetDistance]  # by their names
    given_weights: Mapping[str, float] | None = None  # of the classes, as for `weigh_classes`
    # d_Y that was found before, by the names of method and classes.
    known: Mapping[tuple[str, str, str], Tensor] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"the distance of '{self.source}' and '{self.target}'"

    def compared(self) -> Iterator[ComparedClasses]:
        """The classes that are compared, two after two."""
        weights: dict[tuple[str, str], dict[str, float]] = {}
        for method in self.methods:
            sources, targets = (
                {name: one.part.share for name, one in side.items() if method in one.summaries}
                for side in (self.one, self.other)
            )
            of_method = weigh_classes(sources, targets, partial(self._mask_distance, method), self.given_weights)
            for pair, weight in of_method.items():
                weights.setdefault(pair, {})[method] = weight
        for (one, other), by_method in weights.items():
            images = self._images(one, other)
            costs = {method: self._mask_cost(method, one, other, images) for method in by_method}
            yield ComparedClasses(self.one[one], self.other[other], images, by_method, costs)

    def _images(self, one: str, other: str) -> ImagePair:
        a, b = self.one[one], self.other[other]
        return pair_images(a.part.samples, b.part.samples, a.features, b.features)

    def _mask_cost(self, method: str, one: str, other: str, images: ImagePair) -> Tensor:
        if (method, one, other) in self.known:
            return self.known[method, one, other]
        summaries = self.one[one].summaries[method][0], self.other[other].summaries[method][0]
        return self.methods[method].metric.compare(*summaries, images.image_cost)

    def _mask_distance(self, method: str, one: str, other: str) -> float:
        """The least sum of pi * d_Y**q of two classes, images aside: what classes are assigned by."""
        images = self._images(one, other)
        powered = self._mask_cost(method, one, other, images) ** self.methods[method].metric.power
        if powered.numel() == 1:
            return float(powered)
        return solve_transport(powered, images.source_weights, images.target_weights).value


class ComparedClasses(NamedTuple):
    """A class of the source and one of the target."""

    one: PreparedClass
    other: PreparedClass
    images: ImagePair
    weights: Mapping[str, float]  # how much they count, by the methods that compare them
    mask_costs: Mapping[str, Tensor]  # d_Y of their samples, by these methods


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
    prepared: dict[str, dict[str, PreparedClass]] = {name: {} for name in datasets}
    tasks, places = [], []
    for name, samples in datasets.items():
        several = isinstance(samples, MulticlassSamples)
        apart: Sequence[str] = [method for method in methods if not (several and method in direct)]
        parts = [(one.subsample(first), apart) for one in classes_of(samples)]
        if several and direct:
            # All images at once; the metric takes the masks apart.
            whole = ClassSamples("", cast(SegmentationSamples, samples), 1.0, range(len(samples)))
            parts.append((whole.subsample(first), direct))
        groups = [each.samples.patient_ids for one, _ in parts for each in classes_of(one.samples)]
        times = None if bootstrap is None else draw_patients(samples.name, groups, bootstrap)
        for one, by in parts:
            weights = None if times is None else replicate_weights(one.samples, times)
            prepared[name][one.name] = PreparedClass(one, {}, weights, first.embed(one.samples))
            tasks += [(one.samples, methods[method].metric, weights) for method in by]
            places += [(name, one.name, method) for method in by]
    found = map_ordered(
        _summarize,
        tasks,
        workers=workers,
        description="Summarizing",
        name_of=lambda task: f"{task[1].name} of '{task[0].name}'",
    )
    for (name, class_name, method), summaries in zip(places, found, strict=True):
        prepared[name][class_name].summaries[method] = summaries
    return prepared


def _summarize(task: tuple[SegmentationSamples, MaskMetric[Any], Tensor | None]) -> tuple[Any, Sequence[Any] | None]:
    samples, metric, weights = task
    summary = metric.summarize(samples)
    return summary, None if weights is None else summarize_weights(metric, samples, summary, weights)


def measure_costs(task: PairTask) -> tuple[dict[str, tuple[float, float]], dict[tuple[str, str, str], Tensor]]:
    """Means of d_X and d_Y**q of two datasets by each method, from which common scales are made; and d_Y to be `known`.

    Only a d_Y that is one number is returned: it may have taken long, and others are large.
    """
    found = {method: np.zeros(2) for method in task.methods}
    known = {}
    for one, other, images, weights, mask_costs in task.compared():
        for method, mask_cost in mask_costs.items():
            found[method] += weights[method] * np.array(task.methods[method].mean_costs(images, mask_cost))
            if mask_cost.numel() == 1:
                known[method, one.part.name, other.part.name] = mask_cost
    return {method: (float(image), float(mask)) for method, (image, mask) in found.items()}, known


def compare_pair(task: PairTask) -> dict[str, Distance]:
    """The distance of two datasets by methods that compare the same images: they share the image cost."""
    parts: dict[str, list[ClassPart]] = {method: [] for method in task.methods}
    # Numbers of the samples in both datasets, their mass, and what a unit of it costs.
    paid: dict[str, list[tuple[Tensor, Tensor, Tensor, Tensor]]] = {method: [] for method in task.methods}
    for one, other, images, weights, mask_costs in task.compared():
        rows, columns = torch.tensor(one.part.index), torch.tensor(other.part.index)
        solved = {}
        for method, mask_cost in mask_costs.items():
            distance = task.methods[method]
            whole = distance.from_costs(images, mask_cost)
            assert whole.transport is not None
            strongest = strongest_pairs(whole.transport.plan, images.image_cost, STRONGEST)
            matches = tuple(MatchedPair(int(rows[k.source]), int(columns[k.target]), k.mass) for k in strongest)
            i, j, masses, costs = (each.cpu() for each in distance.paid(images, mask_cost, whole))
            paid[method].append((rows[i], columns[j], weights[method] * masses, costs))
            # Without its coupling, which is as large as a cost.
            solved[method] = replace(whole, transport=None, matches=matches)
        methods = {method: task.methods[method] for method in weights}
        replicates = replicate_distances(methods, images, mask_costs, one, other)
        for method, part in solved.items():
            drawn = reflect(part.value, replicates[method]) if replicates else None
            part = replace(part, replicates=drawn)
            parts[method].append(ClassPart(one.part.name, other.part.name, weights[method], part))
    found = {}
    for method, of_method in parts.items():
        sources, targets, masses, costs = (torch.cat(each) for each in zip(*paid[method], strict=True))
        sides = SampleCosts.sum_of(sources, masses, costs), SampleCosts.sum_of(targets, masses, costs)
        found[method] = _weighted_sum(task, of_method, sides)
    return found


def _weighted_sum(
    task: PairTask, parts: Sequence[ClassPart], sample_costs: tuple[SampleCosts, SampleCosts]
) -> Distance:
    """The distance of two datasets from those of their classes; matches are those of the class that counts most."""
    # fsum does not depend on the order of the classes.
    image_term = math.fsum(part.weight * part.distance.image_term for part in parts)
    mask_term = math.fsum(part.weight * part.distance.mask_term for part in parts)
    replicates = [part.weight * part.distance.replicates for part in parts if part.distance.replicates is not None]
    return replace(
        max(parts, key=lambda part: part.weight).distance,
        source=task.source,
        target=task.target,
        value=image_term + mask_term,
        image_term=image_term,
        mask_term=mask_term,
        n_source=len(sample_costs[0].samples),
        n_target=len(sample_costs[1].samples),
        optimality_gap=max(part.distance.optimality_gap or 0.0 for part in parts),
        replicates=torch.stack(replicates).sum(0) if len(replicates) == len(parts) else None,
        sample_costs=sample_costs,
        parts=tuple(parts),
    )


def measure_noise(task: PairTask) -> dict[str, float]:
    """The median distance of a dataset, in a task of it twice, to its own replicates; empty for one patient."""
    found: dict[str, Tensor] = {}
    for one, other, images, weights, mask_costs in task.compared():
        if one.weights is None:
            return {}
        methods = {method: task.methods[method] for method in weights}
        own = [(0, b) for b in range(min(1 + FLOOR_REPLICATES, len(one.weights)))]
        for method, values in replicate_distances(methods, images, mask_costs, one, other, own).items():
            found[method] = found.get(method, torch.zeros(())) + weights[method] * values[1:]
    return {method: statistics.median(values.tolist()) for method, values in found.items()}


def replicate_distances(
    methods: Mapping[str, DatasetDistance],
    images: ImagePair,
    mask_costs: Mapping[str, Tensor],
    one: PreparedClass,
    other: PreparedClass,
    pairs: Sequence[tuple[int, int]] | None = None,
) -> dict[str, Tensor]:
    """By each method (1 + r,) float64 distances of the replicates of two datasets; empty if one has too few patients.

    The first 50 are solved exactly, from the dual potentials of the datasets as they are; the others are predicted by
    these potentials, and by d_Y where it is one number that is known for all of them, see
    :func:`~medsegdist.distance.transport.predicted`. Nothing of the images is read again. `pairs` are numbers of a
    replicate of the source and one of the target, first (0, 0), the datasets as they are; by default the b-th of one
    and the b-th of the other. A distance that normalizes has its scales.
    """
    if one.weights is None or other.weights is None:
        return {}
    pairs = pairs or [(b, b) for b in range(len(one.weights))]
    at = torch.tensor(pairs)
    first, second = one.weights[at[:, 0]], other.weights[at[:, 1]]
    summaries = {method: (one.summaries[method][1], other.summaries[method][1]) for method in methods}
    # The d_Y of pairs where it is one number for all samples.
    numbers: dict[str, Sequence[Tensor]] = {}
    for method, distance in methods.items():
        own, others = summaries[method]
        if own is not None and others is not None and mask_costs[method].numel() == 1:
            known = [(own[i], others[j]) for i, j in pairs if i < len(own) and j < len(others)]
            if isinstance(distance.metric, ReplicatesMetric):
                numbers[method] = distance.metric.compare_replicates(known, images.image_cost)
            else:
                numbers[method] = [distance.metric.compare(*pair, images.image_cost) for pair in known]

    values: dict[str, list[float]] = {method: [] for method in methods}
    starts: dict[str, tuple[Tensor, Tensor]] = {}
    image_start: tuple[Tensor, Tensor] | None = None
    for k, (i, j) in enumerate(pairs[: 1 + EXACT_REPLICATES]):
        rows, columns = first[k].nonzero()[:, 0], second[k].nonzero()[:, 0]
        part = ImagePair(
            images.image_cost[rows][:, columns],
            first[k][rows],
            second[k][columns],
            images.source,
            images.target,
            image_start and (image_start[0][rows], image_start[1][columns]),
        )
        for method, distance in methods.items():
            own, others = summaries[method]
            if method in numbers:
                mask_cost = numbers[method][k]
            elif own is None or others is None:
                mask_cost = mask_costs[method][rows][:, columns]
            else:
                mask_cost = distance.metric.compare(own[i], others[j], part.image_cost)
            start = starts.get(method)
            solved = distance.from_costs(part, mask_cost, start and (start[0][rows], start[1][columns]))
            values[method].append(solved.value)
            if k == 0 and solved.transport is not None:
                starts[method] = solved.transport.source_potential, solved.transport.target_potential
        if k == 0 and "transport" in vars(part):
            image_start = part.transport.source_potential, part.transport.target_potential
    found = {}
    for method, distance in methods.items():
        one_end, other_end = (
            side / side.sum(1, keepdim=True) @ potential.cpu()
            for side, potential in zip((first, second), starts[method], strict=True)
        )
        linear = one_end + other_end
        of_method = torch.tensor([float(number) for number in numbers.get(method, ())], dtype=torch.float64)
        if len(of_method) == len(pairs):
            scales = distance.scales or UNSCALED
            linear = distance.image_weight / scales.image * linear
            linear += distance.mask_weight / scales.mask * of_method**distance.metric.power
        found[method] = torch.tensor(predicted(values[method], linear.tolist()), dtype=torch.float64)
    return found


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

    The paper's two extensions differ in the images only. "decomposition" is the binary distance of each class, with the
    images that show it. "direct" is for metrics with one number for a whole dataset, such as mixtures: one of each
    class, sum_k w_k MW2(g_k, g'_k)**q, and one transport of all images. If every sample shows every class, both are the
    same; if a class is rare, the decomposition gives the images that show it more weight.

    Args:
        source: one dataset.
        target: the other, prepared alike.
        distance: the binary distance. Its `max_samples` limits the samples of each class, or, if "direct", all samples.
        weights: w_k, a number >= 0 for each class of the target that has a counterpart, in any scale. None takes the
            class's share of the foreground pixels, the mean of both datasets.
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
