"""The distance between two datasets: one formula, in which only the mask metric changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.embedding import Embedding, embed
from medsegdist.distance.image_cost import image_cost
from medsegdist.distance.metrics import MaskMetric
from medsegdist.distance.scales import Scales, mean_costs, scales_of
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
        image_term: the part of the images. For p = 1 it is image_weight * sum of pi * d_X, in the unit of the
            intensities times sqrt(pixels), or that of the embedding; for p > 1 see :meth:`DatasetDistance.solve`.
        mask_term: the part of the masks. For p = 1 it is mask_weight * sum of pi * d_Y**power, which is in a squared
            unit where the power is 2.
        n_source: samples of the source that were compared.
        n_target: samples of the target that were compared.
        transport: the optimal coupling pi of the samples, with its certificate.
        power: the q that d_Y was raised to: 2 says that the mask term is a squared distance.
        scales: what d_X and d_Y**power were divided by, so that the terms have no unit; None where they were not.
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
    power: float = 1.0
    scales: Scales | None = None

    @property
    def optimality_gap(self) -> float:
        """How far, relatively, the transport can be from its optimum at most."""
        return self.transport.optimality_gap


class ImagePair:
    """The images of two datasets side by side: what all mask metrics share.

    Args:
        image_cost: (n, m) float64 d_X.
        source_weights: (n,) positive.
        target_weights: (m,) positive.
        start: dual potentials to start every transport from, where those of a similar pair are known.
    """

    def __init__(
        self,
        image_cost: Tensor,
        source_weights: Tensor,
        target_weights: Tensor,
        start: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.image_cost = image_cost
        self.source_weights = source_weights
        self.target_weights = target_weights
        self.start = start

    def transport(self, cost: Tensor, start: tuple[Tensor, Tensor] | None = None) -> Transport:
        """Optimal transport between the two datasets on an (n, m) cost."""
        return solve_transport(cost, self.source_weights, self.target_weights, start=start)

    @cached_property
    def image_transport(self) -> Transport:
        """Optimal transport on the image cost alone, solved once."""
        return self.transport(self.image_cost, self.start)


def pair_images(
    source: SegmentationSamples,
    target: SegmentationSamples,
    source_features: Tensor | None = None,
    target_features: Tensor | None = None,
) -> ImagePair:
    """The images of two datasets side by side.

    Args:
        source: n samples.
        target: m samples on the same grid, prepared in the same way.
        source_features: (n, f) what d_X compares in the place of pixels.
        target_features: (m, f) likewise.

    Raises:
        PreprocessingMismatchError: grids or preprocessing differ.
        DataError: the datasets have different numbers of features.
    """
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
    if source_features is None or target_features is None:
        return ImagePair(image_cost(source.images, target.images), source.weights, target.weights)
    if source_features.shape[1] != target_features.shape[1]:
        raise DataError(
            f"expected the embedding to give all images equally many features, found {source_features.shape[1]} for "
            f"dataset '{source.name}' and {target_features.shape[1]} for '{target.name}'."
        )
    return ImagePair(image_cost(source_features, target_features), source.weights, target.weights)


@dataclass(frozen=True, slots=True)
class DatasetDistance:
    """The paper's Eq. 2, 3 with weights: the least mean of d_Z = (w_x d_X**p + w_y (d_Y**q)**p)**(1/p) of any coupling.

        DatasetDistance(GmmMetric(components=5, intensity=True))(lung, liver).value

    Args:
        metric: d_Y, with its power q.
        image_weight: w_x >= 0.
        mask_weight: w_y >= 0.
        max_samples: exact transport is solved for at most this many samples a side; of a larger dataset as many are
            taken, spread over its patients. `Distance.n_source` and `n_target` say how many were compared.
        seed: of that choice.
        embedding: what d_X compares in the place of raw pixels: a function from (n, *grid) float32 images to
            (n, features), such as a frozen network in evaluation mode. It is given one batch of images after another.
        p: how the two terms of a pair of samples are put together (Eq. 3), >= 1. With 1, as in the paper's tables, they
            are added, and a d_Y that is one number for all samples leaves the integral (Eq. 14); with more it does not.
        normalize: divides d_X and d_Y**q by a scale each, so that both terms have no unit and 1 is the usual size of
            each. The scale is the mean over all pairs of samples (of no coupling), and in a table the median of that
            over the table's pairs. Alone, two datasets have no scale but their own: a d_Y that is one number for all
            samples then becomes 1 whatever it is (or stays 0), so normalize tables, or give the scales.
        scales: those scales, from elsewhere; None takes what `normalize` says.

    Raises:
        ValueError: weights are negative or both 0, p is less than 1 or not finite, or there are scales and `normalize`
            is False.
    """

    metric: MaskMetric[Any]
    image_weight: float = 1.0
    mask_weight: float = 1.0
    max_samples: int = 2000
    seed: int = 0
    embedding: Embedding | None = None
    p: float = 1.0
    normalize: bool = False
    scales: Scales | None = None

    def __post_init__(self) -> None:
        weights = self.image_weight, self.mask_weight
        if not all(0 <= weight < math.inf for weight in weights) or sum(weights) == 0:
            raise ValueError(
                "expected finite weights >= 0 that are not both 0, "
                f"found image_weight={self.image_weight} and mask_weight={self.mask_weight}."
            )
        if not 0 < self.metric.power < math.inf:
            raise ValueError(f"expected a finite power > 0 of '{self.metric.name}', found {self.metric.power}.")
        if not 1 <= self.p < math.inf:
            raise ValueError(f"expected a finite p >= 1 (Eq. 3), found {self.p}.")
        if self.scales is not None and not self.normalize:
            raise ValueError("expected normalize=True with scales, found scales that would not be used.")

    def __call__(self, source: SegmentationSamples, target: SegmentationSamples) -> Distance:
        """The distance between two datasets.

        Args:
            source: n samples, of which at most `max_samples` are compared.
            target: m samples, likewise.

        Raises:
            PreprocessingMismatchError: they were not prepared alike.
            DataError: one of them cannot be summarized by the metric, or the embedding returns no finite features.
        """
        source, target = self.chosen(source), self.chosen(target)
        features = self.features(source), self.features(target)
        images = pair_images(source, target, *features)
        summaries = self.metric.summarize(source), self.metric.summarize(target)
        return self.between(source, target, images, self.metric.compare(*summaries, images.image_cost))

    def chosen(self, samples: SegmentationSamples) -> SegmentationSamples:
        """The samples of a dataset that are compared: at most `max_samples`.

        Args:
            samples: any number of them.
        """
        return samples.spread(self.max_samples, seed=self.seed)

    def features(self, samples: SegmentationSamples) -> Tensor | None:
        """What the embedding makes of the images, (n, features); None where d_X compares pixels.

        Args:
            samples: n samples.

        Raises:
            DataError: the embedding returns no finite (n, features).
        """
        return None if self.embedding is None else embed(samples, self.embedding)

    def between(
        self, source: SegmentationSamples, target: SegmentationSamples, images: ImagePair, mask_cost: Tensor
    ) -> Distance:
        """The distance of two datasets whose costs are there already.

        Args:
            source: n samples.
            target: m samples.
            images: `pair_images(source, target, ...)`; its transport is solved at most once for all methods.
            mask_cost: (n, m) or (1, 1) d_Y, not raised to its power.
        """
        try:
            transport, image_term, mask_term = self.solve(images, mask_cost)
        except MedSegDistError as error:
            message = f"{self.metric.name} between '{source.name}' and '{target.name}': {error}"
            raise type(error)(message) from error
        return Distance(
            source=source.name,
            target=target.name,
            method=self.metric.name,
            value=image_term + mask_term,
            image_term=image_term,
            mask_term=mask_term,
            n_source=len(source),
            n_target=len(target),
            transport=transport,
            power=self.metric.power,
            scales=self._scales_of(images, mask_cost) if self.normalize else None,
        )

    def solve(
        self, images: ImagePair, mask_cost: Tensor, start: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Transport, float, float]:
        """The minimum of the formula for costs that are there already.

        For p > 1 the cost of two samples is no sum. What coupling pays for them, pi * d_Z, is then shared out as d_Z**p
        is: the part w_x d_X**p / d_Z**p of it goes to the image term, the rest to the mask term. They still add up to
        the distance, and for p = 1 that is what they are there.

        Args:
            images: of n and m samples.
            mask_cost: (n, m) or (1, 1) d_Y, not raised to its power.
            start: (n,) and (m,) dual potentials to start from.

        Returns:
            The coupling, the image term and the mask term.

        Raises:
            DataError: the mask cost has another shape, or is NaN, infinite or negative.
        """
        shape = tuple(images.image_cost.shape)
        constant = tuple(mask_cost.shape) == (1, 1)
        if not constant and tuple(mask_cost.shape) != shape:
            raise DataError(f"expected a mask distance of shape {shape} or (1, 1), found {tuple(mask_cost.shape)}.")
        mask_cost = mask_cost.to(images.image_cost.device)
        if constant and not 0 <= float(mask_cost) < math.inf:
            raise DataError(f"expected a finite mask distance >= 0, found {float(mask_cost)}; look at the images.")
        powered = mask_cost if self.metric.power == 1 else mask_cost**self.metric.power
        scales = self._scales_of(images, mask_cost)
        if self.p > 1:
            return self._solve_mixed(images, powered / scales.mask, scales.image, start)
        image_weight, mask_weight = self.image_weight / scales.image, self.mask_weight / scales.mask
        if constant:
            # A constant leaves the integral (Eq. 14): the coupling is that of the images alone.
            transport = images.image_transport
            return transport, image_weight * transport.value, mask_weight * float(powered)
        cost = (mask_weight * powered).add_(images.image_cost, alpha=image_weight)
        transport = images.transport(cost, start)
        image_term = image_weight * float(torch.sum(transport.plan * images.image_cost))
        return transport, image_term, mask_weight * float(torch.sum(transport.plan * powered))

    def _solve_mixed(
        self, images: ImagePair, mask_cost: Tensor, image_scale: float, start: tuple[Tensor, Tensor] | None
    ) -> tuple[Transport, float, float]:
        image_part = self.image_weight ** (1 / self.p) * images.image_cost / image_scale
        mask_part = (self.mask_weight ** (1 / self.p) * mask_cost).expand_as(image_part)
        # Powers of parts of the larger one neither overflow nor vanish.
        largest = torch.maximum(image_part, mask_part)
        unit = torch.where(largest > 0, largest, 1.0)
        image_share, mask_share = (image_part / unit) ** self.p, (mask_part / unit) ** self.p
        together = image_share + mask_share
        cost = largest * together ** (1 / self.p)
        transport = images.transport(cost, start)
        paid = transport.plan * cost / torch.where(largest > 0, together, 1.0)
        return transport, float(torch.sum(paid * image_share)), float(torch.sum(paid * mask_share))

    def _scales_of(self, images: ImagePair, mask_cost: Tensor) -> Scales:
        """The scales of a pair; 1 where nothing is to be normalized."""
        if not self.normalize:
            return Scales(1.0, 1.0)
        if self.scales is not None:
            return self.scales
        weights = images.source_weights, images.target_weights
        return scales_of([mean_costs(images.image_cost, mask_cost, self.metric.power, *weights)])
