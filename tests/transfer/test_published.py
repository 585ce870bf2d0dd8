"""The paper's numbers, against its own text, and against what they say of one another."""

from collections import Counter

from medsegdist.distance.metrics import PAPER_METHODS
from medsegdist.transfer.gains import relative_gain
from medsegdist.transfer.published import (
    BASELINE_DICE,
    PUBLISHED_FITS,
    published_distances,
    published_gains,
)
from tests.transfer.paper_text import TABLE_10, TABLE_11, TABLE_12, TABLE_13, cells, distances

TABLE_OF = dict(zip(PAPER_METHODS, range(5, 10), strict=True))


def test_tables_5_to_9_are_those_of_the_text():
    found = {(TABLE_OF[one.method], one.source, one.target): one.distance for one in published_distances()}
    assert len(published_distances()) == 85
    assert found == distances()


def test_table_10_is_that_of_the_text():
    assert {target: float(dice) for target, dice in cells(TABLE_10)} == BASELINE_DICE


def test_table_11_is_that_of_the_text():
    text = {(source, target): (float(dice), float(gain)) for source, target, dice, gain in cells(TABLE_11)}
    dice = {(one.source, one.target): one.dice for one in published_gains()}
    assert {
        (one.source, one.target): (dice[one.source, one.target], one.gain_percent) for one in published_gains()
    } == text


def test_tables_12_and_13_are_those_of_the_text():
    assert tuple(PUBLISHED_FITS) == PAPER_METHODS
    for fit, (_, const, slope) in zip(PUBLISHED_FITS.values(), cells(TABLE_12), strict=True):
        assert (fit.p_const, fit.p_slope) == (float(const), float(slope))
    for fit, (_, slope, interval, r_squared, p_value) in zip(PUBLISHED_FITS.values(), cells(TABLE_13), strict=True):
        low, high = map(float, interval.strip("[]").split(","))
        assert (fit.slope, fit.slope_low, fit.slope_high) == (float(slope), low, high)
        assert (fit.r_squared, fit.p_slope) == (float(r_squared), float(p_value))


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


def test_dice_scores_say_no_more_than_gains():
    """Every Dice score is the baseline raised by a gain of one digit, to the last digit that is printed."""
    dice = {(one.source, one.target): one.dice for one in published_gains()}
    for one in published_gains():
        raised = BASELINE_DICE[one.target] * (1 + one.gain_percent / 100)
        assert dice[one.source, one.target] == round(raised, 4)


def test_what_the_paper_says_of_its_sources():
    gains = {(one.source, one.target): one.gain_percent for one in published_gains()}
    negative = {source for (source, _), gain in gains.items() if gain < 0}
    assert negative == {"Decathlon Liver", "Decathlon Spleen", "Decathlon Prostate"}
    # Sec. 6.5: GMM 3D predicts that LIDC 3 transfers to tuberculomas better than LIDC 1.
    gmm3d = {
        one.source: one.distance for one in published_distances() if one.method == "gmm3d" and one.target[0] == "T"
    }
    assert gmm3d["LIDC 3"] < gmm3d["LIDC 1"]
    assert gains["LIDC 3", "Tuberculoma dataset"] > gains["LIDC 1", "Tuberculoma dataset"]
