"""Sliced W2 against the network simplex along each direction, closed forms, and W2 of the pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medsegdist.distance.metrics import PixelsMetric, SlicedMetric
from medsegdist.distance.metrics.sliced import slice_directions, sliced_wasserstein
from medsegdist.distance.transport import solve_transport
from tests.synthetic import blobs, dots

NOTHING = torch.zeros(1, 1, dtype=torch.float64)


def distance(metric, a, b):
    return float(metric.compare(metric.summarize(a), metric.summarize(b), NOTHING))


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
    assert distance(metric, a, b) == pytest.approx(np.linalg.norm(shift) / len(grid) ** 0.5, rel=1e-9)


def test_two_points_with_intensities():
    a, b = dots("a", [[(2, 3)]], intensities=[[100.0]]), dots("b", [[(4, 6)]], intensities=[[94.0]])
    assert distance(SlicedMetric(), a, b) == pytest.approx(7 / 3**0.5, rel=1e-12)


def test_a_blown_up_dataset_is_farther_by_the_factor():
    rng = np.random.default_rng(1)
    one, other = (np.unique(rng.integers(0, 12, size=(20, 2)), axis=0) for _ in range(2))
    metric = SlicedMetric(intensity=False)
    small = distance(metric, dots("a", [one]), dots("b", [other]))
    assert distance(metric, dots("a", [4 * one]), dots("b", [4 * other])) == pytest.approx(4 * small, rel=1e-9)


@given(seed=st.integers(0, 200))
@settings(max_examples=10)
def test_it_is_bounded_by_w2(seed):
    a, b = blobs("a", n=3, seed=seed), blobs("b", n=3, center=(0.6, 0.4), radius=4, seed=seed + 1)
    bound = distance(PixelsMetric(bin=1), a, b) / 2**0.5
    assert distance(SlicedMetric(intensity=False, seed=seed), a, b) <= bound * (1 + 1e-9)


def test_it_grows_with_a_growing_shift():
    a = blobs("a", center=(0.3, 0.3), seed=1)
    shifted = [replace(a, masks=a.masks.roll(s, -1), images=a.images.roll(s, -1)) for s in range(0, 16, 3)]
    far = [distance(SlicedMetric(), a, one) for one in shifted]
    assert far[0] == 0
    assert far == sorted(far)


def test_a_seed_decides_the_directions():
    a, b = blobs("a", seed=1), blobs("b", center=(0.6, 0.4), radius=4, seed=2)
    assert distance(SlicedMetric(seed=3), a, b) == distance(SlicedMetric(seed=3), a, b)
    assert distance(SlicedMetric(seed=3), a, b) != distance(SlicedMetric(seed=4), a, b)
    assert distance(SlicedMetric(seed=3), a, b) == pytest.approx(distance(SlicedMetric(seed=4), a, b), rel=0.1)


def test_reweighted_samples_are_counted_as_if_they_were_all_there_is():
    samples, other = blobs(n=6, seed=4), blobs("b", seed=5)
    metric = SlicedMetric(intensity=False)
    weights = torch.tensor([[1.0, 0, 3, 0, 0, 2], [0.0, 0, 0, 0, 5, 0]], dtype=torch.float64)
    for row, found in zip(weights, metric.resample(samples, metric.summarize(samples), weights), strict=True):
        there = row.nonzero()[:, 0]
        expected = distance(metric, replace(samples.take(there.tolist()), weights=row[there]), other)
        assert float(metric.compare(found, metric.summarize(other), NOTHING)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"directions": 0}, "expected at least 1 direction, found 0"),
        ({"max_bins": 3}, "expected max_bins of at least 16, found 3"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SlicedMetric(**options)
