"""Real masks: the nodules of LIDC-IDRI, counted on the scanner's grid."""

from __future__ import annotations

import numpy as np
import torch

from medsegdist.data.layouts.lidc import malignancy_subsets, read_nodules
from medsegdist.data.layouts.lidc_slices import count_votes, read_outlines
from medsegdist.data.samples import SegmentationSamples


def nodule_counts() -> dict[int, np.ndarray]:
    """For each malignancy level (512, 512) how often each pixel is one that half of the readers call nodule."""
    of_level = {}
    for level, nodules in malignancy_subsets(read_nodules()).items():
        image = np.zeros((512, 512), dtype=np.int64)
        for nodule in nodules:
            votes = count_votes(read_outlines(nodule.scan_id, nodule.annotations))
            _, row, column = votes.corner
            counts = votes.consensus(0.5).sum(axis=0)
            image[row : row + counts.shape[0], column : column + counts.shape[1]] += counts
        of_level[level] = image
    return of_level


def counted_samples(name: str, counts: np.ndarray) -> SegmentationSamples:
    """A dataset whose pixels have these counts: one sample for each binary digit, with the weight of the digit."""
    digits = [digit for digit in range(int(counts.max()).bit_length()) if ((counts >> digit) & 1).any()]
    masks = np.stack([((counts >> digit) & 1).astype(bool) for digit in digits])
    return SegmentationSamples.from_arrays(
        name, np.zeros(masks.shape, dtype=np.float32), masks, weights=torch.tensor([2.0**digit for digit in digits])
    )
