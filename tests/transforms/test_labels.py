from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from medsegdist.transforms import BinarizeLabel, ClassMasks

LABELS = np.array([[[0, 1, 2], [3, 2, 0]]])


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.int64, np.uint16, np.uint32, np.float16, np.float32, np.float64]
)
@pytest.mark.parametrize("foreground", [2, (2,), [2, 2], [2.0]])
def test_the_named_values_become_1(foreground, dtype, kind, make, same_kind):
    labels = make(LABELS.astype(dtype), kind)
    result = BinarizeLabel(foreground)(labels)
    same_kind(result, labels)
    assert np.asarray(result).dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(result), [[[0, 0, 1], [0, 1, 0]]])


@given(arrays(np.int16, (1, 3, 4), elements=st.integers(-3, 6)), st.sets(st.integers(-3, 6), min_size=1))
def test_named_values_agree_with_isin_and_the_input_is_kept(labels, foreground):
    before = labels.copy()
    np.testing.assert_array_equal(BinarizeLabel(sorted(foreground))(labels), np.isin(labels, list(foreground)))
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize("axes", list(permutations(range(4))))
def test_a_permuted_view_gives_the_permuted_mask(axes):
    labels = torch.randint(0, 4, (2, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    view = labels.permute(axes)
    for foreground in ([2], [0, 3]):
        expected = torch.isin(view, torch.tensor(foreground))
        torch.testing.assert_close(BinarizeLabel(foreground)(view), expected.to(torch.uint8))


@pytest.mark.parametrize("value", [1, 255, 7, True])
def test_one_unnamed_value_is_the_foreground(value):
    mask = np.array([[[0, value], [value, 0]]])
    np.testing.assert_array_equal(BinarizeLabel()(mask), [[[0, 1], [1, 0]]])


@pytest.mark.parametrize("foreground", [[256], [-255], [65537], [2**40]])
def test_a_value_that_the_stored_type_cannot_hold_is_not_wrapped_around(foreground):
    assert BinarizeLabel(foreground)(np.array([[[0, 1, 255]]], dtype=np.uint8)).sum() == 0


def test_negative_zero_is_background():
    np.testing.assert_array_equal(BinarizeLabel()(np.array([[[-0.0, 1.0]]])), [[[0, 1]]])


def test_a_long_list_of_values_is_cut():
    with pytest.raises(ValueError, match=r"found 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, \.\.\. \(256 values\)"):
        BinarizeLabel()(np.arange(256).reshape(1, 16, 16))


def test_a_map_without_background_lists_none():
    with pytest.raises(ValueError, match="found 1, 2; name"):
        BinarizeLabel()(np.array([[[1, 2]]]))
    assert BinarizeLabel()(np.full((1, 2, 2), 255)).sum() == 4


@pytest.mark.parametrize("foreground", [None, [1]])
def test_fractional_values_are_refused_and_named(foreground):
    with pytest.raises(ValueError, match=r"whole numbers as label values, found 0\.25, 0\.5; .*threshold"):
        BinarizeLabel(foreground)(np.array([[[0, 0.5, 1.0, 0.25]]]))


@pytest.mark.parametrize("foreground", [None, [1]])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_labels_are_refused(bad, foreground):
    with pytest.raises(ValueError, match="found NaN or infinite ones"):
        BinarizeLabel(foreground)(np.array([[[0, bad, 1.0]]]))


@pytest.mark.parametrize("foreground", [[], [0.5], ["liver"], "12", [float("nan")], [None]])
def test_foreground_must_be_whole_numbers(foreground):
    with pytest.raises(ValueError, match="expected foreground label values as whole numbers, found"):
        BinarizeLabel(foreground)


@pytest.mark.parametrize(
    ("dtype", "largest"), [(np.float16, 2**11 - 1), (np.float32, 2**24 - 1), (np.float64, 2**53 - 1)]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_floats_that_may_stand_for_another_label_are_refused(dtype, largest, sign):
    stored = np.array([[[0, sign * largest]]], dtype)
    np.testing.assert_array_equal(BinarizeLabel([sign * largest])(stored), [[[0, 1]]])
    confused = np.array([[[0, sign * (largest + 2)]]]).astype(dtype)
    assert confused[0, 0, 1] == dtype(sign * (largest + 1)), "two labels have become one"
    message = rf"between -{largest + 1} and {largest + 1}, which {8 * dtype().itemsize}-bit .*, found -?\d+; renumber"
    with pytest.raises(ValueError, match=message):
        BinarizeLabel([1])(confused)


def test_integers_of_any_size_are_told_apart():
    stored = np.array([[[0, 2**40, 2**40 + 1]]])
    np.testing.assert_array_equal(BinarizeLabel([2**40])(stored), [[[0, 1, 0]]])


@given(
    arrays(np.int16, (1, 3, 4), elements=st.integers(-3, 6)),
    st.lists(st.sets(st.integers(-3, 6), min_size=1), min_size=1, max_size=4),
)
def test_a_channel_is_the_class_against_all_others(labels, classes):
    found = ClassMasks([sorted(values) for values in classes])(labels)
    expected = np.concatenate([BinarizeLabel(sorted(values))(labels) for values in classes])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("classes", "labels", "message"),
    [
        ([], LABELS, "expected label values of at least one class, found none"),
        ([[]], LABELS, "expected foreground label values as whole numbers"),
        ([1], np.zeros((2, 3, 4)), r"expected a label map of one channel, found shape \(2, 3, 4\)"),
        ([1], np.full((1, 2, 2), 0.5), "expected whole numbers as label values, found 0.5"),
    ],
)
def test_what_makes_no_masks_of_classes_is_refused(classes, labels, message):
    with pytest.raises(ValueError, match=message):
        ClassMasks(classes)(labels)
