"""The distance between two datasets whose masks have several classes (the paper's section 6.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from medsegdist.data.class_samples import MulticlassSamples
from medsegdist.distance.dataset_distance import DatasetDistance, Distance, pair_images
from medsegdist.distance.pairs import PairTask, assign, prepare_all
from medsegdist.errors import DataError

Extension = Literal["decomposition", "direct"]
"""How a binary distance is extended to several classes."""

ClassWeights = Literal["frequency", "uniform"] | Mapping[str, float]
"""How much each class counts."""

Match = Literal["name", "assignment"] | Mapping[str, str]
"""How classes are matched: by equal names, by the least sum of mask distances, or by a mapping of source to target."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassMatching:
    """Pairs of classes of two datasets.

    Args:
        pairs: (class of the source, class of the target), each class at most once, in the source's order.
        unmatched_source: classes of the source without a counterpart.
        unmatched_target: classes of the target without a counterpart.
        costs: (k, k') float64, mask distance of every class of the source to every class of the target; None if
            they were matched otherwise.
    """

    pairs: tuple[tuple[str, str], ...]
    unmatched_source: tuple[str, ...]
    unmatched_target: tuple[str, ...]
    costs: Tensor | None = None


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
            of both datasets. A small distance says little if it is large.
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
    `unmatched_share` says how much was left out.

    The paper has two extensions. They differ in the images only. "decomposition" computes the binary distance of each
    class as it is, with the images that show the class. "direct" is for a metric with one number for a whole dataset,
    above all the mixtures of :class:`GmmMetric`: one mixture for each class, sum_k w_k MW2(g_k, g'_k)**q, and one
    transport of all images, which is solved once and not for every class. If every sample shows every class, both
    are the same; if a class is rare, the decomposition gives the images that show it more weight.

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
    matching = match_classes(source, target, match, distance=distance)
    normalized = _weights(weights, matching, *shares)
    if extension == "decomposition":
        found = [distance(source.by_class[one], target.by_class[other]) for one, other in matching.pairs]
    else:
        found = _direct_distances(source, target, matching, distance)
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


def _direct_distances(
    source: MulticlassSamples, target: MulticlassSamples, matching: ClassMatching, distance: DatasetDistance
) -> list[Distance]:
    whole = source.whole, target.whole
    images = pair_images(*whole, *map(distance.embed, whole))
    found = []
    for one, other in matching.pairs:
        cost_of_class = images.image_cost[source.shown(one)][:, target.shown(other)]
        metric = distance.metric
        summaries = metric.summarize(source.by_class[one]), metric.summarize(target.by_class[other])
        mask_cost = metric.compare(*summaries, cost_of_class)
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


def match_classes(
    source: MulticlassSamples,
    target: MulticlassSamples,
    by: Match = "name",
    *,
    distance: DatasetDistance | None = None,
) -> ClassMatching:
    """Match the classes of two datasets, each with at most one of the other.

    Args:
        source: one dataset.
        target: the other.
        by: "name" matches classes of one name; "assignment" takes the pairs whose mask distances sum to the least, so
            that names do not matter; a mapping says which class of the target each class of the source is. Of
            equally cheap assignments any is taken.
        distance: whose mask metric, seed and limit of samples an assignment uses; needed for that only. The mask
            distance of two classes is the least sum of pi * d_Y**q, images aside.

    Returns:
        As many pairs as the smaller dataset has classes, or fewer by name or mapping; the rest stays unmatched.

    Raises:
        ValueError: `by` is unknown, names a class that does not exist or one twice, or lacks a distance.
        DataError: no class has a counterpart, or one cannot be compared.
    """
    if by == "assignment":
        if distance is None:
            raise ValueError("expected a distance to assign classes by, found None; give the one to be computed.")
        methods = {distance.metric.name: distance}
        sides = prepare_all({"source": source, "target": target}, methods, None, 1)
        task = PairTask(source.name, target.name, sides["source"], sides["target"], methods)
        costs = torch.tensor(
            [
                [task.mask_distance(distance.metric.name, one, other) for other in target.classes]
                for one in source.classes
            ],
            dtype=torch.float64,
        )
        return _matching(source.classes, target.classes, assign(source.classes, target.classes, costs), costs)
    if by == "name":
        return _matching(source.classes, target.classes, {name: name for name in source.classes})
    if not isinstance(by, Mapping):
        raise ValueError(f"expected classes matched by 'name', 'assignment' or a mapping, found {by!r}.")
    for samples, named in ((source, by.keys()), (target, by.values())):
        unknown = [name for name in named if name not in samples.classes]
        if unknown:
            raise ValueError(
                f"expected a mapping of classes of '{source.name}' to classes of '{target.name}', found "
                f"'{unknown[0]}', but '{samples.name}' has {', '.join(samples.classes)}."
            )
    if len(set(by.values())) < len(by):
        raise ValueError(f"expected each class of '{target.name}' at most once in the mapping, found {dict(by)}.")
    return _matching(source.classes, target.classes, by)


def _matching(
    sources: tuple[str, ...], targets: tuple[str, ...], opposite: Mapping[str, str], costs: Tensor | None = None
) -> ClassMatching:
    pairs = tuple((name, opposite[name]) for name in sources if opposite.get(name) in targets)
    if not pairs:
        raise DataError(
            f"expected classes in common, found {', '.join(sources)} and {', '.join(targets)}; say which is which by a "
            'mapping as `match`, or pair the nearest by match="assignment".'
        )
    matched_sources, matched_targets = zip(*pairs, strict=True)
    return ClassMatching(
        pairs=pairs,
        unmatched_source=tuple(name for name in sources if name not in matched_sources),
        unmatched_target=tuple(name for name in targets if name not in matched_targets),
        costs=costs,
    )
