"""The five mask metrics of the paper."""

from __future__ import annotations

from typing import Any

from medsegdist.distance.mask_metrics.euclidean import EuclideanMetric
from medsegdist.distance.mask_metrics.fake_class_gmm import FakeClassGmmMetric
from medsegdist.distance.mask_metrics.fake_classes import FakeClassMetric
from medsegdist.distance.mask_metrics.gmm import GmmMetric
from medsegdist.distance.mask_metrics.mask_metric import MaskMetric

PAPER_METHODS = ("euclidean", "gmm2d", "gmm3d", "fake_classes", "fake_class_gmm")
"""Their names, in the order of the paper's Tables 5 to 9."""


def paper_metrics(*, delta: float = -1.0, seed: int = 0) -> dict[str, MaskMetric[Any]]:
    """The mask metrics of the paper with the paper's options, by name, in the order of its Tables 5 to 9.

    Args:
        delta: value below every intensity, for the Euclidean metric (Eq. 7).
        seed: of the clusterings and the fits.
    """
    metrics: tuple[MaskMetric[Any], ...] = (
        EuclideanMetric(delta=delta),
        GmmMetric(intensity=False, seed=seed),
        GmmMetric(intensity=True, seed=seed),
        FakeClassMetric(seed=seed),
        FakeClassGmmMetric(seed=seed),
    )
    return dict(zip(PAPER_METHODS, metrics, strict=True))
