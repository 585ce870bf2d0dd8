"""Overlap of masks: Dice and Jaccard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.image_cost import segment_cost
from medsegdist.distance.metrics.mask_metric import PairwiseMetric


@dataclass(frozen=True)
class DiceMetric(PairwiseMetric):
    """d_Y(k, l) = 1 - Dice of two masks, or 1 - IoU: 0 for equal masks, 1 for disjoint ones.

    1 - IoU (Jaccard) is a metric. 1 - Dice is none: two masks may each be at 1/3 from their union and at 1 from each
    other, which breaks the triangle inequality. Neither depends on how far apart disjoint masks are, nor looks at
    intensities (the paper's Table 2). Numbers up to 1 are lost next to d_X, which is in the thousands for
    images of [0, 255], unless `DatasetDistance(mask_weight=...)` lifts them or `image_weight=0` leaves the images out.

    Args:
        jaccard: True takes 1 - IoU, and the name "jaccard".
    """

    jaccard: bool = False

    @property
    def name(self) -> str:
        """The name of the method in tables: "dice" or "jaccard"."""
        return "jaccard" if self.jaccard else "dice"

    def summarize(self, samples: SegmentationSamples, /) -> sparse.csr_array:
        """The masks, one row per sample: (n, pixels) float64 of 0 and 1."""
        return sparse.csr_array(samples.masks.flatten(1).cpu().numpy()).astype(np.float64)

    def compare(self, source: sparse.csr_array, target: sparse.csr_array, image_cost: Tensor, /) -> Tensor:
        """(n, m) without a unit, 0 to 1."""
        # ||Y - Y'||^2 counts the pixels of one mask only, whichever kind of product is the faster one; it is whole.
        of_one_only = segment_cost(source, target).square().round()
        of_both_sizes = torch.from_numpy(source.sum(axis=1)[:, None] + target.sum(axis=1)[None, :])
        whole = (of_both_sizes + of_one_only) / 2 if self.jaccard else of_both_sizes
        return (of_one_only / whole).to(image_cost.device)
