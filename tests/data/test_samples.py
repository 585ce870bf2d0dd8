"""Samples: saved and loaded, and spread over their patients."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.data.samples import CaseSummary, SegmentationSamples, spread_over_patients
from medsegdist.errors import DataError


def some_samples(n=3, grid=(4, 5)) -> SegmentationSamples:
    rng = np.random.default_rng(0)
    return SegmentationSamples.from_arrays(
        "lung nodules",
        rng.normal(size=(n, *grid)),
        np.ones((n, *grid), bool),
        case_ids=[f"case {k}" for k in range(n)],
        patient_ids=[f"p{k // 2}" for k in range(n)],
        weights=rng.uniform(0.1, 1, n),
        preprocessing="abc123",
    )


@pytest.fixture
def folder(tmp_path) -> Path:
    some_samples().save(tmp_path / "samples")
    return tmp_path / "samples"


@pytest.mark.parametrize("grid", [(4, 5), (2, 3, 4)])
def test_what_is_loaded_is_what_was_saved(tmp_path, grid):
    samples = some_samples(grid=grid)
    samples.save(tmp_path / "made" / "here")
    loaded = SegmentationSamples.load(tmp_path / "made" / "here")
    for field in ("name", "case_ids", "patient_ids", "preprocessing"):
        assert getattr(loaded, field) == getattr(samples, field)
    for field in ("images", "masks", "weights"):
        assert torch.equal(getattr(loaded, field), getattr(samples, field))
        assert getattr(loaded, field).dtype == getattr(samples, field).dtype
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["here"]


def test_changing_loaded_samples_leaves_the_files_alone(folder):
    before = (folder / "images.npy").read_bytes()
    loaded = SegmentationSamples.load(folder)
    loaded.images.zero_()
    assert not loaded.images.any()
    assert (folder / "images.npy").read_bytes() == before


def test_loaded_samples_are_pickled_as_their_folder_and_others_as_values(folder):
    loaded = SegmentationSamples.load(folder)
    assert len(pickle.dumps(loaded)) < 300
    for samples in (loaded, loaded.take([2, 0]), some_samples(), loaded.spread(2)):
        again = pickle.loads(pickle.dumps(samples))
        assert again.case_ids == samples.case_ids
        assert torch.equal(again.images, samples.images)
    (folder / "samples.json").unlink()
    with pytest.raises(DataError, match="damaged"):
        pickle.loads(pickle.dumps(loaded))


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: (d / "images.npy").unlink(),
        lambda d: (d / "samples.json").unlink(),
        lambda d: (d / "samples.json").write_text('{"name": '),
        lambda d: (d / "samples.json").write_bytes(b"\xff\xfe"),
        lambda d: (d / "images.npy").write_bytes((d / "images.npy").read_bytes()[:-1]),
        lambda d: (d / "images.npy").write_bytes(b""),
        lambda d: np.save(d / "images.npy", np.zeros((3, 4, 5))),
        lambda d: np.save(d / "images.npy", np.zeros((3, 4, 6), np.float32)),
        lambda d: np.save(d / "masks.npy", np.full((3, 4, 5), None, object), allow_pickle=True),
        lambda d: (d / "samples.json").write_text((d / "samples.json").read_text().replace("2", "1", 1)),
        lambda d: (d / "samples.json").write_text((d / "samples.json").read_text().replace('"case 0",', "", 1)),
    ],
)
def test_damage_is_noticed_and_says_what_to_do(folder, damage):
    damage(folder)
    with pytest.raises(
        DataError, match=r"samples: the stored samples are damaged \((.|\n)*delete this folder and save"
    ):
        SegmentationSamples.load(folder)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="nowhere: there are no stored samples here; save them first"):
        SegmentationSamples.load(tmp_path / "nowhere")


def test_nothing_is_ever_overwritten(folder, tmp_path):
    (tmp_path / "file").write_text("mine")
    before = (folder / "images.npy").read_bytes()
    for taken in (folder, tmp_path / "file"):
        with pytest.raises(FileExistsError, match="expected a new or empty folder; choose another, or remove it"):
            some_samples(5).save(taken)
    assert (folder / "images.npy").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "samples"]


def test_another_process_that_was_first_wins(tmp_path, monkeypatch):
    """The other one publishes between the check and the renaming."""
    save = np.save
    some_samples(2).save(tmp_path / "other")

    def save_after_the_other(path, array):
        monkeypatch.undo()
        (tmp_path / "other").rename(tmp_path / "samples")
        save(path, array)

    monkeypatch.setattr(np, "save", save_after_the_other)
    with pytest.raises(FileExistsError):
        some_samples(3).save(tmp_path / "samples")
    assert len(SegmentationSamples.load(tmp_path / "samples")) == 2


def test_which_cases_gave_no_sample_is_said_in_one_line_that_no_name_can_break():
    small, empty = "segment below min_pixels = 10", "mask without foreground"
    assert CaseSummary(8, {"Patient3": small}).sentence("Heart") == (
        "Heart: 1 of 8 cases has no sample: Patient3 (segment below min_pixels = 10)."
    )
    many = {f"c{k}": small for k in range(5)} | {"x\n\x1b[2J": empty}
    assert CaseSummary(9, many, ("d",)).sentence("Heart") == (
        "Heart: 7 of 9 cases have no sample: c0, c1, c2 and 2 more (segment below min_pixels = 10); "
        "x\\n\\x1b[2J (mask without foreground); d (not drawn for max_samples)."
    )
    assert CaseSummary(9, many).reasons == {small: 5, empty: 1}
    assert CaseSummary(9).sentence("Heart") == ""


patients = st.lists(st.sampled_from("abcde"), min_size=0, max_size=60)
counts = st.integers(1, 40)
seeds = st.integers(0, 2**32)


@given(patients, counts, seeds)
def test_the_choice_is_as_even_as_can_be(ids, k, seed):
    chosen = spread_over_patients(ids, k, seed)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(k, len(ids))
    have, taken = Counter(ids), Counter(ids[index] for index in chosen)
    for patient in have:
        if taken[patient] < have[patient]:
            assert taken[patient] >= max(taken.values()) - 1


@given(patients, counts, seeds)
def test_what_falls_out_of_the_choice_does_not_come_back(ids, k, seed):
    """So samples need not be kept that a beginning of the dataset leaves out."""
    kept = set(range(len(ids)))
    for n in range(1, len(ids) + 1):
        now = set(spread_over_patients(ids[:n], k, seed))
        assert now - {n - 1} <= kept
        kept = now | {n - 1}


def test_every_sample_of_a_patient_has_the_same_chance():
    hits = Counter(index for seed in range(4000) for index in spread_over_patients(["a"] * 4 + ["b"] * 2, 2, seed))
    # One of each patient; five standard deviations of a binomial count.
    for index, chance in enumerate([0.25] * 4 + [0.5] * 2):
        assert abs(hits[index] - 4000 * chance) < 5 * (4000 * chance * (1 - chance)) ** 0.5


def test_choosing_none_is_refused():
    with pytest.raises(ValueError, match="expected k >= 1 samples to choose, found 0"):
        spread_over_patients(["a"], 0, 0)


def test_samples_spread_over_their_patients():
    samples = SegmentationSamples.from_arrays(
        "x", torch.arange(6.0).reshape(6, 1, 1), torch.ones(6, 1, 1), patient_ids=["b", "b", "b", "b", "a", "c"]
    )
    assert samples.patients == ("b", "a", "c")
    few = samples.spread(3, seed=4)
    assert sorted(few.patient_ids) == ["a", "b", "c"]
    assert few.images.flatten().tolist() == spread_over_patients(samples.patient_ids, 3, 4)
    assert samples.spread(6) is samples
