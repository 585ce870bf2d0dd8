"""NCE, on labels whose entropy is known."""

import numpy as np
import pytest
import torch

from medsegdist.transfer.comparators.nce import negative_conditional_entropy


def test_labels_that_tell_all_and_labels_that_tell_nothing():
    target = np.array([0, 1] * 8)
    assert negative_conditional_entropy(target, target) == 0
    assert negative_conditional_entropy(["b" if one else "a" for one in target], target) == 0
    assert negative_conditional_entropy(np.zeros(16), target) == pytest.approx(-np.log(2))
    assert negative_conditional_entropy(np.repeat([0, 1], 8), target) == pytest.approx(-np.log(2))


def test_it_is_not_symmetric():
    fine, coarse = np.arange(4), np.array([0, 0, 1, 1])
    assert negative_conditional_entropy(fine, coarse) == 0
    assert negative_conditional_entropy(coarse, fine) == pytest.approx(-np.log(2))


def test_a_noisy_channel_has_its_entropy():
    """Of 10 pixels that the source calls 1, 9 are 1: H(0.1); those that it calls 0 are 0."""
    source = torch.tensor([[1] * 10, [0] * 10])
    target = torch.tensor([[1] * 9 + [0], [0] * 10])
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert negative_conditional_entropy(source, target) == pytest.approx(-entropy / 2)


def test_what_is_refused():
    with pytest.raises(ValueError, match="expected both labels of the same pixels, found 3 and 2 of them"):
        negative_conditional_entropy([0, 1, 1], [0, 1])
    with pytest.raises(ValueError, match="found 0 and 0 of them"):
        negative_conditional_entropy([], [])
