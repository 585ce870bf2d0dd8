from __future__ import annotations

import numpy as np
import pytest
import torch
from medsegdist.transforms import OrientAxial, OrientAxiald
from monai.data import MetaTensor
from monai.transforms import Compose


def stored(volume: np.ndarray, affine: np.ndarray, axes: tuple, flips: tuple) -> tuple[np.ndarray, np.ndarray]:
    """The same volume with its axes permuted and flipped, and the affine that says so."""
    array = volume.transpose(axes)
    to_canonical = np.zeros((4, 4))
    to_canonical[3, 3] = 1
    for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
        to_canonical[old, new] = flip
        to_canonical[old, 3] = 0 if flip == 1 else volume.shape[old] - 1
    index = tuple(slice(None, None, flip) for flip in flips)
    return np.ascontiguousarray(array[index]), affine @ to_canonical


def test_a_tensor_in_lps_space_is_read_as_such(axial_volume, axial_affine):
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ axial_affine
    array, affine = stored(axial_volume[0], lps, (2, 0, 1), (-1, 1, -1))
    volume = MetaTensor(torch.from_numpy(array[None]), affine=torch.from_numpy(affine), meta={"space": "LPS"})
    np.testing.assert_array_equal(OrientAxial()(volume)[0], axial_volume[0])


def test_an_oblique_volume_goes_to_its_nearest_axes(axial_volume, axial_affine):
    angle = np.deg2rad(20)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    array, affine = stored(axial_volume[0], tilt @ axial_affine, (1, 2, 0), (1, -1, -1))
    volume = MetaTensor(torch.from_numpy(array[None]), affine=torch.from_numpy(affine))
    np.testing.assert_array_equal(OrientAxial()(volume)[0], axial_volume[0])


def test_compose_undoes_it_and_the_input_is_kept(axial_volume, axial_affine):
    array, affine = stored(axial_volume[0], axial_affine, (2, 1, 0), (-1, -1, 1))
    volume = MetaTensor(torch.from_numpy(array[None]), affine=torch.from_numpy(affine))
    pipeline = Compose([OrientAxiald("image")])
    result = pipeline({"image": volume})
    assert result["image"].shape == (1, 5, 7, 9)
    np.testing.assert_array_equal(volume[0], array)
    np.testing.assert_array_equal(volume.affine, affine)
    restored = pipeline.inverse(result)["image"]
    np.testing.assert_array_equal(restored[0], array)
    np.testing.assert_allclose(restored.affine, affine, atol=1e-9)


@pytest.mark.parametrize("array", [np.ones((1, 2, 3, 4)), torch.ones(1, 2, 3, 4)])
def test_a_volume_without_affine_is_refused(array):
    with pytest.raises(ValueError, match=r"expected a MetaTensor, whose affine .* found \w+ of shape \(1, 2, 3, 4\)"):
        OrientAxial()(array)


@pytest.mark.parametrize("entry", [0.0, np.nan])
def test_a_singular_affine_is_refused(entry):
    affine = torch.diag(torch.tensor([1.0, entry, 1.0, 1.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="the affine of the volume is singular or not finite"):
        OrientAxial()(MetaTensor(torch.ones(1, 2, 3, 4), affine=affine))
