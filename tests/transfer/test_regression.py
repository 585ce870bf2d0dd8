"""The line of gain on distance against textbook formulas, its influence and its predictions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from medsegdist.transfer.regression import (
    fit_fixed_effects,
    fit_line,
    leave_one_source_out,
    measure_influence,
    predict_gain,
)
from tests.transfer.making_pairs import crossed_pairs, pairs_of, random_pairs


def columns(pairs):
    return np.array([one.distance for one in pairs]), np.array([one.gain for one in pairs])


def test_the_line_is_scipys():
    pairs = random_pairs()
    fit, expected = fit_line(pairs), stats.linregress(*columns(pairs))
    assert fit.slope == pytest.approx(expected.slope, rel=1e-12)
    assert fit.intercept == pytest.approx(expected.intercept, rel=1e-12)
    assert fit.r_squared == pytest.approx(expected.rvalue**2, rel=1e-12)
    assert fit.p_slope == pytest.approx(expected.pvalue, rel=1e-9)
    quantile = stats.t.ppf(0.975, 10)
    assert fit.slope_low == pytest.approx(expected.slope - quantile * expected.stderr, rel=1e-10)
    assert fit.slope_high == pytest.approx(expected.slope + quantile * expected.stderr, rel=1e-10)
    t = expected.intercept / expected.intercept_stderr
    assert fit.p_intercept == pytest.approx(2 * stats.t.sf(abs(t), 10), rel=1e-9)
    assert fit.intercept_high == pytest.approx(expected.intercept + quantile * expected.intercept_stderr, rel=1e-10)


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-25, 1e25), shift=st.floats(-1e3, 1e3), seed=st.integers(0, 50))
def test_units_of_the_distance_change_the_slope_and_no_p_value(scale, shift, seed):
    pairs = random_pairs(8, seed=seed)
    distance, gain = columns(pairs)
    plain, moved = fit_line(pairs), fit_line(pairs_of(scale * distance, gain + shift))
    assert moved.slope * scale == pytest.approx(plain.slope, rel=1e-6)
    assert moved.p_slope == pytest.approx(plain.p_slope, rel=1e-5)
    assert moved.r_squared == pytest.approx(plain.r_squared, rel=1e-6)


@pytest.mark.parametrize("pairs", [pairs_of([1, 2], [1, 2]), pairs_of([1, 1, 1], [1, 2, 3])])
def test_what_is_no_line_is_refused(pairs):
    with pytest.raises(ValueError, match=r"expected at least 3 pairs with distances that differ, found [23] with"):
        fit_line(pairs)


def test_fixed_effects_are_the_line_through_what_is_centered_by_target():
    """Frisch, Waugh and Lovell: the slope of the residuals; the degrees of freedom are fewer by the targets."""
    pairs = crossed_pairs(sources=6, targets=3)
    distance, gain = columns(pairs)
    for j in range(3):
        distance[6 * j : 6 * j + 6] -= distance[6 * j : 6 * j + 6].mean()
        gain[6 * j : 6 * j + 6] -= gain[6 * j : 6 * j + 6].mean()
    slope = distance @ gain / (distance @ distance)
    residual = gain - slope * distance
    error = np.sqrt(residual @ residual / (18 - 3 - 1) / (distance @ distance))
    fit = fit_fixed_effects(pairs)
    assert fit.targets == 3
    assert fit.slope == pytest.approx(slope, rel=1e-10)
    assert fit.p_slope == pytest.approx(2 * stats.t.sf(abs(slope / error), 14), rel=1e-8)
    assert fit.r_squared_within == pytest.approx(1 - residual @ residual / (gain @ gain), rel=1e-10)
    assert fit.slope_low == pytest.approx(slope - stats.t.ppf(0.975, 14) * error, rel=1e-10)


@pytest.mark.parametrize(
    "pairs",
    [
        random_pairs(),
        pairs_of([1, 2, 3], [1, 2, 4], targets=["a", "b", "c"]),
        pairs_of([1, 2, 3], [1, 2, 4], targets=["a", "a", "b"]),
        pairs_of([1, 1, 2, 2], [1, 2, 3, 4], targets=["a", "a", "b", "b"]),
    ],
    ids=["one target", "a target each", "no degree of freedom", "constant within targets"],
)
def test_fixed_effects_that_tell_nothing_are_none(pairs):
    assert fit_fixed_effects(pairs) is None


def test_the_prediction_interval_is_the_textbooks():
    pairs = random_pairs(9, seed=1)
    distance, gain = columns(pairs)
    found = predict_gain(pairs, 4.2, source="new", target="t")
    slope, intercept = np.polyfit(distance, gain, 1)
    sigma = np.sqrt(((gain - intercept - slope * distance) ** 2).sum() / 7)
    part = 1 / 9 + (4.2 - distance.mean()) ** 2 / ((distance - distance.mean()) ** 2).sum()
    half, of_mean = (stats.t.ppf(0.975, 7) * sigma * np.sqrt(value) for value in (1 + part, part))
    center = intercept + slope * 4.2
    assert (found.gain, found.low, found.high) == pytest.approx((center, center - half, center + half), rel=1e-9)
    assert (found.mean_low, found.mean_high) == pytest.approx((center - of_mean, center + of_mean), rel=1e-9)
    assert (found.source, found.target) == ("new", "t")


def test_beyond_the_seen_distances_is_flagged():
    pairs = pairs_of([1, 2, 5], [8, 6.1, 0])
    flags = {distance: predict_gain(pairs, distance).extrapolated for distance in (0.99, 1, 3, 5, 5.01)}
    assert flags == {0.99: True, 1: False, 3: False, 5: False, 5.01: True}
    found = predict_gain(pairs, 3)
    assert (found.seen_low, found.seen_high) == (1, 5)
    with pytest.raises(ValueError, match="expected a finite distance, found nan"):
        predict_gain(pairs, float("nan"))


def test_cooks_distance_is_how_far_the_line_moves_without_the_pair():
    pairs = random_pairs(8, seed=1)
    distance = np.array([one.distance for one in pairs])
    whole = fit_line(pairs)
    for k, one in enumerate(measure_influence(pairs)):
        left = fit_line(pairs[:k] + pairs[k + 1 :])
        moved = (whole.intercept - left.intercept) + (whole.slope - left.slope) * distance
        assert one.cooks_distance == pytest.approx(moved @ moved / (2 * whole.deviation**2), rel=1e-8)


@pytest.mark.parametrize(
    ("pairs", "high"),
    [
        (pairs_of([*range(1, 12), 60], [*np.sin(range(11)), 3]), ["source 11"]),  # far out
        (pairs_of(range(12), np.cos(range(12))), []),
        (pairs_of([1, 2, 3, 9], [1, 2.1, 2.9, -5]), ["source 3"]),  # by Cook's distance: its leverage is none of note
    ],
)
def test_what_pulls_at_the_line_is_flagged(pairs, high):
    assert [one.source for one in measure_influence(pairs) if one.high] == high


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
    few = leave_one_source_out(pairs_of([1, 2, 3], [3, 2, 2.5]))
    assert [(one.line, one.spearman) for one in few] == [(None, None)] * 3
    constant = leave_one_source_out(pairs_of([1, 1, 1, 1, 2], [3, 2, 1, 0.5, 0]))
    assert [one.line is None for one in constant] == [False, False, False, False, True]
    one_source = pairs_of([1, 2, 3], [3, 2, 1], targets=list("abc"), sources=["x"] * 3)
    assert leave_one_source_out(one_source) == ()
