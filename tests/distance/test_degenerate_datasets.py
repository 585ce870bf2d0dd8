"""Datasets that are hardly any: every method of the paper gives a number, or says what is too little."""

import numpy as np
import pytest
import torch

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import PAPER_METHODS, make_metric
from medsegdist.distance.mixture.fit import fit_mixture
from medsegdist.distance.mixture.pixel_counts import PixelCounts
from medsegdist.errors import DataError
from tests.laws import Remembering

GRIDS = {2: (24, 24), 3: (5, 24, 24)}


def noise(n, grid):
    return np.random.default_rng(0).integers(0, 255, size=(n, *grid)).astype(np.float32)


def segments(n, grid, *boxes):
    """(n, *grid) masks with one box (rows, columns) each, in volumes on their slice 2."""
    masks = np.zeros((n, *grid), dtype=bool)
    for k in range(n):
        rows, columns = boxes[k % len(boxes)]
        masks[k].reshape(-1, *grid[-2:])[2 if len(grid) == 3 else 0, slice(*rows), slice(*columns)] = True
    return masks


def three_tiny_slices(grid):
    return noise(3, grid), segments(3, grid, ((5, 6), (5, 8))), ["p", "p", "p"]


def three_tiny_slices_elsewhere(grid):
    return noise(3, grid), segments(3, grid, ((17, 18), (13, 15)), ((6, 7), (7, 8)), ((3, 5), (2, 4))), ["p", "p", "p"]


def three_moved_squares(grid):
    return noise(3, grid), segments(3, grid, *(((5 + k, 8 + k), (5 + k, 8 + k)) for k in range(3))), ["p", "p", "p"]


def one_row(grid):
    return noise(6, grid), segments(6, grid, ((7, 8), (2, 20))), None


def one_pixel_each(grid):
    return (
        noise(8, grid),
        segments(8, grid, *(((3 + 2 * k % 7, 4 + 2 * k % 7), (2 + k, 3 + k)) for k in range(8))),
        None,
    )


def the_same_pixel(grid):
    return noise(8, grid), segments(8, grid, ((5, 6), (5, 6))), None


def identical(grid):
    return np.repeat(noise(1, grid), 5, axis=0), segments(5, grid, ((5, 12), (4, 14))), None


def constant(grid):
    return np.full((6, *grid), 100.0, dtype=np.float32), segments(6, grid, ((5, 12), (4, 14)), ((3, 9), (8, 15))), None


def plain_samples(grid):
    masks = segments(6, grid, ((3, 12), (4, 14)), ((4, 14), (3, 12)))
    return SegmentationSamples.from_arrays("plain", noise(6, grid), masks, preprocessing="synthetic")


PLAIN = {dimensions: plain_samples(grid) for dimensions, grid in GRIDS.items()}
METRICS = {method: Remembering(make_metric(method)) for method in PAPER_METHODS}


DATASETS = (
    three_tiny_slices,
    three_tiny_slices_elsewhere,
    three_moved_squares,
    one_row,
    one_pixel_each,
    the_same_pixel,
    identical,
    constant,
)

TOO_FEW = {("three_tiny_slices", "gmm2d"): 3, ("the_same_pixel", "gmm2d"): 1}
"""Distinct pixels of those that no mixture of five Gaussians can be fitted to."""


@pytest.mark.parametrize("make", DATASETS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("method", PAPER_METHODS)
def test_a_number_or_what_is_too_little(make, dimensions, method):
    images, masks, patients = make(GRIDS[dimensions])
    samples = SegmentationSamples.from_arrays("odd", images, masks, patient_ids=patients, preprocessing="synthetic")
    plain, distance = PLAIN[dimensions], DatasetDistance(METRICS[method])
    few = TOO_FEW.get((make.__name__, method))
    if few is not None:
        advice = r"ask for fewer components .*, take another method, or leave the dataset out"
        with pytest.raises(DataError, match=rf"dataset 'odd': .*found {few} pixels? for 5 components; {advice}"):
            distance(samples, plain)
        return
    there, back = distance(samples, plain), distance(plain, samples)
    assert np.isfinite(there.value)
    assert there.value > 0
    assert back.value == pytest.approx(there.value, rel=1e-9)
    assert distance(samples, samples).value == pytest.approx(0.0, abs=1e-9 * there.value)


@pytest.mark.parametrize("components", [2, 3])
def test_points_that_squares_overflow_with_are_refused(components):
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 3)) * 1e200)
    with pytest.raises(
        DataError,
        match=f"expected segment pixels that {components} Gaussians can be fitted to .* found 8 distinct pixels with "
        r"coordinates from .*e\+200.* and weights from .*; look where these numbers are extreme, ask for fewer "
        "components .*, take another method, or leave the dataset out",
    ):
        fit_mixture(PixelCounts(points, torch.ones(8, dtype=torch.float64)), components)


def test_a_far_outlier_leaves_covariances_symmetric():
    points = np.concatenate([np.random.default_rng(0).normal(size=(8, 3)), [[1e12, 0, 0]]])
    fit = fit_mixture(PixelCounts(torch.from_numpy(points), torch.ones(9, dtype=torch.float64)), 3)
    assert torch.equal(fit.mixture.covariances, fit.mixture.covariances.mT)
