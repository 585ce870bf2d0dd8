"""Data Shapley with trainings as its utility, where it is known which sources help."""

import numpy as np
import pytest
import torch

from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.transfer_options import TransferOptions
from medsegdist.transfer.comparators.data_shapley import data_shapley
from medsegdist.transfer.evaluation import evaluate
from medsegdist.transfer.splits import split_source, split_target
from medsegdist.transfer.training import train
from tests.transfer.making import SMALL_DEEPLAB, quick
from tests.transfer.test_planted import two_disks

PRETRAINING = quick(network=SMALL_DEEPLAB, steps=60, validate_every=20, learning_rate=3e-3)
FINE_TUNING = quick(network=SMALL_DEEPLAB, steps=10, validate_every=10, learning_rate=1e-4)


def together(parts):
    """One dataset of several, whose patients stay apart."""
    owners = [f"{part.name} {patient}" for part in parts for patient in part.patient_ids]
    images, masks = (np.concatenate([getattr(part, name).numpy() for part in parts]) for name in ("images", "masks"))
    return SegmentationSamples.from_arrays("together", images, masks, case_ids=owners, patient_ids=owners)


@pytest.mark.slow
def test_sources_of_the_targets_task_are_worth_more_than_one_of_another():
    target = two_disks("target", label="bright", patients=12, seed=0)
    sources = {
        "near": two_disks("near", label="bright", patients=8, seed=1),
        "also near": two_disks("also near", label="bright", patients=8, seed=3),
        "far": two_disks("far", label="dark", patients=8, seed=2),
    }
    split = split_target(target.name, target.patient_ids, TransferOptions(target_cases=2), 0)

    def dice_after(some):
        weights = None
        if some:
            union = together([sources[name] for name in sorted(some)])
            of_union = split_source(union.name, union.patient_ids, TransferOptions(), 0)
            weights = train(union, of_union, PRETRAINING, seed=0).network.state_dict()
        tuned = train(target, split, FINE_TUNING, seed=0, weights=weights)
        return evaluate(tuned.network, target, split.test, FINE_TUNING).dice

    with torch.random.fork_rng(devices=[]):
        result = data_shapley(sources, dice_after)
    worth = {one.source: one.value for one in result.values}
    assert (result.exact, result.utilities) == (True, 8)
    assert min(worth["near"], worth["also near"]) > max(0.1, worth["far"] + 0.2)
