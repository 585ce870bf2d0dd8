"""Cosine distance and angle between segments against scipy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.metrics import CosineMetric
from medsegdist.errors import DataError
from tests.distance.test_dice import between
from tests.synthetic import blobs


def segments(samples, delta):
    return torch.where(samples.masks, samples.images.double() - delta, 0).flatten(1).numpy()


@pytest.mark.parametrize("delta", [-1, -2048])
@pytest.mark.parametrize("grid", [(40, 48), (8, 20, 24)], ids=["slices", "volumes"])
@pytest.mark.parametrize("radius", [2, 14], ids=["sparse product", "dense product"])
def test_it_is_scipys(grid, radius, delta):
    a, b = (blobs(n=n, grid=grid, center=[0.5] * len(grid), radius=radius, seed=n) for n in (9, 7))
    expected = cdist(segments(a, delta), segments(b, delta), "cosine")
    assert between(CosineMetric(delta=delta), a, b).numpy() == pytest.approx(expected, abs=1e-12)
    angles = between(CosineMetric(delta=delta, angular=True), a, b).numpy() * (np.pi / 2)
    assert angles == pytest.approx(np.arccos(np.clip(1 - expected, 0, 1)), abs=1e-7)


def vectors(rows):
    """Segments of four pixels with these intensities; -1 is outside."""
    images = torch.tensor(rows, dtype=torch.float32).reshape(len(rows), 2, 2)
    return SegmentationSamples.from_arrays("vectors", images, images > -1)


def test_cosine_breaks_the_triangle_inequality():
    found = between(CosineMetric(), *[vectors([[0, -1, -1, -1], [0, 0, -1, -1], [-1, 0, -1, -1]])] * 2)
    assert found[0, 2] > found[0, 1] + found[1, 2] + 0.4


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_angle_obeys_it_and_both_stay_within_0_and_1(seed):
    rng = np.random.default_rng(seed)
    rows = np.where(rng.random((5, 4)) < 0.6, rng.uniform(0, 255, (5, 4)), -1)
    rows[rows.max(axis=1) < 0, 0] = 7
    samples = vectors(rows.tolist())
    for angular in (False, True):
        found = between(CosineMetric(angular=angular), samples, samples)
        assert found.min() >= 0
        assert found.max() <= 1
        assert found.numpy() == pytest.approx(found.T.numpy(), abs=1e-15)
        assert (found.diagonal() == 0).all()
    assert (found <= (found[:, :, None] + found[None]).amin(dim=1) + 1e-12).all()


def test_small_angles_keep_their_digits():
    base = 255.0
    samples = vectors([[base, 0, -1, -1], [base, 2**-10, -1, -1]])
    u, v = (np.array([base + 1, x + 1]) for x in (0, 2**-10))
    angle = np.arctan2(abs(u[0] * v[1] - u[1] * v[0]), u @ v)
    found = between(CosineMetric(angular=True), samples, samples)[0, 1].item()
    assert found * np.pi / 2 == pytest.approx(angle, rel=1e-9)
    assert between(CosineMetric(), samples, samples)[0, 1].item() == pytest.approx(2 * np.sin(angle / 2) ** 2, rel=1e-9)


def test_delta_inside_the_range_is_refused():
    with pytest.raises(
        DataError, match=r"dataset 'blobs', case 'case3': expected intensities above delta = 100, found 99"
    ):
        CosineMetric(delta=100).summarize(blobs())
