"""Distances of Gaussians and of mixtures against closed forms, scipy, POT and the laws of a distance."""

import numpy as np
import ot
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ot.gmm import gmm_ot_loss
from scipy.linalg import sqrtm
from scipy.stats import norm

from medsegdist.distance.mixture.gaussian import (
    GaussianMixture,
    mixture_wasserstein,
    paired_mixture_wassersteins,
    squared_bures_wasserstein,
)

seeds = st.integers(0, 100_000)


def random_mixture(k, d, seed):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(k, d, d)) * rng.uniform(0.5, 5, size=(k, 1, 1))
    weights = rng.uniform(0.2, 2, size=k)
    return GaussianMixture(
        weights=torch.from_numpy(weights / weights.sum()),
        means=torch.from_numpy(rng.normal(scale=20, size=(k, d))),
        covariances=torch.from_numpy(factors @ factors.transpose(0, 2, 1)),
    )


def test_pairs_of_mixtures_of_any_sizes_are_compared_as_each_by_itself():
    sizes = [(2, 3), (5, 5), (2, 3), (1, 4), (5, 5)]
    pairs = [(random_mixture(k, 3, seed), random_mixture(m, 3, seed + 50)) for seed, (k, m) in enumerate(sizes)]
    expected = [mixture_wasserstein(*pair) for pair in pairs]
    assert paired_mixture_wassersteins(pairs).tolist() == pytest.approx(expected, rel=1e-12)
    assert paired_mixture_wassersteins([]).tolist() == []


def moved(mixture, shift=0.0, factor=1.0):
    return GaussianMixture(mixture.weights, factor * mixture.means + shift, factor**2 * mixture.covariances)


def bures(a, b, mean_a=None, mean_b=None):
    a, b = torch.as_tensor(a).double()[None], torch.as_tensor(b).double()[None]
    zero = torch.zeros(1, a.shape[-1], dtype=torch.float64)
    return float(
        squared_bures_wasserstein(
            zero if mean_a is None else mean_a[None], a, zero if mean_b is None else mean_b[None], b
        )
    )


@given(d=st.integers(1, 4), k=st.integers(1, 5), other_k=st.integers(1, 5), seed=seeds)
@settings(max_examples=40)
def test_is_the_trace_formula_of_equation_12(d, k, other_k, seed):
    a, b = random_mixture(k, d, seed), random_mixture(other_k, d, seed + 1)
    found = squared_bures_wasserstein(a.means, a.covariances, b.means, b.covariances)
    for i in range(k):
        for j in range(other_k):
            one, other = a.covariances[i].numpy(), b.covariances[j].numpy()
            root = sqrtm(one).real
            trace = np.trace(one + other - 2 * sqrtm(root @ other @ root).real)
            expected = float((a.means[i] - b.means[j]).square().sum()) + trace
            # sqrtm itself is good to the square root of the rounding unit for nearly singular products.
            assert float(found[i, j]) == pytest.approx(expected, rel=1e-6)


@given(d=st.integers(1, 4), seed=seeds)
def test_commuting_covariances_differ_by_their_standard_deviations(d, seed):
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    one, other = rng.uniform(0, 9, size=(2, d))
    expected = float(((one - other) ** 2).sum())
    found = bures((rotation * one**2) @ rotation.T, (rotation * other**2) @ rotation.T)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_singular_gaussians_on_crossing_lines_and_points():
    along_x, along_y = torch.diag(torch.tensor([4.0, 0.0])), torch.diag(torch.tensor([0.0, 9.0]))
    assert bures(along_x, along_y) == pytest.approx(13, rel=1e-12)
    assert bures(along_x, torch.zeros(2, 2)) == pytest.approx(4, rel=1e-12)
    assert bures(along_x, along_x) <= 1e-28
    means = torch.tensor([1.0, 2.0]).double(), torch.tensor([4.0, 6.0]).double()
    assert bures(torch.zeros(2, 2), torch.zeros(2, 2), *means) == 25


@given(exponent=st.integers(-14, 0), seed=seeds)
def test_nearly_singular_gaussians_lie_at_no_distance_from_themselves(exponent, seed):
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    covariance = (rotation * np.array([2500.0, 30.0, 10.0**exponent])) @ rotation.T
    assert 0 <= bures(covariance, covariance) <= 1e-24 * 2500


@given(rank=st.integers(1, 3), seed=seeds)
def test_singular_gaussians_lie_at_no_distance_from_themselves(rank, seed):
    factor = np.random.default_rng(seed).normal(scale=50, size=(4, rank))
    assert 0 <= bures(factor @ factor.T, factor @ factor.T) <= 1e-18 * np.trace(factor @ factor.T)


@given(step=st.floats(1e-7, 1e-2))
def test_a_small_difference_is_not_lost_in_rounding(step):
    # The trace formula subtracts numbers near 1e4 here and has an error near 1e-12, more than a step of 1e-7 squared.
    one = torch.diag(torch.tensor([50.0, 70.0], dtype=torch.float64) ** 2)
    other = torch.diag(torch.tensor([50.0 + step, 70.0], dtype=torch.float64) ** 2)
    assert bures(one, other) == pytest.approx(step**2, rel=1e-4)


@given(k=st.integers(1, 6), d=st.integers(1, 4), seed=seeds)
def test_a_mixture_is_at_no_distance_from_itself(k, d, seed):
    a = random_mixture(k, d, seed)
    order = torch.randperm(k, generator=torch.Generator().manual_seed(seed))
    shuffled = GaussianMixture(a.weights[order], a.means[order], a.covariances[order])
    scale = float(a.means.abs().max() + a.covariances.abs().max().sqrt())
    assert mixture_wasserstein(a, a) <= 1e-9 * scale
    assert mixture_wasserstein(a, shuffled) <= 1e-7 * scale  # weights that sum to 1 in another order differ in a bit


@given(k=st.integers(1, 5), other_k=st.integers(1, 5), d=st.integers(1, 4), seed=seeds)
def test_it_is_symmetric_and_obeys_the_triangle_inequality(k, other_k, d, seed):
    a, b, c = random_mixture(k, d, seed), random_mixture(other_k, d, seed + 1), random_mixture(3, d, seed + 2)
    assert mixture_wasserstein(a, b) == pytest.approx(mixture_wasserstein(b, a), rel=1e-9)
    assert mixture_wasserstein(a, c) <= (mixture_wasserstein(a, b) + mixture_wasserstein(b, c)) * (1 + 1e-9)


@given(k=st.integers(1, 6), d=st.integers(1, 4), seed=seeds)
def test_moving_a_mixture_costs_the_way(k, d, seed):
    a = random_mixture(k, d, seed)
    way = torch.from_numpy(np.random.default_rng(seed).normal(scale=30, size=d))
    assert mixture_wasserstein(a, moved(a, way)) == pytest.approx(float(way.norm()), rel=1e-9)


@given(factor=st.floats(0.01, 100), seed=seeds)
def test_pixels_of_another_size_scale_the_distance(factor, seed):
    a, b = random_mixture(4, 3, seed), random_mixture(5, 3, seed + 1)
    scaled = mixture_wasserstein(moved(a, factor=factor), moved(b, factor=factor))
    assert scaled == pytest.approx(factor * mixture_wasserstein(a, b), rel=1e-9)


@given(k=st.integers(1, 5), other_k=st.integers(1, 5), d=st.integers(2, 3), seed=seeds)
@settings(max_examples=25)
def test_pot_agrees_on_the_square(k, other_k, d, seed):
    a, b = random_mixture(k, d, seed), random_mixture(other_k, d, seed + 1)
    expected = float(gmm_ot_loss(a.means, b.means, a.covariances, b.covariances, a.weights, b.weights))
    assert mixture_wasserstein(a, b) ** 2 == pytest.approx(expected, rel=1e-7)


@given(k=st.integers(1, 5), other_k=st.integers(1, 5), seed=seeds)
@example(k=1, other_k=3, seed=2495)
@settings(max_examples=25)
def test_it_bounds_the_distance_of_the_densities_from_above(k, other_k, seed):
    # On a line the distance of two densities is exact: their quantiles are matched in order.
    a, b = random_mixture(k, 1, seed), random_mixture(other_k, 1, seed + 1)
    # The mass of each cell, not the density in its middle: a narrow Gaussian may lie between two middles.
    step = 0.02
    edges = np.arange(-150, 150, step)
    masses = [
        np.diff(norm.cdf(edges[:, None], m.means[:, 0], m.covariances[:, 0, 0].sqrt()) @ m.weights.numpy())
        for m in (a, b)
    ]
    middles = edges[:-1] + step / 2
    exact = ot.wasserstein_1d(middles, middles, *(mass / mass.sum() for mass in masses), p=2) ** 0.5
    assert mixture_wasserstein(a, b) >= exact - step
    if k == other_k == 1:
        assert mixture_wasserstein(a, b) <= exact + step


def test_different_dimensions_are_refused():
    with pytest.raises(ValueError, match="expected mixtures of one dimension, found 2 and 3"):
        mixture_wasserstein(random_mixture(2, 2, 0), random_mixture(2, 3, 0))
