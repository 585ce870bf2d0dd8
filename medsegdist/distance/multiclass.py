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
from medsegdist.distance.metrics import MaskMetric
from medsegdist.distance.resampling import summarize_weights


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


def pair_classes(
    sources: Sequence[str], targets: Sequence[str], cost: Callable[[str, str], float]
) -> list[tuple[str, str]]:
    """Classes of two datasets in pairs: those of one name, or, if they share none, those whose costs sum to the least.

    The cost of a source class and a target class is only asked for if the datasets have no name in common.
    """
    common = [name for name in sources if name in targets]
    if common:
        return [(name, name) for name in common]
    rows, columns = linear_sum_assignment([[cost(one, other) for other in targets] for one in sources])
    return [(sources[row], targets[column]) for row, column in zip(rows, columns, strict=True)]


def class_weights(
    pairs: Sequence[tuple[str, str]],
    sources: Mapping[str, float],
    targets: Mapping[str, float],
    given: Mapping[str, float] | None = None,
) -> list[float]:
    """w_k of each pair of a source class and a target class; together they are 1.

    They are given for each target class, in any scale, or else the mean of both classes' shares in the foreground
    pixels.
    """
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
    return [weight / total for weight in raw]


@dataclass(frozen=True)
class DirectMetric:
    """The direct extension as a mask metric of datasets with classes: d_Y = sum_k w_k MW2(g_k, g'_k)**q.

    Classes are matched as by :func:`pair_classes`. A summary holds the share and the metric's summary of each class, by
    its name.
    """

    metric: MaskMetric[Any]  # with one number for a whole dataset, such as `gmm2d`
    weights: Mapping[str, float] | None = None  # w_k, as for :func:`class_weights`
    # That of the metric is in the sum.
    power = 1.0

    @property
    def name(self) -> str:
        """That of the metric."""
        return self.metric.name

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

        def powered(one: str, other: str) -> float:
            distance = self.metric.compare(source[one][1], target[other][1], image_cost)
            if distance.numel() != 1:
                raise ValueError(
                    "expected a metric with one number for a whole dataset for the direct extension, such as gmm2d or "
                    f"gmm3d, found '{self.name}', which compares sample by sample; use the decomposition."
                )
            value: float = float(distance) ** self.metric.power
            return value

        pairs = pair_classes(list(source), list(target), powered)
        sources, targets = ({name: share for name, (share, _) in side.items()} for side in (source, target))
        weights = class_weights(pairs, sources, targets, self.weights)
        value = math.fsum(weight * powered(*pair) for weight, pair in zip(weights, pairs, strict=True))
        return torch.full((1, 1), value, dtype=torch.float64, device=image_cost.device)
