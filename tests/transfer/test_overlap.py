"""No pre-training sees a patient whom a target is tested on."""

from dataclasses import replace

import pytest

from medsegdist.data.transfer_options import TransferOptions
from medsegdist.errors import DataError
from medsegdist.transfer.overlap import seen_test_samples
from medsegdist.transfer.performing import perform
from medsegdist.transfer.splits import split_source, split_target
from tests.transfer.making import disks
from tests.transfer.studies import study

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


def test_too_few_that_are_left_is_an_error():
    with pytest.raises(DataError, match="found 1 beside the 2 whom a target is tested on; add patients"):
        split_source("s", ["a", "b", "c"], TransferOptions(), 0, left_out=(0, 1))


def test_a_study_of_two_tasks_on_the_same_images(tmp_path, monkeypatch):
    near = disks("near", patients=8, seed=1)
    # The background as the task of another dataset on the same images.
    far = replace(near, name="far", masks=~near.masks)
    prepared = study(tmp_path, [near, far, disks("other", seed=3)], seeds=(0,), steps=2, fine_tuning_steps=2)
    trained = {}

    def watched(samples, split, *args, **options):
        trained[options["identity"]["run"]] = split
        raise KeyboardInterrupt

    monkeypatch.setattr("medsegdist.transfer.performing.train_proven", watched)
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
