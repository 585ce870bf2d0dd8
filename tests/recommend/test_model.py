"""What is learned, against scikit-learn, planted answers, and data that may not be seen."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from medsegdist.recommend.learned import chance_of_best
from medsegdist.recommend.model import PairRows, fit_each, fit_ridge
from medsegdist.recommend.pair_features import FEATURES, pair_features
from medsegdist.recommend.predictors import best_elsewhere, judge, learned_known, learned_strict, shuffled
from tests.recommend.planted import FAMILIES, characteristics, distances, library


def spearman(scores, found):
    return judge(scores, found.dice.mean(axis=1))["spearman"].mean()


def test_the_fit_is_scikit_learns_of_the_chosen_features_and_penalty():
    found = library(effect=0.1)
    fit = fit_ridge(PairRows(found.features, found.ranks, FAMILIES))
    x = found.features[list(fit.coefficients)] / pd.Series(fit.deviations)
    sources = found.features.index.get_level_values("source")
    own = pd.get_dummies(pd.Series(sources, index=x.index)).astype(float)
    own -= own.groupby(level="target").transform("mean")
    assert fit.effect_scale > 0
    both = np.hstack([x.to_numpy(), fit.effect_scale * own.to_numpy()])
    expected = Ridge(alpha=fit.penalty, fit_intercept=False).fit(both, found.ranks.to_numpy())
    used = len(fit.coefficients)
    assert list(fit.coefficients.values()) == pytest.approx(expected.coef_[:used])
    effects = [fit.effects[name] for name in own]
    assert effects == pytest.approx(fit.effect_scale * expected.coef_[used:])
    predicted = fit.predict(found.features)
    centered = predicted - predicted.groupby(level="target").transform("mean")
    assert centered.to_numpy() == pytest.approx(both @ expected.coef_)


def test_what_was_planted_is_found_with_its_sign():
    found = library(contrast=0.1)
    # With effects of their own, sources would not need their contrast.
    fit = fit_ridge(PairRows(found.features, found.ranks, FAMILIES), known_sources=False)
    weights = fit.coefficients
    assert set(sorted(weights, key=lambda name: -abs(weights[name]))[:2]) == {"term boundary", "own contrast"}
    assert weights["term boundary"] < 0 < weights["own contrast"]
    assert fit.effects == {}
    assert spearman(learned_known(found), found) > 0.9
    assert spearman(learned_strict(found), found) > 0.8


def test_effects_of_sources_help_where_they_are_known_only():
    found = library(near=0.0, contrast=0.0, effect=0.1)
    # Half of a family's own effect cannot be known: its members are unseen with the target.
    assert spearman(learned_known(found), found) > 0.6
    assert spearman(best_elsewhere(found), found) > 0.9
    assert abs(spearman(learned_strict(found), found)) < 0.6


def test_nothing_is_learned_from_shuffled_dice():
    scores = [spearman(learned_known(shuffled(library(), seed)), library()) for seed in range(8)]
    assert abs(np.mean(scores)) < 0.25
    for one in (library(), shuffled(library(), 1)):
        assert sorted(one.dice[0]) == sorted(library().dice[0])


def test_several_orders_are_learned_as_each_by_itself_and_reversed_ranks_teach_the_reversed():
    found = library(effect=0.05)
    ranks = pd.DataFrame({"as they are": found.ranks, "reversed": -found.ranks, "shuffled": shuffled(found, 3).ranks})
    fits = fit_each(PairRows(found.features, ranks, FAMILIES), unseen=["d2"])
    for fit, name in zip(fits, ranks, strict=True):
        alone = fit_ridge(PairRows(found.features, ranks[name], FAMILIES), unseen=["d2"])
        assert (fit.penalty, fit.effect_scale) == (alone.penalty, alone.effect_scale)
        assert fit.coefficients == pytest.approx(alone.coefficients, abs=1e-12)
        assert fit.effects == pytest.approx(alone.effects, abs=1e-12)
    reversed_ = {name: -value for name, value in fits[0].coefficients.items()}
    assert fits[1].coefficients == pytest.approx(reversed_, abs=1e-12)
    assert fits[2].coefficients != pytest.approx(fits[0].coefficients, abs=1e-3)


def test_a_family_that_is_unseen_changes_nothing_in_any_role():
    found = library(effect=0.05)
    targets, sources = (FAMILIES[found.features.index.get_level_values(key)].to_numpy() for key in ("target", "source"))
    rows = (targets == "d2") | (sources == "d2")
    ranks = found.ranks.where(~rows, np.random.default_rng(9).uniform(-1, 1, len(rows)))
    both = [PairRows(found.features, some, FAMILIES) for some in (found.ranks, ranks)]
    before, after = (fit_ridge(some, unseen=["d2"]) for some in both)
    assert before.coefficients == pytest.approx(after.coefficients, abs=1e-9)
    assert before.effects == pytest.approx(after.effects, abs=1e-9)
    before, after = (fit_ridge(some) for some in both)
    assert before.effects != pytest.approx(after.effects, abs=1e-3)


@pytest.mark.parametrize("by_family", [True, False])
def test_strict_predictions_do_not_depend_on_their_own_pairs(by_family):
    found = library()
    groups = FAMILIES if by_family else pd.Series(FAMILIES.index, index=FAMILIES.index)
    targets, sources = (groups[found.features.index.get_level_values(key)].to_numpy() for key in ("target", "source"))
    chosen = groups["d4"]
    # Whatever its targets' Dice is, and whatever rank it has as a source.
    rows = (targets == chosen) | (sources == chosen)
    ranks = found.ranks.where(~rows, np.random.default_rng(3).uniform(-1, 1, len(rows)))
    changed = type("Changed", (), {"features": found.features, "families": FAMILIES, "ranks": ranks})()
    before, after = learned_strict(found, by_family=by_family), learned_strict(changed, by_family=by_family)
    assert before[rows].to_numpy() == pytest.approx(after[rows].to_numpy(), abs=1e-9)
    assert (before[~rows] - after[~rows]).abs().max() > 0.01


def test_features_have_no_unit_and_no_common_part():
    means, far = characteristics(), distances()
    found = pair_features(far, means)
    assert list(found) == list(FEATURES)
    assert found.groupby(level="target").mean().abs().to_numpy()[:, found.notna().any()].max() < 1e-9
    scaled = far.assign(image_term=7 * far["image_term"], mask_term=far["mask_term"] * 100)
    intensities = ["image_contrast", "segment_contrast", "segment_brightness", "texture_deviation", "fine_texture"]
    brighter = means.assign(**{name: 50 * means[name] for name in intensities})
    larger = brighter.assign(**{name: 4 * brighter[name] for name in ("segment_size", "segment_spread")})
    pd.testing.assert_frame_equal(pair_features(scaled, larger), found, atol=1e-9)


def test_a_term_of_zero_is_the_smallest_and_finite():
    far = distances()
    far.loc[(far["method"] == "gmm3d") & (far["source"] == "d1"), "mask_term"] = 0.0
    terms = pair_features(far, characteristics())["term gmm3d"].drop("d1", level="target")
    assert np.isfinite(terms).all()
    assert (terms.groupby(level="target").idxmin().map(lambda pair: pair[1]) == "d1").all()


def test_chances_are_those_of_drawing():
    predicted = np.array([0.4, 0.1, 0.0, -0.8])
    draws = predicted + 0.5 * np.random.default_rng(0).normal(size=(200_000, 4))
    expected = np.bincount(draws.argmax(axis=1), minlength=4) / len(draws)
    found = chance_of_best(predicted, 0.5)
    assert found == pytest.approx(expected, abs=0.005)
    assert found.sum() == pytest.approx(1)
    assert chance_of_best(predicted[::-1] + 3, 0.5) == pytest.approx(found[::-1])
    assert chance_of_best(10 * predicted, 5.0) == pytest.approx(found)
    assert chance_of_best(np.array([1.0]), 0.5) == pytest.approx([1])
    assert chance_of_best(np.array([0.0, 100.0]), 0.1) == pytest.approx([0, 1])
