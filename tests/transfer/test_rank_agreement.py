"""Rank correlations and regret, against definitions written out."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsegdist.transfer.rank_agreement import agree_by_target, correlate_ranks
from tests.transfer.making_pairs import pairs_of, random_pairs


def test_a_perfect_order_is_minus_one_and_its_reverse_one():
    falling, rising = (
        correlate_ranks(pairs_of([1, 2, 3, 9], [9, 8, 7, -50])),
        correlate_ranks(pairs_of([1, 2, 3, 9], [-50, 7, 8, 9])),
    )
    for found, sign in ((falling, -1), (rising, 1)):
        assert (found.spearman, found.kendall, found.weighted_kendall) == pytest.approx((sign,) * 3)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(7)))
def test_without_ties_they_are_their_definitions(order):
    found = correlate_ranks(pairs_of(range(7), order))
    squares = sum((k - place) ** 2 for k, place in enumerate(order))
    assert found.spearman == pytest.approx(1 - 6 * squares / (7 * 48))
    signs = [np.sign(order[j] - order[i]) for i, j in combinations(range(7), 2)]
    assert found.kendall == pytest.approx(sum(signs) / 21)


def weighted_tau(distance, gain):
    """Vigna's hyperbolic, additive tau by its definition: the mean over both rankings, the best one at rank 0."""

    def by(ranking):
        total = norm = 0.0
        for i, j in combinations(range(len(distance)), 2):
            weight = 1 / (ranking[i] + 1) + 1 / (ranking[j] + 1)
            total += weight * np.sign(distance[j] - distance[i]) * np.sign(gain[j] - gain[i])
            norm += weight
        return total / norm

    nearest, best = (np.argsort(np.argsort(values)) for values in (distance, -np.asarray(gain)))
    return (by(nearest) + by(best)) / 2


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(6)))
def test_weighted_kendall_gives_the_nearest_and_the_best_their_weight(order):
    assert correlate_ranks(pairs_of(range(6), order)).weighted_kendall == pytest.approx(weighted_tau(range(6), order))


def test_a_swap_among_the_best_costs_more_than_one_among_the_last():
    top = correlate_ranks(pairs_of(range(5), [8, 9, 7, 6, 5]))
    bottom = correlate_ranks(pairs_of(range(5), [9, 8, 7, 5, 6]))
    assert top.kendall == bottom.kendall
    assert bottom.weighted_kendall < top.weighted_kendall


@pytest.mark.parametrize(
    "pairs", [pairs_of([1, 2], [2, 1]), pairs_of([1, 1, 1], [1, 2, 3]), pairs_of([1, 2, 3], [1] * 3)]
)
def test_what_has_no_order_has_no_correlation(pairs):
    assert correlate_ranks(pairs) is None


def test_regret_by_target():
    pairs = pairs_of([1, 2, 3, 4, 5], [10, 20, 5, -8, -2], targets=["a"] * 3 + ["b"] * 2)
    a, b = agree_by_target(pairs)
    assert (a.target, a.sources, a.picked, a.picked_gain, a.picked_rank) == ("a", 3, ("source 0",), 10, 2)
    assert (a.best, a.best_gain, a.regret, a.regret_percent) == ("source 1", 20, 10, 50)
    assert a.chance_regret == pytest.approx(20 - 35 / 3)
    # Nothing could be gained: the best source did harm as well.
    assert (b.picked, b.regret, b.regret_percent, b.correlation) == (("source 3",), 6, None, None)


def test_negative_transfer_costs_more_than_all_there_was_to_gain():
    (found,) = agree_by_target(pairs_of([1, 2, 3], [-10, 20, 5]))
    assert found.regret_percent == 150


def test_where_the_best_gains_nothing_there_is_no_percentage():
    (found,) = agree_by_target(pairs_of([1, 2], [-10, 0]))
    assert (found.regret, found.regret_percent) == (10, None)


def test_equally_near_sources_count_by_their_mean():
    (found,) = agree_by_target(pairs_of([1, 1, 3], [10, 20, 30]))
    assert (found.picked, found.picked_gain, found.picked_rank, found.regret) == (("source 0", "source 1"), 15, 3, 15)


def test_the_order_of_the_rows_changes_nothing():
    pairs = random_pairs(10, seed=2)
    shuffled = [pairs[k] for k in np.random.default_rng(0).permutation(10)]
    assert correlate_ranks(shuffled) == correlate_ranks(pairs)
    assert agree_by_target(shuffled)[0].regret == agree_by_target(pairs)[0].regret
