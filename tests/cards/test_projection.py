"""The projection that all cards of one preprocessing share."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch

from medsegdist.cards.making import BLOCK, DIMENSION, gaussian_of, project
from medsegdist.data.samples import SegmentationSamples


def samples_of(images: np.ndarray, preprocessing: str = "abc") -> SegmentationSamples:
    masks = np.ones(images.shape, dtype=bool)
    return SegmentationSamples.from_arrays("some", images, masks, preprocessing=preprocessing)


def lit(*pixels: tuple[int, int], grid: tuple[int, int] = (4, 5)) -> SegmentationSamples:
    """An image for each pixel, 1 there and 0 elsewhere."""
    images = np.zeros((len(pixels), *grid))
    for k, pixel in enumerate(pixels):
        images[k][pixel] = 1
    return samples_of(images)


def test_the_signs_are_pinned_since_cards_made_elsewhere_rest_on_them() -> None:
    found = project(lit((0, 0), (1, 2))) * math.sqrt(DIMENSION)
    bits = hashlib.shake_256(b"medsegdist card|abc|[4, 5]|0").hexdigest(20 * DIMENSION // 8)
    for row, pixel in zip(found, (0, 7), strict=True):
        ours = "".join("1" if sign > 0 else "0" for sign in row.tolist())
        assert int(ours, 2) == int(bits[8 * pixel : 8 * pixel + 8], 16)
    assert bits[:8] == "c1c177d0"


def test_pixels_of_a_later_block_have_signs_of_their_own() -> None:
    grid = (3, BLOCK)
    signs = project(lit((0, 0), (1, 0), (2, 0), grid=grid)) * math.sqrt(DIMENSION)
    torch.testing.assert_close(signs.abs(), torch.ones_like(signs))
    assert len({tuple(row) for row in signs.sign().tolist()}) == 3


def test_the_projection_is_linear() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 1, 130, 140)).astype(np.float32)
    together = project(samples_of(2 * a - b))
    torch.testing.assert_close(together, 2 * project(samples_of(a)) - project(samples_of(b)), rtol=0, atol=1e-4)


def test_squared_norms_are_kept_in_expectation() -> None:
    images = np.random.default_rng(1).normal(3, 5, size=(3, 16, 16))
    squared = torch.from_numpy((images**2).sum((1, 2)))
    found = torch.stack([project(samples_of(images, f"print{k}")).square().sum(1) for k in range(400)])
    # Of one projection the relative deviation is sqrt(2 / 32) = 0.25, of the mean of 400 of them 0.0125.
    torch.testing.assert_close(found.mean(0) / squared, torch.ones(3, dtype=torch.float64), rtol=0, atol=0.05)
    assert 0.2 < float((found / squared).std()) < 0.3


@pytest.mark.parametrize("other", [{"preprocessing": "abd"}, {"grid": (5, 4)}])
def test_another_preprocessing_or_grid_is_another_projection(other: dict) -> None:
    images = np.random.default_rng(2).normal(size=(1, 4, 5))
    changed = samples_of(images.reshape(1, *other.get("grid", (4, 5))), other.get("preprocessing", "abc"))
    assert not torch.allclose(project(samples_of(images)), project(changed))


def test_the_gaussian_is_that_of_numpy() -> None:
    points = torch.from_numpy(np.random.default_rng(3).normal(size=(7, 3)))
    mass = torch.tensor([1, 2, 3, 4, 5, 6, 7], dtype=torch.float64) / 28
    mean, covariance = gaussian_of(points, mass)
    np.testing.assert_allclose(mean, np.average(points, axis=0, weights=mass))
    np.testing.assert_allclose(covariance, np.cov(points.T, aweights=mass, bias=True))
