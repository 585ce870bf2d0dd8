"""`scores.csv` of a transfer study."""

from __future__ import annotations

import json
import math

import pytest

from medsegdist.files import write_csv
from medsegdist.transfer.gains import read_distances
from medsegdist.transfer.scores.compute import OF_NETWORKS, score_sources
from tests.transfer.studies import study

ALL = (*OF_NETWORKS, "task2vec", "deep_sets")


@pytest.fixture(scope="module")
def scored(finished):
    folder, _ = finished
    return score_sources(study(folder), ALL)


def test_every_pair_gets_its_scores_and_those_of_which_more_is_better_are_negated(scored, finished, tmp_path):
    assert len(scored) == 4 * len(ALL)
    assert set(scored["method"]) == set(ALL)
    more_is_better = scored["method"].isin(OF_NETWORKS)
    assert (scored["score"] == -scored["distance"])[more_is_better].all()
    assert scored["score"][~more_is_better].isna().all()
    write_csv(tmp_path / "scores.csv", scored, float_format="%.10g")
    assert len(read_distances(tmp_path / "scores.csv")) == len(scored)


def test_scores_are_within_their_bounds(scored):
    by_method = scored.set_index("method")["score"]
    # Minus the entropy of two classes, and two classes that are alike.
    assert by_method["nce"].between(-math.log(2), 0).all()
    assert by_method["gbc"].between(-2, 0).all()
    # What all sources of a target are worth together is a Dice score.
    assert scored[scored["method"] == "data_shapley"].groupby("target")["score"].sum().between(0, 1).all()
    assert scored["distance"][scored["score"].isna()].between(0, 2).all()


def test_scores_are_the_same_again_and_on_their_own(scored, finished):
    alone = score_sources(study(finished[0]), ["nce"])
    assert alone["distance"].tolist() == scored["distance"][scored["method"] == "nce"].tolist()


def test_a_source_that_did_not_converge_has_no_score_of_its_network(finished, tmp_path):
    prepared = study(finished[0])
    run = next(one for one in prepared.runs if (one.kind, one.source, one.seed) == ("pretraining", "other", 0))
    for seed_of in prepared.runs:
        if (seed_of.kind, seed_of.source) == ("pretraining", run.source):
            prepared.log._entries[seed_of.key] = {**prepared.log.outcome(seed_of.key), "status": "not_converged"}
    table = score_sources(prepared, ["nce", "deep_sets"])
    assert set(table["source"][table["method"] == "nce"]) == {"near", "far"}
    assert set(table["source"][table["method"] == "deep_sets"]) == {"near", "far", "other"}
    assert json.loads((finished[0] / "runs.jsonl").read_text().splitlines()[0])["status"] == "done"
