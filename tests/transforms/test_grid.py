from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from medsegdist.transforms import ResampleToGrid, ResampleToGridd
from monai.data import MetaTensor
from monai.transforms import CenterSpatialCrop, LoadImage, Resize
from torch.nn.functional import interpolate

sizes = st.integers(1, 40)


# From two columns on: of one column, torch 2.13 makes a constant when it antialiases.
@given(sizes, st.integers(2, 40), sizes, st.integers(2, 40), st.integers(0, 9))
def test_a_resized_image_is_what_torch_interpolates(rows, columns, new_rows, new_columns, seed):
    """torch widens its kernel when shrinking (antialias) and interpolates linearly when enlarging: so do we."""
    image = torch.rand((1, rows, columns), generator=torch.Generator().manual_seed(seed))
    before = image.clone()
    result = ResampleToGrid((new_rows, new_columns))(image)
    expected = interpolate(image[None], (new_rows, new_columns), mode="bilinear", antialias=True)[0]
    torch.testing.assert_close(result, expected, rtol=0, atol=3e-5)
    torch.testing.assert_close(image, before, rtol=0, atol=0)


def test_a_resized_volume_is_the_product_of_its_axes():
    a, b, c = torch.rand(13), torch.rand(20), torch.rand(9)
    volume = (a[:, None, None] * b[:, None] * c)[None]

    def along(values, points):
        return interpolate(values[None, None, None], (1, points), mode="bilinear", antialias=True)[0, 0, 0]

    result = ResampleToGrid((5, 31, 4))(volume)
    expected = along(a, 5)[:, None, None] * along(b, 31)[:, None] * along(c, 4)
    torch.testing.assert_close(result[0], expected, rtol=0, atol=1e-5)


@given(st.integers(1, 14), st.integers(1, 14), st.integers(1, 14), st.integers(1, 14), st.integers(0, 99))
def test_a_resized_mask_is_1_where_half_its_cell_is_covered(rows, columns, new_rows, new_columns, seed):
    """Oracle in whole numbers: cut every pixel into new_rows x new_columns parts and count those in each cell."""
    mask = np.random.default_rng(seed).integers(0, 2, (1, rows, columns))
    parts = np.kron(mask[0], np.ones((new_rows, new_columns), dtype=int))
    counts = parts.reshape(new_rows, rows, new_columns, columns).sum(axis=(1, 3))
    result = ResampleToGrid((new_rows, new_columns), is_mask=True)(mask)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[0], 2 * counts >= rows * columns)


def test_a_resized_3d_mask_is_1_where_half_its_cell_is_covered():
    mask = np.random.default_rng(5).integers(0, 2, (1, 6, 9, 10))
    result = ResampleToGrid((4, 3, 5), is_mask=True)(mask)
    parts = np.kron(mask[0], np.ones((4, 3, 5), dtype=int))
    counts = parts.reshape(4, 6, 3, 9, 5, 10).sum(axis=(1, 3, 5))
    np.testing.assert_array_equal(result[0], 2 * counts >= 6 * 9 * 10)


@settings(max_examples=25)
@given(st.floats(3, 20), st.floats(20, 44), st.floats(20, 44), st.integers(9, 63))
def test_no_other_mask_is_nearer_to_the_true_coverage(radius, row, column, points):
    index = np.indices((64, 64))
    disk = (np.hypot(index[0] - row, index[1] - column) < radius)[None].astype(np.float32)
    coverage = np.kron(disk[0], np.ones((points, points))).reshape(points, 64, points, 64).mean(axis=(1, 3))
    ours = abs(ResampleToGrid((points, points), is_mask=True)(disk)[0] - coverage).sum()
    for mode in ("nearest", "nearest-exact", "area"):
        theirs = Resize((points, points), mode=mode)(disk).numpy()[0] >= 0.5
        assert ours <= abs(theirs - coverage).sum() + 1e-6


@pytest.mark.parametrize("is_mask", [False, True])
@pytest.mark.parametrize(("size", "points"), [(9, 4), (8, 4), (9, 5), (7, 7)])
def test_its_own_spacing_is_a_plain_centered_crop(size, points, is_mask):
    values = np.random.default_rng(1).integers(0, 2, (1, size, size)).astype(np.float32)
    volume = MetaTensor(torch.from_numpy(values), affine=torch.diag(torch.tensor([0.7, 0.7, 3.0, 1.0])))
    result = ResampleToGrid((points, points), spacing=(0.7, 0.7), is_mask=is_mask)(volume)
    start = (size - points) // 2
    np.testing.assert_array_equal(result[0], values[0, start : start + points, start : start + points])
    np.testing.assert_allclose(result.affine[:2, 3], 0.7 * start, rtol=1e-6, atol=1e-9)
    if (size - points) % 2 == 0:
        np.testing.assert_array_equal(result, CenterSpatialCrop((points, points))(volume))


def test_what_the_image_does_not_cover_is_padded():
    image = MetaTensor(torch.full((1, 2, 2), -900.0), affine=torch.eye(4))
    image[0, 0, 0] = -1000
    spaced = ResampleToGrid((4, 6), spacing=(1, 1))(image)
    assert spaced.tolist()[0] == [
        [-1000] * 6,
        [-1000, -1000, -1000, -900, -1000, -1000],
        [-1000, -1000, -900, -900, -1000, -1000],
        [-1000] * 6,
    ]
    assert ResampleToGrid((4, 6), (1, 1), pad_value=7)(image)[0, 0].tolist() == [7] * 6
    mask = ResampleToGrid((4, 6), (1, 1), is_mask=True, pad_value=1)(MetaTensor(torch.ones(1, 2, 2)))
    assert mask.sum() == 4


@given(
    st.tuples(*[st.integers(4, 12)] * 3),
    st.tuples(*[st.integers(2, 12)] * 3),
    st.tuples(*[st.floats(0.5, 5)] * 3),
    st.one_of(st.none(), st.tuples(*[st.floats(0.5, 5)] * 3)),
)
def test_every_voxel_keeps_its_place_in_the_world(shape, grid, voxel, spacing):
    """A ramp over world coordinates, resampled, is the same ramp at the points of the result's affine."""
    affine = np.array([[0, 0, -voxel[2], 40], [0, -voxel[1], 0, -30], [voxel[0], 0, 0, 9], [0, 0, 0, 1.0]])
    slope = np.array([0.3, -0.7, 1.1, 2.0])

    def ramp(shape, affine):
        index = np.indices(shape).reshape(3, -1)
        return (slope @ affine @ np.vstack([index, np.ones(index.shape[1])])).reshape(shape)

    volume = MetaTensor(torch.from_numpy(ramp(shape, affine)[None]), affine=torch.from_numpy(affine))
    result = ResampleToGrid(grid, spacing)(volume)
    assert result.shape == (1, *grid)
    position = np.linalg.inv(affine) @ result.affine.numpy()
    steps = np.diag(position)[:3]
    if spacing is None:
        np.testing.assert_allclose(steps, np.divide(shape, grid))
    else:
        np.testing.assert_allclose(result.pixdim, spacing)
        center = position @ [*((points - 1) / 2 for points in grid), 1]
        assert (abs(center[:3] - (np.array(shape) - 1) / 2) <= 0.502).all()
    whole = np.ones(grid, bool)  # cells whose kernel lies inside the image
    for axis, points in enumerate(grid):
        places = position[axis, 3] + np.arange(points) * steps[axis]
        reach = max(steps[axis], 1)
        inside = (places - reach > -1) & (places + reach < shape[axis])
        whole &= np.moveaxis(np.broadcast_to(inside, (*np.delete(grid, axis), points)), -1, axis)
    # A widened kernel, sampled at whole pixels, is off by at most 0.0858 of a pixel (largest found by a fine search).
    per_pixel = abs(slope[:3] @ affine[:3, :3]) * 0.0858
    atol = 1e-3 + per_pixel[steps > 1].sum()
    np.testing.assert_allclose(result[0].numpy()[whole], ramp(grid, result.affine.numpy())[whole], rtol=0, atol=atol)


@pytest.mark.parametrize("spacing", [(1.5, 1.0, 1.2), (6.0, 2.0, 2.0)])
def test_a_ball_keeps_its_volume_and_center(spacing):
    voxel = np.array([3.0, 0.8, 0.9])
    shape = (30, 110, 100)
    index = np.indices(shape).reshape(3, -1).T
    center = np.array([14.3, 50.2, 55.1]) * voxel
    ball = (np.linalg.norm(index * voxel - center, axis=1) < 20).reshape(shape)
    mask = MetaTensor(torch.from_numpy(ball[None].astype(np.uint8)), affine=torch.diag(torch.tensor([*voxel, 1.0])))
    result = ResampleToGrid((64, 64, 64), spacing, is_mask=True)(mask)
    assert float(result.sum()) * math.prod(spacing) == pytest.approx(4 / 3 * math.pi * 20**3, rel=0.03)
    found = np.argwhere(result[0].numpy()).mean(axis=0)
    np.testing.assert_allclose((result.affine.numpy() @ [*found, 1])[:3], center, atol=0.3)


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("step", [0.7, 0.35, 2.1])
def test_spacings_that_differ_in_the_last_digit_do_not_move_image_and_mask_apart(size, step):
    values = torch.zeros(1, size, size)
    values[:, 2:7, 2:7] = 1
    results = []
    for spacing in (0.7, np.nextafter(np.float32(0.7), np.float32(1)), np.nextafter(np.float32(0.7), np.float32(0))):
        affine = torch.diag(torch.tensor([spacing, spacing, 1, 1], dtype=torch.float64))
        results.append(ResampleToGrid((5, 5), (step, step), is_mask=True)(MetaTensor(values, affine=affine)).tolist())
    assert results[0] == results[1] == results[2]


def test_image_and_mask_of_an_item_are_told_apart(make):
    item = {"image": make(np.eye(4, dtype=np.float32)[None]), "label": make(np.eye(4, dtype=np.uint8)[None]), "id": "a"}
    result = ResampleToGridd(["image", "label"], (2, 2), is_mask=[False, True])(item)
    assert result["id"] == "a"
    assert result["label"].dtype == torch.uint8
    assert result["label"].tolist() == [[[1, 0], [0, 1]]]
    assert result["image"].dtype == torch.float32
    assert 0 < result["image"][0, 0, 1] < result["image"][0, 0, 0] < 1


GRID = "grid of 2 or 3 positive whole numbers, found"
SPACING = r"positive spacing \(mm\) for each axis of \(4, 4\), found"
FLAT = MetaTensor(torch.ones(1, 2, 3), affine=torch.diag(torch.tensor([0.0, 1, 1, 1])))


@pytest.mark.parametrize(
    ("grid", "spacing", "image", "message"),
    [
        *((grid, None, None, GRID) for grid in ((4,), (0, 4), (4, 4.5), (2, 2, 2, 2))),
        *(((4, 4), (1.0, *more), None, SPACING) for more in ((), (0.0,), (-1.0,), (math.nan,), (math.inf,))),
        ((4, 4), None, np.ones((1, 2, 3, 4, 5)), r"expected 2 spatial dimensions, for the grid \(4, 4\), .* 3, 4, 5\)"),
        ((4, 4), (1, 1), np.ones((1, 2, 3)), "affine gives the spacing in mm, found ndarray"),
        ((4, 4), (1, 1), FLAT, "expected an affine with a positive voxel size"),
        ((4, 4), None, np.full((1, 2, 2), 255), "expected a mask of 0 and 1"),
    ],
)
def test_what_makes_no_grid_is_refused(grid, spacing, image, message):
    with pytest.raises(ValueError, match=message):
        ResampleToGrid(grid, spacing, is_mask=message.startswith("expected a mask"))(image)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["t1", "t2", "t2s", "mt0", "t2fakelesion"])
def test_real_masks_keep_their_volume(data_root, name):
    """Spinal cords with voxels of 0.5 to 17 mm, on a grid of 1 mm.

    Cells that are covered by exactly half count as foreground, so the true volume is midway between what the mask
    and what the complement of its background take.
    """
    load = LoadImage(ensure_channel_first=True)
    mask = (load(data_root / "sct_spinalcord_mr3d" / "labels" / f"{name}.nii.gz") > 0).to(torch.uint8)
    resample = ResampleToGrid((128, 128, 128), spacing=(1, 1, 1), is_mask=True)
    at_least_half = int(resample(mask).sum())
    more_than_half = int(resample(torch.ones_like(mask)).sum()) - int(resample(1 - mask).sum())
    volume = float(mask.sum()) * math.prod(mask.pixdim.tolist())
    assert more_than_half <= at_least_half
    assert (more_than_half + at_least_half) / 2 == pytest.approx(volume, rel=0.03)
