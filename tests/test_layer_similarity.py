"""Linear CKA, against its definition in numpy, its invariances, and networks made for it."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from layer_similarity import (
    layer_similarity,
    linear_cka,
    similarity_by_part,
)


def features(n=20, d=7, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)))


def rotation(d, seed=0):
    return torch.from_numpy(np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0])


def cka_in_numpy(x, y):
    """Kornblith et al., Eq. 5, in feature space: another way than by Gram matrices."""
    x, y = (one - one.mean(0) for one in (x.numpy(), y.numpy()))
    return np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def hsic_of_song(k, m):
    """Song et al. 2012, Eq. 5."""
    n = len(k)
    k, m = (one - np.diag(np.diag(one)) for one in (k, m))
    ones = np.ones(n)
    total = np.trace(k @ m) + ones @ k @ ones * (ones @ m @ ones) / ((n - 1) * (n - 2))
    return (total - 2 / (n - 2) * (ones @ k @ m @ ones)) / (n * (n - 3))


def unbiased_in_numpy(x, y):
    k, m = (one.numpy() @ one.numpy().T for one in (x, y))
    return hsic_of_song(k, m) / math.sqrt(hsic_of_song(k, k) * hsic_of_song(m, m))


def test_it_is_its_definition():
    x, y = features(), torch.tanh(features() @ features(7, 5, seed=1)) + 0.3 * features(20, 5, seed=2)
    assert linear_cka(x, y) == pytest.approx(cka_in_numpy(x, y), rel=1e-12)
    assert linear_cka(x, y, unbiased=True) == pytest.approx(unbiased_in_numpy(x, y), rel=1e-10)
    assert 0.1 < linear_cka(x, y) < 0.9


@pytest.mark.parametrize("unbiased", [False, True])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), scale=st.floats(1e-4, 1e4), shift=st.floats(-100, 100))
def test_rotation_scale_and_shift_change_nothing_and_identical_ones_have_1(unbiased, seed, scale, shift):
    x, y = features(seed=seed), features(seed=seed + 100)
    moved = scale * (x @ rotation(7, seed)) + shift
    assert linear_cka(x, moved, unbiased=unbiased) == pytest.approx(1, abs=1e-9)
    assert linear_cka(moved, y, unbiased=unbiased) == pytest.approx(linear_cka(x, y, unbiased=unbiased), abs=1e-9)
    assert linear_cka(y, x, unbiased=unbiased) == pytest.approx(linear_cka(x, y, unbiased=unbiased), abs=1e-12)


def test_too_few_examples_are_refused():
    with pytest.raises(ValueError, match="expected at least 2 examples, the same for both networks, found 3 and 4"):
        linear_cka(features(3), features(4))
    with pytest.raises(ValueError, match=r"expected at least 4 examples, .* found 3 and 3"):
        linear_cka(features(3), features(3), unbiased=True)


class TinySegmenter(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.decoder = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(4, 2, 3, padding=1))

    def forward(self, x):
        return self.decoder(self.encoder(x))


PARTS = {"encoder": "encoder.*", "decoder": "decoder.*"}


@pytest.fixture
def networks():
    torch.manual_seed(0)
    first, second = TinySegmenter(), TinySegmenter()
    second.encoder.load_state_dict(first.encoder.state_dict())
    return first, second


@pytest.fixture
def batches():
    return list(torch.from_numpy(np.random.default_rng(0).normal(size=(3, 6, 1, 8, 8))).float())


def test_what_was_fine_tuned_differs_and_what_was_kept_does_not(networks, batches):
    first, second = networks
    found = layer_similarity(first, second, batches, parts=PARTS)
    assert [(one.layer, one.part) for one in found] == [
        ("encoder.0", "encoder"),
        ("encoder.1", "encoder"),
        ("encoder.2", "encoder"),
        ("decoder.0", "decoder"),
        ("decoder.1", "decoder"),
    ]
    assert [one.cka for one in found[:4]] == pytest.approx([1] * 4, abs=1e-9)
    assert found[4].cka < 0.95
    by_part = similarity_by_part(found)
    assert by_part["encoder"] == pytest.approx(1, abs=1e-9)
    assert by_part["decoder"] < 0.98


@pytest.mark.parametrize("unbiased", [False, True])
def test_a_layer_is_what_the_hook_saw(networks, batches, unbiased):
    first, second = networks
    first.eval(), second.eval()
    (found,) = layer_similarity(first, second, batches[:1], layers=["decoder.1"], unbiased=unbiased)
    with torch.no_grad():
        x, y = (network(batches[0]).flatten(1).double() for network in networks)
    expected = unbiased_in_numpy(x, y) if unbiased else cka_in_numpy(x, y)
    assert found.cka == pytest.approx(expected, rel=1e-9)


def test_the_networks_stay_as_they_were(networks, batches):
    first, second = networks
    first.encoder.eval()
    before = [(module.training, len(module._forward_hooks)) for net in networks for module in net.modules()]
    state = {key: value.clone() for key, value in first.state_dict().items()}
    layer_similarity(first, second, batches)
    assert [(module.training, len(module._forward_hooks)) for net in networks for module in net.modules()] == before
    assert all(torch.equal(value, state[key]) for key, value in first.state_dict().items())


def test_what_cannot_be_compared_is_said(networks, batches):
    with pytest.raises(ValueError, match=r"expected the layer 'head' in both networks, found none in the first one"):
        layer_similarity(*networks, batches, layers=["head"])
    with pytest.raises(ValueError, match="expected at least one batch, found none"):
        layer_similarity(*networks, [])
    with pytest.raises(ValueError, match="expected layers that both networks have, found no name in common"):
        layer_similarity(nn.Sequential(nn.Linear(1, 1)), nn.ModuleDict({"a": nn.Linear(1, 1)}), [torch.ones(4, 1)])
    unused = TinySegmenter()
    unused.spare = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="expected the layer 'spare' to run and return a tensor"):
        layer_similarity(unused, unused, batches, layers=["spare"])
