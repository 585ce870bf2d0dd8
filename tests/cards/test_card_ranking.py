"""Distances of cards against those of the datasets, closed forms and laws."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import ot
import pytest
import torch
from scipy.linalg import sqrtm

from medsegdist import DatasetDistance, FakeClassGmmMetric, GmmMetric, compare_all
from medsegdist.cards.card import Card, project, read_card, write_card
from medsegdist.cards.ranking import CARD_METHODS, differences, rank_cards, settings_of
from medsegdist.data.options import DistanceOptions, Preprocessing
from medsegdist.errors import DataError, PreprocessingMismatchError
from tests.cards.making_cards import card, dataset, summarized

FULL = {
    "gmm2d": DatasetDistance(GmmMetric(components=1, intensity=False)),
    "gmm3d": DatasetDistance(GmmMetric(components=1)),
    "fake_class_gmm": DatasetDistance(FakeClassGmmMetric(components=1)),
}


@cache
def full(image_weight: float = 1.0, methods: tuple[str, ...] = CARD_METHODS):
    distances = {name: replace(FULL[name], image_weight=image_weight) for name in methods}
    return compare_all([dataset(name) for name in ("target", "near", "far")], distances, targets=["target"])


def rows(table) -> dict:
    return {(row.method, row.source): row for row in table.rows}


def sent(tmp_path, *names: str) -> list[Card]:
    """Cards that have been written and read."""
    for name in names:
        write_card(card(name), tmp_path / f"{name}.json")
    return [read_card(tmp_path / f"{name}.json") for name in names]


def renamed(one: Card, name: str = "twin", **changes) -> Card:
    return one.model_copy(update={"name": name, **changes})


def test_mask_terms_of_mixtures_are_those_of_the_datasets(tmp_path) -> None:
    target, near, far = sent(tmp_path, "target", "near", "far")
    ours, theirs = rows(rank_cards(target, [near, far])), rows(full())
    assert ours.keys() == theirs.keys()
    for key, row in ours.items():
        if key[0] != "fake_class_gmm":
            assert row.mask_term > 1
            assert row.mask_term == pytest.approx(theirs[key].mask_term, rel=1e-12)
            assert row.distance == row.image_term + row.mask_term


def test_without_images_fake_classes_are_coupled_as_their_samples_are(tmp_path) -> None:
    target, near, far = sent(tmp_path, "target", "near", "far")
    ours = rows(rank_cards(target, [near, far], methods=["fake_class_gmm"], image_weight=0))
    for source in ("near", "far"):
        expected = rows(full(0.0, ("fake_class_gmm",)))["fake_class_gmm", source]
        assert ours["fake_class_gmm", source].mask_term == pytest.approx(expected.mask_term, rel=1e-9)
        assert ours["fake_class_gmm", source].image_term == 0


def test_rows_are_honest_about_what_cards_do_not_tell() -> None:
    for row in rank_cards(card("target"), [card("near"), card("far")]).rows:
        assert (row.low, row.high, row.noise_floor, row.optimality_gap) == (None,) * 4
        assert not row.tied
        assert row.rank == (1 if row.source == "near" else 2)
        assert (row.n_source, row.n_target) == (20, 20)  # 24, coarse


def test_a_dataset_is_at_no_distance_of_itself() -> None:
    for row in rank_cards(card("far"), [renamed(card("far"))]).rows:
        assert row.distance == pytest.approx(0, abs=1e-9)


def test_distances_are_symmetric_and_weights_are_factors() -> None:
    there, back = (rows(rank_cards(card(a), [card(b)])) for a, b in (("near", "far"), ("far", "near")))
    weighted = rows(rank_cards(card("near"), [card("far")], image_weight=3, mask_weight=0.5))
    for method in CARD_METHODS:
        row = there[method, "far"]
        assert back[method, "near"].distance == pytest.approx(row.distance, rel=1e-9)
        if method != "fake_class_gmm":
            assert weighted[method, "far"].image_term == pytest.approx(3 * row.image_term)
            assert weighted[method, "far"].mask_term == pytest.approx(0.5 * row.mask_term)


def test_neither_the_order_of_samples_nor_a_factor_of_weights_changes_a_distance() -> None:
    samples = dataset("near")
    turned = samples.take(list(reversed(range(len(samples)))))
    turned = replace(turned, weights=2 * turned.weights)
    other = summarized(turned)
    before, after = rank_cards(card("far"), [card("near")]).rows, rank_cards(card("far"), [other]).rows
    for row, same in zip(before, after, strict=True):
        assert same.mask_term == pytest.approx(row.mask_term, rel=1e-9)
        assert same.image_term == pytest.approx(row.image_term, rel=1e-5)  # a covariance is rounded to float32


def test_images_that_are_all_shifted_by_one_image_are_at_the_norm_of_its_projection() -> None:
    samples = dataset("near")
    shift = torch.linspace(0, 50, samples.images[0].numel()).reshape(samples.grid)
    shifted = replace(samples, name="shifted", images=samples.images + shift)
    projected = project(replace(samples, images=shift.expand_as(samples.images).contiguous()))[0]
    (row,) = rank_cards(card("near"), [summarized(shifted)], methods=["gmm2d"]).rows
    assert row.image_term == pytest.approx(float(projected.norm()), rel=1e-6)
    assert row.mask_term == pytest.approx(0, abs=1e-12)


def test_the_image_term_is_that_of_gelbrich_and_below_any_coupling_of_the_projected_images() -> None:
    source, target = dataset("far"), dataset("target")
    (row,) = rank_cards(card("target"), [card("far")], methods=["gmm2d"]).rows
    ours, theirs = (project(one).numpy() for one in (source, target))
    mass, other_mass = source.mass.numpy(), target.mass.numpy()
    covariance, other = np.cov(ours.T, aweights=mass, bias=True), np.cov(theirs.T, aweights=other_mass, bias=True)
    root = sqrtm(covariance)
    cross = np.trace(sqrtm(root @ other @ root)).real
    squared = ((mass @ ours - other_mass @ theirs) ** 2).sum() + covariance.trace() + other.trace() - 2 * cross
    assert row.image_term == pytest.approx(squared**0.5, rel=1e-4)
    cost = ot.dist(ours, theirs)
    assert row.image_term <= ot.emd2(mass, other_mass, cost) ** 0.5


def test_the_covariance_within_classes_follows_from_what_the_card_holds() -> None:
    samples = dataset("near")
    projected, mass = project(samples), samples.mass
    classes = FakeClassGmmMetric(components=1).summarize(samples).classes
    within = torch.zeros((32, 32), dtype=torch.float64)
    for c, mean in enumerate(card("near").class_means):
        away = projected[classes == c] - mean
        within += away.T @ (mass[classes == c, None] * away)
    found = card("near").within_classes
    torch.testing.assert_close(found, within, rtol=0, atol=1e-5 * float(found.abs().max()))


PREPARED = Preprocessing(grid=(32, 40))
OTHERWISE = {
    "grid": (24, 40),
    "spacing": (1.0, 1.0),
    "intensity": "zscore",
    "ct_window": (-160.0, 240.0),
    "percentiles": (1.0, 99.0),
    "delta": -3.0,
    "min_pixels": 11,
    "max_samples": 7,
    "max_per_case": 3,
    "seed": 1,
}


def prepared(one: Card, preprocessing: Preprocessing) -> Card:
    """The same card, as if its samples had been prepared like this."""
    changes = {"preprocessing": preprocessing.fingerprint, "prepared": preprocessing, "grid": preprocessing.grid}
    return renamed(one, one.name, **changes)


@pytest.mark.parametrize("setting", OTHERWISE)
def test_exactly_the_setting_of_the_preprocessing_that_differs_is_named(setting: str) -> None:
    other = Preprocessing(**{"grid": (32, 40), setting: OTHERWISE[setting]})
    target, source = prepared(card("near"), PREPARED), prepared(card("far"), other)
    found = differences(settings_of(target), settings_of(source))
    # Another rule for intensities shifts segments by another number, too.
    assert {line.partition(":")[0] for line in found} == {
        f"preprocessing.{name}" for name in ([setting, "delta"] if setting == "intensity" else [setting])
    }
    with pytest.raises(PreprocessingMismatchError) as raised:
        rank_cards(target, [source])
    assert (
        "the cards 'far' and 'near' were not made alike, so that their distance would measure how they were made "
        in str(raised.value)
    )
    assert found[0] in str(raised.value)


def test_every_setting_of_the_preprocessing_counts() -> None:
    assert set(OTHERWISE) == set(Preprocessing.model_fields) - {"dimensions"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"preprocessing": "other"},
            r"\(fingerprint of the preprocessing: expected synthetic, found other\); make both",
        ),
        ({"grid": (40, 32)}, r"\(preprocessing.grid: expected \[32, 40\], found \[40, 32\]\); make both with one"),
        ({"fit": DistanceOptions(components=3)}, r"\(distance.components: expected 1, found 3\); make both"),
        ({"fit": DistanceOptions(components=1, features=("area",))}, r"features: expected none, found \['area'\]\);"),
        ({"seed": 5}, r"\(seed: expected 0, found 5\); make both with one `--like` and one `--seed`"),
    ],
)
def test_cards_that_were_not_made_alike_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(PreprocessingMismatchError, match=message):
        rank_cards(card("near"), [card("far"), renamed(card("near"), **changes)])


def test_equal_settings_of_another_version_are_named_so() -> None:
    target, source = (prepared(card(name), PREPARED) for name in ("near", "far"))
    assert len(rank_cards(target, [source]).rows) == 3
    with pytest.raises(
        PreprocessingMismatchError,
        match=r"found 0123456789abcdef; the settings are the same, by another version of medsegdist\)",
    ):
        rank_cards(target, [renamed(source, preprocessing="0123456789abcdef")])


def test_options_that_are_left_out_and_those_that_are_given_as_they_are_anyway_are_the_same() -> None:
    given = DistanceOptions(components=1, max_components=10)
    assert len(rank_cards(card("near"), [renamed(card("far"), fit=given)]).rows) == 3
    shifted = Preprocessing(grid=(32, 40), delta=-1)
    assert rank_cards(prepared(card("near"), PREPARED), [prepared(card("far"), shifted)]).rows


def test_a_method_that_a_card_cannot_serve_is_left_out_or_refused() -> None:
    without = renamed(card("far"), fake_classes=None)
    assert rank_cards(card("near"), [without]).methods == ("gmm2d", "gmm3d")
    with pytest.raises(DataError, match=r"found none of it in twin, where a fake class has fewer patients"):
        rank_cards(card("near"), [without], methods=["fake_class_gmm"])
    with pytest.raises(ValueError, match=r"expected a method of cards to be one of gmm2d, gmm3d"):
        rank_cards(card("near"), [without], methods=["euclidean"])


def test_two_cards_of_one_name_and_weights_that_weigh_nothing_are_refused() -> None:
    with pytest.raises(DataError, match=r"cards of different datasets, found the names near, near"):
        rank_cards(card("near"), [card("near")])
    for weights in ((0, 0), (-1, 1), (float("nan"), 1), (float("inf"), 1)):
        with pytest.raises(ValueError, match=r"expected finite weights >= 0 that are not both 0"):
            rank_cards(card("near"), [card("far")], image_weight=weights[0], mask_weight=weights[1])
