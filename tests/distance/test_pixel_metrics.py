"""W2, sliced W2 and the energy distance of segment pixels: definitions, other solvers, closed forms, and their bins."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import energy_distance

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import MmdMetric, PixelsMetric, SlicedMetric
from medsegdist.distance.metrics.pixels import bin_pixels, slice_directions, sliced_wasserstein
from medsegdist.distance.transport import solve_transport
from medsegdist.errors import DataError
from tests.laws import mask_distance
from tests.synthetic import blobs, dots

METRICS = {metric.name: metric for metric in (MmdMetric(), PixelsMetric(intensity=True), SlicedMetric())}
PIXEL_BY_PIXEL = PixelsMetric(max_bins=10**6)
OF_PLACES = {
    "mmd": (MmdMetric(intensity=False), 0.5),
    "pixels": (PIXEL_BY_PIXEL, 1),
    "sliced": (SlicedMetric(intensity=False), 1),
}


@pytest.mark.parametrize(("metric", "power"), OF_PLACES.values(), ids=OF_PLACES.keys())
def test_a_blown_up_dataset_is_farther_by_a_power_of_the_factor(metric, power):
    rng = np.random.default_rng(0)
    one, other = (np.unique(rng.integers(0, 12, size=(20, 2)), axis=0) for _ in range(2))
    small, large = (mask_distance(metric, dots("a", [k * one]), dots("b", [k * other])) for k in (1, 4))
    assert large == pytest.approx(4**power * small, rel=1e-9)


def moved(samples, shift):
    return replace(samples, masks=samples.masks.roll(shift, -1), images=samples.images.roll(shift, -1))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
def test_they_grow_with_a_growing_shift_and_with_brightness(metric):
    a = blobs("a", n=4, center=(0.3, 0.3), radius=3, seed=1)
    shifted = [moved(a, shift) for shift in range(0, 16, 3)]
    brighter = [replace(a, images=a.images + more) for more in range(0, 60, 12)]
    for series in (shifted, brighter):
        far = [mask_distance(metric, a, one) for one in series]
        assert far[0] == 0
        assert far == sorted(far)


@pytest.mark.parametrize("metric", [metric for metric, _ in OF_PLACES.values()], ids=OF_PLACES.keys())
def test_reweighted_samples_are_counted_as_if_they_were_all_there_is(metric):
    samples, other = blobs(n=6, seed=4), metric.summarize(blobs("b", seed=5))
    nothing = torch.zeros(1, 1, dtype=torch.float64)
    weights = torch.tensor([[1.0, 0, 3, 0, 0, 2], [0.0, 0, 0, 0, 5, 0]], dtype=torch.float64)
    for row, found in zip(weights, metric.resample(samples, metric.summarize(samples), weights), strict=True):
        there = row.nonzero()[:, 0]
        expected = metric.summarize(replace(samples.take(there.tolist()), weights=row[there]))
        assert float(metric.compare(found, other, nothing)) == pytest.approx(
            float(metric.compare(expected, other, nothing)), rel=1e-9
        )


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (MmdMetric, {"max_bins": 3}, "expected max_bins of at least 16, found 3"),
        (SlicedMetric, {"directions": 0}, "expected at least 1 direction, found 0"),
        (PixelsMetric, {"max_bins": 15}, "expected max_bins of at least 16, found 15"),
    ],
)
def test_bad_options_are_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


def some_pixels(n, seed, grid=(48, 48)):
    rng = np.random.default_rng(seed)
    return np.stack(np.unravel_index(rng.choice(np.prod(grid), n, replace=False), grid), 1)


@given(n=st.integers(1, 40), seed=st.integers(0, 1000))
@settings(max_examples=25)
def test_of_as_many_pixels_it_is_the_cheapest_assignment(n, seed):
    one, other = some_pixels(n, seed), some_pixels(n, seed + 1)
    cost = cdist(one, other, "sqeuclidean")
    expected = (cost[linear_sum_assignment(cost)].sum() / n) ** 0.5
    assert mask_distance(PIXEL_BY_PIXEL, dots("a", [one]), dots("b", [other])) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("max_bins", "width"), [(30, 1), (20, 4)])
@pytest.mark.parametrize("shift", [(0, 8), (12, 4), (20, 20)])
def test_a_shift_costs_its_length(shift, max_bins, width):
    pixels = some_pixels(30, 3, grid=(20, 20))
    metric, samples = PixelsMetric(max_bins=max_bins), dots("a", [pixels])
    assert metric.summarize(samples).counted.width == width
    found = mask_distance(metric, samples, dots("b", [pixels + shift]))
    assert found == pytest.approx(np.hypot(*shift), rel=1e-9)


def test_two_points_with_intensities_lie_at_their_euclidean_distance():
    a, b = dots("a", [[(2, 3)]], intensities=[[100.0]]), dots("b", [[(4, 6)]], intensities=[[-6.5]])
    assert mask_distance(PixelsMetric(intensity=True), a, b) == pytest.approx((4 + 9 + 106.5**2) ** 0.5, rel=1e-12)
    assert mask_distance(PixelsMetric(), a, b) == pytest.approx(13**0.5, rel=1e-12)
    assert DatasetDistance(PixelsMetric())(a, b).mask_term == pytest.approx(13, rel=1e-12)


@pytest.mark.parametrize("max_bins", [16, 24, 60])
@pytest.mark.parametrize("intensity", [False, True])
def test_bins_are_wrong_by_no_more_than_their_error(max_bins, intensity):
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
    metric = PixelsMetric(intensity=intensity, max_bins=max_bins)
    bins = [metric.summarize(one) for one in (a, b)]
    error = sum(one.error for one in bins)
    diagonals = [one.counted.width * (2 + intensity) ** 0.5 for one in bins]
    assert 0 < error <= sum(diagonals) / 2, "half a diagonal each"
    assert abs(mask_distance(metric, a, b) - true) <= error


@pytest.mark.parametrize("intensity", [False, True])
@pytest.mark.parametrize("grid", [(32, 40), (10, 20, 24)])
def test_bins_hold_the_mass_and_the_mean_of_their_pixels(grid, intensity):
    samples = blobs(grid=grid, center=[0.5] * len(grid), n=5)
    samples = replace(samples, images=samples.images - 150)  # levels on both sides of 0
    bins = bin_pixels(samples, intensity=intensity, limit=40).reweighted(samples.weights)
    assert bins.counted.width > 1
    index = samples.masks.nonzero().numpy()
    points = index[:, 1:].astype(float)
    if intensity:
        points = np.c_[points, samples.images[samples.masks].numpy()]
    weights = samples.weights.numpy()[index[:, 0]]
    cells, inverse = np.unique(np.floor(points / bins.counted.width), axis=0, return_inverse=True)
    masses = np.bincount(inverse, weights) / weights.sum()
    means = np.stack([np.bincount(inverse, weights * axis) for axis in points.T], 1) / (masses * weights.sum())[:, None]
    np.testing.assert_array_equal(bins.index.numpy(), cells)
    np.testing.assert_allclose(bins.masses.numpy(), masses, rtol=1e-12)
    np.testing.assert_allclose(bins.points.numpy(), means, rtol=1e-10, atol=1e-10)


def test_the_finest_bins_that_fit_are_taken():
    full = dots("full", [np.argwhere(np.ones((90, 90)))], grid=(90, 90))
    assert PixelsMetric().summarize(full).counted.width == 3  # 45 x 45 bins of 2 are too many, 30 x 30 are not
    assert PixelsMetric().summarize(blobs()).counted.width == 1


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
            PixelsMetric(intensity=True).summarize(bad)


def test_a_key_keeps_the_order_of_the_bins():
    # Two datasets are compared bin by bin, and equal datasets in equal order.
    samples = blobs(n=3, grid=(10, 20, 24), center=(0.5, 0.5, 0.5))
    index = bin_pixels(replace(samples, images=samples.images - 100), intensity=True, limit=200).index
    assert index.tolist() == sorted(index.tolist())
    assert bin_pixels(samples, intensity=True, limit=16).width > 4


@given(d=st.integers(1, 4), n=st.integers(1, 12), m=st.integers(1, 12), seed=st.integers(0, 1000))
@settings(max_examples=25)
def test_along_every_direction_it_is_exact_transport(d, n, m, seed):
    rng = np.random.default_rng(seed)
    x, y = torch.from_numpy(rng.normal(size=(n, d))), torch.from_numpy(rng.normal(1, 2, size=(m, d)))
    a, b = (torch.from_numpy(rng.uniform(0.2, 2, size)) for size in (n, m))
    a, b = a / a.sum(), b / b.sum()
    directions = slice_directions(d, 7, seed)
    squared = [
        solve_transport(((x @ u)[:, None] - (y @ u)[None, :]).square(), a, b).value
        for u in torch.from_numpy(directions.T.copy())
    ]
    assert sliced_wasserstein(x, a, y, b, directions) == pytest.approx(np.mean(squared) ** 0.5, rel=1e-9)


@given(d=st.integers(1, 300), count=st.integers(1, 40), seed=st.integers(0, 50))
@settings(max_examples=25)
def test_directions_come_in_orthonormal_bases(d, count, seed):
    directions = slice_directions(d, count, seed)
    assert directions.shape[0] == d
    assert count <= directions.shape[1] < count + d
    np.testing.assert_array_equal(directions, slice_directions(d, count, seed))
    if count >= d:  # every vector keeps its mean square
        np.testing.assert_allclose(directions @ directions.T, np.eye(d) * directions.shape[1] / d, atol=1e-9)
    else:
        np.testing.assert_allclose(directions.T @ directions, np.eye(count), atol=1e-9)


@pytest.mark.parametrize(("shift", "grid"), [((9, -4), (48, 48)), ((2, 3, -6), (12, 20, 20))])
@pytest.mark.parametrize("directions", [1, 7, 60])
def test_a_shift_costs_its_length_over_the_root_of_the_dimensions(shift, grid, directions):
    pixels = np.argwhere(np.random.default_rng(0).random([size // 2 for size in grid]) < 0.2)
    start = np.maximum(-np.array(shift), 0)
    a, b = dots("a", [pixels + start], grid=grid), dots("b", [pixels + start + shift], grid=grid)
    metric = SlicedMetric(intensity=False, directions=max(directions, len(grid)))
    assert mask_distance(metric, a, b) == pytest.approx(np.linalg.norm(shift) / len(grid) ** 0.5, rel=1e-9)


@given(seed=st.integers(0, 200))
@settings(max_examples=10)
def test_it_is_bounded_by_w2(seed):
    a, b = blobs("a", n=3, seed=seed), blobs("b", n=3, center=(0.6, 0.4), radius=4, seed=seed + 1)
    bound = mask_distance(PIXEL_BY_PIXEL, a, b) / 2**0.5
    assert mask_distance(SlicedMetric(intensity=False, seed=seed), a, b) <= bound * (1 + 1e-9)


def by_definition(a, b):
    points, masses = [], []
    for samples in (a, b):
        index = samples.masks.nonzero().numpy()
        values = samples.images[samples.masks].numpy().astype(float)
        points.append(np.c_[index[:, 1:], values])
        weights = samples.weights.numpy()[index[:, 0]]
        masses.append(weights / weights.sum())
    (x, y), (u, v) = points, masses
    return (2 * u @ cdist(x, y) @ v - u @ cdist(x, x) @ u - v @ cdist(y, y) @ v) ** 0.5


@pytest.mark.parametrize("grid", [(32, 40), (10, 20, 24)])
def test_is_the_definition_pixel_by_pixel(grid):
    a = blobs("a", grid=grid, n=3, radius=4, center=[0.4] * len(grid), seed=1)
    b = blobs("b", grid=grid, n=4, radius=4, center=[0.6] * len(grid), brightness=150, seed=2)
    a, b = (replace(one, images=one.images.round()) for one in (a, b))
    found = mask_distance(MmdMetric(max_bins=100_000), a, b)
    assert found == pytest.approx(by_definition(a, b), rel=1e-9)


@given(n=st.integers(1, 20), m=st.integers(1, 20), seed=st.integers(0, 1000))
@settings(max_examples=25)
def test_scipy_agrees_on_a_line(n, m, seed):
    rng = np.random.default_rng(seed)
    one, other = (rng.choice(48, size=size, replace=False) for size in (n, m))
    a, b = (dots(name, [[(5, column) for column in columns]]) for name, columns in (("a", one), ("b", other)))
    assert mask_distance(MmdMetric(intensity=False), a, b) == pytest.approx(
        energy_distance(one, other), rel=1e-9, abs=1e-7
    )
