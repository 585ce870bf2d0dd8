"""Data Shapley of whole source datasets (Ghorbani and Zou 2019, the paper's [42])."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations as all_orders

import numpy as np

Utility = Callable[[frozenset[str]], float]
"""From a set of sources to what pre-training on all of them together is worth, such as a validation Dice score."""


@dataclass(frozen=True, slots=True)
class ShapleyValue:
    """What one source contributes.

    Args:
        source: its name.
        value: its mean contribution over orders in which sources join, in the unit of the utility.
        error: standard error of that mean over the orders that were drawn, without what truncation adds; 0 if all
            orders were tried.
    """

    source: str
    value: float
    error: float


@dataclass(frozen=True, slots=True)
class ShapleyResult:
    """The contributions of all sources.

    Args:
        values: one for each source, in the order given.
        orders: in which sources joined, that were tried.
        exact: these were all orders there are, and none was cut short.
        utilities: how many sets had to be trained on; each is asked for once.
        truncated: contributions that were taken for 0 without a look. Each is in fact at most twice the tolerance if
            the utility stays within the tolerance of that of all sources from there on.
    """

    values: tuple[ShapleyValue, ...]
    orders: int
    exact: bool
    utilities: int
    truncated: int


def data_shapley(
    sources: Iterable[str], utility: Utility, *, orders: int = 200, tolerance: float = 0.0, seed: int = 0
) -> ShapleyResult:
    """Shapley values of sources by truncated Monte Carlo.

    Sources join in a random order, and each is credited with what the utility rises by. Once the utility is within the
    tolerance of that of all sources, those still to come get 0 (Ghorbani and Zou, "Data Shapley: Equitable Valuation of
    Data for Machine Learning", ICML 2019, Algorithm 1). Where there are no more orders than asked for, all are tried.
    Values sum to utility(all) - utility(none), up to the tolerance.

    Args:
        sources: names of the datasets.
        utility: of any set of them, the empty one included; it is asked once for each set, and dear: a training.
        orders: how many to draw at most.
        tolerance: in the unit of the utility, >= 0; 0 cuts nothing short. The noise of the utility is a good choice.
        seed: of the orders.

    Raises:
        ValueError: a source stands twice or there is none; `orders` < 1; the tolerance is negative; the utility is
            NaN or infinite.
    """
    names = list(sources)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"expected at least 1 source, each named once, found {names}.")
    if orders < 1 or not tolerance >= 0:
        raise ValueError(f"expected orders >= 1 and a tolerance >= 0, found {orders} and {tolerance}.")
    complete = math.factorial(len(names)) <= orders
    known: dict[frozenset[str], float] = {}

    def worth(some: Sequence[str]) -> float:
        key = frozenset(some)
        if key not in known:
            known[key] = float(utility(key))
            if not math.isfinite(known[key]):
                raise ValueError(f"expected a finite utility of {{{', '.join(sorted(key))}}}, found {known[key]}.")
        return known[key]

    tried = list(all_orders(names)) if complete else _drawn(names, orders, seed)
    contributions = {name: np.zeros(len(tried)) for name in names}
    best, nothing, truncated = worth(names), worth(()), 0
    for row, order in enumerate(tried):
        before = nothing
        for k, name in enumerate(order):
            if abs(best - before) < tolerance:
                truncated += len(order) - k
                break
            after = worth(order[: k + 1])
            contributions[name][row] = after - before
            before = after
    return ShapleyResult(
        values=tuple(
            ShapleyValue(name, float(found.mean()), _error(found, complete)) for name, found in contributions.items()
        ),
        orders=len(tried),
        exact=complete and not truncated,
        utilities=len(known),
        truncated=truncated,
    )


def _drawn(names: Sequence[str], orders: int, seed: int) -> list[tuple[str, ...]]:
    rng = np.random.default_rng(seed)
    return [tuple(names[k] for k in rng.permutation(len(names))) for _ in range(orders)]


def _error(found: np.ndarray, complete: bool) -> float:
    if complete:
        return 0.0
    return float(found.std(ddof=1)) / math.sqrt(len(found)) if len(found) > 1 else math.inf
