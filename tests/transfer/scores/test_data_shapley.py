"""Data Shapley against its axioms, and of trainings."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from medsegdist.transfer.scores import transferability
from medsegdist.transfer.scores.transferability import data_shapley

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
def test_in_an_additive_game_everybody_gets_what_it_is_worth(orders, monkeypatch):
    monkeypatch.setattr(transferability, "ORDERS", orders)
    assert data_shapley(WORTH, additive) == pytest.approx(WORTH)


@pytest.mark.parametrize("seed", range(3))
def test_all_orders_are_shapleys_formula(seed):
    names = list("abcde")
    utility = random_game(names, seed)
    assert data_shapley(names, utility) == pytest.approx(by_subsets(names, utility))


def test_drawn_orders_come_near_to_all_and_sum_to_what_all_are_worth(monkeypatch):
    monkeypatch.setattr(transferability, "ORDERS", 800)
    names = list("abcdefg")
    utility = random_game(names, 0)
    found, expected = data_shapley(names, utility), by_subsets(names, utility)
    assert found == pytest.approx(expected, abs=0.3)
    assert found != expected
    assert sum(found.values()) == pytest.approx(utility(frozenset(names)) - utility(frozenset()))
    assert data_shapley(names, utility) == found


def test_what_is_refused():
    with pytest.raises(ValueError, match="expected at least 1 source, each named once, found "):
        data_shapley(["a", "a"], additive)
    with pytest.raises(ValueError, match=r"expected a finite utility of \{a, b\}, found nan"):
        data_shapley(["b", "a"], lambda some: math.nan if len(some) == 2 else 0.0)
