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


def gloves(some):
    """One left glove and two right ones: a pair is worth 1."""
    return float("left" in some and len(some) > 1)


def values(result):
    return {one.source: one.value for one in result.values}


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
    result = data_shapley(WORTH, additive, orders=orders)
    assert values(result) == pytest.approx(WORTH)
    assert result.exact == (orders == 24)


def test_the_glove_game():
    result = data_shapley(["left", "right", "other right"], gloves)
    assert values(result) == pytest.approx({"left": 2 / 3, "right": 1 / 6, "other right": 1 / 6})
    assert (result.exact, result.orders, result.utilities, result.truncated) == (True, 6, 8, 0)
    assert [one.error for one in result.values] == [0, 0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_all_orders_are_shapleys_formula(seed):
    names = list("abcde")
    utility = random_game(names, seed)
    assert values(data_shapley(names, utility, orders=120)) == pytest.approx(by_subsets(names, utility))


def test_drawn_orders_come_within_their_standard_errors():
    names = list("abcdefg")
    utility = random_game(names, 0)
    result, expected = data_shapley(names, utility, orders=800), by_subsets(names, utility)
    assert not result.exact
    for one in result.values:
        assert 0 < one.error < 0.2
        assert abs(one.value - expected[one.source]) < 4 * one.error
    assert data_shapley(names, utility, orders=800, seed=1) != result
    assert data_shapley(names, utility, orders=800) == result


@pytest.mark.parametrize("orders", [7, 120])
def test_values_sum_to_what_all_are_worth_together(orders):
    names = list("abcde")
    utility = random_game(names, 4)
    result = data_shapley(names, utility, orders=orders)
    assert sum(values(result).values()) == pytest.approx(utility(frozenset(names)) - utility(frozenset()))


def saturating(some):
    """Each further source halves what is missing: monotone, as more data often is."""
    return 1 - 0.5 ** len(some)


# Sets of at most 5, 4 and 2 of the six sources come within the tolerance, and all of them are asked for together.
@pytest.mark.parametrize(("tolerance", "utilities", "left"), [(0.02, 64, 1), (0.1, 58, 2), (0.3, 23, 4)])
def test_truncation_spares_trainings_and_costs_no_more_than_the_tolerance(tolerance, utilities, left):
    names = list("abcdef")
    whole = data_shapley(names, saturating, orders=720)
    short = data_shapley(names, saturating, orders=720, tolerance=tolerance)
    assert short.truncated == 720 * left
    assert not short.exact
    assert short.utilities == utilities
    lost = sum(values(whole).values()) - sum(values(short).values())
    assert 0 < lost <= tolerance
    for name in names:
        assert 0 <= values(whole)[name] - values(short)[name] <= tolerance


def test_without_tolerance_nothing_is_cut_short():
    assert data_shapley(["a", "b", "c"], lambda some: 1.0, tolerance=0.0).truncated == 0


def test_each_set_is_trained_on_once():
    asked = []

    def utility(some):
        asked.append(some)
        return float(len(some))

    result = data_shapley(list("abcd"), utility, orders=500)
    assert len(asked) == len(set(asked)) == result.utilities == 16


def test_a_source_that_adds_nothing_and_two_that_are_alike():
    def utility(some):
        return float(len(some & {"a", "b"}) ** 2)

    found = values(data_shapley(["a", "b", "idle"], utility))
    assert found["idle"] == 0
    assert found["a"] == found["b"] == 2


def test_what_is_refused():
    with pytest.raises(ValueError, match="expected at least 1 source, each named once, found "):
        data_shapley(["a", "a"], additive)
    with pytest.raises(ValueError, match="expected orders >= 1 and a tolerance >= 0, found 0 and 0"):
        data_shapley(["a"], additive, orders=0)
    with pytest.raises(ValueError, match="a tolerance >= 0, found 200 and nan"):
        data_shapley(["a"], additive, tolerance=math.nan)
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
        result = data_shapley(sources, dice_after)
    worth = {one.source: one.value for one in result.values}
    assert (result.exact, result.utilities) == (True, 8)
    assert min(worth["near"], worth["also near"]) > max(0.1, worth["far"] + 0.2)
