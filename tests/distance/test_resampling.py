"""Patients drawn anew, whole and with replacement."""

from dataclasses import replace

import torch

from medsegdist.distance.resampling import draw_patients
from tests.synthetic import blobs, resample_patients

SAMPLES = blobs("a", n=12, patients=4)


def test_row_0_is_the_dataset_and_every_other_row_draws_as_many_patients_as_there_are():
    weights = resample_patients(SAMPLES, 50, seed=3)
    assert torch.equal(weights[0], SAMPLES.weights)
    times = weights[1:] / SAMPLES.weights
    assert torch.allclose(times, times.round(), rtol=0, atol=1e-12)
    for patient in SAMPLES.patients:
        own = [k for k, name in enumerate(SAMPLES.patient_ids) if name == patient]
        together = times[:, own] - times[:, own[:1]]
        assert together.abs().max() < 1e-12, "a patient's samples come and go together"
    first_of_each = [SAMPLES.patient_ids.index(patient) for patient in SAMPLES.patients]
    assert torch.allclose(times[:, first_of_each].sum(1), torch.tensor(4.0).double())


def test_draws_are_as_often_as_chance_has_it():
    weights = resample_patients(SAMPLES, 20_000, seed=0)[1:] / SAMPLES.weights
    assert (weights.mean(0) - 1).abs().max() < 0.03
    # A patient stays away with probability (3/4)^4.
    assert ((weights == 0).double().mean(0) - 0.75**4).abs().max() < 0.02


def test_the_order_of_the_samples_does_not_matter_but_seed_and_name_do():
    order = [5, 3, 11, 0, 7, 1, 9, 2, 10, 4, 8, 6]
    drawn = resample_patients(SAMPLES, 20, seed=1)
    assert torch.equal(resample_patients(SAMPLES.take(order), 20, seed=1), drawn[:, order])
    assert not torch.equal(resample_patients(SAMPLES, 20, seed=2), drawn)
    assert not torch.equal(resample_patients(replace(SAMPLES, name="b"), 20, seed=1), drawn)


def test_one_patient_cannot_be_drawn_anew():
    assert resample_patients(blobs("a", patients=1), 10, seed=0) is None


def test_every_replicate_has_a_patient_of_every_class():
    times = draw_patients("a", [["p", "q", "r", "s"], ["s"]], 200, seed=1)
    assert times["s"].min() >= 1
    assert {int(sum(times[patient][k] for patient in times)) for k in range(200)} == {4}
