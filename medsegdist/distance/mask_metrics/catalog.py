"""Every mask metric that has a name on the command line."""

from __future__ import annotations

from typing import Any

from medsegdist.distance.mask_metrics.cosine import CosineMetric
from medsegdist.distance.mask_metrics.dice import DiceMetric
from medsegdist.distance.mask_metrics.fingerprint import FingerprintMetric
from medsegdist.distance.mask_metrics.hausdorff import HausdorffMetric
from medsegdist.distance.mask_metrics.mask_metric import MaskMetric
from medsegdist.distance.mask_metrics.mmd import MmdMetric
from medsegdist.distance.mask_metrics.paper import paper_metrics
from medsegdist.distance.mask_metrics.patches import PatchesMetric
from medsegdist.distance.mask_metrics.pixels import PixelsMetric
from medsegdist.distance.mask_metrics.sliced import SlicedMetric


def all_metrics(*, delta: float = -1.0, seed: int = 0) -> dict[str, MaskMetric[Any]]:
    """The mask metrics of the paper and those to compare them with, by name, the paper's five first.

    Metrics that need to be told more, such as the classes of
    :class:`~medsegdist.distance.mask_metrics.otdd.OtddMetric`, are not among them. The comparators' distances are
    small beside those of images: leave the images out (`image_weight=0`) to rank by them.

    Args:
        delta: value below every intensity, for metrics on neutralized segments (Eq. 7).
        seed: of all that is random.
    """
    return {
        **paper_metrics(delta=delta, seed=seed),
        "dice": DiceMetric(),
        "jaccard": DiceMetric(jaccard=True),
        "hausdorff": HausdorffMetric(),
        "hausdorff95": HausdorffMetric(percentile=95),
        "cosine": CosineMetric(delta=delta),
        "angular": CosineMetric(delta=delta, angular=True),
        "fingerprint": FingerprintMetric(),
        "pixels": PixelsMetric(),
        "mmd": MmdMetric(),
        "sliced": SlicedMetric(seed=seed),
        "patches": PatchesMetric(seed=seed),
    }
