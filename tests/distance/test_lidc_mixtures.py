"""Mixtures of real masks: two fits of the LIDC-IDRI subsets from different seeds are the same mixtures.

With a single start, two fits of the same nodule pixels lie as far apart as two malignancy levels do.
"""

from itertools import permutations

import numpy as np
import pytest
import torch

from medsegdist.distance.mixture.fit import fit_mixture
from medsegdist.distance.mixture.gaussian import mixture_wasserstein
from medsegdist.distance.mixture.pixel_counts import PixelCounts
from tests.distance.lidc_masks import nodule_counts

LEVELS = range(1, 6)


@pytest.fixture(scope="module")
def histograms():
    """All pixels that half of the readers call nodule, on the scanner's 512 x 512 grid."""
    of_level = {}
    for level, image in nodule_counts().items():
        points = np.argwhere(image)
        of_level[level] = PixelCounts(
            points=torch.from_numpy(points).double(),
            masses=torch.from_numpy(image[tuple(points.T)] / image.sum()),
        )
    return of_level


@pytest.mark.slow
@pytest.mark.ci
def test_gmm2d_of_all_20_ordered_pairs_is_the_same_from_two_seeds(histograms):
    first, second = (
        {level: fit_mixture(histograms[level], 5, seed=seed).mixture for level in LEVELS} for seed in (1, 2)
    )
    for a, b in permutations(LEVELS, 2):
        value = mixture_wasserstein(first[a], first[b]) ** 2
        assert mixture_wasserstein(second[a], second[b]) ** 2 == pytest.approx(value, rel=0.01), (a, b)
        assert value > 500, "the levels do lie apart"
