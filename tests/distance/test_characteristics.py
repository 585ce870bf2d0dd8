"""Characteristics of datasets, on images of which they are known."""

import math

import numpy as np
import pytest

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.characteristics import (
    CHARACTERISTICS,
    boundary_complexity,
    characterize,
    edge_sharpness,
    segment_contrast,
    segment_location,
)
from tests.synthetic import blobs, dots


def measure(name, image, mask):
    return CHARACTERISTICS[name][1](image, mask)


def ball(grid, radius, center=None):
    axes = np.indices(grid)
    center = [(size - 1) / 2 for size in grid] if center is None else center
    return sum((axis - c) ** 2 for axis, c in zip(axes, center, strict=True)) <= radius**2


def box(grid, *sides):
    mask = np.zeros(grid, dtype=bool)
    mask[tuple(slice(first, last) for first, last in sides)] = True
    return mask


@pytest.mark.parametrize("grid", [(60, 50), (30, 30, 30)])
def test_contrast_is_that_to_the_pixels_around(grid):
    mask = ball(grid, 8)
    image = np.where(mask, 130.0, 50.0)
    image[tuple(size - 1 for size in grid)] = 9999.0  # far from the segment
    assert segment_contrast(image, mask) == pytest.approx(80)
    assert segment_contrast(-image, mask) == pytest.approx(-80)


def test_contrast_reaches_three_pixels_and_no_farther():
    mask = box((21, 21), (10, 11), (10, 11))
    image = np.zeros((21, 21))
    image[10, 13], image[10, 14] = 24.0, 1e6
    # A diamond of 25 pixels around one, of which 24 are outside of it.
    assert segment_contrast(image, mask) == pytest.approx(-1)


def test_a_disk_and_a_ball_are_the_least_complex():
    zeros = np.zeros((220, 220))
    assert boundary_complexity(zeros, ball((220, 220), 100)) == pytest.approx(1, abs=0.01)
    square = boundary_complexity(zeros, box((220, 220), (20, 200), (20, 200)))
    assert square == pytest.approx(2 / math.sqrt(math.pi), rel=0.06)
    thin = boundary_complexity(zeros, box((220, 220), (10, 210), (100, 104)))
    assert thin == pytest.approx(408 / (2 * math.sqrt(math.pi * 800)), rel=0.06)
    sphere = boundary_complexity(np.zeros((60,) * 3), ball((60,) * 3, 25))
    assert 1 <= sphere < 1.12  # faces of voxels are rougher than a sphere
    assert boundary_complexity(np.zeros((60,) * 3), box((60,) * 3, (5, 55), (28, 31), (28, 31))) > 1.7 * sphere


def test_complexity_is_the_mean_of_the_regions_and_not_of_all_together():
    one, two = ball((120, 240), 40, (60, 60)), ball((120, 240), 40, (60, 180))
    image = np.zeros((120, 240))
    assert boundary_complexity(image, one | two) == pytest.approx(boundary_complexity(image, one))


def test_complexity_has_no_unit():
    image = np.zeros((400, 400))
    small, large = (boundary_complexity(image, box((400, 400), (9, 9 + k), (9, 9 + 3 * k))) for k in (40, 120))
    assert small == pytest.approx(large, rel=0.02)


def test_location_is_0_at_the_center_and_1_in_a_corner():
    image = np.zeros((11, 21))
    assert segment_location(image, box((11, 21), (5, 6), (10, 11))) == 0
    for row, column in ((0, 0), (0, 20), (10, 0), (10, 20)):
        assert segment_location(image, box((11, 21), (row, row + 1), (column, column + 1))) == pytest.approx(1)
    assert segment_location(image, box((11, 21), (5, 6), (0, 1))) == pytest.approx(10 / math.hypot(5, 10))
    assert segment_location(np.zeros((1, 1)), np.ones((1, 1), dtype=bool)) == 0


def test_size_contrast_of_the_image_and_background():
    mask = box((10, 10), (0, 2), (0, 10))
    image = np.where(np.arange(10) % 2 == 0, 0.0, 10.0) * np.ones((10, 1))
    assert measure("segment_size", image, mask) == 20
    assert measure("background_variation", image, mask) == pytest.approx(5)
    assert measure("image_contrast", image, mask) == pytest.approx(5)
    assert measure("background_variation", np.where(mask, 1e6, image), mask) == pytest.approx(5)


def test_brightness_is_that_above_the_mean_of_the_image():
    mask = box((10, 10), (0, 2), (0, 10))
    image = np.where(mask, 30.0, 10.0)
    assert measure("segment_brightness", image, mask) == pytest.approx(30 - 14)
    assert measure("segment_brightness", -image, mask) == pytest.approx(-16)


def test_a_step_at_the_boundary_is_sharper_than_one_elsewhere():
    mask = box((32, 32), (0, 32), (8, 16))
    at_the_boundary, elsewhere = np.where(mask, 9.0, 1.0), np.where(np.arange(32) < 24, 1.0, 9.0) * np.ones((32, 1))
    # Two steps of 4 a pixel over two columns each; so many pixels of 32 columns have them.
    assert edge_sharpness(at_the_boundary, mask) == pytest.approx(32 / 4)
    assert edge_sharpness(elsewhere, mask) == 0
    assert edge_sharpness(np.ones((32, 32)), mask) == 1
    assert edge_sharpness(5 * at_the_boundary - 3, mask) == pytest.approx(8)


def test_fine_texture_is_that_of_single_pixels():
    rows, columns = np.indices((40, 40))
    mask = box((40, 40), (3, 9), (3, 9))
    ramp, checkerboard = 3.0 * rows + columns, np.where((rows + columns) % 2 == 0, 1.0, -1.0)
    assert measure("fine_texture", ramp[1:-1, 1:-1], mask) < 1
    # Every inner pixel is 2 above or below each of its four neighbors.
    assert measure("fine_texture", checkerboard, mask) == pytest.approx(8, rel=0.05)


def test_regions_touch_over_corners_and_spread_is_that_of_a_line():
    mask = np.zeros((20, 20), dtype=bool)
    mask[2, 2] = mask[3, 3] = mask[15, 4] = True
    assert measure("segment_regions", np.zeros((20, 20)), mask) == 2
    line = box((20, 20), (4, 5), (3, 15))
    assert measure("segment_spread", np.zeros((20, 20)), line) == pytest.approx(math.sqrt((12**2 - 1) / 12))
    assert measure("segment_spread", np.zeros((20, 20)), box((20, 20), (4, 5), (3, 4))) == 0


def test_a_dataset_has_the_mean_and_the_deviation_by_weight():
    pixels = [[(0, 0)], [(0, 0), (0, 1), (1, 0), (1, 1)]]
    found = characterize(dots("d", pixels, weights=[3, 1]))
    assert list(found) == list(CHARACTERISTICS)
    deviation = math.sqrt(0.75 * 0.75**2 + 0.25 * 2.25**2)
    assert found["segment_size"] == ("pixels", pytest.approx(1.75), pytest.approx(deviation))


def test_a_segment_that_fills_its_grid_has_no_surround():
    images = np.random.default_rng(0).normal(size=(2, 6, 6))
    masks = np.ones((2, 6, 6), dtype=bool)
    full = characterize(SegmentationSamples.from_arrays("full", images, masks))
    assert math.isnan(full["segment_contrast"][1])
    assert math.isnan(full["background_variation"][2])
    masks[1, :3] = False
    partly = characterize(SegmentationSamples.from_arrays("partly", images, masks))
    assert partly["background_variation"][1] == pytest.approx(images[1, :3].std(), rel=1e-6)


def test_order_and_scale_of_the_weights_change_nothing():
    samples = blobs()
    shuffled = samples.take([5, 3, 11, 0, 1, 2, 4, 6, 7, 8, 9, 10])
    for one, other in zip(characterize(samples).values(), characterize(shuffled).values(), strict=True):
        assert other[1] == pytest.approx(one[1], rel=1e-12)
        assert other[2] == pytest.approx(one[2], rel=1e-9)


def test_intensities_that_are_scaled_scale_what_has_their_unit():
    samples = blobs()
    brighter = SegmentationSamples.from_arrays("b", 2 * samples.images + 7, samples.masks, weights=samples.weights)
    found = characterize(brighter)
    for name, (unit, mean, _) in characterize(samples).items():
        assert found[name][1] == pytest.approx((2 if unit == "intensity" else 1) * mean, rel=1e-5, abs=1e-9), name
