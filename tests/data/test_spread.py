from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.data.samples import SegmentationSamples, spread_over_patients
from medsegdist.data.spread import SpreadSelection

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
def test_streaming_gives_the_same_choice(ids, k, seed):
    selection = SpreadSelection(k, seed)
    slots: dict[int, int] = {}
    for arrival, patient in enumerate(ids):
        slot = selection.offer(patient)
        if slot is not None:
            assert 0 <= slot < k
            slots[slot] = arrival
    assert [kept.arrival for kept in selection.kept] == spread_over_patients(ids, k, seed)
    assert [slots[kept.slot] for kept in selection.kept] == spread_over_patients(ids, k, seed)


@given(patients, seeds)
def test_without_a_limit_all_are_kept_in_order(ids, seed):
    selection = SpreadSelection(None, seed)
    assert [selection.offer(patient) for patient in ids] == list(range(len(ids)))
    assert [kept.slot for kept in selection.kept] == list(range(len(ids)))


def test_every_sample_of_a_patient_has_the_same_chance():
    hits = Counter(index for seed in range(4000) for index in spread_over_patients(["a"] * 4 + ["b"] * 2, 2, seed))
    # One of each patient; five standard deviations of a binomial count.
    for index, chance in enumerate([0.25] * 4 + [0.5] * 2):
        assert abs(hits[index] - 4000 * chance) < 5 * (4000 * chance * (1 - chance)) ** 0.5


def test_seed_decides():
    ids = ["a"] * 100
    assert spread_over_patients(ids, 5, 1) == spread_over_patients(ids, 5, 1)
    assert spread_over_patients(ids, 5, 1) != spread_over_patients(ids, 5, 2)


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
