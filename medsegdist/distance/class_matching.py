"""Which class of one dataset stands opposite which class of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from medsegdist.data.multiclass import MulticlassSamples
from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance, ImagePair, pair_images
from medsegdist.distance.transport import solve_transport
from medsegdist.errors import DataError

Match = Literal["name", "assignment"] | Mapping[str, str]
"""How classes are matched: by equal names, by the least sum of mask distances, or as source -> target says."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassMatching:
    """Pairs of classes of two datasets.

    Args:
        pairs: (class of the source, class of the target), each class at most once, in the source's order.
        unmatched_source: classes of the source without a counterpart.
        unmatched_target: classes of the target without a counterpart.
        costs: (k, k') float64, mask distance of every class of the source to every class of the target; None where
            the classes were not matched by it.
    """

    pairs: tuple[tuple[str, str], ...]
    unmatched_source: tuple[str, ...]
    unmatched_target: tuple[str, ...]
    costs: Tensor | None = None


@dataclass(frozen=True, eq=False)
class PreparedClass:
    """The binary dataset of a class as a distance compares it.

    Args:
        samples: those that show the class.
        distance: which distance.
        summary: what its metric makes of them.
    """

    samples: SegmentationSamples
    distance: DatasetDistance
    summary: Any

    @cached_property
    def features(self) -> Tensor | None:
        """What the distance's embedding makes of the images, computed once; None without one."""
        return self.distance.embed(self.samples)

    def images_beside(self, target: PreparedClass) -> ImagePair:
        """The images of this class and of one of another dataset side by side.

        Raises:
            PreprocessingMismatchError: they were not prepared alike.
            DataError: the embedding returns no finite features, or other numbers of them.
        """
        return pair_images(self.samples, target.samples, self.features, target.features)


def prepare_classes(
    samples: MulticlassSamples, distance: DatasetDistance, classes: Sequence[str] | None = None
) -> dict[str, PreparedClass]:
    """The binary dataset of each class, summarized once.

    Args:
        samples: the dataset.
        distance: whose metric summarizes them, and whose limit of samples holds.
        classes: names of those that are needed; None is all.

    Raises:
        DataError: a class is in no sample, or cannot be summarized by the metric.
    """
    chosen = {
        name: samples.by_class[name].spread(distance.max_samples, seed=distance.seed)
        for name in (samples.classes if classes is None else classes)
    }
    return {name: PreparedClass(binary, distance, distance.metric.summarize(binary)) for name, binary in chosen.items()}


def match_classes(
    source: MulticlassSamples,
    target: MulticlassSamples,
    by: Match = "name",
    *,
    distance: DatasetDistance | None = None,
) -> ClassMatching:
    """Classes of two datasets, each opposite at most one of the other.

    Args:
        source: one dataset.
        target: the other.
        by: "name" matches classes of one name; "assignment" takes the pairs whose mask distances sum to the least, so
            that names do not matter; a mapping says which class of the target each class of the source is. Where
            several assignments are equally cheap, any of them is taken.
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
        return assign_classes(prepare_classes(source, distance), prepare_classes(target, distance), distance)
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


def assign_classes(
    source: Mapping[str, PreparedClass], target: Mapping[str, PreparedClass], distance: DatasetDistance
) -> ClassMatching:
    """The pairs of classes whose mask distances sum to the least.

    Args:
        source: classes of one dataset by name.
        target: classes of the other.
        distance: whose mask metric compares them.

    Raises:
        PreprocessingMismatchError: they were not prepared alike.
    """
    costs = torch.tensor(
        [[_mask_distance(one, other, distance) for other in target.values()] for one in source.values()],
        dtype=torch.float64,
    )
    sources, targets = list(source), list(target)
    rows, columns = linear_sum_assignment(costs.numpy())
    opposite = {sources[row]: targets[column] for row, column in zip(rows.tolist(), columns.tolist(), strict=True)}
    return _matching(tuple(sources), tuple(targets), opposite, costs)


def _mask_distance(source: PreparedClass, target: PreparedClass, distance: DatasetDistance) -> float:
    images = source.images_beside(target)
    powered = distance.metric.compare(source.summary, target.summary, images.image_cost) ** distance.metric.power
    return (
        float(powered)
        if powered.numel() == 1
        else solve_transport(powered, images.source_weights, images.target_weights).value
    )


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
