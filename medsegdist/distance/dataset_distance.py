"""The distance between two datasets: one formula, in which only the mask metric changes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from medsegdist.data.class_samples import MulticlassSamples
from medsegdist.data.options import DistanceOptions
from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.image_cost import Embedding, ImagePair, embed_images, pair_images
from medsegdist.distance.metrics.mask_metric import METHODS, MaskMetric, make_metric, with_options
from medsegdist.distance.transport import MatchedPair, SampleCosts, Transport, solve_transport
from medsegdist.errors import DataError, ManifestError, MedSegDistError
from medsegdist.words import did_you_mean

ROUNDING = 1e-9  # a mean distance below this, in whatever unit, is rounding and counts as 0


@dataclass(frozen=True, slots=True)
class Scales:
    """What the costs of a normalized distance are divided by.

    Args:
        image: for d_X, in its unit.
        mask: for d_Y**q, in its unit.

    Raises:
        ValueError: a scale is not above 0, or not finite.
    """

    image: float
    mask: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(scale) and scale > 0 for scale in (self.image, self.mask)):
            raise ValueError(f"expected finite scales > 0, found {self.image} and {self.mask}.")


UNSCALED = Scales(1.0, 1.0)


def common_scales(means: Sequence[tuple[float, float]]) -> Scales:
    """The scales of a table: of each term the median of :meth:`DatasetDistance.mean_costs` over the pairs of datasets.

    If the median is 0, it is the mean of the means; if all are 0 it is 1, for a term that is 0 stays 0.
    """
    image, mask = (statistics.median(one) or statistics.fmean(one) or 1.0 for one in zip(*means, strict=True))
    return Scales(image, mask)


@dataclass(frozen=True, slots=True, eq=False)
class ClassPart:
    """The part that one class has in a distance between datasets with several."""

    source_class: str
    target_class: str
    weight: float  # w_k; those of all parts sum to 1
    distance: Distance


@dataclass(frozen=True, slots=True, eq=False)
class Distance:
    """How far apart two datasets are, and what that consists of.

    Args:
        source: name of one dataset.
        target: name of the other.
        method: name of the mask metric.
        value: image_term + mask_term.
        image_term: the part of the images. For p = 1 it is image_weight * sum of pi * d_X, in the unit of the
            intensities times sqrt(pixels), or that of the embedding; for p > 1 see :meth:`DatasetDistance.from_costs`.
        mask_term: the part of the masks. For p = 1 it is mask_weight * sum of pi * d_Y**power, which is in a squared
            unit if the power is 2.
        n_source: samples of the source that were compared.
        n_target: samples of the target that were compared.
        optimality_gap: how far, relatively, the transport can be from its optimum at most; None for cards.
        transport: the optimal coupling pi of the samples, with its certificate; None in a table, which does not keep
            matrices of this size.
        power: the q that d_Y was raised to: 2 says that the mask term is a squared distance.
        scales: what d_X and d_Y**power were divided by, so that the terms have no unit; None without normalization.
        replicates: (r,) float64 distances under resampling of patients, of which the interval is made; None without a
            bootstrap, or if one dataset has a single patient.
        matches: the pairs of samples that the transport matches most strongly, numbered as in the two datasets; only
            in a table.
        sample_costs: what each sample of the source costs, and each one of the target, numbered as in the two datasets;
            only in a table.
        parts: those of the classes that a sum over classes consists of, one if the datasets have none.
    """

    source: str
    target: str
    method: str
    value: float
    image_term: float
    mask_term: float
    n_source: int
    n_target: int
    optimality_gap: float | None
    transport: Transport | None = None
    power: float = 1.0
    scales: Scales | None = None
    replicates: Tensor | None = None
    matches: tuple[MatchedPair, ...] = ()
    sample_costs: tuple[SampleCosts, SampleCosts] | None = None
    parts: tuple[ClassPart, ...] = ()

    def __repr__(self) -> str:
        terms = f"{self.value:.6g} = {self.image_term:.6g} (images) + {self.mask_term:.6g} (masks)"
        return f"Distance({self.method}, {self.source!r} to {self.target!r}: {terms})"

    def _repr_html_(self) -> str:
        names = ("source", "target", "method", "value", "image_term", "mask_term", "n_source", "n_target")
        return pd.DataFrame([{name: getattr(self, name) for name in names}]).to_html(index=False)

    def seen_from(self, source: str) -> Distance:
        """The same distance with the dataset named `source` as the source; transport and parts are left out."""
        itself = replace(self, transport=None, parts=())
        if source == self.source:
            return itself
        return replace(
            itself,
            source=self.target,
            target=self.source,
            n_source=self.n_target,
            n_target=self.n_source,
            matches=tuple(MatchedPair(one.target, one.source, one.mass) for one in self.matches),
            sample_costs=self.sample_costs and self.sample_costs[::-1],
        )


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
        embedding: what d_X compares instead of pixels: a function from (n, *grid) float32 images to
            (n, features), such as a frozen network in evaluation mode. It is given one batch of images after another.
        p: how the two terms of a pair of samples are put together (Eq. 3), >= 1. With 1, as in the paper's tables, they
            are added, and a d_Y that is one number for all samples leaves the integral (Eq. 14); with more it does not.
        normalize: divides d_X and d_Y**q by a scale each, so that both terms have no unit and 1 is the usual size of
            each. The scale is the mean over all pairs of samples (of no coupling), and in a table the median of that
            over the table's pairs. Alone, two datasets have no scale but their own: a d_Y that is one number for all
            samples then becomes 1 whatever it is (or stays 0), so normalize tables, or give the scales.
        scales: those scales, from elsewhere; None takes what `normalize` says.

    Raises:
        TypeError: the metric is none, but its name, for example.
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
        if isinstance(self.metric, type) or not hasattr(self.metric, "summarize"):
            raise TypeError(
                f"expected a mask metric, found {self.metric!r}; write DatasetDistance(make_metric(name)) for the "
                "metric of that name, or GmmMetric() for one with options."
            )
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
        """The distance between `source` and `target`, of each of which at most `max_samples` are compared.

        Raises:
            PreprocessingMismatchError: they were not prepared alike.
            DataError: one of them cannot be summarized by the metric, or the embedding returns no finite features.
        """
        source, target = self.subsample(source), self.subsample(target)
        images = pair_images(source, target, self.embed(source), self.embed(target))
        # Summaries are let go before the transport, which takes the most memory.
        mask_cost = self.metric.compare(self.metric.summarize(source), self.metric.summarize(target), images.image_cost)
        return self.from_costs(images, mask_cost)

    def subsample(self, samples: SegmentationSamples) -> SegmentationSamples:
        """Those of the `samples` of a dataset that are compared: at most `max_samples`."""
        return samples.spread(self.max_samples, seed=self.seed)

    def embed(self, samples: SegmentationSamples) -> Tensor | None:
        """(n, features) that the embedding makes of the images of `samples`; None if d_X compares pixels."""
        return None if self.embedding is None else embed_images(samples, self.embedding)

    def from_costs(self, images: ImagePair, mask_cost: Tensor, start: tuple[Tensor, Tensor] | None = None) -> Distance:
        """The minimum of the formula for given costs.

        For p > 1 the cost of two samples is no sum. What a coupling pays for them, pi * d_Z, is then shared out as
        d_Z**p is: the part w_x d_X**p / d_Z**p of it goes to the image term, the rest to the mask term. They still add
        up to the distance, and for p = 1 each is its own sum.

        Args:
            images: of n and m samples; its transport is solved at most once for all methods.
            mask_cost: (n, m) or (1, 1) d_Y, not raised to its power.
            start: (n,) and (m,) dual potentials to start from.

        Raises:
            DataError: the mask cost has another shape, or is NaN, infinite or negative.
            ConvergenceError: the transport was not solved to its optimum.
        """
        shape = tuple(images.image_cost.shape)
        constant = tuple(mask_cost.shape) == (1, 1)
        mask_cost = mask_cost.to(images.image_cost.device)
        weights = images.source_weights, images.target_weights
        try:
            if not constant and tuple(mask_cost.shape) != shape:
                raise DataError(f"expected a mask distance of shape {shape} or (1, 1), found {tuple(mask_cost.shape)}.")
            if constant and not 0 <= float(mask_cost) < math.inf:
                raise DataError(f"expected a finite mask distance >= 0, found {float(mask_cost)}; look at the images.")
            powered = mask_cost if self.metric.power == 1 else mask_cost**self.metric.power
            scales = self.scales if self.normalize else UNSCALED
            scales = scales or common_scales([self.mean_costs(images, mask_cost)])
            image_weight, mask_weight = self.image_weight / scales.image, self.mask_weight / scales.mask
            if self.p > 1:
                cost, image_share, mask_share = self._mixed_cost(
                    images.image_cost / scales.image, powered / scales.mask
                )
                transport = solve_transport(cost, *weights, start=start)
                paid = transport.plan * cost
                image_term, mask_term = (float(torch.sum(paid * share)) for share in (image_share, mask_share))
            elif constant:
                # A constant leaves the integral (Eq. 14): the coupling is that of the images alone.
                transport = images.transport
                image_term, mask_term = image_weight * transport.value, mask_weight * float(powered)
            else:
                cost = (mask_weight * powered).add_(images.image_cost, alpha=image_weight)
                transport = solve_transport(cost, *weights, start=start)
                image_term = image_weight * float(torch.sum(transport.plan * images.image_cost))
                mask_term = mask_weight * float(torch.sum(transport.plan * powered))
        except MedSegDistError as error:
            message = f"{self.metric.name} between '{images.source}' and '{images.target}': {error}"
            raise type(error)(message) from error
        return Distance(
            source=images.source,
            target=images.target,
            method=self.metric.name,
            value=image_term + mask_term,
            image_term=image_term,
            mask_term=mask_term,
            n_source=shape[0],
            n_target=shape[1],
            optimality_gap=transport.optimality_gap,
            transport=transport,
            power=self.metric.power,
            scales=scales if self.normalize else None,
        )

    def paid(self, images: ImagePair, mask_cost: Tensor, found: Distance) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rows and columns where the plan of a distance `found` has mass, that mass, and the cost of a unit of it.

        Args:
            images: of n and m samples.
            mask_cost: (n, m) or (1, 1) d_Y, not raised to its power.
            found: what :meth:`from_costs` made of them, with its transport.
        """
        assert found.transport is not None
        plan, scales = found.transport.plan, found.scales or UNSCALED
        rows, columns = plan.nonzero(as_tuple=True)
        mask_part = mask_cost.to(plan.device).expand_as(plan)[rows, columns] ** self.metric.power / scales.mask
        cost = self._mixed_cost(images.image_cost[rows, columns] / scales.image, mask_part)[0]
        return rows, columns, plan[rows, columns], cost

    def mean_costs(self, images: ImagePair, mask_cost: Tensor) -> tuple[float, float]:
        """Means of d_X and d_Y**q over all pairs of samples, weighted by the masses of both: no coupling.

        Args:
            images: of n and m samples.
            mask_cost: (n, m) or (1, 1) d_Y.
        """
        source, target = (side / side.sum() for side in (images.source_weights, images.target_weights))
        image = float(source @ images.image_cost @ target)
        powered = mask_cost**self.metric.power
        mask = float(powered) if powered.numel() == 1 else float(source @ powered @ target)
        return image if image > ROUNDING else 0.0, mask if mask > ROUNDING**self.metric.power else 0.0

    def _mixed_cost(self, image_cost: Tensor, mask_cost: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """d_Z for p > 1, and the shares of the image and of the mask in it."""
        image_part = self.image_weight ** (1 / self.p) * image_cost
        mask_part = (self.mask_weight ** (1 / self.p) * mask_cost).expand_as(image_part)
        # Powers of parts of the larger one neither overflow nor vanish.
        largest = torch.maximum(image_part, mask_part)
        unit = torch.where(largest > 0, largest, 1.0)
        image_share, mask_share = (image_part / unit) ** self.p, (mask_part / unit) ** self.p
        together = image_share + mask_share
        known = torch.where(largest > 0, together, 1.0)
        return largest * together ** (1 / self.p), image_share / known, mask_share / known


def choose_distances(
    methods: Sequence[str], options: DistanceOptions | None = None, *, delta: float = -1.0, seed: int = 0
) -> dict[str, DatasetDistance]:
    """The dataset distances of some methods, by name; all that are unknown are named in one error.

    `delta` is a value below every intensity, for metrics on neutralized segments (Eq. 7), and `seed` that of
    clustering, mixture fits and subsampling.
    """
    unknown = [
        f"expected a method among {', '.join(METHODS)}, found '{name}'{did_you_mean(name, METHODS) or '.'}"
        for name in methods
        if name not in METHODS
    ]
    if unknown:
        raise ManifestError("\n".join(unknown))
    options = options or DistanceOptions()
    of_masks, of_formula = options.of_masks(), options.of_formula()
    metrics = {name: with_options(make_metric(name, delta=delta, seed=seed), of_masks) for name in methods}
    return {name: DatasetDistance(metric, seed=seed, **of_formula) for name, metric in metrics.items()}


def with_joint_scale(
    distances: Mapping[str, DatasetDistance],
    datasets: Sequence[SegmentationSamples | MulticlassSamples],
    features: Sequence[str] | None = None,
) -> dict[str, DatasetDistance]:
    """The same distances, with the features of fake classes on one scale for all datasets."""
    from medsegdist.distance.features import joint_scale
    from medsegdist.distance.multiclass import classes_of

    scale = joint_scale([part.samples for one in datasets for part in classes_of(one)], features)
    return {
        name: replace(distance, metric=with_options(distance.metric, {"scale": scale}))
        for name, distance in distances.items()
    }
