"""Rank correlations, regret and permutation tests."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from medsegdist.transfer.gains import Gain, TransferPair
from medsegdist.transfer.ranks import (
    DRAWN,
    Reliability,
    agree_by_target,
    agree_over_targets,
    correlate_ranks,
    measure_reliability,
    permutation_test,
)
from tests.transfer.making_pairs import crossed_pairs, pairs_of, random_pairs


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


def test_equally_near_sources_count_by_their_mean():
    (found,) = agree_by_target(pairs_of([1, 1, 3], [10, 20, 30]))
    assert (found.picked, found.picked_gain, found.picked_rank, found.regret) == (("source 0", "source 1"), 15, 3, 15)


@pytest.mark.parametrize("shuffle", ["within_targets", "whole_sources"])
def test_it_is_all_permutations_written_out(shuffle):
    k = 3 if shuffle == "within_targets" else 4
    pairs = crossed_pairs(sources=k, targets=2, seed=5, noise=4)
    values = np.array([(one.distance, one.gain) for one in pairs]).T.reshape(2, 2, k)
    both = list(permutations(range(k)))
    # Of whole sources, both targets have the same order.
    orders = list(product(both, repeat=2)) if shuffle == "within_targets" else [(one, one) for one in both]
    found = permutation_test(pairs, shuffle)
    assert (found.permutations, found.exact) == (len(orders), True)
    for p, (d, g) in ((found.p_slope, values), (found.p_rank, stats.rankdata(values, axis=-1))):
        d, g = (one - one.mean(1, keepdims=True) for one in (d, g))
        sums = np.abs([sum((d[t] * g[t, list(order)]).sum() for t, order in enumerate(one)) for one in orders])
        assert p == pytest.approx(np.mean(sums >= sums[0] - 1e-9))


def test_a_source_of_other_targets_stays_where_it_is():
    """Two sources have both targets and may change places; the third one has one target only."""
    pairs = pairs_of(
        [1, 2, 3, 1, 2], [9, 5, 1, 8, 4], targets=["a", "a", "a", "b", "b"], sources=["x", "y", "z", "x", "y"]
    )
    found = permutation_test(pairs, "whole_sources")
    assert found.permutations == 2
    assert found.p_slope == 1  # of two values, both are as far from their mean


def test_nothing_to_permute_is_none():
    pairs = pairs_of([1, 2, 3], [3, 2, 1], targets=["a", "b", "c"])
    assert permutation_test(pairs) is None
    assert permutation_test(pairs, "whole_sources") is None


def test_drawn_ones_come_near_to_all_and_the_seed_says_which_they_are(monkeypatch):
    many = random_pairs(12, slope=-0.3)
    found = permutation_test(many, seed=1)
    assert (found.exact, found.permutations) == (False, DRAWN)
    assert permutation_test(many, seed=1) == found != permutation_test(many, seed=2)
    assert permutation_test(random_pairs(15, noise=0.01)).p_slope == 1 / (1 + DRAWN)  # never 0
    pairs = random_pairs(8, seed=1, slope=-0.4, noise=2)
    exact = permutation_test(pairs)
    monkeypatch.setattr("medsegdist.transfer.ranks.EXACT_UP_TO", 1)
    drawn = permutation_test(pairs, seed=0)
    assert exact.exact
    assert not drawn.exact
    assert 0.05 < exact.p_slope < 0.95
    assert drawn.p_slope == pytest.approx(exact.p_slope, abs=4 * 0.5 / np.sqrt(DRAWN))


def test_where_nothing_depends_on_anything_small_p_values_are_as_rare_as_they_should():
    found = [permutation_test(random_pairs(6, seed=k, slope=0)).p_slope for k in range(300)]
    assert abs(np.mean(np.array(found) <= 0.1) - 0.1) < 4 * np.sqrt(0.09 / 300)


def test_sources_that_are_good_or_bad_everywhere_fool_shuffling_within_targets_only():
    """Six targets, one distance and one gain for each source whatever the target: six rows say what one says."""
    rng = np.random.default_rng(0)
    found = {"within_targets": 0, "whole_sources": 0}
    for _ in range(60):
        d, g = rng.normal(size=(2, 5))
        names = [f"s{k}" for k in range(5)]
        pairs = pairs_of(
            list(d) * 6, list(g) * 6, targets=[f"t{k}" for k in range(6) for _ in names], sources=names * 6
        )
        for shuffle in found:
            found[shuffle] += permutation_test(pairs, shuffle).p_slope <= 0.1
    assert found["whole_sources"] <= 14  # 6 expected
    assert found["within_targets"] >= 25


def test_shift_and_scale_change_nothing():
    pairs = crossed_pairs(seed=2, noise=3)
    moved = pairs_of(
        [1e6 * one.distance - 3 for one in pairs],
        [one.gain / 1e4 + 7 for one in pairs],
        targets=[one.target for one in pairs],
        sources=[one.source for one in pairs],
    )
    for shuffle in ("within_targets", "whole_sources"):
        assert permutation_test(moved, shuffle) == permutation_test(pairs, shuffle)


def repeated(signal, noise, *, sources=30, targets=4, seeds=3, seed=0):
    """Gains of pairs that differ by `signal` and of repetitions that differ by `noise`; and their table."""
    rng = np.random.default_rng(seed)
    table = rng.normal(0, signal, (targets, sources, 1)) + rng.normal(0, noise, (targets, sources, seeds))
    gains = [
        Gain(f"s{i}", f"t{j}", k, gain_percent=float(table[j, i, k])) for j, i, k in np.ndindex(targets, sources, seeds)
    ]
    return gains, table


def test_the_reliability_of_one_target_is_cronbachs_alpha():
    gains, (table,) = repeated(2.0, 1.0, targets=1)
    found = measure_reliability(gains)
    alpha = 3 / 2 * (1 - table.var(axis=0, ddof=1).sum() / table.sum(axis=1).var(ddof=1))
    assert found.reliability == pytest.approx(alpha)
    assert found.ceiling == pytest.approx(alpha**0.5)
    # Spearman and Brown.
    assert 3 * found.between_seeds / (1 + 2 * found.between_seeds) == pytest.approx(alpha)


def test_reliability_is_the_share_of_signal_and_nothing_that_sources_share_counts():
    gains, table = repeated(1.0, 1.0, sources=400)
    found = measure_reliability(gains)
    assert (found.seeds, found.pairs) == (3, 1600)
    assert found.between_seeds == pytest.approx(0.5, abs=0.05)
    assert found.reliability == pytest.approx(0.75, abs=0.05)
    # A baseline of a target and a seed, and the level of a target, move all of its sources.
    moved = [replace(one, gain_percent=one.gain_percent + 10 * one.seed * int(one.target[1:])) for one in gains]
    assert measure_reliability(moved).reliability == pytest.approx(found.reliability)
    # The gains without noise, which no predictor can know better, correlate with them just so.
    signal = np.random.default_rng(0).normal(0, 1.0, (4, 400))
    known, seen = (one - one.mean(axis=1, keepdims=True) for one in (signal, table.mean(axis=2)))
    assert np.corrcoef(known.ravel(), seen.ravel())[0, 1] == pytest.approx(found.ceiling, abs=0.03)


def test_reliability_at_its_ends_and_where_there_is_none():
    exact = measure_reliability(repeated(1.0, 0.0)[0])
    assert (exact.reliability, exact.between_seeds) == (pytest.approx(1), pytest.approx(1))
    assert measure_reliability(repeated(0.0, 1.0, sources=400)[0]).reliability < 0.2
    assert measure_reliability(repeated(1.0, 1.0, seeds=1)[0]) is None
    assert measure_reliability(repeated(1.0, 1.0, sources=1)[0]) is None
    assert measure_reliability(repeated(0.0, 0.0)[0]) is None
    gains, _ = repeated(1.0, 1.0, sources=5, targets=1)
    assert measure_reliability([*gains, Gain("lost", "t0", 0, status="not_converged")]).pairs == 5
    assert measure_reliability(gains[1:]).pairs == 4


def test_intervals_over_targets_are_those_of_their_means():
    rng = np.random.default_rng(0)
    pairs = [
        TransferPair(f"s{k}", f"t{t}", distance, -distance + noise)
        for t in range(12)
        for k, (distance, noise) in enumerate(zip(rng.normal(size=9), rng.normal(size=9), strict=True))
    ]
    targets = agree_by_target(pairs)
    found = agree_over_targets(targets, Reliability(3, 100, 0.4, 0.64))
    values = np.array([one.correlation.spearman for one in targets])
    assert found.targets == 12
    assert found.spearman == pytest.approx(values.mean())
    assert found.corrected == pytest.approx(values.mean() / 0.8)
    error = 1.96 * values.std() / np.sqrt(12)
    assert (found.low, found.high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.06)
    assert found.regret == pytest.approx(np.mean([one.regret for one in targets]))
    assert found.regret_low < found.regret < found.regret_high
    assert agree_over_targets(targets, None).corrected is None
    assert agree_over_targets(targets[:1], None) is None
