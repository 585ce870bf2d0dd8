"""`medsegdist summarize`, and `medsegdist rank` of the cards that it writes."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
import yaml

from medsegdist.bundle import workflows
from medsegdist.cards.card_file import read_card
from medsegdist.cards.ranking import approximate, rank_cards
from medsegdist.distance.table import COLUMNS
from medsegdist.report.record import StudyRecord
from tests.test_cli import run, write_dataset

NAMES = ("target", "near", "far")
LIKE = {
    "preprocessing": {"grid": [24, 20], "min_pixels": 8},
    "distance": {"components": 2, "classes": 1, "image_weight": 2},
}


def summarize(folder, name, *arguments, out=None, **options):
    card = out or folder / "cards" / f"{name}.json"
    like = () if "--like" in arguments else ("--like", folder / "like.yaml")
    return run("summarize", folder / f"{name}.yaml", *like, "-o", card, "--min-patients", 3, *arguments, **options)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Datasets described by a file each, and a card of each; 'near' lies where 'target' does, and 'far' elsewhere."""
    folder = tmp_path_factory.mktemp("hospitals")
    (folder / "like.yaml").write_text(yaml.safe_dump(LIKE))
    for seed, (name, center) in enumerate(zip(NAMES, ((8, 8), (9, 8), (16, 13)), strict=True)):
        write_dataset(folder / name, center, seed=seed)
        layout = {"kind": "folder", "root": name, "images": "images/*.nii.gz", "masks": "masks/*.nii.gz"}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, "modality": "CT", "layout": layout}))
        summarize(folder, name)
    return folder


def entry(place, name):
    """An entry of `datasets`: "near" is the card of near, "near.yaml" the dataset itself; all else is left."""
    if not isinstance(name, str) or "/" in name:
        return name
    return str(place / name) if name.endswith(".yaml") else str(place / "cards" / f"{name}.json")


@pytest.fixture
def study(place, tmp_path):
    """Writes a study of cards and datasets."""

    def write(*datasets, **changes):
        content = {"name": "sent", **LIKE, "targets": ["target"], **changes}
        content["datasets"] = [entry(place, one) for one in datasets or NAMES]
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
        return tmp_path / "study.yaml"

    return write


def rank(study_file, *arguments, out="out", **options):
    return run("rank", study_file, "--bootstrap", 200, *arguments, "--out", study_file.parent / out, **options)


def refused(study_file, *arguments):
    """What is said of a ranking that is refused, after which there is nothing."""
    said = rank(study_file, *arguments, status=2).stderr
    assert not (study_file.parent / "out").exists()
    return said


def table_of(out):
    return pd.read_csv(out / "distances.csv").sort_values(["source", "target", "method"]).reset_index(drop=True)


def test_rank_takes_cards_and_ranks_as_rank_cards_does(place, study, tmp_path):
    shown = rank(study()).stdout
    cards = [read_card(place / "cards" / f"{name}.json") for name in NAMES]
    rank_cards(cards[0], cards[1:], image_weight=2).save(tmp_path / "expected" / "distances.csv")
    assert (tmp_path / "out" / "distances.csv").read_bytes() == (tmp_path / "expected" / "distances.csv").read_bytes()
    assert "For target the nearest source is near, by every method (3 of 3)." in shown
    assert "APPROXIMATE, from cards: mask terms of gmm2d and gmm3d are those of the datasets" in shown
    assert "Cards: target, near, far." in shown


def test_mask_terms_are_those_of_the_datasets(study, tmp_path):
    methods = ("--method", "gmm2d", "--method", "gmm3d")
    rank(study(), *methods, out="ours")
    run("rank", study(*(f"{name}.yaml" for name in NAMES)), *methods, "--out", tmp_path / "theirs")
    ours, theirs = table_of(tmp_path / "ours"), table_of(tmp_path / "theirs")
    assert tuple(ours.columns) == COLUMNS
    assert (ours["mask_term"] > 1).all()
    pd.testing.assert_series_equal(ours["mask_term"], theirs["mask_term"], rtol=1e-12)
    assert ours[["low", "high", "noise_floor", "optimality_gap"]].isna().all(axis=None)


@pytest.mark.parametrize("mixed", [("target.yaml", "near", "far"), ("target", "near.yaml", "far")])
def test_a_dataset_with_images_is_compared_with_cards_as_its_own_card_would_be(study, tmp_path, mixed):
    rank(study(), out="pure")
    result = rank(study(*mixed), "--workers", 1, "--json", "--cache", tmp_path / "cache", out="mixed")
    counts = ["n_source", "n_target"]
    mixed_table, pure_table = (table_of(tmp_path / out) for out in ("mixed", "pure"))
    pd.testing.assert_frame_equal(mixed_table.drop(columns=counts), pure_table.drop(columns=counts), rtol=1e-12)
    assert json.loads(result.stdout)["cards"] == [name for name in mixed if not name.endswith(".yaml")]
    # The card of a dataset that is here is nowhere written, and its samples where they are asked for.
    assert {path.name for path in (tmp_path / "mixed").iterdir()} == {"distances.csv", "study.json", "report.html"}
    pure, here = (StudyRecord.load(tmp_path / out / "study.json") for out in ("pure", "mixed"))
    assert here.cards == tuple(name for name in mixed if not name.endswith(".yaml"))
    # A card's counts are coarse; those of a dataset that is here are not.
    for one, other in zip(here.datasets, pure.datasets, strict=True):
        same = (one.samples, one.patients) == (other.samples, other.patients)
        assert same if one.name in here.cards else one.samples > other.samples
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_json_is_all_of_standard_output(place, study, tmp_path):
    weights = {**LIKE["distance"], "image_weight": 0}
    content = json.loads(rank(study(distance=weights, methods=["gmm2d"]), "--json").stdout)
    assert content["study"] == "sent"
    assert content["approximate"].startswith("APPROXIMATE, from cards")
    assert content["cards"] == list(NAMES)
    assert content["targets"]["target"]["mean_ranks"] == {"near": 1.0, "far": 2.0}
    assert {(row["method"], row["image_term"], row["optimality_gap"]) for row in content["distances"]} == {
        ("gmm2d", 0.0, None)
    }
    told = json.loads(summarize(place, "near", "--json", out=tmp_path / "near.json").stdout)
    assert told["bytes"] == (tmp_path / "near.json").stat().st_size
    assert told["methods"] == ["gmm2d", "gmm3d", "fake_class_gmm"]


def test_several_targets_and_names_that_the_study_gives(place, study, tmp_path):
    file = str(place / "cards" / "far.json")
    named = {"name": "elsewhere", "modality": "CT", "layout": {"kind": "card", "file": file}}
    rank(study("target", "near", named, targets=["target", "near"]), "--method", "gmm2d")
    pairs = {(row.source, row.target) for row in table_of(tmp_path / "out").itertuples()}
    assert pairs == {(a, b) for a in ("target", "near", "elsewhere") for b in ("target", "near") if a != b}


def test_a_card_says_whether_its_dataset_is_simulated(place, study, tmp_path):
    described = yaml.safe_load((place / "far.yaml").read_text())
    described["layout"]["root"] = str(place / "far")
    (tmp_path / "far.yaml").write_text(yaml.safe_dump({**described, "simulated": "all of it"}))
    card = tmp_path / "far.json"
    run("summarize", tmp_path / "far.yaml", "--like", place / "like.yaml", "-o", card, "--min-patients", 3)
    named = {"name": "elsewhere", "modality": "CT", "layout": {"kind": "card", "file": str(card)}}
    said = rank(study("target", str(card), named, "near"), "--method", "gmm2d").stdout
    told = "in whole or in part, as its card says"
    for name in ("far", "elsewhere"):
        assert f"{name}: {told}" in said
    assert f"near: {told}" not in said
    record = json.loads((tmp_path / "out" / "study.json").read_text())
    simulated = {one["name"]: one["simulated"] for one in record["datasets"]}
    assert simulated == {"target": "", "far": told, "elsewhere": told, "near": ""}


def test_a_card_that_is_not_compared_leaves_the_ranking_as_it_is(study, tmp_path):
    datasets = study("target.yaml", "near.yaml", "far", sources=["near"])
    shown = run("rank", datasets, "--method", "gmm2d", "--out", tmp_path / "out")
    assert "APPROXIMATE" not in shown.stdout
    assert (tmp_path / "out" / "report.html").exists()


def test_what_an_earlier_run_with_images_left_does_not_stand_beside_distances_of_cards(study, tmp_path):
    out = tmp_path / "out"
    run("rank", study(*(f"{name}.yaml" for name in NAMES)), "--method", "gmm2d", "--thumbnails", "--out", out)
    assert {path.name for path in out.iterdir()} >= {"comparisons.csv", "report.html", "study.json", "thumbnails.json"}
    (out / "report.html").write_text("of other distances")
    rank(study(), "--no-report")
    assert {path.name for path in out.iterdir()} == {"distances.csv", "samples", "study.json"}
    assert StudyRecord.load(out / "study.json").cards == NAMES


def test_the_report_says_that_it_is_approximate_and_is_written_again_from_the_folder(study, tmp_path):
    out = tmp_path / "out"
    said = rank(study("target.yaml", "near", "far"), "--method", "gmm2d", "--json")
    page = (out / "report.html").read_text()
    assert f"Report: {out / 'report.html'}" in said.stderr
    assert json.loads(said.stdout)["approximate"] == approximate(["near", "far"])
    assert page.count(approximate(["near", "far"])) == 2
    run("report", out, "--out", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == page


def test_a_ranking_that_cannot_be_recorded_leaves_no_report_of_an_earlier_one(study, tmp_path, monkeypatch):
    rank(study())

    def full(self, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(StudyRecord, "save", full)
    assert "No space left on device" in rank(study(), status=2).stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"distances.csv"}


@pytest.mark.parametrize(
    ("like", "differing"),
    [
        ({"preprocessing": {"grid": [24, 20], "min_pixels": 9}}, "preprocessing.min_pixels: expected 8, found 9"),
        (
            {"preprocessing": {"grid": [20, 24], "min_pixels": 8}},
            "preprocessing.grid: expected [24, 20], found [20, 24]",
        ),
        ({"distance": {"components": 1, "classes": 1}}, "distance.components: expected 2, found 1"),
        ({"seed": 3}, "seed: expected 0, found 3"),
    ],
)
def test_a_card_that_was_made_otherwise_is_refused_by_what_differs(place, study, tmp_path, like, differing):
    seed = like.pop("seed", 0)
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({**LIKE, **like}))
    summarize(place, "far", "--like", tmp_path / "other.yaml", "--seed", seed, out=tmp_path / "far.json")
    told = f"'far': the card {tmp_path / 'far.json'} does not fit the study: {differing}; make it anew with `--like`"
    with_far = study("target.yaml", "near", str(tmp_path / "far.json"))
    assert told in refused(with_far)
    problems = json.loads(run("check", with_far, "--json", status=1).stdout)
    assert [(one["dataset"], one["severity"]) for one in problems] == [("far", "error")]
    assert differing in problems[0]["problem"]
    assert "make it anew" in problems[0]["remedy"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"p": 2}, "distance: p: 2.0 (expected 1.0) cannot be had of cards, and near, far are cards; leave it out."),
        ({"normalize": True}, "distance: normalize: True (expected False) cannot be had of cards"),
        ({"feature_scale": "joint"}, "distance: feature_scale: joint (expected dataset) cannot be had of cards"),
        ({"image_weight": 0, "mask_weight": 0}, "'sent': distance: expected finite weights that are not both 0, found"),
    ],
)
def test_an_option_of_the_distance_that_cards_cannot_do_is_refused(study, option, message):
    assert message in refused(study("target.yaml", "near", "far", distance={**LIKE["distance"], **option}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ("--method", "euclidean"),
            "--method: expected methods that cards hold, gmm2d, gmm3d and fake_class_gmm, found",
        ),
        (("--bootstrap", "20"), "expected no --bootstrap, which cards have no use for; leave it out, or put datasets"),
        (("--bootstrap", "0"), "expected no --bootstrap, which cards have no use for"),
        (("--dask", "tcp://nowhere:1"), "expected no --dask, which cards have no use for"),
        (
            ("--thumbnails", "--dask", "tcp://nowhere:1"),
            "expected no --dask, --thumbnails, which cards have no use for",
        ),
    ],
)
def test_what_cards_have_no_use_for_is_refused(study, given, message):
    said = refused(study("target.yaml", "near", "far"), *given)
    assert message in said
    assert len(said.splitlines()) == 1


def test_methods_of_the_study_that_need_images_are_refused_unless_others_are_chosen(study, tmp_path):
    datasets = study("target.yaml", "near", "far", methods=["gmm2d", "euclidean"])
    message = (
        "study 'sent': methods: expected methods that cards hold, gmm2d, gmm3d and fake_class_gmm, found euclidean"
    )
    assert message in refused(datasets)
    (problem,) = json.loads(run("check", datasets, "--json", status=1).stdout)
    assert problem["problem"].startswith(message)
    assert problem["remedy"] == "choose among the three (--method, or `methods` in the study)"
    rank(datasets, "--method", "gmm2d")
    assert set(table_of(tmp_path / "out")["method"]) == {"gmm2d"}


def test_without_methods_those_that_all_cards_hold_are_taken(place, study, tmp_path):
    content = json.loads((place / "cards" / "near.json").read_text())
    (tmp_path / "near.json").write_text(json.dumps({**content, "fake_classes": None}))
    lacking = study("target.yaml", str(tmp_path / "near.json"), "far")
    assert "found none of it in that of near" in refused(lacking, "--method", "fake_class_gmm")
    said = (
        "fake_class_gmm is left out, because the card near lacks it: a fake class has fewer patients than may be told "
        "of."
    )
    assert said in " ".join(rank(lacking).stdout.split())
    assert set(table_of(tmp_path / "out")["method"]) == {"gmm2d", "gmm3d"}
    assert said in (tmp_path / "out" / "report.html").read_text()
    content = json.loads(rank(lacking, "--json").stdout)
    assert content["left_out"] == {"fake_class_gmm": ["near"]}
    # Who chooses methods misses none.
    assert "left out" not in rank(lacking, "--method", "gmm2d").stdout
    assert "left out" not in (tmp_path / "out" / "report.html").read_text()


MAKING = "`medsegdist summarize DATASET.yaml --like STUDY.yaml -o card.json` makes one"
MAKING_ANEW = "; make the card anew by `medsegdist summarize DATASET.yaml --like STUDY.yaml -o card.json`."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "card.json: expected a card here, found none that can be read (No such file or directory)"),
        ("{", "card.json: expected the JSON of a card, found JSONDecodeError"),
        ('{"training": []}', "card.json: expected a card, whose `format` is 'medsegdist card 1', found other JSON; "),
        ('{"format": "medsegdist card 1"}', "card.json: name: this key is missing; it is required."),
    ],
)
def test_a_file_that_is_no_card_is_refused_and_how_cards_are_made_is_said(study, tmp_path, text, message):
    if text is not None:
        (tmp_path / "card.json").write_text(text)
    said = refused(study("target.yaml", str(tmp_path / "card.json")))
    assert message in said
    assert (MAKING_ANEW if "key is missing" in message else MAKING) in said


def test_check_says_of_a_card_with_a_wrong_key_to_make_it_anew(place, study, tmp_path):
    content = json.loads((place / "cards" / "far.json").read_text())
    (tmp_path / "far.json").write_text(json.dumps({**content, "patience": 3}))
    told = run("check", study("target.yaml", str(tmp_path / "far.json")), "--json", status=1).stdout
    (problem,) = json.loads(told)
    assert "patience: unknown key; did you mean 'patients'?" in problem["problem"]
    assert f"; {problem['remedy']}." == MAKING_ANEW


def test_check_tells_of_broken_cards_and_goes_on_with_the_rest(place, study, tmp_path):
    shutil.copytree(place / "near", tmp_path / "near")
    layout = {"kind": "folder", "root": "near", "images": "images/*.nii.gz", "masks": "masks/*.nii.gz"}
    content = json.loads((place / "cards" / "far.json").read_text())
    (tmp_path / "far.json").write_text(json.dumps({**content, "patients": -1}))
    gone = {"name": "gone", "modality": "CT", "layout": {"kind": "card", "file": str(tmp_path / "gone.json")}}
    other = {"name": "MR", "modality": "MR", "layout": {"kind": "card", "file": str(place / "cards" / "near.json")}}
    own = {"name": "near", "modality": "CT", "layout": layout}
    whole = study("target", own, str(tmp_path / "far.json"), gone, other)
    (tmp_path / "near" / "images" / "case0.nii.gz").write_bytes(b"")
    problems = {one["dataset"]: one for one in json.loads(run("check", whole, "--json", status=1).stdout)}
    assert set(problems) == {"near", "far", "gone", "MR"}
    assert "patients: expected a number greater than 0, found -1" in problems["far"]["problem"]
    assert "found none that can be read" in problems["gone"]["problem"]
    assert MAKING in problems["gone"]["remedy"] + problems["gone"]["problem"]
    assert "expected the modality 'CT' of its card" in problems["MR"]["problem"]
    assert problems["near"]["case"] == "case0"
    assert (
        "in headers and first masks of 2 datasets and in 1 card."
        in run("check", study("target.yaml", "near.yaml", "far")).stdout
    )


@pytest.mark.parametrize(
    "arguments",
    [("distances",), ("transfer",), ("characteristics",)],
    ids=" ".join,
)
def test_every_other_command_refuses_cards(place, study, tmp_path, arguments):
    command, *options = arguments
    out = tmp_path / "out"
    result = run(command, study("target.yaml", "near.yaml", "far"), *options, "--out", out, status=2)
    card = place / "cards" / "far.json"
    said = f"dataset 'far' is a card ({card}) and holds no images; only `medsegdist rank` can use a card."
    assert said in result.stderr.replace("\n", "")
    assert not out.exists()


def test_the_bundle_ranks_cards_as_the_command_does_and_refuses_to_train_on_them(study, tmp_path, capsys):
    rank(study())
    workflows.rank(str(study()), out=str(tmp_path / "bundle"))
    assert (tmp_path / "bundle" / "distances.csv").read_bytes() == (tmp_path / "out" / "distances.csv").read_bytes()
    with pytest.raises(SystemExit, match="2"):
        workflows.transfer(str(study()), out=str(tmp_path / "trained"))
    assert "dataset 'target' is a card" in capsys.readouterr().err


def test_a_card_has_no_card_of_its_own(place, tmp_path):
    content = {"name": "far", "modality": "CT", "layout": {"kind": "card", "file": str(place / "cards" / "far.json")}}
    (tmp_path / "far.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "like.yaml").write_text(yaml.safe_dump(LIKE))
    assert "dataset 'far' is a card" in summarize(tmp_path, "far", status=2).stderr


def test_a_study_may_lend_its_preprocessing_though_none_of_its_datasets_is_here(place, tmp_path):
    theirs = {"name": "theirs", **LIKE, "datasets": ["a/secret.yaml", "b/secret.json"], "targets": ["a"]}
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump(theirs))
    summarize(place, "near", "--like", tmp_path / "theirs.yaml", out=tmp_path / "near.json")
    assert (tmp_path / "near.json").read_bytes() == (place / "cards" / "near.json").read_bytes()


def test_few_patients_are_refused_unless_asked(place, tmp_path):
    arguments = (place / "near.yaml", "--like", place / "like.yaml", "-o", tmp_path / "card.json")
    result = run("summarize", *arguments, status=2)
    assert "dataset 'near': expected at least 10 patients to make a card of, found 3" in result.stderr
    assert not (tmp_path / "card.json").exists()


def test_a_fake_class_of_few_patients_is_left_out_and_said_to_be(place, tmp_path):
    several = {**LIKE, "distance": {**LIKE["distance"], "components": 1, "classes": 3}}
    (tmp_path / "like.yaml").write_text(yaml.safe_dump(several))
    shown = summarize(place, "near", "--like", tmp_path / "like.yaml", out=tmp_path / "near.json").stdout
    assert json.loads((tmp_path / "near.json").read_text())["fake_classes"] is None
    assert "fake_class_gmm is left out: a fake class has fewer than 3 patients." in shown
