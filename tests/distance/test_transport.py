"""Exact optimal transport against scipy, closed forms and its own certificate."""

import warnings

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog
from scipy.stats import wasserstein_distance

from medsegdist.distance.transport import solve_transport
from medsegdist.errors import ConvergenceError, DataError


def random_problem(n, m, seed):
    rng = np.random.default_rng(seed)
    cost = torch.from_numpy(rng.uniform(0, 100, size=(n, m)))
    return cost, torch.from_numpy(rng.uniform(0.1, 3, size=n)), torch.from_numpy(rng.uniform(0.1, 3, size=m))


@given(n=st.integers(1, 12), m=st.integers(1, 12), seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_value_is_that_of_a_linear_program(n, m, seed):
    cost, a, b = random_problem(n, m, seed)
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    masses = np.concatenate([a / a.sum(), b / b.sum()])
    program = linprog(cost.numpy().ravel(), A_eq=np.vstack([rows, columns]), b_eq=masses, method="highs")
    assert solve_transport(cost, a, b).value == pytest.approx(program.fun, rel=1e-9)


@given(n=st.integers(1, 30), m=st.integers(1, 30), seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_plan_and_potentials_prove_the_value(n, m, seed):
    cost, a, b = random_problem(n, m, seed)
    transport = solve_transport(cost, a, b)
    torch.testing.assert_close(transport.plan.sum(1), a / a.sum(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(transport.plan.sum(0), b / b.sum(), rtol=1e-9, atol=1e-12)
    slack = cost - transport.source_potential[:, None] - transport.target_potential[None, :]
    assert slack.min() >= -1e-10 * cost.max()
    assert transport.dual_value <= transport.value * (1 + 1e-12)
    assert transport.optimality_gap < 1e-9


def test_on_a_line_it_is_the_distance_of_sorted_points():
    rng = np.random.default_rng(1)
    x, y, a, b = rng.normal(size=50), rng.normal(2, 3, size=70), rng.uniform(1, 2, 50), rng.uniform(1, 2, 70)
    cost = torch.from_numpy(np.abs(x[:, None] - y[None, :]))
    expected = wasserstein_distance(x, y, a, b)
    assert solve_transport(cost, torch.from_numpy(a), torch.from_numpy(b)).value == pytest.approx(expected, rel=1e-9)


def test_equal_points_cost_nothing_and_the_gap_says_so():
    points = torch.rand(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cost = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    transport = solve_transport(cost, torch.ones(40), torch.ones(40))
    assert transport.value == 0
    assert transport.optimality_gap < 1e-12


def test_weights_count_by_their_ratio_only():
    cost, a, b = random_problem(9, 7, seed=3)
    assert solve_transport(cost, 2 * a, b / 5).value == pytest.approx(solve_transport(cost, a, b).value, rel=1e-12)


def test_where_pots_default_stops_early_ours_does_not():
    """POT's default 1e5 iterations read high at n = 2000; its warning is all one gets."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(2000, 64, dtype=torch.float64, generator=generator) for _ in range(2))
    cost, uniform = torch.cdist(x, y), torch.full((2000,), 1 / 2000, dtype=torch.float64)
    with pytest.warns(UserWarning, match="numItermax"):
        stopped_early = ot.emd2(uniform.numpy(), uniform.numpy(), cost.numpy())
    transport = solve_transport(cost, uniform, uniform)
    assert transport.optimality_gap < 1e-9
    assert transport.value < stopped_early * (1 - 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "problems"), [pytest.param(500, 20, marks=pytest.mark.ci), (2000, 5), (4000, 2)])
def test_problems_of_a_size_are_solved_to_the_certified_optimum(n, problems):
    """Images of a few hundred dimensions lie like these points: far from each other, all about equally."""
    stopped = 0
    uniform = torch.full((n,), 1 / n, dtype=torch.float64)
    for seed in range(problems):
        generator = torch.Generator().manual_seed(seed)
        x, y = (torch.randn(n, 64, dtype=torch.float64, generator=generator) for _ in range(2))
        cost = torch.cdist(x, y + 0.3)
        transport = solve_transport(cost, uniform, uniform)
        assert transport.optimality_gap < 1e-9
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            of_default = ot.emd2(uniform.numpy(), uniform.numpy(), cost.numpy())
        if any("numItermax" in str(warning.message) for warning in caught):
            stopped += 1
            assert transport.value < of_default * (1 - 1e-5)
        else:
            assert transport.value == pytest.approx(of_default, rel=1e-9)
    assert stopped == (0 if n == 500 else problems)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e12])
def test_tiny_and_huge_costs_have_the_same_plan(scale):
    cost, a, b = random_problem(60, 50, seed=1)
    usual, found = solve_transport(cost, a, b), solve_transport(scale * cost, a, b)
    assert found.value == pytest.approx(scale * usual.value, rel=1e-9)
    assert found.optimality_gap < 1e-9
    again = solve_transport(scale * cost, a, b, start=(found.source_potential, found.target_potential))
    assert again.value == pytest.approx(found.value, rel=1e-9)


@pytest.mark.parametrize("huge", [1e3, 1e5, 1e7])
def test_pairs_that_cost_a_fortune_are_left_alone(huge):
    """The trap of POT's issue 229: a few huge entries in the cost, a plan that is not optimal, and no word of it."""
    rng = np.random.default_rng(0)
    cost = rng.uniform(0, 1, (80, 80))
    cost[rng.random((80, 80)) < 0.3] = huge
    rows, columns = linear_sum_assignment(cost)
    uniform = torch.ones(80, dtype=torch.float64)
    transport = solve_transport(torch.from_numpy(cost), uniform, uniform)
    assert transport.value == pytest.approx(cost[rows, columns].mean(), rel=1e-9)
    assert transport.optimality_gap < 1e-6


def test_a_plan_that_proves_not_optimal_is_refused_though_the_simplex_is_content(monkeypatch):
    cost, a, b = random_problem(30, 20, seed=2)
    _, log = ot.emd(a.numpy() / a.numpy().sum(), b.numpy() / b.numpy().sum(), cost.numpy(), log=True)
    monkeypatch.setattr(ot, "emd", lambda a, b, cost, **options: (np.outer(a, b), log))
    with pytest.raises(ConvergenceError, match=r"30 and 20 points may lie, relatively, [0-9.e+-]+ above the optimum"):
        solve_transport(cost, a, b)


def test_a_stop_before_the_optimum_raises():
    cost, a, b = random_problem(60, 60, seed=0)
    with pytest.raises(ConvergenceError, match="between 60 and 60 points stopped before its optimum"):
        solve_transport(cost, a, b, max_iterations=5)


@pytest.mark.parametrize(
    ("cost", "source", "target", "message"),
    [
        (torch.tensor([[1.0, float("nan")]]), [1.0], [1.0, 1.0], "finite costs >= 0"),
        (torch.tensor([[1.0, -1.0]]), [1.0], [1.0, 1.0], "finite costs >= 0"),
        (torch.tensor([[1.0, 2.0]]), [1.0], [1.0, 0.0], "positive finite target weights"),
        (torch.tensor([[1.0, 2.0]]), [-1.0], [1.0, 1.0], "positive finite source weights"),
        (torch.tensor([[1.0, 2.0]]), [1.0], [1.0], "expected 2 target weights"),
        (torch.zeros(0, 2), [], [1.0, 1.0], "shape \\(n, m\\) with n, m >= 1"),
    ],
)
def test_bad_input_is_refused(cost, source, target, message):
    with pytest.raises(DataError, match=message):
        solve_transport(cost, torch.tensor(source), torch.tensor(target))
