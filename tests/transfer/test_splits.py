"""Splits by patient."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.data.options import TransferOptions
from medsegdist.errors import DataError
from medsegdist.transfer.plan import seen_test_samples, split_source, split_target
from medsegdist.transfer.runs import perform
from tests.transfer.making import disks
from tests.transfer.studies import study

OPTIONS = TransferOptions()
PATIENTS = st.lists(st.sampled_from([f"p{k}" for k in range(12)]), min_size=3, max_size=60).filter(
    lambda ids: len(set(ids)) >= 3
)
FRACTIONS = st.floats(0.01, 0.99)


def owners(split, ids):
    return [{ids[k] for k in part} for part in (split.train, split.validation, split.test)]


@given(PATIENTS, FRACTIONS, FRACTIONS, st.integers(0, 50))
def test_parts_are_cut_between_patients_and_nothing_is_lost(ids, validation, test, seed):
    options = TransferOptions(validation_fraction=validation, test_fraction=test)
    split = split_target("t", ids, options, seed)
    for some in (split, split_source("s", ids, options, seed)):
        assert sorted(some.train + some.validation + some.test) == list(range(len(ids)))
        train, held_out, tested = owners(some, ids)
        assert train
        assert held_out
        assert bool(tested) == (some is split)
        assert not (train & held_out | train & tested | held_out & tested)
    assert split == split_target("t", ids, options, seed)
    # All seeds test the same patients.
    assert split.test == split_target("t", ids, options, seed + 1).test


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


@pytest.mark.parametrize(
    ("split", "ids", "message"),
    [
        (
            lambda ids: split_target("Lung", ids, TransferOptions(target_cases=8), 0),
            "0123456789",
            "'Lung': target_cases 8 needs 8 patients to train on and 2 to validate on, found 7 besides the",
        ),
        (
            lambda ids: split_target("Lung", ids, TransferOptions(select="last", target_cases=5, test_fraction=0.5), 0),
            "01234567",
            "needs 5 patients to train on, found 4 besides the 4 to test on",
        ),
        (lambda ids: split_target("Lung", ids, OPTIONS, 0), "aaaa", "'Lung': expected at least 3 patients .* found 1;"),
        (lambda ids: split_target("Lung", ids, OPTIONS, 0), "abab", "'Lung': expected at least 3 patients .* found 2;"),
        (lambda ids: split_source("Lung", ids, OPTIONS, 0), "aa", "'Lung': expected at least 2 patients to pre-train"),
        (
            lambda ids: split_source("Lung", ids, OPTIONS, 0, left_out=(0, 1)),
            "abc",
            "found 1 besides the 2 that a target is tested on; add patients",
        ),
    ],
)
def test_too_few_patients_are_an_error(split, ids, message):
    with pytest.raises(DataError, match=message):
        split([*ids])


OTHER = disks("other", seed=9)


def sources_of(target):
    return [name for name in ("target", "same", "other") if name != target]


def seen(samples, tested):
    return seen_test_samples({one.name: one for one in samples}, {"target": tested}, sources_of)


def test_datasets_without_a_common_image_may_share_names():
    target = disks("target", seed=1)
    assert target.patient_ids == OTHER.patient_ids
    assert seen([target, OTHER, disks("same", seed=2)], range(4)) == {}


def test_patients_with_a_test_image_or_name_are_left_out_whole():
    target = disks("target", seed=1, patients=4, slices=2)
    # Another task on the same images, of which one was not chosen for a patient.
    images = target.images.clone()
    images[3] += 1
    same = replace(target, name="same", images=images)
    # Patient 1 has the samples 2 and 3.
    assert seen([target, same, OTHER], [2]) == {"same": (2, 3)}
    assert seen([target, same, OTHER], [3]) == {"same": (2, 3)}
    renamed = replace(same, patient_ids=tuple(f"other {name}" for name in same.patient_ids))
    assert seen([target, renamed, OTHER], [2]) == {"same": (2, 3)}
    assert seen([target, renamed, OTHER], [3]) == {}


def test_a_source_split_without_them():
    ids = [str(k // 2) for k in range(20)]
    for seed in range(10):
        split = split_source("s", ids, TransferOptions(), seed, left_out=(4, 11))
        assert not {4, 5, 10, 11} & {*split.train, *split.validation}
        assert len(split.train) + len(split.validation) == 16


def test_a_study_of_two_tasks_on_the_same_images(tmp_path, monkeypatch):
    near = disks("near", patients=8, seed=1)
    # The background as the task of another dataset on the same images.
    far = replace(near, name="far", masks=~near.masks)
    prepared = study(tmp_path, [near, far, disks("other", seed=3)], seeds=(0,), steps=2, fine_tuning_steps=2)
    trained = {}

    def watched(samples, split, *args, **options):
        trained[options["identity"]["run"]] = split
        raise KeyboardInterrupt

    monkeypatch.setattr("medsegdist.transfer.runs.train_with_retry", watched)
    for run in prepared.runs:
        if run.kind == "pretraining":
            with pytest.raises(KeyboardInterrupt):
                perform(prepared.assignment(run, "cpu"))
    tested = split_target("near", near.patient_ids, prepared.options, 0).test
    for run in prepared.runs:
        if run.kind == "pretraining":
            used = {*trained[run.key].train, *trained[run.key].validation}
            assert used.isdisjoint(tested) == (run.source != "other")
            assert len(used) == len(near) - (len(tested) if run.source != "other" else 0)


def test_only_overlaps_change_the_key_of_a_pretraining(tmp_path):
    samples = [disks("near", seed=1), disks("far", seed=2), disks("other", seed=3)]
    before = {run.title: run.key for run in study(tmp_path, samples).runs if run.kind == "pretraining"}
    shared = [samples[0], replace(samples[1], images=samples[0].images.clone()), samples[2]]
    after = {run.title: run.key for run in study(tmp_path, shared).runs if run.kind == "pretraining"}
    assert {title for title in before if before[title] == after[title]} == {
        "pretraining other, seed 0",
        "pretraining other, seed 1",
    }
