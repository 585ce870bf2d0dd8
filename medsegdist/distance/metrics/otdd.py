"""Wasserstein distance between the image distributions of given classes: the original OTDD."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.classes import ClassedSamples, class_distances, drawn_classes
from medsegdist.errors import DataError

Classes = Mapping[str, Mapping[str, Hashable]] | Callable[[SegmentationSamples], Sequence[Hashable]]
"""The class of every case by dataset and case id, or a function from n samples to their n classes."""


@dataclass(frozen=True, slots=True)
class OtddMetric:
    """d_Y(k, l) = W_p(alpha_y(k), alpha'_y'(l)) between the images of two classes (the paper's Eq. 4).

    The distance of Alvarez-Melis and Fusi (2020) where samples have classes of their own, as a diagnosis or a grade.
    Only which samples of a dataset share a class counts, not what it is called; classes of two datasets need not
    correspond. W_p is exact transport on the block of the image cost that belongs to the two classes.

        OtddMetric({"lung": {"case0": "benign", "case1": "malignant"}, "liver": {"scan7": "cyst"}})

    Args:
        classes: {dataset name: {case id: class}}, for slices and volumes whose case has one class, or a function from
            samples to one class each. A function has to be importable by its name if the metric is to be pickled.
        p: order of the Wasserstein distance (OTDD: 2).
        power: q of the dataset distance.

    Raises:
        ValueError: p is less than 1.
    """

    name: ClassVar[str] = "otdd"
    classes: Classes
    p: float = 2.0
    power: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.p < math.inf:
            raise ValueError(f"expected a finite order p >= 1, found {self.p}.")

    def summarize(self, samples: SegmentationSamples, /) -> ClassedSamples:
        """The class of every sample.

        Raises:
            DataError: a dataset, a case or a sample has no class.
        """
        given = self.classes(samples) if callable(self.classes) else _looked_up(self.classes, samples)
        if len(given) != len(samples):
            raise DataError(
                f"expected one class for each of {len(samples)} samples, found {len(given)}",
                "look at the function given as `classes`",
                dataset=samples.name,
            )
        for case_id, found in zip(samples.case_ids, given, strict=True):
            # NaN, which stands for unknown in tables, is not equal to itself.
            if found is None or found != found:
                raise DataError(
                    f"expected a class, found {found}",
                    "give it one, or leave the case out",
                    dataset=samples.name,
                    case=case_id,
                )
        number = {found: k for k, found in enumerate(dict.fromkeys(given))}
        return ClassedSamples(classes=torch.tensor([number[found] for found in given]), mass=samples.mass)

    def resample(
        self, samples: SegmentationSamples, summary: ClassedSamples, weights: Tensor, /
    ) -> list[ClassedSamples]:
        """The same classes, of the samples that are there."""
        return drawn_classes([summary.classes] * len(weights), weights)

    def compare(self, source: ClassedSamples, target: ClassedSamples, image_cost: Tensor, /) -> Tensor:
        """(n, m) Wasserstein distances in the unit of the image cost, constant within a pair of classes."""
        return class_distances(source, target, image_cost, self.p)


def _looked_up(classes: Mapping[str, Mapping[str, Hashable]], samples: SegmentationSamples) -> list[Hashable]:
    if samples.name not in classes:
        raise DataError(
            f"expected its classes, found those of {', '.join(classes) or 'no dataset'}",
            "add them to `classes`",
            dataset=samples.name,
        )
    of_case = classes[samples.name]
    missing = [case_id for case_id in dict.fromkeys(samples.case_ids) if case_id not in of_case]
    if missing:
        raise DataError(
            f"expected a class, found none (cases without one: {len(missing)})",
            "add it to `classes`, or leave the case out",
            dataset=samples.name,
            case=missing[0],
        )
    return [of_case[case_id] for case_id in samples.case_ids]
