"""The distance between two datasets whose masks have several classes (the paper's section 6.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from medsegdist.data.multiclass import MulticlassSamples
from medsegdist.distance.class_matching import (
    ClassMatching,
    Match,
    PreparedClass,
    assign_classes,
    match_classes,
    prepare_classes,
)
from medsegdist.distance.dataset_distance import DatasetDistance, Distance, pair_images

Extension = Literal["decomposition", "direct"]
"""How a binary distance is extended to several classes."""

ClassWeights = Literal["frequency", "uniform"] | Mapping[str, float]
"""How much each class counts."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassDistance:
    """The part that one class has in a distance.

    Args:
        source_class: its name in the source.
        target_class: its name in the target.
        weight: w_k; those of all parts sum to 1.
        distance: d_binary of the class. In the direct extension its image term is that of all images.
    """

    source_class: str
    target_class: str
    weight: float
    distance: Distance


@dataclass(frozen=True, slots=True, eq=False)
class MulticlassDistance:
    """How far apart two datasets with several classes are, and what that consists of.

    Args:
        source: name of one dataset.
        target: name of the other.
        method: name of the mask metric.
        extension: "decomposition" or "direct".
        value: image_term + mask_term, which is the sum of weight * distance over the parts.
        image_term: sum of weight * image term.
        mask_term: sum of weight * mask term.
        parts: one for each pair of classes.
        matching: which classes were compared, and which were left out.
        unmatched_share: how much of the foreground is of classes that were left out, as a share of its pixels, the mean
            of both datasets. A small distance says little where it is large.
    """

    source: str
    target: str
    method: str
    extension: Extension
    value: float
    image_term: float
    mask_term: float
    parts: tuple[ClassDistance, ...]
    matching: ClassMatching
    unmatched_share: float

    @property
    def optimality_gap(self) -> float:
        """How far, relatively, the transport of any part can be from its optimum at most."""
        return max(part.distance.optimality_gap for part in self.parts)


def multiclass_distance(
    source: MulticlassSamples,
    target: MulticlassSamples,
    distance: DatasetDistance,
    *,
    weights: ClassWeights = "frequency",
    match: Match = "name",
    extension: Extension = "decomposition",
) -> MulticlassDistance:
    """d_multi(A, B) = sum over classes k of w_k d(A^k, B^k).

    A class without a counterpart takes no part: the weights of those that have one are normalized to sum to 1, and
    `unmatched_share` tells how much was left out.

    The paper has two extensions. They differ in the images only. "decomposition" computes the binary distance of each
    class as it is, with the images that show the class. "direct" is for a metric with one number for a whole dataset,
    above all the mixtures of :class:`GmmMetric`: one mixture for each class, sum_k w_k MW2(g_k, g'_k)**q, beside one
    transport of all images, which is solved once and not for every class. Where every sample shows every class, both
    are the same; where a class is rare, the decomposition weighs the images that show it more.

    Args:
        source: one dataset.
        target: the other, prepared alike.
        distance: the binary distance to extend. Its `max_samples` limits the samples of each class in
            "decomposition", and all samples in "direct".
        weights: w_k, normalized to sum to 1. "frequency" is the class's share of the foreground pixels, the mean of
            both datasets, so that neither their sizes nor their order matter; "uniform" counts all classes alike; a
            mapping gives a number >= 0 for each class of the target that has a counterpart, in any scale.
        match: which class is compared with which, as for :func:`match_classes`.
        extension: "decomposition" or "direct".

    Raises:
        PreprocessingMismatchError: they were not prepared alike.
        DataError: no class has a counterpart, a class is in no sample, or cannot be summarized by the metric.
        ValueError: weights are negative, not finite, all 0 or missing, or an option is unknown or does not fit the
            metric.
    """
    if extension not in get_args(Extension):
        raise ValueError(f"expected an extension among {get_args(Extension)}, found {extension!r}.")
    shares = source.shares, target.shares
    if extension == "direct":
        source, target = (samples.spread(distance.max_samples, seed=distance.seed) for samples in (source, target))
    if match == "assignment":
        prepared = prepare_classes(source, distance), prepare_classes(target, distance)
        matching = assign_classes(*prepared, distance)
        normalized = _weights(weights, matching, *shares)
    else:
        # Wrong names and weights are told before anything is computed, and only what is compared is summarized.
        matching = match_classes(source, target, match)
        normalized = _weights(weights, matching, *shares)
        matched = zip(*matching.pairs, strict=True)
        prepared = prepare_classes(source, distance, next(matched)), prepare_classes(target, distance, next(matched))
    pairs = [(prepared[0][one], prepared[1][other]) for one, other in matching.pairs]
    if extension == "decomposition":
        found = [_binary_distance(*pair, distance) for pair in pairs]
    else:
        found = _direct_distances(source, target, matching, pairs, distance)
    parts = tuple(
        ClassDistance(*names, weight, part)
        for names, weight, part in zip(matching.pairs, normalized, found, strict=True)
    )
    # fsum does not depend on the order of the classes.
    image_term = math.fsum(part.weight * part.distance.image_term for part in parts)
    mask_term = math.fsum(part.weight * part.distance.mask_term for part in parts)
    left_out = [
        share[name]
        for share, names in zip(shares, (matching.unmatched_source, matching.unmatched_target), strict=True)
        for name in names
    ]
    return MulticlassDistance(
        source=source.name,
        target=target.name,
        method=distance.metric.name,
        extension=extension,
        value=image_term + mask_term,
        image_term=image_term,
        mask_term=mask_term,
        parts=parts,
        matching=matching,
        unmatched_share=math.fsum(left_out) / 2,
    )


def _binary_distance(source: PreparedClass, target: PreparedClass, distance: DatasetDistance) -> Distance:
    images = source.images_beside(target)
    mask_cost = distance.metric.compare(source.summary, target.summary, images.image_cost)
    return distance.from_costs(images, mask_cost)


def _direct_distances(
    source: MulticlassSamples,
    target: MulticlassSamples,
    matching: ClassMatching,
    pairs: list[tuple[PreparedClass, PreparedClass]],
    distance: DatasetDistance,
) -> list[Distance]:
    whole = source.whole, target.whole
    images = pair_images(*whole, *map(distance.embed, whole))
    found = []
    for (one, other), (source_class, target_class) in zip(pairs, matching.pairs, strict=True):
        cost_of_class = images.image_cost[source.shown(source_class)][:, target.shown(target_class)]
        mask_cost = distance.metric.compare(one.summary, other.summary, cost_of_class)
        if mask_cost.numel() != 1:
            raise ValueError(
                "expected a metric with one number for a whole dataset for the direct extension, such as gmm2d or "
                f"gmm3d, found '{distance.metric.name}', which compares sample by sample; use the decomposition."
            )
        found.append(distance.from_costs(images, mask_cost))
    return found


def _weights(
    weights: ClassWeights,
    matching: ClassMatching,
    source_shares: Mapping[str, float],
    target_shares: Mapping[str, float],
) -> list[float]:
    """w_k of every pair, summing to 1."""
    targets = [target for _, target in matching.pairs]
    if weights == "frequency":
        raw = [(source_shares[source] + target_shares[target]) / 2 for source, target in matching.pairs]
    elif weights == "uniform":
        raw = [1.0] * len(targets)
    elif isinstance(weights, Mapping):
        unknown = [name for name in weights if name not in target_shares]
        missing = [name for name in targets if name not in weights]
        if unknown or missing:
            raise ValueError(
                f"expected a weight for each of the target's classes {', '.join(targets)}, found "
                f"{f'none for {missing[0]!r}' if missing else f'one for {unknown[0]!r}, which it has not'}."
            )
        raw = [float(weights[name]) for name in targets]
    else:
        raise ValueError(f"expected weights 'frequency', 'uniform' or a mapping, found {weights!r}.")
    total = math.fsum(raw)
    if not all(math.isfinite(weight) and weight >= 0 for weight in raw) or not total > 0:
        raise ValueError(
            f"expected finite weights >= 0 that are not all 0, found {dict(zip(targets, raw, strict=True))}."
        )
    return [weight / total for weight in raw]
