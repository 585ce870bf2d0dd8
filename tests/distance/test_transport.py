"""Image costs against scipy, exact transport against linear programs and its certificate, and its strongest pairs."""

from __future__ import annotations

import warnings

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linear_sum_assignment, linprog
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from medsegdist.distance import image_cost as module
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.image_cost import image_cost, segment_cost
from medsegdist.distance.metrics import EuclideanMetric, GmmMetric
from medsegdist.distance.pairs import STRONGEST
from medsegdist.distance.table import compare_all
from medsegdist.distance.transport import MatchedPair, solve_transport, strongest_pairs
from medsegdist.errors import ConvergenceError, DataError
from tests.synthetic import blobs


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


@pytest.mark.parametrize("block", [1, 4096, 2**27])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 6), (5, 2)])
def test_any_block_size_gives_scipys_distances(monkeypatch, n, m, block):
    monkeypatch.setattr(module, "BLOCK_BYTES", block)
    a, b = (hounsfield_images(size, seed=size)[:, :16, :16] for size in (n, m))
    assert relative_error(image_cost(a, b), a, b) <= 1e-9


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


METHODS = {
    "euclidean": DatasetDistance(EuclideanMetric()),
    "gmm2d": DatasetDistance(GmmMetric(components=1, intensity=False), max_samples=7),
    "scaled": DatasetDistance(EuclideanMetric(), normalize=True, p=2),
}


@pytest.fixture(scope="module")
def datasets():
    return [blobs(name, n=n, seed=n) for name, n in (("a", 9), ("b", 12), ("c", 8))]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_they_carry_the_most_mass_and_no_sample_comes_twice(n, m, seed):
    rng = np.random.default_rng(seed)
    cost = torch.from_numpy(rng.uniform(size=(n, m)))
    plan = solve_transport(
        cost, torch.from_numpy(rng.uniform(0.5, 2, n)), torch.from_numpy(rng.uniform(0.5, 2, m))
    ).plan
    found = strongest_pairs(plan, cost, 3)
    assert 1 <= len(found) <= min(3, n, m)
    assert found[0].mass == pytest.approx(float(plan.max()))
    assert all(plan[one.source, one.target] == one.mass for one in found)
    assert [one.mass for one in found] == sorted((one.mass for one in found), reverse=True)
    for side in ("source", "target"):
        assert len({getattr(one, side) for one in found}) == len(found)


def test_of_equally_strong_pairs_the_nearest_are_taken_whatever_rounding_says():
    cost = torch.tensor([[3.0, 9, 9], [9, 1, 9], [9, 9, 2]], dtype=torch.float64)
    plan = torch.eye(3, dtype=torch.float64) / 3
    plan[0, 0] += 1e-16
    assert [(one.source, one.target) for one in strongest_pairs(plan, cost, 2)] == [(1, 1), (2, 2)]


def test_they_are_those_of_the_distance_itself(datasets):
    a, b, _ = datasets
    found = compare_all(datasets, METHODS).matches
    assert set(found) == {(s, t, m) for s in "abc" for t in "abc" if s != t for m in METHODS}
    plan = METHODS["euclidean"](a, b).transport.plan
    strongest = found["a", "b", "euclidean"]
    assert len(strongest) == STRONGEST
    assert strongest[0].mass == pytest.approx(float(plan.max()))
    assert all(float(plan[one.source, one.target]) == pytest.approx(one.mass) for one in strongest)
    assert found["b", "a", "euclidean"] == tuple(MatchedPair(k.target, k.source, k.mass) for k in strongest)


def test_samples_are_numbered_as_in_the_whole_dataset(datasets):
    _, b, _ = datasets
    chosen = METHODS["gmm2d"].subsample(b)
    found = compare_all(datasets, METHODS).matches
    for pair in found["b", "c", "gmm2d"]:
        assert b.case_ids[pair.source] in chosen.case_ids
    distance = METHODS["gmm2d"](b, datasets[2])
    plan, best = distance.transport.plan, found["b", "c", "gmm2d"][0]
    row = chosen.case_ids.index(b.case_ids[best.source])
    column = METHODS["gmm2d"].subsample(datasets[2]).case_ids.index(datasets[2].case_ids[best.target])
    assert float(plan[row, column]) == pytest.approx(best.mass)
