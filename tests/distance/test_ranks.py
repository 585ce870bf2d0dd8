"""Intervals, ranks and probabilities from replicates whose distribution is known."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from medsegdist.distance.resampling import interval, probability_nearer, rank_with_ties, reflect


def estimate(value, *, spread=1.0, bias=0.0, seed=0, r=4000):
    """What is looked for, of replicates around `value` + `bias`."""
    drawn = value + bias + spread * torch.randn(r, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return reflect(value, torch.cat([torch.tensor([value], dtype=torch.float64), drawn]))


def test_the_interval_lies_on_the_other_side_of_what_resampling_adds():
    low, high = interval(estimate(100.0, spread=2.0, bias=5.0), 0.95)
    assert low == pytest.approx(95 - 1.96 * 2, abs=0.2)
    assert high == pytest.approx(95 + 1.96 * 2, abs=0.2)


def test_the_offset_of_the_first_replicate_does_not_count():
    # Replicates of a mixture are fitted to coarser cells than the mixture itself.
    replicates = torch.tensor([100.0, 98.0, 101.0, 104.0], dtype=torch.float64)
    assert interval(reflect(103.0, replicates), 0.9) == pytest.approx(
        tuple(end + 3 for end in interval(reflect(100.0, replicates), 0.9)), abs=1e-9
    )


def test_a_distance_is_never_below_zero():
    low, high = interval(estimate(1.0, spread=3.0), 0.95)
    assert low == 0
    assert high > 1


def test_without_replicates_nothing_is_said():
    assert interval(None, 0.95) == (None, None)
    assert probability_nearer(None, estimate(4.0)) is None


@pytest.mark.parametrize("gap", [0.0, 0.5, 2.0])
def test_the_probability_is_that_of_two_normal_distances(gap):
    found = probability_nearer(estimate(10.0, seed=1), estimate(10.0 + gap, seed=2))
    assert found == pytest.approx(norm.cdf(gap / 2**0.5), abs=0.02)


def test_common_replicates_tell_apart_what_separate_ones_do_not():
    target = torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    near, far = (
        reflect(value, torch.cat([torch.tensor([value]).double(), value + 5 * target])) for value in (10.0, 10.5)
    )
    assert interval(near, 0.95)[1] > interval(far, 0.95)[0], "the intervals overlap"
    assert probability_nearer(near, far) == 1
    found = rank_with_ties({"near": 10.0, "far": 10.5}, {"near": near, "far": far}, 0.95)
    assert found == {"near": (1, False), "far": (2, False)}


@given(st.floats(5, 50), st.floats(5, 50), st.integers(0, 99), st.integers(0, 99))
def test_one_of_two_is_nearer(a, b, seed_a, seed_b):
    one, other = estimate(a, seed=seed_a, r=50), estimate(b, seed=seed_b, r=50)
    assert probability_nearer(one, other) + probability_nearer(other, one) == pytest.approx(1, abs=1e-12)


def ranked(values):
    replicates = {name: estimate(value, seed=ord(name)) for name, value in values.items()}
    return rank_with_ties(values, replicates, 0.95)


def test_groups_share_the_rank_of_their_first_and_the_next_rank_counts_them():
    values = {"c": 12.0, "a": 10.0, "b": 10.5, "e": 30.0, "d": 29.5}
    found = ranked(values)
    assert found == {"a": (1, True), "b": (1, True), "c": (1, True), "d": (4, True), "e": (4, True)}


def test_a_source_joins_a_group_by_its_first_member_not_by_its_last():
    # b is like a, and c like b, but c is not like a.
    found = ranked(dict(zip("abc", (10, 12, 14), strict=True)))
    assert found == {"a": (1, True), "b": (1, True), "c": (3, False)}


def test_without_replicates_only_equal_distances_are_one_rank():
    found = rank_with_ties({"a": 1.0, "b": 1.0 + 1e-12, "c": 1.001}, {"a": None}, 0.95)
    assert found == {"a": (1, True), "b": (1, True), "c": (3, False)}
