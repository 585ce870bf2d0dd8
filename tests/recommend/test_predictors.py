"""Measures of predictors, of which the right value is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from medsegdist.distance.order import CONSENSUS, recommend
from medsegdist.recommend.predictors import (
    compare_predictors,
    distance_predictors,
    judge,
    judge_choice,
    judge_predictors,
    order_reliability,
)
from tests.recommend.planted import library


def dice_of(**targets):
    return pd.concat({target: pd.Series(values) for target, values in targets.items()}, names=["target", "source"])


DICE = dice_of(a={"x": 0.80, "y": 0.795, "z": 0.60}, b={"x": 0.50, "z": 0.70})


OTHER = DICE.where(DICE.index.get_level_values("source") != "y", 0.9)
"""As the truth, but for a first choice of target "a" that is half a point behind."""


@pytest.mark.parametrize(
    ("judged", "spearman", "regret", "within_1"),
    [
        (judge(DICE, DICE), [1, 1], [0, 0], [1, 1]),
        (judge(-DICE, DICE), [-1, -1], [20, 20], [0, 0]),
        (judge(OTHER, DICE), [0.5, 1], [0.5, 0], [1, 1]),
        # At random: the mean of all.
        (judge(0 * DICE, DICE), [0, 0], [100 * (0.80 - np.mean([0.8, 0.795, 0.6])), 10], [2 / 3, 1 / 2]),
        # Choices that are no sources.
        (judge_choice(pd.Series({"a": 0.795, "b": 0.71}), DICE), [np.nan, np.nan], [0.5, -1], [1, 1]),
    ],
)
def test_predictors_are_judged_by_order_and_first_choice(judged, spearman, regret, within_1):
    for name, expected in (("spearman", spearman), ("regret", regret), ("within_1", within_1)):
        assert judged[name].tolist() == pytest.approx(expected, nan_ok=True)


def test_reliability_is_the_correlation_with_another_set_of_repetitions():
    promised, measured = [], []
    for seed in range(6):
        whole = library(near=0.05, contrast=0.0, noise=0.03, repetitions=8, seed=seed)
        parts = [whole.dice.iloc[:, :4], whole.dice.iloc[:, 4:]]
        means = pd.concat([one.mean(axis=1) for one in parts], axis=1)
        measured += [spearmanr(some[0], some[1]).statistic for _, some in means.groupby(level="target")]
        promised += [order_reliability(replace(whole, dice=one)) for one in parts]
    assert np.mean([one.mean for one in promised]) == pytest.approx(np.mean(measured), abs=0.06)
    assert promised[0].repetitions == 4
    assert promised[0].ceiling == pytest.approx(np.sqrt(promised[0].mean))
    assert order_reliability(library(repetitions=1)) is None


def test_all_predictors_are_compared_and_the_planted_one_is_good():
    found = library()
    judged, choices, _ = judge_predictors(found)
    table = compare_predictors(judged, choices)
    assert {"euclidean", "consensus", "learned, known sources", "all sources together"} <= set(table.index)
    assert table.loc["boundary, term alone", "spearman"] > 0.7
    assert table.loc["learned, known sources", "spearman"] > table.loc["boundary, term alone", "spearman"]
    assert table.loc["learned, known sources", "regret"] < table.loc["a source at random", "regret"]
    assert table.loc["no pre-training", "regret"] == pytest.approx(table.loc["all sources together", "regret"] + 10)


def test_the_consensus_is_the_score_that_recommends():
    scores = distance_predictors(library())
    for target, consensus in scores["consensus"].groupby(level="target"):
        distances = {name: (-scores[name][target]).to_dict() for name in CONSENSUS}
        expected = {one.source: -one.score for one in recommend(target, distances)}
        assert consensus.droplevel("target").to_dict() == pytest.approx(expected)
