"""The Sinkhorn divergence against POT, the Gaussian closed form, and exact transport in the limit."""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medsegdist.distance import sinkhorn
from medsegdist.distance.sinkhorn import lattice_softmin, matrix_softmin, sinkhorn_divergence
from medsegdist.distance.transport import solve_transport
from medsegdist.errors import ConvergenceError


def masses(n, rng):
    found = torch.from_numpy(rng.uniform(0.2, 2, n))
    return found / found.sum()


def divergence(x, y, a, b, epsilon):
    costs = [torch.cdist(one, other).square() for one, other in ((x, y), (y, x), (x, x), (y, y))]
    largest = float(costs[0].max())
    return sinkhorn_divergence(a, b, [matrix_softmin(cost) for cost in costs], epsilon=epsilon, largest=largest)


@given(n=st.integers(1, 8), m=st.integers(1, 8), blur=st.floats(0.2, 1), seed=st.integers(0, 10_000))
@settings(max_examples=20)
def test_pot_agrees(n, m, blur, seed):
    rng = np.random.default_rng(seed)
    x, y = torch.from_numpy(rng.normal(size=(n, 2))), torch.from_numpy(rng.normal(1, 2, size=(m, 2)))
    a, b = masses(n, rng), masses(m, rng)
    # With less, POT takes too many steps between points that lie far apart.
    points = torch.cat([x, y])
    epsilon = blur * float(torch.cdist(points, points).square().max())

    def regularized(one, other, u, v):
        cost = ot.dist(one.numpy(), other.numpy())
        return ot.solve(cost, u.numpy(), v.numpy(), reg=epsilon, reg_type="KL", max_iter=20_000, tol=1e-9).value

    expected = regularized(x, y, a, b) - regularized(x, x, a, a) / 2 - regularized(y, y, b, b) / 2
    assert divergence(x, y, a, b, epsilon) == pytest.approx(expected, rel=1e-5, abs=1e-7)


@given(shape=st.lists(st.integers(1, 6), min_size=1, max_size=3), width=st.floats(0.5, 4), seed=st.integers(0, 1000))
@settings(max_examples=25)
def test_the_separable_kernel_is_the_kernel_of_the_cost_matrix(shape, width, seed):
    points = torch.cartesian_prod(*(torch.arange(size, dtype=torch.float64) * width for size in shape))
    points = points.reshape(math.prod(shape), len(shape))
    h = torch.from_numpy(np.random.default_rng(seed).normal(scale=50, size=math.prod(shape)))
    h[::3] = -torch.inf  # empty bins
    if bool(torch.isfinite(h).any()):
        cost = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()
        found, expected = lattice_softmin(shape, width)(h, 2.5), matrix_softmin(cost)(h, 2.5)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_blocks_change_nothing():
    rng = np.random.default_rng(0)
    h, cost = torch.from_numpy(rng.normal(size=60)), torch.from_numpy(rng.uniform(size=(7, 60)))
    for make in (lambda **size: lattice_softmin((3, 4, 5), 1.0, **size), lambda **size: matrix_softmin(cost, **size)):
        torch.testing.assert_close(make(block_bytes=1000)(h, 2.0), make()(h, 2.0), rtol=0, atol=0)


def test_it_is_the_closed_form_of_two_gaussians():
    # Janati, Muzellec, Peyre, Cuturi (2020) on a line, with cost |x - y|^2 and e = 2 s^2.
    line = torch.arange(-60, 61, dtype=torch.float64)
    a, b = (torch.softmax(-0.5 * ((line - mean) / deviation) ** 2, 0) for mean, deviation in ((0, 5), (7, 9)))
    epsilon = 18.0

    def bures(u, v):
        root = (4 * u**2 * v**2 + epsilon**2 / 4) ** 0.5
        return u**2 + v**2 - (root - epsilon / 2 * (1 - math.log(epsilon) + math.log(root + epsilon / 2)))

    expected = 49 + bures(5, 9) - bures(5, 5) / 2 - bures(9, 9) / 2
    softmin = lattice_softmin((121,), 1.0)
    assert sinkhorn_divergence(a, b, [softmin] * 4, epsilon=epsilon, largest=120.0**2) == pytest.approx(
        expected, rel=1e-5
    )


def test_it_tends_to_exact_transport():
    rng = np.random.default_rng(3)
    x, y = torch.from_numpy(rng.normal(size=(12, 2))), torch.from_numpy(rng.normal(1, 2, size=(15, 2)))
    a, b = masses(12, rng), masses(15, rng)
    exact = solve_transport(torch.cdist(x, y).square(), a, b).value
    errors = [abs(divergence(x, y, a, b, epsilon) - exact) for epsilon in (4.0, 1.0, 0.25)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 * exact


def test_a_measure_is_at_no_distance_from_itself_to_the_last_bit():
    rng = np.random.default_rng(4)
    x, a = torch.from_numpy(rng.normal(size=(30, 3))), masses(30, rng)
    assert divergence(x, x, a, a, 0.5) == 0


def test_iterations_that_do_not_come_to_rest_are_an_error(monkeypatch):
    monkeypatch.setattr(sinkhorn, "MAX_ITERATIONS", 10)
    rng = np.random.default_rng(5)
    x, y = torch.from_numpy(rng.normal(size=(9, 2))), torch.from_numpy(rng.normal(size=(9, 2)))
    with pytest.raises(ConvergenceError, match=r"still move by .* after 10; raise blur, or take solver='exact'"):
        divergence(x, y, masses(9, rng), masses(9, rng), 0.01)
