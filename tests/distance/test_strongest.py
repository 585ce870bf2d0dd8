"""The strongest pairs of a coupling, and that they are the same whoever computes them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import EuclideanMetric, GmmMetric
from medsegdist.distance.pairs import STRONGEST
from medsegdist.distance.table import compare_all
from medsegdist.distance.transport import MatchedPair, solve_transport, strongest_pairs
from tests.synthetic import blobs

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
