"""Features of segments whose geometry is known."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from medsegdist.distance.features import feature_names, segment_features


def test_columns_are_named_for_both_dimensions():
    assert feature_names(2) == ("regions", "mean_area", "mean_perimeter", "largest_row", "largest_column")
    assert feature_names(3)[1:4] == ("mean_volume", "mean_surface", "largest_slice")
    assert len(feature_names(3)) == 6


def test_two_rectangles():
    mask = torch.zeros(1, 30, 40, dtype=torch.bool)
    mask[0, 2:6, 3:13] = True  # 4 x 10
    mask[0, 20:22, 30:32] = True  # 2 x 2
    regions, area, _, row, column = segment_features(mask)[0].tolist()
    assert (regions, area) == (2, 22)
    assert (row, column) == (3.5, 7.5)


def test_perimeter_of_a_disk_is_that_of_a_circle():
    row, column = np.mgrid[:101, :101]
    disk = torch.from_numpy((row - 50) ** 2 + (column - 50) ** 2 <= 40**2)[None]
    assert segment_features(disk)[0, 2].item() == pytest.approx(2 * math.pi * 40, rel=0.02)


def test_volume_and_surface_of_a_ball():
    axes = np.mgrid[:41, :41, :41] - 20
    ball = torch.from_numpy((axes**2).sum(0) <= 15**2)[None]
    regions, volume, surface, *centroid = segment_features(ball)[0].tolist()
    assert regions == 1
    assert volume == pytest.approx(4 / 3 * math.pi * 15**3, rel=0.01)
    assert surface == pytest.approx(4 * math.pi * 15**2, rel=0.1)
    assert centroid == pytest.approx([20, 20, 20])


def test_single_pixel_and_single_voxel():
    pixel = torch.zeros(1, 5, 5, dtype=torch.bool)
    pixel[0, 4, 0] = True
    regions, area, perimeter, *centroid = segment_features(pixel)[0].tolist()
    assert (regions, area, *centroid) == (1, 1, 4, 0)
    assert 0 < perimeter <= 4
    voxel = torch.zeros(1, 5, 5, 5, dtype=torch.bool)
    voxel[0, 0, 4, 2] = True
    regions, volume, surface, *centroid = segment_features(voxel)[0].tolist()
    assert (regions, volume, *centroid) == (1, 1, 0, 4, 2)
    assert 0 < surface <= 6


def test_diagonal_neighbors_are_one_region_and_the_first_of_equal_regions_is_the_largest():
    mask = torch.zeros(1, 6, 6, dtype=torch.bool)
    mask[0, 0, 5] = mask[0, 3, 1] = mask[0, 4, 2] = mask[0, 1, 4] = True
    regions, area, _, row, column = segment_features(mask)[0].tolist()
    assert (regions, area, row, column) == (2, 2, 0.5, 4.5)


@pytest.mark.parametrize("shape", [(24, 30), (9, 14, 12)])
def test_random_masks_agree_with_scipys_labels(shape):
    rng = np.random.default_rng(0)
    masks = ndimage.gaussian_filter(rng.normal(size=(20, *shape)), (0, *[1.5] * len(shape))) > 0.1
    features = segment_features(torch.from_numpy(masks))
    for mask, found in zip(masks, features.numpy(), strict=True):
        labels, count = ndimage.label(mask, structure=np.ones([3] * mask.ndim))
        areas = ndimage.sum_labels(mask, labels, np.arange(1, count + 1))
        largest = ndimage.center_of_mass(mask, labels, 1 + int(areas.argmax()))
        np.testing.assert_allclose([found[0], found[1], *found[3:]], [count, areas.mean(), *largest])


def test_moving_a_mask_moves_the_centroid_only():
    mask = torch.zeros(1, 30, 30, dtype=torch.bool)
    mask[0, 3:8, 4:6] = mask[0, 12:15, 9:10] = True
    moved = mask.roll((5, 7), dims=(1, 2))
    difference = segment_features(moved) - segment_features(mask)
    torch.testing.assert_close(difference[0], torch.tensor([0.0, 0, 0, 5, 7], dtype=torch.float64))


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="found an empty one"):
        segment_features(torch.zeros(1, 4, 4, dtype=torch.bool))
