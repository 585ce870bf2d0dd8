"""Data Shapley against its axioms, and of trainings."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch

from medsegdist.data.options import TransferOptions
from medsegdist.data.samples import SegmentationSamples
from medsegdist.transfer.evaluate import evaluate
from medsegdist.transfer.scores.transferability import data_shapley
from medsegdist.transfer.splits import split_source, split_target
from medsegdist.transfer.train import train
from tests.transfer.making import SMALL_DEEPLAB, quick
from tests.transfer.test_planted import two_disks

WORTH = {"a": 3.0, "b": -1.0, "c": 0.5, "d": 0.0}


def additive(some):
    return 10 + sum(WORTH[name] for name in some)


def by_subsets(names, utility):
    """Shapley's own formula, over sets and not over orders."""
    found = {}
    for name in names:
        others = [one for one in names if one != name]
        found[name] = sum(
            math.factorial(k)
            * math.factorial(len(others) - k)
            / math.factorial(len(names))
            * (utility(frozenset({name, *some})) - utility(frozenset(some)))
            for k in range(len(names))
            for some in combinations(others, k)
        )
    return found


def random_game(names, seed):
    worth = {}

    def utility(some):
        key = tuple(sorted(some))
        worth.setdefault(key, np.random.default_rng([seed, *(names.index(one) for one in key), 77]).normal())
        return worth[key]

    return utility


@pytest.mark.parametrize("orders", [1, 5, 24])
def test_in_an_additive_game_everybody_gets_what_it_is_worth(orders):
    assert data_shapley(WORTH, additive, orders=orders) == pytest.approx(WORTH)


@pytest.mark.parametrize("seed", range(3))
def test_all_orders_are_shapleys_formula(seed):
    names = list("abcde")
    utility = random_game(names, seed)
    assert data_shapley(names, utility, orders=120) == pytest.approx(by_subsets(names, utility))


def test_drawn_orders_come_near_to_all_and_sum_to_what_all_are_worth():
    names = list("abcdefg")
    utility = random_game(names, 0)
    found, expected = data_shapley(names, utility, orders=800), by_subsets(names, utility)
    assert found == pytest.approx(expected, abs=0.3)
    assert found != expected
    assert sum(found.values()) == pytest.approx(utility(frozenset(names)) - utility(frozenset()))
    assert data_shapley(names, utility, orders=800, seed=1) != found
    assert data_shapley(names, utility, orders=800) == found


def test_what_is_refused():
    with pytest.raises(ValueError, match="expected at least 1 source, each named once, found "):
        data_shapley(["a", "a"], additive)
    with pytest.raises(ValueError, match="expected orders >= 1, found 0"):
        data_shapley(["a"], additive, orders=0)
    with pytest.raises(ValueError, match=r"expected a finite utility of \{a, b\}, found nan"):
        data_shapley(["b", "a"], lambda some: math.nan if len(some) == 2 else 0.0)


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
        worth = data_shapley(sources, dice_after)
    assert min(worth["near"], worth["also near"]) > max(0.1, worth["far"] + 0.2)
