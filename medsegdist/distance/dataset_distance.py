"""The distance between two datasets: one formula, in which only the mask metric changes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.image_cost import image_cost
from medsegdist.distance.mask_metrics import MaskMetric
from medsegdist.distance.transport import Transport, solve_transport
from medsegdist.errors import DataError, MedSegDistError, PreprocessingMismatchError


@dataclass(frozen=True, slots=True, eq=False)
class Distance:
    """How far apart two datasets are, and what that consists of.

    Args:
        source: name of one dataset.
        target: name of the other.
        method: name of the mask metric.
        value: image_term + mask_term.
        image_term: image_weight * sum of pi * d_X, in the unit of the intensities times sqrt(pixels).
        mask_term: mask_weight * sum of pi * d_Y**q.
        n_source: samples of the source that were compared.
        n_target: samples of the target that were compared.
        transport: the optimal coupling pi of the samples, with its certificate.
    """

    source: str
    target: str
    method: str
    value: float
    image_term: float
    mask_term: float
    n_source: int
    n_target: int
    transport: Transport

    @property
    def optimality_gap(self) -> float:
        """How far, relatively, the transport can be from its optimum at most."""
        return self.transport.optimality_gap


class SamplePair:
    """Two datasets side by side, with the parts of their distance that do not depend on the mask metric.

    Args:
        source: n samples.
        target: m samples on the same grid, prepared in the same way.

    Raises:
        PreprocessingMismatchError: grids or preprocessing differ.
    """

    def __init__(self, source: SegmentationSamples, target: SegmentationSamples) -> None:
        if source.grid != target.grid:
            raise PreprocessingMismatchError(
                f"datasets '{source.name}' and '{target.name}' lie on different grids, {source.grid} and "
                f"{target.grid}; prepare both with one preprocessing."
            )
        if source.preprocessing != target.preprocessing:
            raise PreprocessingMismatchError(
                f"datasets '{source.name}' and '{target.name}' were prepared differently (fingerprints "
                f"{source.preprocessing} and {target.preprocessing}), so their distance would measure the "
                "preparation; prepare both with one preprocessing."
            )
        self.source = source
        self.target = target

    @cached_property
    def image_cost(self) -> Tensor:
        """(n, m) float64 d_X."""
        return image_cost(self.source.images, self.target.images)

    @cached_property
    def image_transport(self) -> Transport:
        """Optimal transport on the image cost alone."""
        return solve_transport(self.image_cost, self.source.weights, self.target.weights)


@dataclass(frozen=True, slots=True)
class DatasetDistance:
    """d(A, B) = min over couplings pi of sum_kl pi_kl (w_x d_X(k, l) + w_y d_Y(k, l)**q): the paper's Eq. 2, 3.

        DatasetDistance(GmmMetric(components=5, intensity=True))(lung, liver).value

    Args:
        metric: d_Y, with its power q.
        image_weight: w_x >= 0.
        mask_weight: w_y >= 0.
        max_samples: exact transport is solved for at most this many samples a side; of a larger dataset as many are
            taken, spread over its patients. `Distance.n_source` and `n_target` say how many were compared.
        seed: of that choice.
    """

    metric: MaskMetric[Any]
    image_weight: float = 1.0
    mask_weight: float = 1.0
    max_samples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.image_weight < 0 or self.mask_weight < 0 or self.image_weight + self.mask_weight == 0:
            raise ValueError(
                "expected weights >= 0 that are not both 0, "
                f"found image_weight={self.image_weight} and mask_weight={self.mask_weight}."
            )

    def __call__(self, source: SegmentationSamples, target: SegmentationSamples) -> Distance:
        """The distance between two datasets.

        Raises:
            PreprocessingMismatchError: they were not prepared alike.
            DataError: one of them cannot be summarized by the metric.
        """
        pair = SamplePair(*(samples.spread(self.max_samples, seed=self.seed) for samples in (source, target)))
        source, target = pair.source, pair.target
        return self.between(pair, self.metric.summarize(source), self.metric.summarize(target))

    def between(self, pair: SamplePair, source_summary: Any, target_summary: Any) -> Distance:
        """The distance of a pair whose summaries are there already.

        Args:
            pair: the two datasets; its image cost and image transport are computed at most once.
            source_summary: `metric.summarize(pair.source)`.
            target_summary: `metric.summarize(pair.target)`.
        """
        try:
            mask_cost = self.metric.compare(source_summary, target_summary, pair.image_cost) ** self.metric.power
            transport, image_term, mask_term = self._solve(pair, mask_cost)
        except MedSegDistError as error:
            message = f"{self.metric.name} between '{pair.source.name}' and '{pair.target.name}': {error}"
            raise type(error)(message) from error
        return Distance(
            source=pair.source.name,
            target=pair.target.name,
            method=self.metric.name,
            value=image_term + mask_term,
            image_term=image_term,
            mask_term=mask_term,
            n_source=len(pair.source),
            n_target=len(pair.target),
            transport=transport,
        )

    def _solve(self, pair: SamplePair, mask_cost: Tensor) -> tuple[Transport, float, float]:
        shape = tuple(pair.image_cost.shape)
        if tuple(mask_cost.shape) == (1, 1):
            # A constant leaves the integral (Eq. 14): the coupling is that of the images alone.
            transport = pair.image_transport
            return transport, self.image_weight * transport.value, self.mask_weight * float(mask_cost)
        if tuple(mask_cost.shape) != shape:
            raise DataError(f"expected a mask distance of shape {shape} or (1, 1), found {tuple(mask_cost.shape)}.")
        cost = self.image_weight * pair.image_cost + self.mask_weight * mask_cost
        transport = solve_transport(cost, pair.source.weights, pair.target.weights)
        image_term = self.image_weight * float(torch.sum(transport.plan * pair.image_cost))
        return transport, image_term, self.mask_weight * float(torch.sum(transport.plan * mask_cost))
