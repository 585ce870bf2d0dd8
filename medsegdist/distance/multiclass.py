"""Datasets whose masks have several classes (the paper's section 6.3): which are compared, and how much each counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from medsegdist.data.class_samples import MulticlassSamples
from medsegdist.data.samples import SegmentationSamples, spread_over_patients
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics.mask_metric import MaskMetric, ResamplingMetric

ClassSummaries = Mapping[str, tuple[float, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class ClassSamples:
    """One class of a dataset as a binary dataset."""

    name: str  # of the class; empty for the foreground of a dataset without classes
    samples: SegmentationSamples  # those that show it
    share: float  # of the foreground pixels of its dataset
    index: Sequence[int]  # (n,) their numbers in the dataset

    def subsample(self, distance: DatasetDistance) -> ClassSamples:
        """The same class with the samples that a distance compares."""
        if len(self.samples) <= distance.max_samples:
            return self
        chosen = spread_over_patients(self.samples.patient_ids, distance.max_samples, distance.seed)
        return replace(self, samples=self.samples.take(chosen), index=[self.index[k] for k in chosen])


def classes_of(samples: SegmentationSamples | MulticlassSamples) -> list[ClassSamples]:
    """The classes of a dataset; a dataset without classes has one."""
    if not isinstance(samples, MulticlassSamples):
        return [ClassSamples("", samples, 1.0, range(len(samples)))]
    binary, shares = samples.by_class, samples.shares
    return [ClassSamples(name, binary[name], shares[name], samples.shown(name).tolist()) for name in samples.classes]


def summarize_weights(
    metric: MaskMetric[Any], samples: SegmentationSamples, summary: Any, weights: Tensor
) -> Sequence[Any] | None:
    """Summaries under (1 + r, n) weights, the samples' own first, as :meth:`ResamplingMetric.resample` returns them."""
    if isinstance(metric, ResamplingMetric):
        return metric.resample(samples, summary, weights)
    return [summary, *(metric.summarize(samples.reweighted(row)) for row in weights[1:])]


def weigh_classes(
    sources: Mapping[str, float],
    targets: Mapping[str, float],
    cost: Callable[[str, str], float],
    given: Mapping[str, float] | None = None,
) -> dict[tuple[str, str], float]:
    """The classes of two datasets that are compared, and w_k, how much they count; together that is 1.

    Classes of one name are compared, or, if the datasets share none, those whose costs sum to the least; only then is
    the cost of a source class and a target class asked for. Weights are `given` for each target class, in any scale, or
    else the mean of both classes' shares in the foreground pixels, which `sources` and `targets` hold.
    """
    pairs = [(name, name) for name in sources if name in targets]
    if not pairs:
        rows, columns = linear_sum_assignment([[cost(one, other) for other in targets] for one in sources])
        pairs = [(list(sources)[row], list(targets)[column]) for row, column in zip(rows, columns, strict=True)]
    names = [target for _, target in pairs]
    if given is None:
        raw = [(sources[source] + targets[target]) / 2 for source, target in pairs]
    else:
        unknown = [name for name in given if name not in targets]
        missing = [name for name in names if name not in given]
        if unknown or missing:
            raise ValueError(
                f"expected a weight for each of the target's classes {', '.join(names)}, found "
                f"{f'none for {missing[0]!r}' if missing else f'one for {unknown[0]!r}, which it has not'}."
            )
        raw = [float(given[name]) for name in names]
    total = math.fsum(raw)  # which does not depend on the order of the classes
    if not all(math.isfinite(weight) and weight >= 0 for weight in raw) or not total > 0:
        raise ValueError(
            f"expected finite weights >= 0 that are not all 0, found {dict(zip(names, raw, strict=True))}."
        )
    return {pair: weight / total for pair, weight in zip(pairs, raw, strict=True)}


@dataclass(frozen=True)
class DirectMetric:
    """The direct extension as a mask metric of datasets with classes: d_Y = sum_k w_k MW2(g_k, g'_k)**q.

    A summary holds the share and the metric's summary of each class, by its name.
    """

    metric: MaskMetric[Any]  # with one number for a whole dataset, such as `gmm2d`
    weights: Mapping[str, float] | None = None  # w_k, as given to :func:`weigh_classes`
    # That of the metric is in the sum.
    power = 1.0

    @property
    def name(self) -> str:
        """That of the metric."""
        return self.metric.name

    def summarize(self, samples: SegmentationSamples | MulticlassSamples, /) -> ClassSummaries:
        """The share and the summary of each class."""
        return {one.name: (one.share, self.metric.summarize(one.samples)) for one in classes_of(samples)}

    def resample(
        self, samples: SegmentationSamples | MulticlassSamples, summary: ClassSummaries, weights: Tensor, /
    ) -> Sequence[ClassSummaries]:
        """Summaries under other weights of the samples; the shares stay."""
        found: list[dict[str, tuple[float, Any]]] = [{} for _ in weights]
        for one in classes_of(samples):
            share, own = summary[one.name]
            replicates = summarize_weights(self.metric, one.samples, own, weights[:, list(one.index)])
            for known, replicate in zip(found, replicates or (), strict=True):
                known[one.name] = (share, replicate)
        return found

    def compare(self, source: ClassSummaries, target: ClassSummaries, image_cost: Tensor, /) -> Tensor:
        """(1, 1) d_Y of the matched classes together."""

        def powered(one: str, other: str) -> float:
            distance = self.metric.compare(source[one][1], target[other][1], image_cost)
            if distance.numel() != 1:
                raise ValueError(
                    "expected a metric with one number for a whole dataset for the direct extension, such as gmm2d or "
                    f"gmm3d, found '{self.name}', which compares sample by sample; use the decomposition."
                )
            value: float = float(distance) ** self.metric.power
            return value

        sources, targets = ({name: share for name, (share, _) in side.items()} for side in (source, target))
        weights = weigh_classes(sources, targets, powered, self.weights)
        value = math.fsum(weight * powered(*pair) for pair, weight in weights.items())
        return torch.full((1, 1), value, dtype=torch.float64, device=image_cost.device)
