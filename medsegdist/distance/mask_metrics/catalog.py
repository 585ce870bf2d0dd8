"""Every mask metric that the command line knows by name."""

from __future__ import annotations

from typing import Any

from medsegdist.distance.mask_metrics.mask_metric import MaskMetric
from medsegdist.distance.mask_metrics.mmd import MmdMetric
from medsegdist.distance.mask_metrics.paper import paper_metrics
from medsegdist.distance.mask_metrics.patches import PatchesMetric
from medsegdist.distance.mask_metrics.pixels import PixelsMetric
from medsegdist.distance.mask_metrics.sliced import SlicedMetric


def all_metrics(*, delta: float = -1.0, seed: int = 0) -> dict[str, MaskMetric[Any]]:
    """The five metrics of the paper, then what they can be compared with, by name.

    Args:
        delta: value below every intensity, for the Euclidean metric (Eq. 7).
        seed: of clusterings, fits, directions and choices of patches.
    """
    return {
        **paper_metrics(delta=delta, seed=seed),
        "pixels": PixelsMetric(),
        "mmd": MmdMetric(),
        "sliced": SlicedMetric(seed=seed),
        "patches": PatchesMetric(seed=seed),
    }
