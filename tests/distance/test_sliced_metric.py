"""Sliced W2 against the network simplex along each direction, closed forms, and W2 of the pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medsegdist.distance.metrics import PixelsMetric, SlicedMetric
from medsegdist.distance.metrics.sliced import slice_directions, sliced_wasserstein
from medsegdist.distance.transport import solve_transport
from tests.laws import mask_distance
from tests.synthetic import blobs, dots

NOTHING = torch.zeros(1, 1, dtype=torch.float64)


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
    bound = mask_distance(PixelsMetric(bin=1), a, b) / 2**0.5
    assert mask_distance(SlicedMetric(intensity=False, seed=seed), a, b) <= bound * (1 + 1e-9)
