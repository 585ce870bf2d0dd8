"""Leverage, Cook's distance and results without a source, against deletion and closed forms."""

import numpy as np
import pytest

from medsegdist.transfer.influence import leave_one_source_out, measure_influence
from medsegdist.transfer.regression import fit_line
from tests.transfer.making_pairs import crossed_pairs, pairs_of, random_pairs


def test_leverage_is_the_closed_form():
    pairs = random_pairs()
    distance = np.array([one.distance for one in pairs])
    expected = 1 / 12 + (distance - distance.mean()) ** 2 / ((distance - distance.mean()) ** 2).sum()
    assert [one.leverage for one in measure_influence(pairs)] == pytest.approx(expected.tolist())


def test_cooks_distance_is_how_far_the_line_moves_without_the_pair():
    pairs = random_pairs(8, seed=1)
    distance = np.array([one.distance for one in pairs])
    whole = fit_line(pairs)
    for k, one in enumerate(measure_influence(pairs)):
        left = fit_line(pairs[:k] + pairs[k + 1 :])
        moved = (whole.intercept - left.intercept) + (whole.slope - left.slope) * distance
        assert one.cooks_distance == pytest.approx(moved @ moved / (2 * whole.deviation**2), rel=1e-8)


def test_a_source_far_out_is_flagged_and_the_others_are_not():
    pairs = pairs_of([*range(1, 12), 60], [*np.sin(range(11)), 3])
    assert [one.source for one in measure_influence(pairs) if one.high] == ["source 11"]
    assert not any(one.high for one in measure_influence(pairs_of(range(12), np.cos(range(12)))))


def test_an_outlier_between_the_others_is_flagged_by_cook_in_a_small_set():
    found = measure_influence(pairs_of([1, 2, 3, 9], [1, 2.1, 2.9, -5]))
    assert [one.source for one in found if one.high] == ["source 3"]
    assert found[3].leverage < 3 * 2 / 4
    assert found[3].cooks_distance > 1


def test_where_cooks_distance_is_undefined_it_is_none():
    assert [one.cooks_distance for one in measure_influence(pairs_of([1, 2, 3], [3, 2, 1]))] == [None] * 3
    alone = measure_influence(pairs_of([1, 1, 1, 5], [1, 2, 3, 0]))[3]
    assert alone.leverage == pytest.approx(1)
    assert alone.cooks_distance is None


def test_without_a_source_is_the_result_of_the_others():
    pairs = crossed_pairs()
    found = leave_one_source_out(pairs)
    assert [one.source for one in found] == ["s0", "s1", "s2", "s3", "s4"]
    left = [one for one in pairs if one.source != "s3"]
    assert found[3].line == fit_line(left)
    assert found[3].line.n == 8


def test_too_few_others_make_no_line():
    assert [one.line for one in leave_one_source_out(pairs_of([1, 2, 3], [3, 2, 2.5]))] == [None] * 3
    assert [one.spearman for one in leave_one_source_out(pairs_of([1, 2, 3], [3, 2, 2.5]))] == [None] * 3
    constant = leave_one_source_out(pairs_of([1, 1, 1, 2], [3, 2, 1, 0]))
    assert [one.line is None for one in constant] == [False, False, False, True]
    one_source = pairs_of([1, 2, 3], [3, 2, 1], targets=list("abc"), sources=["x"] * 3)
    assert leave_one_source_out(one_source) == ()
