"""What goes into a card and what does not, and the projection that all cards of one preprocessing share."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.cards.card import DIMENSION, MAX_BYTES, coarse, project, read_card, summarize_samples, write_card
from medsegdist.data.options import DistanceOptions, Preprocessing
from medsegdist.data.samples import SegmentationSamples
from medsegdist.errors import DataError
from tests.cards.making_cards import FIT, card, dataset, summarized
from tests.synthetic import blobs


def test_a_card_is_small_and_read_as_it_was_written(tmp_path) -> None:
    size = write_card(card("near"), tmp_path / "card.json")
    assert size == (tmp_path / "card.json").stat().st_size < 2**14
    assert read_card(tmp_path / "card.json") == card("near")


@pytest.mark.slow
@pytest.mark.ci
def test_the_most_that_rules_choose_by_default_fits_into_a_card(tmp_path) -> None:
    samples = blobs("some", n=40, grid=(10, 16, 16), center=(0.5, 0.5, 0.5), patients=40)
    options = DistanceOptions(components=10, classes=8)
    made = summarize_samples(samples, modality="CT", fit=options, min_patients=1)
    assert made.fake_classes is not None
    assert len(made.fake_classes) == 8
    assert write_card(made, tmp_path / "card.json") < MAX_BYTES


def test_a_card_that_is_too_large_is_not_written(tmp_path) -> None:
    made = card("near")
    assert made.fake_classes is not None
    made = made.model_copy(update={"fake_classes": made.fake_classes * 50})
    with pytest.raises(DataError, match=r"'near': expected a card of at most 65,536 bytes, found .*choose fewer"):
        write_card(made, tmp_path / "card.json")
    assert list(tmp_path.iterdir()) == []


def test_too_few_patients_are_refused_unless_asked() -> None:
    samples = dataset("near")
    assert len(samples.patients) == 12
    with pytest.raises(
        DataError, match=r"dataset 'near': expected at least 13 patients to make a card of, found 12; .*--min-patients"
    ):
        summarized(samples, 13)
    with pytest.raises(DataError, match=r"at least 10 patients to make a card of, found 4"):
        summarize_samples(blobs(patients=4), modality="CT")
    assert summarized(blobs(patients=4), 4).patients == 4


def test_the_histogram_holds_cells_of_enough_patients_only_and_hides_how_much_it_leaves_out() -> None:
    masks = np.zeros((6, 16, 24), dtype=bool)
    masks[:, 0:2, 0:3] = True  # one cell, by all
    masks[:3, 14:16, 21:24] = True  # another one, by three patients
    masks[0:2, 8, 12] = True  # a third one, by two samples of one patient
    samples = SegmentationSamples.from_arrays(
        "some", np.random.default_rng(0).normal(size=masks.shape), masks, patient_ids=["a", "a", "b", "c", "d", "e"]
    )
    samples = replace(samples, weights=samples.weights * 7)

    def shown(min_patients: int) -> dict[tuple[int, int], float]:
        options = DistanceOptions(components=1)
        made = summarize_samples(samples, modality="CT", fit=options, min_patients=min_patients).segment_histogram
        assert made.extent == (16, 24)
        assert (len(made.mass), len(made.mass[0])) == (8, 8)
        return {(i, j): share for i, row in enumerate(made.mass) for j, share in enumerate(row) if share}

    pixels = 6 * 6 + 3 * 6 + 2
    first, second, third = (float(f"{count / pixels:.4g}") for count in (36, 18, 2))
    assert shown(1) == {(0, 0): first, (7, 7): second, (4, 4): third}
    assert shown(2) == {(0, 0): round(36 / 54, 4), (7, 7): round(18 / 54, 4)}
    assert shown(3) == {(0, 0): 1.0}


def test_samples_of_another_preprocessing_than_the_one_that_is_told_are_refused() -> None:
    said = Preprocessing(grid=(32, 40))
    with pytest.raises(ValueError, match=rf"'near': expected samples of the preprocessing {said.fingerprint}, found"):
        summarize_samples(dataset("near"), modality="CT", preprocessing=said)
    prepared = replace(dataset("near"), preprocessing=said.fingerprint)
    assert summarize_samples(prepared, modality="CT", preprocessing=said, fit=FIT).prepared == said


@given(st.integers(1, 10**6))
def test_counts_are_coarse(count: int) -> None:
    said = coarse(count)
    assert 1 <= said <= count
    assert said == count if count < 5 else said > 0.9 * count or count - said < 5
    if count >= 5:
        assert said % 5 == 0
    assert len(str(said).rstrip("0")) <= 2  # digits that say something
    assert coarse(said) == said
    assert coarse(count + 1) >= said


def test_counts_of_a_card_that_stays_are_exact() -> None:
    samples = dataset("near")
    said, exact = (
        summarize_samples(samples, modality="CT", fit=FIT, min_patients=2, exact_counts=exact)
        for exact in (False, True)
    )
    assert (said.samples, said.patients) == (20, 10)
    assert (exact.samples, exact.patients) == (24, 12)
    assert exact.model_copy(update={"samples": 20, "patients": 10}) == said


def samples_of(images: np.ndarray, preprocessing: str = "abc") -> SegmentationSamples:
    masks = np.ones(images.shape, dtype=bool)
    return SegmentationSamples.from_arrays("some", images, masks, preprocessing=preprocessing)


def lit(*pixels: tuple[int, int], grid: tuple[int, int] = (4, 5)) -> SegmentationSamples:
    """An image for each pixel, 1 there and 0 elsewhere."""
    images = np.zeros((len(pixels), *grid))
    for k, pixel in enumerate(pixels):
        images[k][pixel] = 1
    return samples_of(images)


def test_the_signs_are_pinned_since_cards_made_elsewhere_rest_on_them() -> None:
    found = project(lit((0, 0), (1, 2))) * math.sqrt(DIMENSION)
    bits = hashlib.shake_256(b"medsegdist card|abc|[4, 5]|0").hexdigest(20 * DIMENSION // 8)
    for row, pixel in zip(found, (0, 7), strict=True):
        ours = "".join("1" if sign > 0 else "0" for sign in row.tolist())
        assert int(ours, 2) == int(bits[8 * pixel : 8 * pixel + 8], 16)
    assert bits[:8] == "c1c177d0"


def test_the_projection_is_linear() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 1, 130, 140)).astype(np.float32)
    together = project(samples_of(2 * a - b))
    torch.testing.assert_close(together, 2 * project(samples_of(a)) - project(samples_of(b)), rtol=0, atol=1e-4)


def test_squared_norms_are_kept_in_expectation() -> None:
    images = np.random.default_rng(1).normal(3, 5, size=(3, 16, 16))
    squared = torch.from_numpy((images**2).sum((1, 2)))
    found = torch.stack([project(samples_of(images, f"print{k}")).square().sum(1) for k in range(400)])
    # Of one projection the relative deviation is sqrt(2 / 32) = 0.25, of the mean of 400 of them 0.0125.
    torch.testing.assert_close(found.mean(0) / squared, torch.ones(3, dtype=torch.float64), rtol=0, atol=0.05)
    assert 0.2 < float((found / squared).std()) < 0.3


@pytest.mark.parametrize("other", [{"preprocessing": "abd"}, {"grid": (5, 4)}])
def test_another_preprocessing_or_grid_is_another_projection(other: dict) -> None:
    images = np.random.default_rng(2).normal(size=(1, 4, 5))
    changed = samples_of(images.reshape(1, *other.get("grid", (4, 5))), other.get("preprocessing", "abc"))
    assert not torch.allclose(project(samples_of(images)), project(changed))
