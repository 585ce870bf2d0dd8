from __future__ import annotations

import numpy as np
import pytest
import torch
from medsegdist.transforms import CheckFinite, CheckFinited, CheckSameSpace, CheckSameSpaced
from monai.data import MetaTensor


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_intensities_are_refused_and_counted(bad, kind, make):
    image = make(np.array([[[1, bad], [bad, 2]]]), kind)
    with pytest.raises(ValueError, match="'image': expected finite intensities, found 2 of 4 that are NaN or infinite"):
        CheckFinited("image")({"image": image})


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ValueError, match=r"expected an image with pixels, found shape \(1, 0, 3\); save it again"):
        CheckFinite()(np.ones((1, 0, 3)))


def volume(affine=None, shape=(1, 40, 50, 60)) -> MetaTensor:
    return MetaTensor(torch.ones(shape), affine=torch.diag(torch.tensor([1.0, 1, 2, 1])) if affine is None else affine)


def test_other_shapes_are_refused_with_both():
    with pytest.raises(ValueError, match=r"'image' and 'label': .* found \(2, 3, 4\) and \(2, 3, 5\); pair each image"):
        CheckSameSpaced("image")({"image": np.ones((1, 2, 3, 4)), "label": np.ones((1, 2, 3, 5))})


def test_rounding_of_headers_is_tolerated():
    affine = torch.diag(torch.tensor([1.0, 1, 2, 1]))
    affine[:3, 3] = torch.tensor([312.123456, -177.7, 1801.3])
    rounded = (affine * 1e4).round() / 1e4
    item = {"image": volume(affine), "label": volume(rounded)}
    assert CheckSameSpaced("image")(item)["image"] is item["image"]


@pytest.mark.parametrize(
    ("entry", "value", "apart"),
    [
        ((0, 3), 0.5, "0.5"),  # shifted by half a voxel
        ((0, 0), -1.0, "78"),  # flipped: 39 voxels become -39
        ((2, 2), 2.1, "5.9"),  # another slice thickness: only the far end is off
    ],
)
def test_another_affine_is_refused_with_both(entry, value, apart):
    affine = torch.diag(torch.tensor([1.0, 1, 2, 1]))
    affine[entry] = value
    with pytest.raises(ValueError, match=rf"same affine, found two that place the volume up to {apart} mm apart: \[\["):
        CheckSameSpace()(volume(affine), volume())


def test_a_nan_affine_is_refused():
    affine = torch.diag(torch.tensor([1.0, 1, 2, 1]))
    affine[0, 3] = torch.nan
    with pytest.raises(ValueError, match="same affine"):
        CheckSameSpace()(volume(affine), volume())


def test_the_tolerance_counts_voxels():
    affine = torch.diag(torch.tensor([1.0, 1, 2, 1]))
    affine[1, 3] = 0.09
    assert CheckSameSpace()(volume(affine), volume()) is not None


def test_an_item_without_reference_is_refused():
    with pytest.raises(KeyError, match="nothing under 'label'"):
        CheckSameSpaced("image")({"image": np.ones((1, 2, 3))})
