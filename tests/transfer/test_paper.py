"""The paper's numbers against its own text, and Tables 12 and 13 recomputed."""

from __future__ import annotations

from collections import Counter

import pytest

from medsegdist.distance.metrics import PAPER_METHODS
from medsegdist.transfer.gains import relative_gain
from medsegdist.transfer.paper import published_distances, published_gains, recompute_paper

BASELINE_DICE = {"Decathlon Lung": 0.6506, "Tuberculoma dataset": 0.8164}
"""Table 10: test Dice score of each target without pre-training."""


def test_every_method_has_the_same_seventeen_pairs_and_those_of_the_gains():
    pairs = {(one.source, one.target) for one in published_gains()}
    assert len(pairs) == 17
    assert Counter(target for _, target in pairs) == {"Decathlon Lung": 8, "Tuberculoma dataset": 9}
    for method in PAPER_METHODS:
        assert {(one.source, one.target) for one in published_distances() if one.method == method} == pairs


def test_gains_are_those_of_the_dice_scores():
    """Eq. 20 with Table 10, to the digit that Table 11 prints."""
    dice = {(one.source, one.target): one.dice for one in published_gains()}
    for one in published_gains():
        gain = relative_gain(dice[one.source, one.target], BASELINE_DICE[one.target])
        assert round(gain, 1) == one.gain_percent


@pytest.fixture(scope="module")
def comparisons():
    return recompute_paper()


def test_table_13_does_not_agree_with_itself(comparisons):
    """A line's R^2 follows from its slope, its interval and the number of pairs; the recomputed ones show it."""
    for one in comparisons:
        line = one.recomputed.line
        error = (line.slope_high - line.slope_low) / 2 / 2.13145  # t of 15 degrees of freedom
        t = line.slope / error
        assert t**2 / (t**2 + 15) == pytest.approx(line.r_squared, abs=1e-5)
        assert one.implied_r_squared < one.published.r_squared - 0.05


def test_two_methods_rest_on_prostate(comparisons):
    without = {one.method: {left.source: left for left in one.recomputed.without_source} for one in comparisons}
    fits = {method: of["Decathlon Prostate"].line for method, of in without.items()}
    assert {method: fit.n for method, fit in fits.items()} == dict.fromkeys(fits, 15)
    # Numbers of an analysis made apart from this code.
    assert round(fits["euclidean"].p_slope, 3) == 0.138
    assert f"{fits['gmm2d'].p_slope:.2g}" == "1.7e-06"
    assert f"{fits['gmm3d'].p_slope:.2g}" == "2.1e-05"
    assert round(fits["fake_classes"].p_slope, 4) == 0.0043
    assert round(fits["fake_class_gmm"].p_slope, 3) == 0.121
    said = {one.method: " ".join(one.recomputed.warnings) for one in comparisons}
    warned = [method for method, text in said.items() if "Without Decathlon Prostate p of the slope is" in text]
    assert warned == ["euclidean", "fake_class_gmm"]


def test_the_nearest_source_and_the_place_of_its_gain(comparisons):
    places = {one.method: [target.picked_rank for target in one.recomputed.targets] for one in comparisons}
    assert places == {
        "euclidean": [1, 1],
        "gmm2d": [2, 4],
        "gmm3d": [1, 1],
        "fake_classes": [3, 1],
        "fake_class_gmm": [1, 1],
    }
