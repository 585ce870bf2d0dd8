"""What a training step sees."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from medsegdist.data.options import Augmentation, Preprocessing
from medsegdist.data.samples import SegmentationSamples
from medsegdist.transfer.batches import NetworkInputs, TrainingBatches, affine_matrices, augmented
from medsegdist.transfer.plan import IntensityScale
from tests.transfer.making import disks, quick

CPU = torch.device("cpu")
STILL = Augmentation(rotation=0, scaling=0, shift=0, intensity=0)


def numbered(n, grid=(4, 4)):
    """Sample k has intensity k everywhere, and k + 1 foreground points."""
    images = np.broadcast_to(np.arange(n, dtype=np.float32).reshape(-1, *[1] * len(grid)), (n, *grid))
    masks = np.zeros((n, *grid), dtype=bool)
    for k in range(n):
        masks[k].flat[: k + 1] = True
    return SegmentationSamples.from_arrays("numbered", images.copy(), masks)


def batches(samples, indices, recipe, **options):
    inputs = NetworkInputs(samples, indices, recipe.scale, CPU)
    return TrainingBatches(inputs, recipe, **{"seed": 0, **options})


def seen(batch, recipe):
    return (batch["image"][:, 0, 0, 0] * recipe.scale.half_range + recipe.scale.center).round().int().tolist()


def test_every_sample_comes_once_before_any_comes_again():
    recipe, indices = quick(batch_size=4), [1, 2, 5, 7, 8, 9]
    stream = batches(numbered(10), indices, recipe)
    order = [k for step in range(6) for k in seen(stream.at(step), recipe)]
    turns = [order[k : k + 6] for k in range(0, 24, 6)]
    assert [sorted(turn) for turn in turns] == [indices] * 4
    assert len({tuple(turn) for turn in turns}) > 1
    # A batch larger than the dataset repeats it.
    recipe = quick(batch_size=5)
    assert sorted(seen(batches(numbered(2), [0, 1], recipe).at(0), recipe)) in ([0, 0, 0, 1, 1], [0, 0, 1, 1, 1])


def test_a_step_is_a_function_of_seed_and_number():
    recipe = quick(augmentation=Augmentation(flip=0.5), balanced=True)
    samples = disks()
    whole = iter(batches(samples, range(16), recipe))
    steps = [next(whole) for _ in range(5)]
    late = next(iter(batches(samples, range(16), recipe, start=4)))
    assert torch.equal(steps[4]["image"], late["image"])
    assert torch.equal(steps[4]["label"], late["label"])
    other = next(iter(batches(samples, range(16), recipe, start=4, seed=1)))
    assert not torch.equal(late["image"], other["image"])


def test_batches_do_not_write_into_the_samples():
    samples = disks()
    images, masks = samples.images.clone(), samples.masks.clone()
    stream = batches(samples, range(16), quick(augmentation=Augmentation()))
    for step in range(3):
        stream.at(step)
    assert torch.equal(samples.images, images)
    assert torch.equal(samples.masks, masks)


def test_balanced_batches_hold_more_foreground():
    samples = numbered(15, grid=(4, 4))

    def mean_foreground(balanced):
        stream = batches(samples, range(15), quick(batch_size=8, balanced=balanced))
        return torch.stack([stream.at(step)["label"].sum() / 8 for step in range(400)]).mean()

    # Sizes 1 ... 15: 8 on average, and sum of squares over sum, 31 / 3, where drawn by their size.
    assert mean_foreground(balanced=False) == pytest.approx(8, abs=0.1)
    assert mean_foreground(balanced=True) == pytest.approx((8 + 31 / 3) / 2, abs=0.2)


@pytest.mark.parametrize("balanced", [False, True])
def test_patches_keep_image_and_mask_together(balanced):
    samples = disks(grid=(12, 16, 16), slices=1)
    recipe = quick(patch_size=(4, 8, 6), balanced=balanced)
    stream = batches(samples, range(8), recipe)
    steps = [stream.at(step) for step in range(20)]
    images, masks = (torch.cat([step[key] for step in steps]) for key in ("image", "label"))
    assert images.shape == masks.shape == (80, 1, 4, 8, 6)
    # Four deviations of the noise, which is 15 of a half range of 127.5.
    assert images[masks == 1].min() > (200 - 80) / 127.5 - 1
    assert images[masks == 0].max() < (80 + 80) / 127.5 - 1
    empty = sum(not one.any() for one in masks)
    # Some are drawn about background; balanced ones seldom.
    assert (empty < 20) if balanced else (empty > 2)


@pytest.mark.parametrize(
    ("preprocessing", "maps"),
    [
        ({"intensity": "window"}, {0: -1, 255: 1}),
        ({"intensity": "hounsfield", "ct_window": (-1000, 400)}, {-1000: -1, 400: 1, 1100: 2}),
        ({"intensity": "zscore"}, {-5: -5, 0: 0, 2: 2}),
    ],
)
def test_intensities_enter_by_one_affine_rule(preprocessing, maps):
    scale = IntensityScale.of(Preprocessing(grid=(4, 4), **preprocessing))
    values = np.array(list(maps), dtype=np.float32)
    images = np.broadcast_to(values[:, None, None], (len(values), 4, 4))
    samples = SegmentationSamples.from_arrays("s", images.copy(), np.ones_like(images, dtype=bool))
    found, _ = NetworkInputs(samples, range(len(values)), scale, CPU).batch(torch.arange(len(values)))
    assert found[:, 0, 0, 0].tolist() == pytest.approx(list(maps.values()))


def variation(images, masks, seed=0, **options):
    return augmented(images, masks, STILL.model_copy(update=options), torch.Generator().manual_seed(seed))


def picture(n=3, grid=(20, 30)):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(n, 1, *grid, generator=generator)
    return images, (images > 0.7).float()


@pytest.mark.parametrize("grid", [(20, 30), (6, 20, 30)])
def test_flips_mirror_image_and_mask_in_the_slice_plane(grid):
    images, masks = picture(24, grid)
    found = variation(images, masks, flip=0.5)
    kinds = set()
    for image, mask, before, mask_before in zip(*found, images, masks, strict=True):
        matching = [
            axes
            for axes in ((), (-1,), (-2,), (-2, -1))
            if torch.allclose(image, before.flip(axes), atol=1e-4) and torch.equal(mask, mask_before.flip(axes))
        ]
        assert len(matching) == 1
        kinds.update(matching)
    assert kinds == {(), (-1,), (-2,), (-2, -1)}


@pytest.mark.parametrize("grid", [(20, 30), (6, 20, 31)])
def test_moves_are_those_of_scipy(grid):
    options = STILL.model_copy(update={"rotation": 40, "scaling": 0.3, "shift": 0.1})
    images, masks = picture(3, grid)
    found, _ = augmented(images, masks, options, torch.Generator().manual_seed(5))
    theta = affine_matrices(3, grid, options, torch.Generator().manual_seed(5)).double().numpy()
    for image, before, matrix in zip(found, images, theta, strict=True):
        expected = scipy.ndimage.affine_transform(before[0].double().numpy(), matrix, order=1, mode="nearest")
        np.testing.assert_allclose(image[0].numpy(), expected, atol=1e-4)


def test_draws_stay_within_their_bounds():
    options = STILL.model_copy(update={"rotation": 30, "scaling": 0.2, "shift": 0.1})
    theta = affine_matrices(2000, (20, 40), options, torch.Generator().manual_seed(0))
    angle = torch.rad2deg(torch.atan2(theta[:, 1, 0], theta[:, 0, 0]))
    size = 1 / torch.linalg.det(theta[:, :2, :2]).sqrt()
    assert 29 < angle.abs().max() <= 30.001
    assert 0.8 <= size.min() < 0.81
    assert 1.19 < size.max() <= 1.2001
    center = torch.tensor([9.5, 19.5])
    moved = theta[:, :2, :2] @ center + theta[:, :2, 2] - center
    assert 1.95 < moved[:, 0].abs().max() <= 2.001
    assert 3.9 < moved[:, 1].abs().max() <= 4.001


def test_masks_stay_binary_and_intensities_change_per_sample():
    images, masks = picture()
    moved, marked = variation(images, masks, rotation=45.0, intensity=0.2)
    assert set(marked.unique().tolist()) == {0.0, 1.0}
    changed, same = variation(images, masks, intensity=0.2)
    assert torch.equal(same, masks)
    ratios = (changed.std((1, 2, 3)) / images.std((1, 2, 3))).tolist()
    assert len({round(ratio, 4) for ratio in ratios}) == 3
    assert all(0.8 <= ratio <= 1.2 for ratio in ratios)
    assert not torch.equal(moved, images)
