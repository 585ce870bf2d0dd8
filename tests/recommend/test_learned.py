"""What was learned as a file, what it recommends, and the command that writes it."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from medsegdist.cli import app
from medsegdist.errors import DataError
from medsegdist.recommend.learned import KNOWN, NEW, LearnedRanking
from medsegdist.recommend.library import read_libraries, read_library
from medsegdist.recommend.predictors import distance_predictors, judge_predictors
from tests.recommend.planted import NAMES, library, write


@pytest.fixture(scope="module")
def planted():
    return library(effect=0.03)


@pytest.fixture(scope="module")
def learned(planted):
    judged, choices, errors = judge_predictors(planted)
    return LearnedRanking.learn(planted, judged | choices, errors)


def of_target(planted, target):
    return planted.features.loc[[target]]


def test_a_file_gives_the_same_order(planted, learned, tmp_path):
    learned.save(tmp_path / "ranking.json")
    loaded = LearnedRanking.load(tmp_path / "ranking.json")
    features, entries = of_target(planted, "d3"), {name: name for name in NAMES}
    assert list(loaded.order(features, entries)) == list(learned.order(features, entries))
    assert loaded == learned


def test_the_order_is_that_of_the_chances(planted, learned):
    found = list(learned.order(of_target(planted, "d3"), {name: name for name in NAMES}))
    assert {one.source for one in found} == set(NAMES) - {"d3"}
    assert {(one.target, one.rule) for one in found} == {("d3", KNOWN)}
    chances = [one.chance for one in found]
    assert sum(chances) == pytest.approx(1)
    assert chances == sorted(chances, reverse=True)
    dice = planted.dice.mean(axis=1)["d3"]
    assert found[0].source in dice.nlargest(2).index


def test_sources_share_a_rank_where_errors_are_as_large_as_their_difference(planted, learned):
    sharp = learned.known.model_copy(update={"error": 1e-9})
    features = of_target(planted, "d3")
    found = list(learned.model_copy(update={"known": sharp}).order(features, {name: name for name in NAMES}))
    assert [one.rank for one in found] == list(range(1, len(NAMES)))
    blunt = learned.known.model_copy(update={"error": 1e9})
    found = list(learned.model_copy(update={"known": blunt}).order(features, {name: name for name in NAMES}))
    assert {(one.rank, one.tied) for one in found} == {(1, True)}


def test_sources_that_nobody_measured_are_ranked_without_effects(planted, learned):
    features = of_target(planted, "d3")
    new = list(learned.order(features, {}))
    predicted = learned.new.predict(features, {})
    assert [one.source for one in new] == list(predicted.droplevel("target").sort_values(ascending=False).index)
    assert {one.rule for one in new} == {NEW}
    # One that is known changes the rule for all.
    assert {one.rule for one in learned.order(features, {"d1": "d1"})} == {KNOWN}


def test_an_entry_has_the_same_characteristics_or_is_named(planted, learned):
    like_d1 = planted.characteristics.loc["d1"] * 1.001
    assert learned.entry_of(like_d1) == "d1"
    assert learned.entry_of(planted.characteristics.loc["d1"] * 1.1) == ""
    learned.check_named({"mine": "d5", "another": ""})
    with pytest.raises(DataError, match=r"dataset 'mine': library: expected an entry .*, d1, .*, found 'liver'"):
        learned.check_named({"mine": "liver"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "expected what `medsegdist learn` writes there, found in steps: Field required"),
        ("no json", "found: Invalid JSON"),
        ('{"format": "other"}', "found in format"),
    ],
)
def test_another_file_is_refused(text, message, tmp_path):
    (tmp_path / "ranking.json").write_text(text)
    with pytest.raises(DataError, match=message):
        LearnedRanking.load(tmp_path / "ranking.json")


def test_a_folder_is_read_as_it_was_written(planted, tmp_path):
    write(tmp_path, planted)
    found = read_library(tmp_path)
    assert found.step == 100
    order = planted.dice.index
    assert np.allclose(found.dice.loc[order], planted.dice)
    pd.testing.assert_frame_equal(found.features.loc[order], planted.features, check_like=True)
    assert found.families.to_dict() == planted.families.to_dict()
    assert (found.pooled == 0.5).all()
    assert np.allclose(read_library(tmp_path, step=50).dice.loc[order], 0.9 * planted.dice)


def test_a_target_that_nothing_learned_is_left_out_and_named(planted, tmp_path):
    dice = planted.dice.copy()
    dice.loc["d4"] = 0.15
    write(tmp_path, library())
    curves = pd.read_csv(tmp_path / "learning_curves.csv")
    curves.loc[curves["target"] == "d4", "dice"] = 0.15
    curves.to_csv(tmp_path / "learning_curves.csv", index=False)
    found = read_library(tmp_path)
    assert found.unlearned == ("d4",)
    assert "d4" not in found.targets


def test_two_folders_make_one_library(planted, tmp_path):
    write(tmp_path / "whole", planted)
    curves = pd.read_csv(tmp_path / "whole" / "learning_curves.csv")
    for name, chosen in (("one", curves["target"].isin(NAMES[:5])), ("other", ~curves["target"].isin(NAMES[:5]))):
        write(tmp_path / name, planted)
        curves[chosen].to_csv(tmp_path / name / "learning_curves.csv", index=False)
    both = read_libraries([tmp_path / "one", tmp_path / "other"])
    pd.testing.assert_series_equal(both.ranks.sort_index(), read_library(tmp_path / "whole").ranks.sort_index())
    with pytest.raises(DataError, match="found 'd1' for 'd0' in two folders"):
        read_libraries([tmp_path / "whole", tmp_path / "one"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "learning_curves.csv").unlink(), "learning_curves.csv"),
        (lambda folder: (folder / "characteristics.csv").unlink(), "characteristics.csv"),
        (
            lambda folder: (folder / "learning_curves.csv").write_text(
                "source,target,seed,step,dice,dice_baseline\nd1,d0,0,100,0.5,0.4\n"
            ),
            "expected distances and Dice of at least 2 targets with 3 sources each, found those of 0",
        ),
    ],
)
def test_a_folder_that_says_too_little_is_refused(change, message, planted, tmp_path):
    write(tmp_path, planted)
    change(tmp_path)
    with pytest.raises(DataError, match=message):
        read_library(tmp_path)


def test_the_command_compares_predictors_and_writes_what_it_learned(planted, tmp_path):
    write(tmp_path / "library", planted)
    arguments = ["learn", str(tmp_path / "library"), "-o", str(tmp_path / "ranking.json"), "--step", "100"]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "Reliability of the order of sources over 3 repetitions" in shown.output
    assert "learned, known sources" in shown.output
    assert LearnedRanking.load(tmp_path / "ranking.json").steps == 100
    as_json = CliRunner().invoke(app, ["learn", str(tmp_path / "library"), "--json"])
    found = json.loads(as_json.stdout)
    assert found["targets"] == NAMES
    assert found["predictors"]["boundary, term alone"]["spearman"] > 0.5


def test_scores_of_networks_are_predictors_too(planted, tmp_path):
    write(tmp_path, planted)
    dice = planted.dice.mean(axis=1)
    rows = [(source, target, "logme", -value) for (target, source), value in dice.items() if source != "d1"]
    pd.DataFrame(rows, columns=["source", "target", "method", "distance"]).to_csv(tmp_path / "scores.csv", index=False)
    scores = distance_predictors(read_library(tmp_path))["logme"]
    known = scores.drop("d1", level="source")
    assert known.to_numpy() == pytest.approx(dice.loc[known.index].to_numpy())
    # A network that has no score is as good as the others.
    for target, score in scores.xs("d1", level="source").items():
        assert score == pytest.approx(known[target].mean())


def test_a_dataset_that_lacks_a_characteristic_is_named(planted, tmp_path):
    write(tmp_path, planted)
    table = pd.read_csv(tmp_path / "characteristics.csv")
    lacking = (table["dataset"] == "d3") & (table["characteristic"] == "edge_sharpness")
    table[~lacking].to_csv(tmp_path / "characteristics.csv", index=False)
    with pytest.raises(DataError, match="expected the characteristics edge_sharpness of 'd3'"):
        read_library(tmp_path)
