"""Histograms of segment pixels against the pixels themselves, collected one by one."""

from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.mixture import pixel_counts
from medsegdist.distance.mixture.pixel_counts import PixelCounts, count_pixels
from medsegdist.errors import DataError


def make_samples(n=6, grid=(9, 7), seed=0, offset=0.0, levels=256):
    rng = np.random.default_rng(seed)
    masks = rng.random((n, *grid)) < 0.3
    masks.reshape(n, -1)[:, 3] = True
    images = rng.integers(0, levels, size=(n, *grid)).astype(np.float32) + offset
    return SegmentationSamples.from_arrays("toy", images, masks, weights=rng.uniform(0.5, 2, n))


def all_pixels(samples, intensity):
    """Every segment pixel on its own: (pixels, d) coordinates and (pixels,) masses that sum to 1."""
    index = samples.masks.nonzero().numpy()
    points = index[:, 1:].astype(float)
    if intensity:
        points = np.c_[points, samples.images[samples.masks].numpy().astype(float)]
    masses = samples.weights.numpy()[index[:, 0]]
    return points, masses / masses.sum()


def as_dictionary(points, masses):
    total = {}
    for point, mass in zip(np.asarray(points).round(9).tolist(), np.asarray(masses).tolist(), strict=True):
        total[tuple(point)] = total.get(tuple(point), 0.0) + mass
    return total


@pytest.mark.parametrize("grid", [(9, 7), (3, 5, 4)])
@pytest.mark.parametrize("intensity", [False, True])
def test_holds_the_mass_of_every_pixel(grid, intensity):
    # 8-bit levels fall into bins of their own, so that with intensities, too, nothing is lost.
    samples = make_samples(grid=grid)
    histogram = count_pixels(samples, intensity=intensity)
    expected = as_dictionary(*all_pixels(samples, intensity))
    assert histogram.points.shape == (len(expected), len(grid) + intensity)
    assert histogram.points.dtype == histogram.masses.dtype == torch.float64
    assert as_dictionary(histogram.points, histogram.masses) == pytest.approx(expected, rel=1e-12)
    assert float(histogram.masses.sum()) == pytest.approx(1, rel=1e-14)


@given(levels=st.integers(1, 300), seed=st.integers(0, 100))
def test_means_are_exact_and_places_keep_their_mass_however_wide_the_bins(levels, seed):
    samples = make_samples(seed=seed)
    points, masses = all_pixels(samples, intensity=True)
    width = np.ptp(points[:, 2]) / levels
    with mock.patch.object(pixel_counts, "LEVELS", levels):
        histogram = count_pixels(samples, intensity=True)
    np.testing.assert_allclose(histogram.masses @ histogram.points, masses @ points, rtol=1e-12)
    flat = as_dictionary(histogram.points[:, :2], histogram.masses)
    assert flat == pytest.approx(as_dictionary(points[:, :2], masses), rel=1e-12)
    # No pixel moved by more than a bin: the points of a place, spread over its pixels, differ by less than the width.
    for place in flat:
        here = (histogram.points[:, :2] == torch.tensor(place, dtype=torch.float64)).all(1)
        values = points[(points[:, :2] == place).all(1), 2]
        for value in histogram.points[here, 2].tolist():
            assert np.abs(values - value).min() < width


@pytest.mark.parametrize("intensity", [False, True])
@pytest.mark.parametrize("index", [[1, 4], [0, 0, 3], torch.tensor([5, 2])])
def test_chosen_samples_are_counted_as_often_as_they_are_named(intensity, index):
    samples = make_samples()
    found = count_pixels(samples, intensity=intensity, sample_index=index)
    expected = count_pixels(samples.take([int(k) for k in index]), intensity=intensity)
    torch.testing.assert_close(found.points, expected.points)
    torch.testing.assert_close(found.masses, expected.masses)


def test_an_intensity_that_is_not_finite_names_dataset_and_case():
    samples = make_samples()
    samples.images[2][samples.masks[2]] = float("nan")
    with pytest.raises(DataError, match=r"dataset 'toy', case '2': expected finite intensities inside the segment"):
        count_pixels(samples, intensity=True)
    count_pixels(samples, intensity=False)


@pytest.mark.parametrize("intensity", [False, True])
def test_an_empty_mask_names_dataset_and_case(intensity):
    samples = make_samples()
    samples.masks[3] = False
    with pytest.raises(DataError, match=r"dataset 'toy', case '3': the mask is empty"):
        count_pixels(samples, intensity=intensity)


def test_no_chosen_sample_is_an_error():
    with pytest.raises(DataError, match=r"dataset 'toy': expected at least 1 sample"):
        count_pixels(make_samples(), intensity=False, sample_index=[])


@pytest.mark.parametrize(
    ("points", "masses", "message"),
    [
        ([[0.0, float("nan")]], [1.0], "expected finite points, found NaN or infinite ones"),
        ([[0.0], [1.0]], [1.0, -1.0], "expected positive finite masses"),
        ([[0.0], [1.0]], [1.0, float("nan")], "expected positive finite masses"),
        ([[0.0], [1.0]], [1.0], r"expected points \(h, d\) with h >= 1 and masses \(h,\), found \(2, 1\) and \(1,\)"),
        ([0.0, 1.0], [1.0, 1.0], r"expected points \(h, d\) with h >= 1"),
    ],
)
def test_points_that_are_no_histogram_are_refused(points, masses, message):
    with pytest.raises(DataError, match=message):
        PixelCounts(torch.tensor(points, dtype=torch.float64), torch.tensor(masses, dtype=torch.float64))
