"""A ridge regression of the order of a target's sources on features of the pairs, and the order that it predicts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

Array = NDArray[np.float64]

PENALTIES = tuple(10.0 ** np.arange(0, 4.01, 0.5))
"""Ridge penalties that cross-validation chooses among."""

EFFECT_SCALES = (0.0, 0.5, 1.0, 2.0)
"""Sizes of the sources' own effects that it chooses among; 0 is none."""

FEATURE_SETS: Mapping[str, tuple[str, ...]] = {
    "all": ("term", "difference", "own"),
    "distances": ("term",),
    "characteristics": ("difference", "own"),
}
"""Sets of features that it chooses among: the first words of their names."""


@dataclass(frozen=True, slots=True)
class RidgeFit:
    """What was learned.

    Args:
        features: names of the features that are used.
        coefficients: of each, per library standard deviation.
        deviations: of each within the targets of the library.
        effects: what a source of the library brings beyond its features, by its name.
        penalty: that was chosen; 0 where that is not known.
        effect_scale: that was chosen; 0 is none.
    """

    features: tuple[str, ...]
    coefficients: Array
    deviations: Array
    effects: Mapping[str, float]
    penalty: float = 0.0
    effect_scale: float = 0.0

    def contributions(self, features: pd.DataFrame) -> pd.DataFrame:
        """What each feature adds to the prediction, a row per target and source; features that are unknown add 0.

        Args:
            features: centered within targets.
        """
        used = features.reindex(columns=list(self.features)).fillna(0.0)
        return used.mul(self.coefficients / self.deviations, axis=1)

    def predict(self, features: pd.DataFrame, known: Mapping[str, str] | None = None) -> pd.Series:
        """Predicted ranks within the target, higher for better sources; only their differences mean something.

        Args:
            features: a row per target and source, centered within targets.
            known: the entry of the library that a source is, by the source's name; None takes sources by their names.
        """
        sources = features.index.get_level_values("source")
        entries = sources if known is None else sources.map(lambda name: known.get(name, ""))
        effects = np.array([self.effects.get(name, 0.0) for name in entries])
        predicted: pd.Series = self.contributions(features).sum(axis=1) + effects
        return predicted


def fit_ridge(
    features: pd.DataFrame,
    ranks: pd.Series,
    families: pd.Series,
    *,
    unseen: Collection[str] = (),
    known_sources: bool = True,
) -> RidgeFit:
    """Learns how the order of sources goes with their features.

    Feature set, penalty and the size of the sources' own effects are chosen by the squared error on families of targets
    that are left out in turn, whose members are left out as sources, too.

    Args:
        features: a row per target and source, centered within targets.
        ranks: of the same rows, from -1 to 1 within each target.
        families: of each dataset, by name.
        unseen: families that may not be seen in any role, neither as targets nor as sources.
        known_sources: whether sources may have effects of their own.
    """
    cells = _Cells(features, ranks, families)
    seen = [name for name in cells.families if name not in unseen]
    scales = EFFECT_SCALES if known_sources else (0.0,)
    best: tuple[float, str, float, float] | None = None
    for name, scale in product(FEATURE_SETS, scales):
        columns = cells.columns(name, scale)
        for penalty in PENALTIES:
            error = sum(
                cells.error(columns, scale, penalty, [one for one in seen if one != out], out)
                for out in seen
                if out in cells.of_targets
            )
            if best is None or error < best[0] * (1 - 1e-9):
                best = (error, name, scale, penalty)
    assert best is not None
    _, name, scale, penalty = best
    columns = cells.columns(name, scale)
    solution = cells.solve(columns, scale, penalty, seen)
    count = sum(column < len(cells.names) for column in columns)
    used = columns[:count]
    effects = {
        cells.sources[c - len(cells.names)]: scale * v for c, v in zip(columns[count:], solution[count:], strict=True)
    }
    return RidgeFit(
        features=tuple(cells.names[c] for c in used),
        coefficients=solution[:count],
        deviations=cells.deviations[used],
        effects=effects,
        penalty=penalty,
        effect_scale=scale,
    )


class _Cells:
    """Sums of products of all rows by the families of target and source: any part of the rows is fitted at once."""

    def __init__(self, features: pd.DataFrame, ranks: pd.Series, families: pd.Series) -> None:
        values = features.dropna(axis=1, how="all").fillna(0.0)
        deviations = values.std(ddof=0)
        values = values.loc[:, deviations > 0]
        self.names = list(values.columns)
        self.deviations = deviations[deviations > 0].to_numpy()
        targets, sources = (features.index.get_level_values(key) for key in ("target", "source"))
        self.sources = list(dict.fromkeys(sources))
        # An effect is centered within the target as features are.
        own = pd.DataFrame(
            np.equal.outer(np.asarray(sources), np.asarray(self.sources)), index=features.index, dtype=float
        )
        own -= own.groupby(level="target").transform("mean")
        self.x = np.hstack([values.to_numpy() / self.deviations, own.to_numpy()])
        self.y = ranks.loc[features.index].to_numpy()
        self.of_target, self.of_source = families[targets].to_numpy(), families[sources].to_numpy()
        self.families = list(dict.fromkeys([*self.of_target, *self.of_source]))
        self.of_targets = frozenset(self.of_target)
        self.gram, self.moment = {}, {}
        for pair in set(zip(self.of_target, self.of_source, strict=True)):
            rows = (self.of_target == pair[0]) & (self.of_source == pair[1])
            self.gram[pair] = self.x[rows].T @ self.x[rows]
            self.moment[pair] = self.x[rows].T @ self.y[rows]

    def columns(self, name: str, scale: float) -> list[int]:
        chosen = [k for k, one in enumerate(self.names) if one.split()[0] in FEATURE_SETS[name]]
        return chosen + (list(range(len(self.names), self.x.shape[1])) if scale else [])

    def solve(self, columns: Sequence[int], scale: float, penalty: float, seen: Sequence[str]) -> Array:
        pairs = [pair for pair in product(seen, seen) if pair in self.gram]
        weights = np.where(np.asarray(columns) < len(self.names), 1.0, scale)
        at = np.ix_(columns, columns)
        gram = sum(self.gram[pair][at] for pair in pairs) * np.outer(weights, weights)
        moment = sum(self.moment[pair][list(columns)] for pair in pairs) * weights
        return np.linalg.solve(gram + penalty * np.eye(len(columns)), moment)

    def error(self, columns: Sequence[int], scale: float, penalty: float, seen: Sequence[str], left_out: str) -> float:
        weights = np.where(np.asarray(columns) < len(self.names), 1.0, scale)
        rows = (self.of_target == left_out) & np.isin(self.of_source, [*seen, left_out])
        solution = self.solve(columns, scale, penalty, seen)
        return float(np.square(self.y[rows] - self.x[np.ix_(rows, columns)] @ (weights * solution)).sum())


def chance_of_best(predicted: Array, deviation: float) -> Array:
    """The probability of each source to be the best, if predictions are off by independent normal errors.

    Args:
        predicted: (n,) predictions, higher for better.
        deviation: of the errors, above 0.

    Returns:
        (n,) probabilities that sum to 1.

    >>> chance_of_best(np.array([0.0, 0.0]), 1.0)
    array([0.5, 0.5])
    """
    levels = np.asarray(predicted, dtype=np.float64) / deviation
    points = np.linspace(levels.min() - 8, levels.max() + 8, 2001)
    below = norm.logcdf(points[:, None] - levels)
    density = np.exp(norm.logpdf(points[:, None] - levels) + below.sum(axis=1, keepdims=True) - below)
    chances = np.trapezoid(density, points, axis=0)
    return np.asarray(chances / chances.sum())
