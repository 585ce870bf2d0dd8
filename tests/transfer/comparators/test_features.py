"""What all comparators refuse."""

import numpy as np
import pytest
import torch

from medsegdist.transfer.comparators.features import as_features, as_labels


def test_numpy_torch_and_lists_are_float64():
    for given in ([[1, 2]], np.array([[1, 2]], dtype=np.float32), torch.ones(1, 2, requires_grad=True)):
        assert as_features(given).dtype == np.float64


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((0, 2)), np.zeros((2, 0)), np.zeros((2, 2, 2))])
def test_shapes(bad):
    with pytest.raises(ValueError, match=r"expected features of shape \(n, channels\), found "):
        as_features(bad)


def test_numbers_that_are_none():
    with pytest.raises(ValueError, match="expected finite things, found NaN or infinite ones in 2 of 3 rows"):
        as_features([[1, np.nan], [2, 3], [np.inf, 1]], "things")


def test_labels_become_indices():
    classes, index = as_labels(torch.tensor([5, 2, 5]), 3)
    assert classes.tolist() == [2, 5]
    assert index.tolist() == [1, 0, 1]
    assert as_labels(np.array([True, False]), 2)[1].tolist() == [1, 0]


def test_labels_that_do_not_fit():
    with pytest.raises(
        ValueError, match=r"expected a label for each of 3 rows of features, found labels of shape \(2,\)"
    ):
        as_labels([0, 1], 3)
    with pytest.raises(ValueError, match=r"expected labels of at least 2 classes, found only \[1\]"):
        as_labels([1, 1], 2)
