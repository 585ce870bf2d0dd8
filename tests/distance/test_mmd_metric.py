"""The energy distance of segment pixels against its definition, pixel by pixel, and SciPy's on a line."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import energy_distance

from medsegdist.distance.metrics import MmdMetric
from tests.laws import mask_distance
from tests.synthetic import blobs, dots

NOTHING = torch.zeros(1, 1, dtype=torch.float64)


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


def test_few_bins_are_close_to_all_pixels():
    a, b = blobs("a", seed=1), blobs("b", center=(0.6, 0.6), seed=2)
    coarse, fine = (MmdMetric(intensity=False, max_bins=bins) for bins in (64, 100_000))
    assert len(coarse.summarize(a)) <= 64 < len(fine.summarize(a))
    assert mask_distance(coarse, a, b) == pytest.approx(mask_distance(fine, a, b), rel=0.05)
