"""Boundary profiles against disks whose profiles are known, and what they must not see."""

import math

import numpy as np
import pytest
import torch

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.metrics import BoundaryMetric


def disk(radius=10.0, center=(32, 32), grid=(64, 64), rings=()):
    """A disk of intensity 1 on 0; each (low, high, value) sets what lies so far from its edge, negative inside."""
    axes = np.meshgrid(*(np.arange(size) for size in grid), indexing="ij")
    away = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(axes, center, strict=True))) - radius
    image = (away <= 0).astype(float)
    for low, high, value in rings:
        image[(away > low) & (away <= high)] = value
    return image, away <= 0


def samples(*pairs, name="disks"):
    images, masks = zip(*pairs, strict=True)
    return SegmentationSamples.from_arrays(name, np.stack(images), np.stack(masks))


def profile(pair, reach=4):
    return BoundaryMetric(reach=reach).summarize(samples(pair))[0].numpy()


@pytest.mark.parametrize("grid", [(64, 64), (40, 40, 40)], ids=["slice", "volume"])
def test_a_disk_on_a_ground_has_two_levels(grid):
    image, mask = disk(grid=grid, center=[size / 2 for size in grid])
    found = profile((image, mask))
    inside, outside = (1 - image.mean()) / image.std(), -image.mean() / image.std()
    assert found[:8] == pytest.approx([inside] * 4 + [outside] * 4)
    assert found[8] == pytest.approx(math.log2(mask.sum()))
    assert found[9] == 0
    # A disk or ball has a complexity of 1, up to what a grid lets one estimate.
    assert found[10] == pytest.approx(0, abs=0.15)


def test_a_rim_shows_in_its_shell_alone():
    plain, rimmed = disk(), disk(rings=[(0, 2, 0.5)])
    # The mean and the deviation of the image change, so levels are compared with each other.
    found = profile(rimmed)
    scaled = (found - found[7]) / (found[0] - found[7])
    assert scaled[:4] == pytest.approx([1] * 4)
    assert scaled[4] == pytest.approx(0.5, abs=0.01)
    assert scaled[7] == pytest.approx(0)
    assert np.ptp(profile(plain)[4:8]) < 1e-12


def test_where_a_segment_lies_and_how_bright_an_image_is_does_not_matter():
    image, mask = disk(center=(20, 20))
    moved, moved_mask = disk(center=(40, 36))
    assert profile((image, mask)) == pytest.approx(profile((moved * 50 + 100, moved_mask)), abs=1e-6)


def test_thin_segments_and_borders_repeat_the_last_shell_there_is():
    image, mask = np.zeros((16, 16)), np.zeros((16, 16), dtype=bool)
    mask[:, 2] = image[:, 2] = True
    found = profile((image, mask))
    # One pixel wide: touched from both sides, with only two columns on its left.
    assert np.ptp(found[:4]) < 1e-12
    assert np.ptp(found[4:8]) < 1e-12
    assert found[0] > found[4]


def test_images_without_contrast_or_background_have_a_flat_profile():
    flat = np.full((16, 16), 7.0)
    part = np.zeros((16, 16), dtype=bool)
    part[4:8, 4:8] = True
    assert (profile((flat, part))[:8] == 0).all()
    noisy = np.random.default_rng(0).normal(size=(16, 16))
    assert (profile((noisy, np.ones((16, 16), dtype=bool)))[:8] == 0).all()


def test_a_distance_is_that_of_two_profiles():
    one, other = samples(disk(), disk(radius=14)), samples(disk(rings=[(0, 2, 0.5)]), name="rimmed")
    metric = BoundaryMetric()
    left, right = metric.summarize(one), metric.summarize(other)
    found = metric.compare(left, right, torch.zeros(2, 1))
    expected = [[float(np.linalg.norm(a - b)) for b in right.numpy()] for a in left.numpy()]
    assert found.numpy() == pytest.approx(np.array(expected))


def test_twice_the_area_is_one_unit_of_shape():
    small, large = np.zeros((32, 32), dtype=bool), np.zeros((32, 32), dtype=bool)
    small[8:16, 8:16] = large[8:24, 8:16] = True
    image = np.random.default_rng(1).normal(size=(32, 32))
    areas = BoundaryMetric().summarize(samples((image, small), (image, large)))[:, 8]
    assert float(areas[1] - areas[0]) == 1
    without = BoundaryMetric(shape_weight=0).summarize(samples((image, small), (image, large)))
    assert (without[:, 8:] == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reach": 0}, "expected a reach of at least 1 pixel, found 0"),
        ({"shape_weight": -1.0}, "expected a finite shape_weight >= 0, found -1.0"),
        ({"shape_weight": math.inf}, "expected a finite shape_weight >= 0, found inf"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BoundaryMetric(**options)
