"""`medsegdist summarize` and `medsegdist rank-cards`."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml

from medsegdist.distance.distance_table import COLUMNS
from tests.test_cli import run, write_dataset

LIKE = {"preprocessing": {"grid": [24, 20], "min_pixels": 8}, "distance": {"components": 3}}


@pytest.fixture
def datasets(tmp_path):
    """Datasets described by a file each; 'near' lies where 'target' does, and 'far' elsewhere."""
    for seed, (name, center) in enumerate({"target": (8, 8), "near": (9, 8), "far": (16, 13)}.items()):
        write_dataset(tmp_path / name, center, seed=seed)
        layout = {"kind": "folder", "root": name, "images": "images/*.nii.gz", "masks": "masks/*.nii.gz"}
        content = {"name": name, "modality": "CT", "layout": layout}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "like.yaml").write_text(yaml.safe_dump(LIKE))
    return tmp_path


def summarize(folder, name, *arguments, **options):
    card = folder / "cards" / f"{name}.json"
    like = () if "--like" in arguments else ("--like", folder / "like.yaml")
    return run("summarize", folder / f"{name}.yaml", *like, "-o", card, "--min-patients", 3, *arguments, **options)


@pytest.fixture
def cards(datasets):
    for name in ("target", "near", "far"):
        summarize(datasets, name)
    return [datasets / "cards" / f"{name}.json" for name in ("target", "near", "far")]


def test_cards_rank_as_the_datasets_do_and_say_that_they_are_cards(cards, datasets):
    study = {"name": "whole", **LIKE, "datasets": ["target.yaml", "near.yaml", "far.yaml"], "targets": ["target"]}
    (datasets / "study.yaml").write_text(yaml.safe_dump(study))
    methods = ("--method", "gmm2d", "--method", "gmm3d")
    shown = run("rank-cards", *cards, *methods, "--out", datasets / "ours").stdout
    run("rank", datasets / "study.yaml", *methods, "--out", datasets / "theirs")
    assert "For target the nearest source is near, by every method (2 of 2)." in shown
    assert "Approximate form, from cards: mask terms of gmm2d and gmm3d are those of the datasets" in shown
    ours, theirs = (pd.read_csv(datasets / side / "distances.csv") for side in ("ours", "theirs"))
    assert tuple(ours.columns) == COLUMNS
    keys = ["source", "target", "method"]
    ours, theirs = (table.sort_values(keys).reset_index() for table in (ours, theirs))
    pd.testing.assert_frame_equal(ours[[*keys, "mask_term"]], theirs[[*keys, "mask_term"]], rtol=1e-12)
    assert ours[["low", "high", "noise_floor", "optimality_gap"]].isna().all(axis=None)


def test_json_is_all_of_standard_output(cards, datasets):
    out = datasets / "out"
    content = json.loads(run("rank-cards", *cards, "--json", "--image-weight", 0, "--out", out).stdout)
    assert content["approximate"].startswith("Approximate form")
    assert content["targets"]["target"]["mean_ranks"] == {"near": 1.0, "far": 2.0}
    assert {(row["image_term"], row["optimality_gap"]) for row in content["distances"]} == {(0.0, None)}
    told = json.loads(summarize(datasets, "near", "--json").stdout)
    assert told["bytes"] == (datasets / "cards" / "near.json").stat().st_size
    assert set(told["methods"]) <= {"gmm2d", "gmm3d", "fake_class_gmm"}


def test_a_study_may_lend_its_preprocessing_though_none_of_its_datasets_is_here(cards, datasets):
    theirs = {"name": "theirs", **LIKE, "datasets": ["a/secret.yaml", "b/secret.yaml"], "targets": ["a"]}
    (datasets / "theirs.yaml").write_text(yaml.safe_dump(theirs))
    before = cards[1].read_bytes()
    summarize(datasets, "near", "--like", datasets / "theirs.yaml")
    assert cards[1].read_bytes() == before


def test_few_patients_are_refused_unless_asked(datasets):
    arguments = (datasets / "near.yaml", "--like", datasets / "like.yaml", "-o", datasets / "card.json")
    result = run("summarize", *arguments, status=2)
    assert "dataset 'near': expected at least 10 patients to make a card of, found 3" in result.stderr
    assert not (datasets / "card.json").exists()


def test_a_fake_class_of_few_patients_is_left_out_and_said_to_be(datasets):
    shown = summarize(datasets, "near").stdout
    card = json.loads((datasets / "cards" / "near.json").read_text())
    left_out = "fake_class_gmm is left out: a fake class has fewer than 3 patients."
    assert (left_out in shown) == (card["fake_classes"] is None)
    assert card["fake_classes"] is None


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("preprocessing", "were prepared differently (fingerprints"),
        ("distance", "were fitted with different options (components 5 and 3)"),
    ],
)
def test_cards_of_another_preprocessing_or_fit_are_refused(cards, datasets, key, message):
    other = {"preprocessing": {"grid": [24, 20], "min_pixels": 9}, "distance": {"components": 5}}[key]
    (datasets / "other.yaml").write_text(yaml.safe_dump({**LIKE, key: other}))
    summarize(datasets, "far", "--like", datasets / "other.yaml")
    result = run("rank-cards", *cards, "--out", datasets / "out", status=2)
    assert f"the cards 'far' and 'target' {message}" in result.stderr
    assert not (datasets / "out").exists()


def test_a_broken_card_and_an_unknown_method_are_errors_in_words(cards, datasets):
    assert "found 'euclidean'" in run("rank-cards", *cards, "--method", "euclidean", status=2).stderr
    cards[1].write_text("{}")
    result = run("rank-cards", *cards, "--out", datasets / "out", status=2)
    assert "near.json: format: this key is missing; it is required." in result.stderr
    assert "No such file" in run("rank-cards", cards[0], datasets / "none.json", status=2).stderr
