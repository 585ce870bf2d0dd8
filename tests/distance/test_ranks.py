"""Intervals, ranks and probabilities from replicates whose distribution is known."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from medsegdist.distance.ranks import Estimate, probability_nearer, ranked


def estimate(value, *, spread=1.0, bias=0.0, seed=0, r=4000):
    """Replicates around `value` + `bias`."""
    drawn = value + bias + spread * torch.randn(r, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Estimate(value, torch.cat([torch.tensor([value], dtype=torch.float64), drawn]))


def test_the_interval_lies_on_the_other_side_of_what_resampling_adds():
    low, high = estimate(100.0, spread=2.0, bias=5.0).interval(0.95)
    assert low == pytest.approx(95 - 1.96 * 2, abs=0.2)
    assert high == pytest.approx(95 + 1.96 * 2, abs=0.2)


def test_the_offset_of_the_first_replicate_does_not_count():
    # Replicates of a mixture are fitted to coarser cells than the mixture itself.
    exact = estimate(100.0, spread=2.0)
    assert Estimate(103.0, exact.replicates).interval(0.9) == pytest.approx(
        tuple(end + 3 for end in exact.interval(0.9)), abs=1e-9
    )


def test_a_distance_is_never_below_zero():
    low, high = estimate(1.0, spread=3.0).interval(0.95)
    assert low == 0
    assert high > 1


def test_without_replicates_nothing_is_said():
    alone = Estimate(3.0, None)
    assert alone.interval(0.95) == (None, None)
    assert probability_nearer(alone, estimate(4.0)) is None


@pytest.mark.parametrize("gap", [0.0, 0.5, 2.0])
def test_the_probability_is_that_of_two_normal_distances(gap):
    found = probability_nearer(estimate(10.0, seed=1), estimate(10.0 + gap, seed=2))
    assert found == pytest.approx(norm.cdf(gap / 2**0.5), abs=0.02)


def test_common_replicates_tell_apart_what_separate_ones_do_not():
    target = torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    near, far = (
        Estimate(value, torch.cat([torch.tensor([value]).double(), value + 5 * target])) for value in (10.0, 10.5)
    )
    assert near.interval(0.95)[1] > far.interval(0.95)[0], "the intervals overlap"
    assert probability_nearer(near, far) == 1
    assert ranked({"near": near, "far": far}, 0.95) == {"near": (1, False), "far": (2, False)}


@given(st.floats(5, 50), st.floats(5, 50), st.integers(0, 99), st.integers(0, 99))
def test_one_of_two_is_nearer(a, b, seed_a, seed_b):
    one, other = estimate(a, seed=seed_a, r=50), estimate(b, seed=seed_b, r=50)
    assert probability_nearer(one, other) + probability_nearer(other, one) == pytest.approx(1, abs=1e-12)


def test_groups_share_the_rank_of_their_first_and_the_next_rank_counts_them():
    values = {"c": 12.0, "a": 10.0, "b": 10.5, "e": 30.0, "d": 29.5}
    found = ranked({name: estimate(value, seed=ord(name)) for name, value in values.items()}, 0.95)
    assert found == {"a": (1, True), "b": (1, True), "c": (1, True), "d": (4, True), "e": (4, True)}


def test_a_source_joins_a_group_by_its_first_member_not_by_its_last():
    # b is like a, and c like b, but c is not like a.
    found = ranked(
        {name: estimate(value, seed=ord(name)) for name, value in zip("abc", (10, 12, 14), strict=True)}, 0.95
    )
    assert found == {"a": (1, True), "b": (1, True), "c": (3, False)}


def test_without_replicates_only_equal_distances_are_one_rank():
    found = ranked({"a": Estimate(1.0, None), "b": Estimate(1.0 + 1e-12, None), "c": Estimate(1.001, None)}, 0.95)
    assert found == {"a": (1, True), "b": (1, True), "c": (3, False)}
