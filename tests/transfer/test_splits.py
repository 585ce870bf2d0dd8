"""Splits by patient."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.data.transfer_options import TransferOptions
from medsegdist.errors import DataError
from medsegdist.transfer.splits import split_source, split_target

OPTIONS = TransferOptions()
PATIENTS = st.lists(st.sampled_from([f"p{k}" for k in range(12)]), min_size=3, max_size=60).filter(
    lambda ids: len(set(ids)) >= 3
)
FRACTIONS = st.floats(0.01, 0.99)


def owners(split, ids):
    return [{ids[k] for k in part} for part in (split.train, split.validation, split.test)]


@given(PATIENTS, FRACTIONS, FRACTIONS, st.integers(0, 50))
def test_a_target_is_cut_between_patients_and_nothing_is_lost(ids, validation, test, seed):
    options = TransferOptions(validation_fraction=validation, test_fraction=test)
    split = split_target("t", ids, options, seed)
    assert sorted(split.train + split.validation + split.test) == list(range(len(ids)))
    train, held_out, tested = owners(split, ids)
    assert train
    assert held_out
    assert tested
    assert not (train & held_out | train & tested | held_out & tested)
    assert split == split_target("t", ids, options, seed)


@given(PATIENTS, FRACTIONS, st.integers(0, 50))
def test_a_source_is_cut_between_patients_and_not_tested(ids, validation, seed):
    split = split_source("s", ids, TransferOptions(validation_fraction=validation), seed)
    assert sorted(split.train + split.validation) == list(range(len(ids)))
    train, held_out, tested = owners(split, ids)
    assert train
    assert held_out
    assert not tested
    assert not train & held_out


@given(PATIENTS, st.integers(0, 50), st.integers(0, 50))
def test_all_seeds_test_the_same_patients(ids, seed, other):
    assert split_target("t", ids, OPTIONS, seed).test == split_target("t", ids, OPTIONS, other).test


def test_seeds_draw_other_training_patients_and_the_split_seed_other_test_patients():
    ids = [str(k) for k in range(40)]
    assert len({split_target("t", ids, OPTIONS, seed).train for seed in range(5)}) == 5
    drawn = {split_target("t", ids, TransferOptions(split_seed=seed), 0).test for seed in range(5)}
    assert len(drawn) == 5


def test_shares_are_those_asked_for():
    ids = [str(k // 2) for k in range(200)]
    train, held_out, tested = owners(split_target("t", ids, OPTIONS, 0), ids)
    assert (len(tested), len(held_out), len(train)) == (30, 14, 56)


@pytest.mark.parametrize(("cases", "validation"), [(1, 1), (4, 1), (8, 2), (20, 5)])
def test_a_short_sample_is_short_in_validation_too(cases, validation):
    ids = [str(k // 3) for k in range(150)]
    split = split_target("t", ids, TransferOptions(target_cases=cases), 0)
    train, held_out, tested = owners(split, ids)
    assert (len(train), len(held_out)) == (cases, validation)
    assert split.test == split_target("t", ids, OPTIONS, 0).test
    assert len(tested) == 15


def test_more_cases_than_there_are_is_an_error():
    ids = [str(k) for k in range(10)]
    with pytest.raises(
        DataError,
        match=r"dataset 'Lung': target_cases 8 needs 8 patients to train on and 2 to validate on, found 7 beside the 3",
    ):
        split_target("Lung", ids, TransferOptions(target_cases=8), 0)


@pytest.mark.parametrize("patients", [1, 2])
def test_a_target_of_too_few_patients_is_an_error(patients):
    ids = [str(k % patients) for k in range(20)]
    with pytest.raises(DataError, match=rf"dataset 'Lung': expected at least 3 patients of a target, .* {patients};"):
        split_target("Lung", ids, OPTIONS, 0)


def test_a_source_of_one_patient_is_an_error():
    with pytest.raises(DataError, match="dataset 'Lung': expected at least 2 patients to pre-train on"):
        split_source("Lung", ["a", "a"], OPTIONS, 0)
