"""Distance between what two samples look like across the boundaries of their segments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.measure import label
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.characteristics import boundary_complexity
from medsegdist.distance.features import box_of
from medsegdist.distance.metrics.mask_metric import PairwiseMetric


@dataclass(frozen=True)
class BoundaryMetric(PairwiseMetric):
    """d_Y(k, l) = ||v_k - v_l||_2 between the boundary profiles of two samples.

    A profile holds what a network must learn to find a boundary: the mean intensity of the pixels whose distance from
    the boundary is up to 1, 2, ... `reach` pixels inside and outside the segment, and three numbers of shape, namely
    log2 of the segment's pixels, of its regions (connected over edges and corners), and of its boundary complexity.
    Intensities are in standard deviations of the sample's own image above its mean, so the profile is blind to the
    brightness and contrast of whole images. Where a segment is too thin, or the grid ends, the outermost pixels that
    there are stand in for those beyond. Ours, beyond the paper.

    Args:
        reach: pixels to look at on either side of the boundary, at least 1.
        shape_weight: how many standard deviations of intensity a doubling counts as; 0 leaves shape out.

    Raises:
        ValueError: an option is out of range.
    """

    name: ClassVar[str] = "boundary"
    reach: int = 4
    shape_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.reach < 1:
            raise ValueError(f"expected a reach of at least 1 pixel, found {self.reach}.")
        if not 0 <= self.shape_weight < math.inf:
            raise ValueError(f"expected a finite shape_weight >= 0, found {self.shape_weight}.")

    def summarize(self, samples: SegmentationSamples, /) -> Tensor:
        """(n, 2 * reach + 3) float64 CPU tensor, one profile per sample, from deepest inside to farthest outside."""
        rows = []
        for image, mask in zip(samples.images.cpu().numpy(), samples.masks.cpu().numpy(), strict=True):
            # The complexity is estimated, and of a single pixel could come out as 0.
            complexity = max(boundary_complexity(image, mask), 0.5)
            inside = mask[box_of(mask)]
            shape = np.log2([np.count_nonzero(inside), label(inside, return_num=True)[1], complexity])
            rows.append([*_profile(image.astype(np.float64), mask, self.reach), *(self.shape_weight * shape)])
        return torch.tensor(np.array(rows))

    def compare(self, source: Tensor, target: Tensor, image_cost: Tensor, /) -> Tensor:
        """(n, m) distances: 1 is a standard deviation of intensity in one number, or a doubling of one of shape."""
        # Not by a product of matrices, which loses the digits of small differences.
        return torch.cdist(source, target, compute_mode="donot_use_mm_for_euclid_dist").to(image_cost.device)


def _profile(image: NDArray[np.float64], mask: NDArray[np.bool_], reach: int) -> NDArray[np.float64]:
    """(2 * reach,) mean intensities of the shells around the boundary, in standard deviations of the image."""
    spread = image.std()
    if spread == 0 or mask.all():  # no contrast; or no boundary, and the mean of the segment is that of the image
        return np.zeros(2 * reach)
    box = box_of(mask, margin=reach)
    values, inside = (image[box] - image.mean()) / spread, mask[box]
    sides = []
    for side in (inside, ~inside):
        # The shell of a pixel: 0 for those that touch the other side over an edge.
        shell = np.ceil(distance_transform_edt(side)[side]).astype(np.intp) - 1
        near = shell < reach
        counts = np.bincount(shell[near], minlength=reach)
        means = np.bincount(shell[near], values[side][near], minlength=reach) / np.maximum(counts, 1)
        # Shells without a pixel look like the last one before them; the first is never empty.
        sides.append(means[np.maximum.accumulate(np.where(counts > 0, np.arange(reach), 0))])
    return np.concatenate([sides[0][::-1], sides[1]])
