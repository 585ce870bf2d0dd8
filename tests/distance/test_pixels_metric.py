"""W2 between segment pixels against closed forms, an assignment solver, and the pixels themselves."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import PixelsMetric
from medsegdist.distance.metrics.pixels import bin_pixels
from medsegdist.distance.transport import solve_transport
from medsegdist.errors import DataError
from tests.laws import mask_distance
from tests.synthetic import blobs, dots

NOTHING = torch.zeros(1, 1, dtype=torch.float64)


def some_pixels(n, seed, grid=(48, 48)):
    rng = np.random.default_rng(seed)
    return np.stack(np.unravel_index(rng.choice(np.prod(grid), n, replace=False), grid), 1)


@given(n=st.integers(1, 40), seed=st.integers(0, 1000))
@settings(max_examples=25)
def test_of_as_many_pixels_it_is_the_cheapest_assignment(n, seed):
    one, other = some_pixels(n, seed), some_pixels(n, seed + 1)
    cost = cdist(one, other, "sqeuclidean")
    expected = (cost[linear_sum_assignment(cost)].sum() / n) ** 0.5
    assert mask_distance(PixelsMetric(bin=1), dots("a", [one]), dots("b", [other])) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("bin", [1, 4])
@pytest.mark.parametrize("shift", [(0, 8), (12, 4), (20, 20)])
def test_a_shift_costs_its_length(shift, bin):
    pixels = some_pixels(30, 3, grid=(20, 20))
    moved = dots("b", [pixels + shift])
    found = mask_distance(PixelsMetric(bin=bin), dots("a", [pixels]), moved)
    assert found == pytest.approx(np.hypot(*shift), rel=1e-9)


def test_two_points_with_intensities_lie_at_their_euclidean_distance():
    a, b = dots("a", [[(2, 3)]], intensities=[[100.0]]), dots("b", [[(4, 6)]], intensities=[[-6.5]])
    assert mask_distance(PixelsMetric(intensity=True), a, b) == pytest.approx((4 + 9 + 106.5**2) ** 0.5, rel=1e-12)
    assert mask_distance(PixelsMetric(), a, b) == pytest.approx(13**0.5, rel=1e-12)
    assert DatasetDistance(PixelsMetric())(a, b).mask_term == pytest.approx(13, rel=1e-12)


def test_volumes_have_three_axes():
    a, b = dots("a", [[(1, 2, 3)]], grid=(6, 9, 9)), dots("b", [[(2, 4, 5)]], grid=(6, 9, 9))
    assert mask_distance(PixelsMetric(), a, b) == pytest.approx(3, rel=1e-12)


@pytest.mark.parametrize("bin", [2, 3, 5, 8])
@pytest.mark.parametrize("intensity", [False, True])
def test_bins_are_wrong_by_no_more_than_their_error(bin, intensity):
    a, b = blobs("a", n=2, radius=3, seed=1), blobs("b", n=3, center=(0.7, 0.4), radius=3, seed=2)
    pixels = []
    for samples in (a, b):
        index = samples.masks.nonzero().numpy()
        points = index[:, 1:].astype(float)
        if intensity:
            points = np.c_[points, samples.images[samples.masks].numpy()]
        pixels.append((torch.from_numpy(points), samples.weights[index[:, 0]]))
    (x, u), (y, v) = pixels
    true = solve_transport(torch.cdist(x, y).square(), u, v).value ** 0.5
    metric = PixelsMetric(intensity=intensity, bin=bin)
    error = metric.summarize(a).error + metric.summarize(b).error
    assert 0 < error <= 2 * bin * (2 + intensity) ** 0.5 / 2, "half a diagonal each"
    assert abs(mask_distance(metric, a, b) - true) <= error


def test_pixels_of_their_own_bins_have_no_error():
    assert PixelsMetric(bin=1).summarize(blobs()).error == 0


@pytest.mark.parametrize("intensity", [False, True])
@pytest.mark.parametrize("grid", [(32, 40), (10, 20, 24)])
def test_bins_hold_the_mass_and_the_mean_of_their_pixels(grid, intensity):
    samples = blobs(grid=grid, center=[0.5] * len(grid), n=5)
    samples = replace(samples, images=samples.images - 150)  # levels on both sides of 0
    bins = bin_pixels(samples, intensity=intensity, width=3).reweighted(samples.weights)
    index = samples.masks.nonzero().numpy()
    points = index[:, 1:].astype(float)
    if intensity:
        points = np.c_[points, samples.images[samples.masks].numpy()]
    weights = samples.weights.numpy()[index[:, 0]]
    cells, inverse = np.unique(np.floor(points / 3), axis=0, return_inverse=True)
    masses = np.bincount(inverse, weights) / weights.sum()
    means = np.stack([np.bincount(inverse, weights * axis) for axis in points.T], 1) / (masses * weights.sum())[:, None]
    np.testing.assert_array_equal(bins.index.numpy(), cells)
    np.testing.assert_allclose(bins.masses.numpy(), masses, rtol=1e-12)
    np.testing.assert_allclose(bins.points.numpy(), means, rtol=1e-10, atol=1e-10)


def test_without_a_width_the_finest_bins_that_fit_are_taken():
    full = dots("full", [np.argwhere(np.ones((90, 90)))], grid=(90, 90))
    assert PixelsMetric().summarize(full).counted.width == 3  # 45 x 45 bins of 2 are too many, 30 x 30 are not
    assert PixelsMetric().summarize(blobs()).counted.width == 1


def test_too_many_bins_for_exact_transport_are_refused_with_a_width_that_fits():
    full = dots("full", [np.argwhere(np.ones((90, 90)))], grid=(90, 90))
    message = "dataset 'full': expected at most 4096 occupied bins.*found 8100 with bin = 1; bin = 2 would fit"
    with pytest.raises(DataError, match=message) as error:
        PixelsMetric(bin=1).summarize(full)
    fitting = int(re.search(r"bin = (\d+) would fit", str(error.value)).group(1))
    assert len(PixelsMetric(bin=fitting).summarize(full)) == 45 * 45


def test_empty_masks_and_bad_intensities_are_refused_with_their_case():
    samples = dots("a", [[(1, 1)], [(2, 2)]])
    empty = SegmentationSamples(
        "a", samples.images, samples.masks & False, ("x", "y"), ("x", "y"), samples.weights, "synthetic"
    )
    with pytest.raises(DataError, match="dataset 'a', case 'x': the mask is empty"):
        PixelsMetric().summarize(empty)
    for value, message in ((float("nan"), "found NaN or infinite"), (1e30, "within 2147483648 bins of 0, found 1e+30")):
        bad = replace(samples, images=torch.full_like(samples.images, value))
        with pytest.raises(DataError, match=r"dataset 'a', case '0': .*" + re.escape(message)):
            PixelsMetric(intensity=True, bin=1).summarize(bad)


def test_a_key_keeps_the_order_of_the_bins():
    # Two datasets are compared bin by bin, and equal datasets in equal order.
    samples = blobs(n=3, grid=(10, 20, 24), center=(0.5, 0.5, 0.5))
    index = bin_pixels(replace(samples, images=samples.images - 100), intensity=True, width=4).index
    assert index.tolist() == sorted(index.tolist())
    assert bin_pixels(samples, intensity=True, limit=16).width > 4
