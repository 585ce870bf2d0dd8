"""Stacks: what the plain transforms give slice by slice, for every option and way to lie; masks to the bit."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from medsegdist.transforms import PercentileWindowIntensity, StackedPipeline, preprocessing_pipeline
from monai.data import MetaTensor
from monai.transforms import Compose

OPTIONS = {
    "percentiles": {"grid": (20, 24), "percentiles": (5, 95)},
    "window": {"grid": (20, 24), "window": (-200, 300)},
    "coarse": {"grid": (5, 7)},
    "fine": {"grid": (64, 60)},
    "own size": {"grid": (13, 17), "window": (-200, 300)},
    "mm": {"grid": (30, 40), "spacing": (0.7, 0.6)},
    "mm, padded by its own": {"grid": (30, 40), "spacing": (1.1, 1.3), "intensity": "hounsfield"},
    "crop": {"grid": (6, 6), "spacing": (0.5, 0.5), "window": (-200, 300)},
    "zscore": {"grid": (20, 24), "intensity": "zscore"},
    "zscore in a window": {"grid": (20, 24), "intensity": "zscore", "window": (-200, 300)},
    "few slices": {"grid": (20, 24), "max_slices": 2, "seed": 3},
    "classes": {"grid": (20, 24), "classes": ((1,), (2, 3))},
    "one label": {"grid": (20, 24), "foreground": (3,)},
    "no label": {"grid": (20, 24), "foreground": (9,)},
    "3D": {"dimensions": 3, "grid": (4, 20, 24)},
    "3D raw": {"dimensions": 3, "grid": (14, 10, 11), "intensity": "hounsfield"},
    "3D mm": {"dimensions": 3, "grid": (8, 16, 16), "spacing": (3, 1.2, 1.1), "intensity": "zscore"},
}
LYING = [*product(permutations(range(3)), [(), (0,), (1, 2), (0, 1, 2)])]


def pipeline_of(**options):
    return preprocessing_pipeline(**({} if "classes" in options else {"foreground": (1, 2, 3)}) | options)


def volume(dtype=np.float32, axes=(0, 1, 2), flipped=(), oblique=False, space="RAS"):
    """A volume of 9 x 17 x 13 voxels with labels 0 to 3 on five slices, its axes in any order and direction."""
    rng = np.random.default_rng(4)
    image = rng.normal(50, 120, (17, 13, 9)).astype(dtype)
    label = np.zeros((17, 13, 9), dtype=np.uint8)
    label[3:9, 2:10, 2:7] = rng.integers(0, 4, (6, 8, 5))
    affine = np.diag([0.8, 0.9, 2.5, 1.0])
    affine[:3, 3] = 10, -20, 30
    if oblique:
        affine[:3, :3] = affine[:3, :3] @ np.linalg.qr(np.eye(3) + 0.2 * rng.normal(size=(3, 3)))[0]
    for axis in flipped:
        affine[:, 3] += affine[:, axis] * (image.shape[axis] - 1)
        affine[:, axis] *= -1
    image, label = (np.flip(one, flipped).transpose(axes) for one in (image, label))

    def stored(array):
        # As nibabel gives them: the first axis is the fastest.
        values = torch.from_numpy(np.asfortranarray(array)).reshape(1, *array.shape)
        return MetaTensor(values, affine=torch.from_numpy(affine[:, [*axes, 3]].copy()), meta={"space": space})

    return {"image": stored(image), "label": stored(label), "case_id": "a", "patient_id": "p"}


def picture(rows=13, columns=17):
    rng = np.random.default_rng(5)
    label = np.zeros((1, rows, columns), dtype=np.float32)
    label[0, 4:9, 3:8] = 3
    image = rng.integers(0, 255, (1, rows, columns)).astype(np.float32)
    return {"image": MetaTensor(torch.from_numpy(image)), "label": MetaTensor(torch.from_numpy(label)), "case_id": "b"}


def assert_stack_is_what_slices_are(pipeline: Compose, item):
    plain = pipeline(item)
    stack = StackedPipeline(pipeline)(item)
    images, masks = stack["image"], stack["label"]
    assert type(images) is type(masks) is torch.Tensor
    assert (images.dtype, masks.dtype) == (torch.float32, torch.bool)
    if isinstance(plain, list):
        assert stack["slice_index"] == [one["slice_index"] for one in plain]
    parts = plain if isinstance(plain, list) else [plain]
    assert len(images) == len(masks) == len(parts)
    for one, image, mask in zip(parts, images, masks, strict=True):
        # The last digit of 255, or of a thousand HU: a matrix product may add in another order if it is a larger one.
        torch.testing.assert_close(image, one["image"][0].as_tensor(), rtol=2e-6, atol=2e-5)
        assert torch.equal(mask.to(torch.uint8), one["label"].as_tensor())
        assert one["label"].shape == mask.shape
    assert stack["case_id"] == item["case_id"]
    return len(parts)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint8])
def test_every_option(options, dtype):
    count = assert_stack_is_what_slices_are(pipeline_of(**options), volume(dtype))
    absent = options.get("foreground") == (9,)
    assert count == (1 if options.get("dimensions") == 3 else 0 if absent else options.get("max_slices", 5))


@pytest.mark.parametrize(("axes", "flipped"), LYING)
def test_every_way_to_lie(axes, flipped):
    for options in (OPTIONS["percentiles"], OPTIONS["mm"], OPTIONS["3D mm"]):
        for oblique, space in ((False, "RAS"), (True, "RAS"), (False, "LPS")):
            item = volume(axes=axes, flipped=flipped, oblique=oblique, space=space)
            assert_stack_is_what_slices_are(pipeline_of(**options), item)


def test_image_and_mask_may_lie_differently():
    item = volume(axes=(2, 0, 1), flipped=(1,)) | {"label": volume()["label"]}
    assert assert_stack_is_what_slices_are(pipeline_of(grid=(20, 24)), item) == 5


@pytest.mark.parametrize("name", ["percentiles", "window", "zscore", "few slices", "one label"])
def test_a_picture_is_a_stack_of_one(name):
    assert assert_stack_is_what_slices_are(pipeline_of(**OPTIONS[name]), picture()) == 1


def spoiled(kind):
    item = volume()
    if kind == "NaN":
        item["image"][0, 3, 3, 3] = torch.nan
    elif kind == "shape":
        item["label"] = item["label"][:, :, :, :-1]
    elif kind == "affine":
        item["label"].affine = item["label"].affine + torch.eye(4, dtype=torch.float64)
    elif kind == "no direction":
        item["image"].affine = torch.zeros(4, 4, dtype=torch.float64)
    elif kind == "constant":
        item["image"] = item["image"] * 0
    elif kind == "fraction":
        item["label"] = item["label"] * 0.5
    elif kind == "labels":
        pass
    elif kind == "no affine":
        item["image"] = item["image"].as_tensor()
    return item


@pytest.mark.parametrize(
    "kind", ["NaN", "shape", "affine", "no direction", "constant", "fraction", "labels", "no affine"]
)
@pytest.mark.parametrize("intensity", ["window", "zscore"])
def test_what_is_refused_is_refused_in_the_same_words(kind, intensity):
    foreground = None if kind == "labels" else (1, 2, 3)
    pipeline = pipeline_of(grid=(20, 24), intensity=intensity, foreground=foreground)
    with pytest.raises(RuntimeError) as plain:
        pipeline(spoiled(kind))
    with pytest.raises(ValueError) as stacked:  # noqa: PT011 the words are compared below
        StackedPipeline(pipeline)(spoiled(kind))
    cause = plain.value
    while isinstance(cause, RuntimeError):
        cause = cause.__cause__
    assert str(stacked.value) == str(cause)


def test_an_image_of_several_channels_is_refused():
    item = volume()
    item["image"] = torch.cat([item["image"]] * 2)
    with pytest.raises(ValueError, match=r"expected an image of one channel, found shape \(2, 17, 13, 9\); choose one"):
        StackedPipeline(pipeline_of(grid=(8, 8)))(item)


def test_other_pipelines_are_refused():
    with pytest.raises(ValueError, match=r"expected the steps of preprocessing_pipeline, found \['StackedPipeline'\]"):
        StackedPipeline(Compose([StackedPipeline(pipeline_of(grid=(8, 8)))]))


@settings(max_examples=60)
@given(
    st.lists(st.integers(-128, 127), min_size=2, max_size=60),
    st.sampled_from([np.float32, np.float64, np.int8, np.int16, np.int32]),
    st.floats(0, 100),
    st.floats(0, 100),
)
def test_percentiles_are_those_of_numpy(values, dtype, lower, upper):
    array = (np.array(values) * (0.37 if np.issubdtype(dtype, np.floating) else 1)).astype(dtype)
    floats = array if dtype == np.float64 else array.astype(np.float32)
    lower, upper = sorted((lower, upper))
    expected = np.percentile(floats, np.array([lower, upper])).astype(floats.dtype)
    if not lower < upper or not expected[0] < expected[1]:
        return
    window = PercentileWindowIntensity(lower, upper).of(array[None, None])
    assert (window.low, window.high) == tuple(expected.tolist())
