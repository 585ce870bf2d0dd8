"""What a mask metric is: a name, a power and two functions; and the names that metrics have as methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:  # The command line needs the names of methods, and no torch, where the Tab key is pressed.
    from torch import Tensor

    from medsegdist.data.samples import SegmentationSamples

METHODS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "euclidean": ("euclidean.EuclideanMetric", {}),
    "gmm2d": ("gmm.GmmMetric", {"intensity": False}),
    "gmm3d": ("gmm.GmmMetric", {"intensity": True}),
    "fake_classes": ("fake_classes.FakeClassMetric", {}),
    "fake_class_gmm": ("fake_classes.FakeClassGmmMetric", {}),
    "dice": ("dice.DiceMetric", {}),
    "jaccard": ("dice.DiceMetric", {"jaccard": True}),
    "hausdorff": ("hausdorff.HausdorffMetric", {}),
    "hausdorff95": ("hausdorff.HausdorffMetric", {"percentile": 95}),
    "cosine": ("euclidean.CosineMetric", {}),
    "angular": ("euclidean.CosineMetric", {"angular": True}),
    "fingerprint": ("fingerprint.FingerprintMetric", {}),
    "pixels": ("pixels.PixelsMetric", {}),
    "mmd": ("pixels.MmdMetric", {}),
    "sliced": ("pixels.SlicedMetric", {}),
    "patches": ("patches.PatchesMetric", {}),
    "boundary": ("boundary.BoundaryMetric", {}),
}
"""Module, class and options of each method: the paper's five, then those to compare them with.

Metrics that need more, such as the classes of :class:`~medsegdist.distance.metrics.otdd.OtddMetric`, are not among
them. The comparators' distances are small next to those of images: leave the images out (`image_weight=0`) to rank by
them.
"""

PAPER_METHODS = tuple(METHODS)[:5]  # the paper's, in the order of its Tables 5 to 9

S = TypeVar("S")
C = TypeVar("C", contravariant=True)


class MaskMetric(Protocol[S]):
    """d_Y of the paper's Eq. 3: how far apart the masks of two datasets are.

    Any object with these four members is one; nothing needs to be registered or inherited. Options belong to the
    object's own fields. `tests/laws.py` checks the laws that every metric has to obey.
    """

    @property
    def name(self) -> str:
        """The name of the method in tables."""
        ...

    @property
    def power(self) -> float:
        """The power q that d_Y is raised to within the dataset distance; the paper uses 1 or 2."""
        ...

    def summarize(self, samples: SegmentationSamples, /) -> S:
        """What is computed once per dataset.

        Args:
            samples: n samples of one dataset.

        Returns:
            What `compare` needs of them, of any type.
        """
        ...

    def compare(self, source: S, target: S, image_cost: Tensor, /) -> Tensor:
        """d_Y of every source and target sample, or one number for all of them.

        Args:
            source: summary of n samples.
            target: summary of m samples.
            image_cost: (n, m) float64, d_X of the same samples, for metrics that are built on it (the paper's Eq. 4).

        Returns:
            (n, m) or (1, 1) float64, >= 0, not raised to `power`.
        """
        ...


@runtime_checkable
class ResamplingMetric(Protocol[S]):
    """A mask metric with a short way to the summaries of bootstrap replicates.

    Without it, every replicate is summarized like a dataset of its own.
    """

    def resample(self, samples: SegmentationSamples, summary: S, weights: Tensor, /) -> Sequence[S] | None:
        """Summaries of the same samples under other weights.

        Args:
            samples: n samples.
            summary: `summarize(samples)`.
            weights: (r, n) float64 on the CPU; a sample of weight 0 is left out.

        Returns:
            r summaries, each of the samples that are left. The first 51 of them will do where d_Y is no single number:
            distances of further replicates are predicted. None if d_Y of two samples depends on these two alone: d_Y of
            replicates is then a choice of rows and columns, and nothing is compared again.
        """
        ...


@dataclass(frozen=True)
class PairwiseMetric:
    """A mask metric whose d_Y of two samples depends on these two alone.

    Args:
        power: q of the dataset distance.
    """

    power: float = 1.0

    def resample(self, samples: SegmentationSamples, summary: Any, weights: Tensor, /) -> None:
        """d_Y of replicates is a choice of rows and columns."""


@runtime_checkable
class ReplicatesMetric(Protocol[C]):
    """A mask metric with one number for a whole dataset, and a short way to those of many bootstrap replicates."""

    def compare_replicates(self, pairs: Sequence[tuple[C, C]], image_cost: Tensor, /) -> Sequence[Tensor]:
        """d_Y of each pair of summaries.

        Args:
            pairs: summaries of two datasets under other weights, those of the datasets as they are first.
            image_cost: (n, m) float64 d_X of the datasets as they are, which says where to compute.

        Returns:
            A (1, 1) float64 tensor for each pair.
        """
        ...


def with_options(metric: Any, options: Mapping[str, Any]) -> MaskMetric[Any]:
    """The metric with those of the options that it has.

    Args:
        metric: a metric; one that is no dataclass has no options.
        options: values by the name of a field.

    Raises:
        ValueError: the metric refuses a value.
    """
    names = {field.name for field in fields(metric) if field.init} if is_dataclass(metric) else set()
    chosen = {name: value for name, value in options.items() if name in names}
    changed: MaskMetric[Any] = replace(metric, **chosen) if chosen else metric
    return changed


def make_metric(method: str, *, delta: float = -1.0, seed: int = 0) -> MaskMetric[Any]:
    """The mask metric of a method, with the paper's options.

    Args:
        method: a name among :data:`METHODS`.
        delta: value below every intensity, for metrics on neutralized segments (Eq. 7).
        seed: of all that is random.
    """
    place, options = METHODS[method]
    module, kind = place.split(".")
    metric = getattr(import_module(f"medsegdist.distance.metrics.{module}"), kind)(**options)
    return with_options(metric, {"delta": delta, "seed": seed})
