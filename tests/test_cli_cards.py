"""`medsegdist cards make`, and `medsegdist cards rank` of the cards that it writes."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml

from medsegdist.cards.card import read_card
from medsegdist.cards.ranking import rank_cards
from medsegdist.report.record import StudyRecord
from tests.test_cli import run, write_dataset

NAMES = ("target", "near", "far")
LIKE = {
    "preprocessing": {"grid": [24, 20], "min_pixels": 8},
    "distance": {"components": 2, "classes": 1, "image_weight": 2},
}


def make(folder, name, *arguments, out=None, **options):
    like = () if "--like" in arguments else ("--like", folder / "like.yaml")
    out = out or folder / "cards"
    return run("cards", "make", folder / f"{name}.yaml", *like, "-o", out, "--min-patients", 3, *arguments, **options)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Datasets described by a file each, and a card of each; 'near' lies where 'target' does, and 'far' elsewhere."""
    folder = tmp_path_factory.mktemp("hospitals")
    (folder / "like.yaml").write_text(yaml.safe_dump({"name": "sent", **LIKE}))
    for seed, (name, center) in enumerate(zip(NAMES, ((8, 8), (9, 8), (16, 13)), strict=True)):
        write_dataset(folder / name, center, seed=seed)
        layout = {"kind": "folder", "root": name, "images": "images/*.nii.gz", "masks": "masks/*.nii.gz"}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, "modality": "CT", "layout": layout}))
        make(folder, name)
    return folder


@pytest.fixture
def rank(place, tmp_path):
    """Ranks cards ("near") and datasets ("near.yaml") of `place`, or files anywhere."""

    def ranked(*files, arguments=(), target="target", out="out", like=True, **options):
        paths = [
            one
            if not isinstance(one, str)
            else place / one
            if one.endswith(".yaml")
            else place / "cards" / f"{one}.json"
            for one in files or NAMES
        ]
        given = ("--like", place / "like.yaml") if like else ()
        return run("cards", "rank", *paths, "--target", target, *given, *arguments, "--out", tmp_path / out, **options)

    return ranked


@pytest.fixture
def refused(rank, tmp_path):
    """What is said of a ranking that is refused, after which there is nothing."""

    def said(*files, **options):
        text = rank(*files, status=2, **options).stderr
        assert not (tmp_path / "out").exists()
        return text

    return said


def table_of(out):
    return pd.read_csv(out / "distances.csv").sort_values(["source", "target", "method"]).reset_index(drop=True)


def test_cards_are_ranked_as_rank_cards_does(place, rank, tmp_path):
    shown = rank().stdout
    cards = [read_card(place / "cards" / f"{name}.json") for name in NAMES]
    rank_cards(cards[0], cards[1:], image_weight=2).save(tmp_path / "expected" / "distances.csv")
    assert (tmp_path / "out" / "distances.csv").read_bytes() == (tmp_path / "expected" / "distances.csv").read_bytes()
    assert "Recommended: near." in shown
    assert "APPROXIMATE, from cards: mask terms of gmm2d and gmm3d are those of the datasets" in shown
    assert "Cards: target, near, far." in shown


@pytest.mark.parametrize("mixed", [("target.yaml", "near", "far"), ("target", "near.yaml", "far")])
def test_a_dataset_with_images_is_compared_with_cards_as_its_own_card_would_be(rank, tmp_path, mixed):
    rank(out="pure")
    arguments = ("--workers", 1, "--json", "--cache", tmp_path / "cache")
    result = rank(*mixed, arguments=arguments, out="mixed")
    counts = ["n_source", "n_target"]
    mixed_table, pure_table = (table_of(tmp_path / out) for out in ("mixed", "pure"))
    pd.testing.assert_frame_equal(mixed_table.drop(columns=counts), pure_table.drop(columns=counts), rtol=1e-12)
    cards = [name for name in mixed if not name.endswith(".yaml")]
    assert json.loads(result.stdout)["cards"] == cards
    # The card of a dataset that is here is nowhere written, and its samples where they are asked for.
    assert {path.name for path in (tmp_path / "mixed").iterdir()} == {
        "distances.csv",
        "recommendation.csv",
        "characteristics.csv",
        "study.json",
        "report.html",
    }
    pure, here = (StudyRecord.load(tmp_path / out / "study.json") for out in ("pure", "mixed"))
    assert here.cards == tuple(cards)
    # A card's counts are coarse; those of a dataset that is here are not.
    coarse = {one.name: (one.samples, one.patients) for one in pure.datasets}
    for one in here.datasets:
        assert (
            coarse[one.name] == (one.samples, one.patients) if one.name in cards else coarse[one.name][0] < one.samples
        )
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_without_a_study_datasets_are_summarized_as_the_first_card_was(rank, tmp_path):
    weighted = rank("target.yaml", "near", "far", out="with")
    assert weighted.exit_code == 0
    rank("target.yaml", "near", "far", like=False, out="without")
    with_like, without = (table_of(tmp_path / out) for out in ("with", "without"))
    pd.testing.assert_series_equal(with_like["mask_term"], without["mask_term"])
    # Weights are the study's; cards do not tell any.
    pd.testing.assert_series_equal(with_like["image_term"], 2 * without["image_term"])


def test_json_is_all_of_standard_output(place, rank, tmp_path):
    content = json.loads(rank(arguments=("--json", "--method", "gmm2d")).stdout)
    assert content["study"] == "sent"
    assert content["approximate"].startswith("APPROXIMATE, from cards")
    assert content["cards"] == list(NAMES)
    assert {(row["method"], row["optimality_gap"]) for row in content["distances"]} == {("gmm2d", None)}
    (made,) = json.loads(make(place, "near", "--json", out=tmp_path).stdout)
    assert made["bytes"] == (tmp_path / "near.json").stat().st_size
    assert made["methods"] == ["gmm2d", "gmm3d", "fake_class_gmm"]


def test_a_card_says_whether_its_dataset_is_simulated(place, rank, tmp_path):
    described = yaml.safe_load((place / "far.yaml").read_text())
    described["layout"]["root"] = str(place / "far")
    (tmp_path / "far.yaml").write_text(yaml.safe_dump({**described, "simulated": "all of it"}))
    make(tmp_path, "far", "--like", place / "like.yaml", out=tmp_path)
    said = rank("target", tmp_path / "far.json", "near", arguments=("--method", "gmm2d")).stdout
    assert "far: in whole or in part, as its card says" in said
    assert "near: in whole" not in said
    record = StudyRecord.load(tmp_path / "out" / "study.json")
    assert [one.simulated for one in record.datasets] == ["", "in whole or in part, as its card says", ""]


@pytest.mark.parametrize("with_like", [True, False])
def test_a_card_that_was_made_otherwise_is_refused_by_what_differs(place, refused, tmp_path, with_like):
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({**LIKE, "distance": {"components": 1, "classes": 1}}))
    make(place, "far", "--like", tmp_path / "other.yaml", "--seed", 3, out=tmp_path)
    said = refused("target.yaml", "near", tmp_path / "far.json", like=with_like)
    differing = "distance.components: expected 2, found 1; seed: expected 0, found 3"
    assert f"dataset 'far': the card {tmp_path / 'far.json'} does not fit: {differing}; make it again" in said


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"p": 2}, "distance: p: 2.0 (expected 1.0) cannot be had of cards; leave it out."),
        ({"normalize": True}, "distance: normalize: True (expected False) cannot be had of cards"),
        ({"feature_scale": "joint"}, "distance: feature_scale: joint (expected dataset) cannot be had of cards"),
        ({"image_weight": 0, "mask_weight": 0}, "distance: expected finite weights that are not both 0, found"),
    ],
)
def test_an_option_of_the_distance_that_cards_cannot_do_is_refused(refused, tmp_path, option, message):
    (tmp_path / "like.yaml").write_text(yaml.safe_dump({**LIKE, "distance": {**LIKE["distance"], **option}}))
    assert message in refused(arguments=("--like", tmp_path / "like.yaml"), like=False)


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        (NAMES, ("--method", "euclidean"), "--method: expected one that cards hold, gmm2d, gmm3d, fake_class_gmm,"),
        (NAMES, ("--target", "tarjet"), "--target: expected one of target, near, far, found tarjet"),
        (("target.yaml", "near.yaml"), (), "found datasets with images only; use `medsegdist rank`."),
    ],
)
def test_bad_choices_are_one_clear_error(refused, files, arguments, message):
    assert message in refused(*files, arguments=arguments)


def test_a_source_with_the_targets_own_images_is_refused(place, refused, tmp_path):
    described = yaml.safe_load((place / "target.yaml").read_text())
    described["layout"]["root"] = str(place / "target")
    (tmp_path / "twin.yaml").write_text(yaml.safe_dump({**described, "name": "twin"}))
    assert "a source holds what its target holds" in refused("target.yaml", tmp_path / "twin.yaml", "far")


def test_without_methods_those_that_all_cards_hold_are_taken(place, rank, refused, tmp_path):
    content = json.loads((place / "cards" / "near.json").read_text())
    (tmp_path / "near.json").write_text(json.dumps({**content, "fake_classes": None}))
    files = ("target.yaml", tmp_path / "near.json", "far")
    assert "found none of it in near" in refused(*files, arguments=("--method", "fake_class_gmm"))
    said = "fake_class_gmm is left out, because the card near lacks it: a fake class has fewer patients than a card may"
    assert said in " ".join(rank(*files).stdout.split())
    assert set(table_of(tmp_path / "out")["method"]) == {"gmm2d", "gmm3d"}
    assert said in (tmp_path / "out" / "report.html").read_text()
    assert json.loads(rank(*files, arguments=("--json",)).stdout)["left_out"] == {"fake_class_gmm": ["near"]}
    # Who chooses methods misses none.
    assert "left out" not in rank(*files, arguments=("--method", "gmm2d")).stdout
    assert "left out" not in (tmp_path / "out" / "report.html").read_text()


def test_a_card_that_is_not_there_is_refused_and_how_cards_are_made_is_said(refused, tmp_path):
    said = refused("target.yaml", tmp_path / "card.json")
    assert "card.json: expected a card here, found none that can be read (No such file or directory)" in said
    assert "`medsegdist cards make DATASET.yaml --like STUDY.yaml -o DIR`" in said


def test_a_study_gives_a_card_of_each_of_its_datasets(place, tmp_path):
    content = {
        "name": "all",
        **LIKE,
        "targets": ["target"],
        "datasets": [str(place / f"{name}.yaml") for name in NAMES],
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    run("cards", "make", tmp_path / "study.yaml", "-o", tmp_path / "cards", "--min-patients", 3)
    for name in NAMES:
        assert (tmp_path / "cards" / f"{name}.json").read_bytes() == (place / "cards" / f"{name}.json").read_bytes()


def test_a_dataset_alone_does_not_say_how_its_card_is_made(place, tmp_path):
    said = run("cards", "make", place / "near.yaml", "-o", tmp_path / "cards", status=2).stderr
    assert "found the description of a dataset; name a study by --like." in said
    assert not (tmp_path / "cards").exists()


def test_a_fake_class_of_few_patients_is_left_out_and_said_to_be(place, tmp_path):
    several = {**LIKE, "distance": {**LIKE["distance"], "components": 1, "classes": 3}}
    (tmp_path / "like.yaml").write_text(yaml.safe_dump(several))
    shown = make(place, "near", "--like", tmp_path / "like.yaml", out=tmp_path).stdout
    assert "fake_class_gmm is left out: a fake class has fewer than 3 patients." in " ".join(shown.split())
