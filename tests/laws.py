"""The laws every mask metric obeys, as one harness that anybody's metric can be put through.

    from tests.laws import check_mask_metric
    check_mask_metric(MyMetric(), a, b)

`a` and `b` are any two different datasets of at least four samples, prepared alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import MaskMetric

EXACT = 1e-9
"""Relative to the distance of two different datasets."""


@dataclass(frozen=True, eq=False)
class Remembering:
    """A metric that summarizes each dataset once: of most metrics that is what takes time."""

    metric: MaskMetric[Any]
    known: dict[int, tuple[SegmentationSamples, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.metric.name

    @property
    def power(self) -> float:
        return self.metric.power

    def summarize(self, samples: SegmentationSamples, /) -> Any:
        if id(samples) not in self.known:
            self.known[id(samples)] = samples, self.metric.summarize(samples)
        return self.known[id(samples)][1]

    def compare(self, source: Any, target: Any, image_cost: torch.Tensor, /) -> torch.Tensor:
        return self.metric.compare(source, target, image_cost)


def check_mask_metric(
    metric: MaskMetric[Any], a: SegmentationSamples, b: SegmentationSamples, *, image_weight: float = 1.0
) -> None:
    """Raises AssertionError, with the name of the law, where the metric breaks one.

    With `image_weight=0` the laws see the masks alone: a d_Y of at most 1 would vanish next to the images.
    """
    check_dataset_distance(DatasetDistance(metric, image_weight=image_weight), a, b)


def check_dataset_distance(distance: DatasetDistance, a: SegmentationSamples, b: SegmentationSamples) -> None:
    """The same for a metric within a distance that has options of its own."""
    reference = distance(a, b)
    again = replace(distance, metric=Remembering(distance.metric))
    for law in LAWS:
        try:
            law(again, a, b, reference.value)
        except AssertionError as error:
            raise AssertionError(f"{distance.metric.name} breaks the law '{law.__name__}': {error}") from error


def mask_distance(metric: MaskMetric[Any], a: SegmentationSamples, b: SegmentationSamples) -> float:
    """d_Y of two datasets by a metric that gives one number for them."""
    nothing = torch.zeros(1, 1, dtype=torch.float64)
    return float(metric.compare(metric.summarize(a), metric.summarize(b), nothing))


def is_finite_and_not_negative(distance: DatasetDistance, a: Any, b: Any, reference: float) -> None:
    found = distance(a, b)
    assert math.isfinite(found.value)
    assert found.image_term >= 0
    assert found.mask_term >= 0
    assert found.value == found.image_term + found.mask_term
    assert found.value > 0, "two different datasets must be apart"


def is_certified(distance: DatasetDistance, a: Any, b: Any, reference: float) -> None:
    assert distance(a, b).optimality_gap < 1e-9


def vanishes_on_itself(distance: DatasetDistance, a: Any, b: Any, reference: float) -> None:
    for samples in (a, b):
        found = distance(samples, samples)
        assert found.mask_term <= EXACT * reference, found.mask_term
        assert found.image_term <= EXACT * reference, found.image_term


def is_symmetric(distance: DatasetDistance, a: Any, b: Any, reference: float) -> None:
    _equal(distance(b, a).value, reference)


def ignores_the_order_of_samples(distance: DatasetDistance, a: Any, b: Any, reference: float) -> None:
    for seed in range(2):
        reordered = a.take(torch.randperm(len(a), generator=torch.Generator().manual_seed(seed)).tolist())
        _equal(distance(reordered, b).value, reference)
        _equal(distance(b, reordered).value, reference)


def ignores_a_factor_of_all_weights(distance: DatasetDistance, a: Any, b: Any, reference: float) -> None:
    _equal(distance(replace(a, weights=2 * a.weights), b).value, reference)
    _equal(distance(a, replace(b, weights=b.weights / 3)).value, reference)


def takes_a_sample_twice_as_a_sample_of_twice_the_weight(
    distance: DatasetDistance, a: Any, b: Any, reference: float
) -> None:
    doubled = a.take([0, *range(len(a))])
    heavier = replace(a, weights=a.weights * torch.where(torch.arange(len(a)) == 0, 2.0, 1.0))
    _equal(distance(doubled, b).value, distance(heavier, b).value)


def is_the_same_every_time(distance: DatasetDistance, a: Any, b: Any, reference: float) -> None:
    assert distance(a, b).value == reference


def compares_to_the_shape_it_promises(distance: DatasetDistance, a: Any, b: Any, reference: float) -> None:
    metric = distance.metric
    image_cost = torch.ones(len(a), len(b), dtype=torch.float64)
    found = metric.compare(metric.summarize(a), metric.summarize(b), image_cost)
    assert found.dtype == torch.float64
    assert tuple(found.shape) in ((1, 1), (len(a), len(b))), tuple(found.shape)
    assert bool((found >= 0).all())


def is_the_same_on_cuda(distance: DatasetDistance, a: Any, b: Any, reference: float) -> None:
    if torch.cuda.is_available():
        _equal(distance(a.to("cuda"), b.to("cuda")).value, reference, tolerance=1e-6)


LAWS: tuple[Callable[[DatasetDistance, Any, Any, float], None], ...] = (
    is_finite_and_not_negative,
    is_certified,
    vanishes_on_itself,
    is_symmetric,
    ignores_the_order_of_samples,
    ignores_a_factor_of_all_weights,
    takes_a_sample_twice_as_a_sample_of_twice_the_weight,
    is_the_same_every_time,
    compares_to_the_shape_it_promises,
    is_the_same_on_cuda,
)


def _equal(found: float, expected: float, tolerance: float = EXACT) -> None:
    assert abs(found - expected) <= tolerance * abs(expected), f"found {found!r}, expected {expected!r}"
