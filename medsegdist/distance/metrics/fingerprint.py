"""Distance between a few plain numbers per dataset: the baseline that every other metric should beat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.measure import label
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.features import box_of

PERCENTILES = (5, 50, 95)  # of the intensities inside and outside the segment


@dataclass(frozen=True, slots=True)
class FingerprintMetric:
    """d_Y = Euclidean distance between the fingerprints of two datasets, the same for all samples.

    A fingerprint is the weighted mean over the samples of what segmentation frameworks look at before they train
    (nnU-Net, Auto3DSeg): size of the segment, number of its regions (connected over edges and corners), rows and
    columns (and slices) of its bounding box, and the 5th, 50th and 95th percentile of the intensities inside and
    outside it. Rules that no dataset has a say in make the numbers comparable: geometry counts in doublings (log2), and
    intensities in standard deviations of the sample's own image above its mean. So the distance is a metric
    between fingerprints, and a third dataset changes nothing. Sizes are in pixels of the common grid: samples know
    neither their spacing nor the size of the original image.

    Args:
        intensity_unit: intensity difference that counts as much as a doubling of the size; None takes the standard
            deviation of each sample's image, and intensities from its mean, which is blind to the brightness and
            contrast of whole images.
        power: q of the dataset distance.

    Raises:
        ValueError: `intensity_unit` is not above 0.
    """

    name: ClassVar[str] = "fingerprint"
    intensity_unit: float | None = None
    power: float = 1.0

    def __post_init__(self) -> None:
        if self.intensity_unit is not None and not 0 < self.intensity_unit < math.inf:
            raise ValueError(f"expected a finite intensity_unit > 0, found {self.intensity_unit}.")

    def summarize(self, samples: SegmentationSamples, /) -> Tensor:
        """(f,) float64 CPU tensor: size, regions and extent along each axis, percentiles inside and outside."""
        return samples.mass.cpu() @ self._of_samples(samples)

    def resample(self, samples: SegmentationSamples, summary: Tensor, weights: Tensor, /) -> list[Tensor]:
        """Fingerprints of the same samples under other weights."""
        return list(weights / weights.sum(1, keepdim=True) @ self._of_samples(samples))

    def compare(self, source: Tensor, target: Tensor, image_cost: Tensor, /) -> Tensor:
        """(1, 1) without a unit: 1 is a doubling, or one unit of intensity, of a single number."""
        return torch.dist(source, target).reshape(1, 1).to(image_cost.device)

    def _of_samples(self, samples: SegmentationSamples) -> Tensor:
        rows = []
        for image, mask in zip(samples.images.cpu().numpy(), samples.masks.cpu().numpy(), strict=True):
            inside = mask[box_of(mask)]
            geometry = np.log2([np.count_nonzero(inside), label(inside, return_num=True)[1], *inside.shape])
            rows.append([*geometry, *_intensities(image.astype(np.float64), mask, self.intensity_unit)])
        return torch.tensor(np.array(rows))


def _intensities(image: NDArray[np.float64], mask: NDArray[np.bool_], unit: float | None) -> NDArray[np.float64]:
    """Percentiles inside and outside the mask, in units."""
    outside = image[~mask]
    # A mask that fills the grid has no outside; its image then stands in for it.
    sides = image[mask], outside if outside.size else image
    found = np.concatenate([np.percentile(side, PERCENTILES) for side in sides])
    if unit is not None:
        return np.asarray(found / unit)
    if image.min() == image.max():
        return np.zeros_like(found)
    return np.asarray((found - image.mean()) / image.std())
