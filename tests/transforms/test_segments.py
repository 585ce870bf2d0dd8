from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from medsegdist.transforms import NeutralizeSegment, NeutralizeSegmentd
from monai.transforms import MaskIntensity

SHAPE = (1, 4, 5)
hounsfield = arrays(np.float32, SHAPE, elements=st.integers(-1024, 3071).map(float))
real_numbers = arrays(np.float32, SHAPE, elements=st.floats(-1000, 1000, width=32))
masks = arrays(np.uint8, SHAPE, elements=st.integers(0, 1))


def test_the_example_of_the_paper(kind, make, same_kind):
    image = make(np.array([[[7.0, 0.0], [255.0, 3.0]]], dtype=np.float32), kind)
    mask = make(np.array([[[0, 1], [1, 0]]]), kind)
    segment = NeutralizeSegment(-1)(image, mask)
    same_kind(segment, image)
    np.testing.assert_array_equal(np.asarray(segment), [[[0, 1], [256, 0]]])


def test_0_hu_tissue_is_told_from_no_tissue_where_monai_cannot():
    image = torch.tensor([[-1000.0, -500.0, 0.0, 40.0]])
    mask = torch.tensor([[0, 1, 1, 0]])
    assert NeutralizeSegment(-2048)(image, mask).tolist() == [[0, 1548, 2048, 0]]
    theirs = MaskIntensity()(image, mask)
    assert theirs[0, 2] == theirs[0, 3] == 0
    assert torch.signbit(theirs[0, 0])


@given(hounsfield, masks)
def test_zero_outside_and_positive_inside_and_nothing_is_modified(image, mask):
    image_before, mask_before = image.copy(), mask.copy()
    segment = NeutralizeSegment(-2048)(image, mask)
    assert (segment[mask == 0] == 0).all()
    assert not np.signbit(segment).any()
    np.testing.assert_array_equal(segment[mask == 1], image[mask == 1] + 2048)
    np.testing.assert_array_equal(image, image_before)
    np.testing.assert_array_equal(mask, mask_before)


@given(real_numbers, masks, st.floats(0.001, 100))
def test_distances_of_segments_do_not_depend_on_how_far_below_delta_is_where_masks_agree(image, mask, gap):
    """S - S' = X - X' inside a common mask: delta cancels (paper Eq. 8, 9)."""
    delta = -1000 - gap
    other = image[:, ::-1].copy()
    neutralize = NeutralizeSegment(delta)
    difference = neutralize(image, mask).astype(np.float64) - neutralize(other, mask)
    expected = np.where(mask == 1, image.astype(np.float64) - other, 0)
    np.testing.assert_allclose(difference, expected, atol=5e-4)


def test_float64_stays_float64_and_integers_become_float32():
    mask = np.ones((1, 1, 2), bool)
    assert NeutralizeSegment(-1)(np.array([[[1.0, 2.0]]]), mask).dtype == np.float64
    assert NeutralizeSegment(-1)(np.array([[[1, 2]]], dtype=np.uint8), mask).dtype == np.float32


def test_nan_outside_the_mask_does_not_matter():
    image = np.array([[[np.nan, 4.0]]])
    np.testing.assert_array_equal(NeutralizeSegment(-1)(image, np.array([[[0, 1]]])), [[[0, 5]]])


HU = np.array([[[-1000.0, -500.0, 40.0]]])
ONES = np.ones((1, 2, 2))


@pytest.mark.parametrize(
    ("delta", "image", "mask", "message"),
    [
        (0, HU, [[[0, 1, 1]]], "delta = 0 must lie below .* the smallest there is -500;"),
        (-500, HU, [[[0, 1, 1]]], "delta = -500 must lie below .* the smallest there is -500;"),
        # 0.1 in float32 is above 0.1 in float64.
        (0.1, np.array([[[0.1]]], np.float32), [[[1]]], r"delta = 0\.1 must lie below"),
        (-1, np.array([[[np.nan, 4.0]]]), [[[1, 1]]], "the smallest there is nan"),
        (-1, ONES, np.ones((1, 2, 3)), r"image of shape \(1, 2, 2\) but mask of shape"),
        (-1, ONES, np.ones((2, 2, 2)), r"image of shape \(1, 2, 2\) but mask of shape"),
        (-1, ONES, 255 * ONES, "expected a mask of 0 and 1"),
        (float("nan"), ONES, ONES, "finite delta, found nan"),
    ],
)
def test_what_makes_no_segment_is_refused(delta, image, mask, message):
    with pytest.raises(ValueError, match=message):
        NeutralizeSegment(delta)(image, np.array(mask))


def test_an_item_without_mask_is_refused():
    with pytest.raises(KeyError, match=r"nothing under 'label'; the item has \['image'\]"):
        NeutralizeSegmentd("image")({"image": np.ones((1, 1, 2))})
