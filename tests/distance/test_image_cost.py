"""Pairwise Euclidean distances against scipy, where the usual expansion fails."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial.distance import cdist

from medsegdist.distance import image_cost as module
from medsegdist.distance.image_cost import image_cost, segment_cost


def hounsfield_images(n, *, seed, offset=0.0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy((rng.normal(1000, 300, size=(n, 96, 96)) + offset).astype(np.float32))


def relative_error(found, a, b):
    expected = cdist(a.reshape(len(a), -1).double().numpy(), b.reshape(len(b), -1).double().numpy())
    assert ((expected == 0) <= (found.numpy() == 0)).all()
    return np.max(np.abs(found.numpy() - expected)[expected > 0] / expected[expected > 0], initial=0.0)


@pytest.mark.parametrize("offset", [0.0, 1024.0, 2048.0])
@pytest.mark.parametrize("step", [1e-3, 1.0, 100.0])
def test_near_equal_images_far_from_zero_keep_their_distance(offset, step):
    """The trap of float32 expansions: at HU + 2048 they return 0 for a true distance of 224."""
    a = hounsfield_images(30, seed=0, offset=offset)
    b = a.clone()
    b[:, :, 0] += step * torch.arange(30)[:, None]
    assert relative_error(image_cost(a, b), a, b) <= 1e-6


@given(n=st.integers(1, 6), m=st.integers(1, 6), seed=st.integers(0, 1000), block=st.sampled_from([1, 4096, 2**27]))
@settings(max_examples=25, deadline=None)
def test_any_block_size_gives_scipys_distances(n, m, seed, block):
    a, b = hounsfield_images(n, seed=seed), hounsfield_images(m, seed=seed + 1)
    a, b = a[:, :16, :16], b[:, :16, :16]
    assert relative_error(image_cost(a, b, block_bytes=block), a, b) <= 1e-9


def test_the_images_are_left_alone():
    a, b = hounsfield_images(3, seed=0).double(), hounsfield_images(4, seed=1).double()
    before = a.clone(), b.clone()
    image_cost(a, b)
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])


def test_different_grids_are_refused():
    with pytest.raises(ValueError, match="expected images on one grid, found 16 and 25 pixels"):
        image_cost(torch.zeros(2, 4, 4), torch.zeros(2, 5, 5))


@pytest.mark.parametrize("slowdown", [0, 1e12], ids=["as sparse", "as dense"])
@pytest.mark.parametrize("density", [0.0, 0.01, 0.5])
def test_segments_either_way_give_scipys_distances(monkeypatch, slowdown, density):
    monkeypatch.setattr(module, "SPARSE_SLOWDOWN", slowdown)
    rng = np.random.default_rng(0)
    a = sparse.random_array((12, 400), density=density, format="csr", rng=rng) * 4000
    b = sparse.random_array((9, 400), density=density, format="csr", rng=rng) * 4000
    b = sparse.vstack([b, a[[3]], a[[4]] * (1 + 1e-9)], format="csr")
    found = segment_cost(sparse.csr_array(a), sparse.csr_array(b))
    assert relative_error(found, torch.from_numpy(a.toarray()), torch.from_numpy(b.toarray())) <= 1e-6
