"""Distances between the masks of two datasets, d_Y of the paper's Eq. 3, and the table of their names."""

from __future__ import annotations

from typing import Any

from medsegdist.distance.metrics.dice import DiceMetric as DiceMetric
from medsegdist.distance.metrics.euclidean import CosineMetric as CosineMetric
from medsegdist.distance.metrics.euclidean import EuclideanMetric as EuclideanMetric
from medsegdist.distance.metrics.fake_classes import FakeClassGmmMetric as FakeClassGmmMetric
from medsegdist.distance.metrics.fake_classes import FakeClassMetric as FakeClassMetric
from medsegdist.distance.metrics.fingerprint import FingerprintMetric as FingerprintMetric
from medsegdist.distance.metrics.gmm import GmmMetric as GmmMetric
from medsegdist.distance.metrics.hausdorff import HausdorffMetric as HausdorffMetric
from medsegdist.distance.metrics.mask_metric import MaskMetric as MaskMetric
from medsegdist.distance.metrics.mask_metric import ResamplingMetric as ResamplingMetric
from medsegdist.distance.metrics.mask_metric import with_options as with_options
from medsegdist.distance.metrics.otdd import OtddMetric as OtddMetric
from medsegdist.distance.metrics.patches import PatchesMetric as PatchesMetric
from medsegdist.distance.metrics.pixels import MmdMetric as MmdMetric
from medsegdist.distance.metrics.pixels import PixelsMetric as PixelsMetric
from medsegdist.distance.metrics.sliced import SlicedMetric as SlicedMetric

PAPER_METHODS = ("euclidean", "gmm2d", "gmm3d", "fake_classes", "fake_class_gmm")
"""The paper's five, in the order of its Tables 5 to 9."""


def all_metrics(*, delta: float = -1.0, seed: int = 0) -> dict[str, MaskMetric[Any]]:
    """The mask metrics of the paper and those to compare them with, by name, the paper's five first.

    Metrics that need more, such as the classes of :class:`~medsegdist.distance.metrics.otdd.OtddMetric`, are not
    among them. The comparators' distances are small next to those of images: leave the images out (`image_weight=0`)
    to rank by them.

    Args:
        delta: value below every intensity, for metrics on neutralized segments (Eq. 7).
        seed: of all that is random.
    """
    metrics: tuple[MaskMetric[Any], ...] = (
        EuclideanMetric(delta=delta),
        GmmMetric(intensity=False, seed=seed),
        GmmMetric(intensity=True, seed=seed),
        FakeClassMetric(seed=seed),
        FakeClassGmmMetric(seed=seed),
        DiceMetric(),
        DiceMetric(jaccard=True),
        HausdorffMetric(),
        HausdorffMetric(percentile=95),
        CosineMetric(delta=delta),
        CosineMetric(delta=delta, angular=True),
        FingerprintMetric(),
        PixelsMetric(),
        MmdMetric(),
        SlicedMetric(seed=seed),
        PatchesMetric(seed=seed),
    )
    return {metric.name: metric for metric in metrics}


def paper_metrics(*, delta: float = -1.0, seed: int = 0) -> dict[str, MaskMetric[Any]]:
    """The mask metrics of the paper with the paper's options, by name, in the order of its Tables 5 to 9.

    Args:
        delta: value below every intensity, for the Euclidean metric (Eq. 7).
        seed: of the clusterings and the fits.
    """
    metrics = all_metrics(delta=delta, seed=seed)
    return {name: metrics[name] for name in PAPER_METHODS}
