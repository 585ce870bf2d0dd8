"""A ridge regression of the order of a target's sources on features of the pairs, fast for any part of a library."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medsegdist.recommend.learned import RidgeFit

Array = NDArray[np.float64]

PENALTIES = tuple(10.0 ** np.arange(0, 4.01, 0.5))  # ridge penalties that cross-validation chooses among
EFFECT_SCALES = (0.0, 0.5, 1.0, 2.0)  # sizes of the sources' own effects that it chooses among; 0 is none

FEATURE_SETS: Mapping[str, tuple[str, ...]] = {
    "all": ("term", "difference", "own"),
    "distances": ("term",),
    "characteristics": ("difference", "own"),
}
"""Sets of features that it chooses among: the first words of their names."""


class PairRows:
    """Features and ranks of pairs, with sums of products by the families of target and source: any part is fitted fast.

    Features are centered within targets; of ranks, from -1 to 1 within each target, there may be several columns.
    """

    def __init__(self, features: pd.DataFrame, ranks: pd.Series | pd.DataFrame, families: pd.Series) -> None:
        values = features.dropna(axis=1, how="all").fillna(0.0)
        deviations = values.std(ddof=0)
        values, deviations = values.loc[:, deviations > 0], deviations[deviations > 0]
        self.names, self.deviations = [str(name) for name in values], deviations.to_numpy()
        targets, sources = (features.index.get_level_values(key) for key in ("target", "source"))
        self.sources = [str(name) for name in dict.fromkeys(sources)]
        own = pd.DataFrame(
            np.equal.outer(np.asarray(sources), np.asarray(self.sources)), index=features.index, dtype=float
        )
        # An effect is centered within the target as features are.
        own -= own.groupby(level="target").transform("mean")
        self.x = np.hstack([values.to_numpy() / self.deviations, own.to_numpy()])
        self.y = pd.DataFrame(ranks).loc[features.index].to_numpy()
        of_target, of_source = families[targets].to_numpy(), families[sources].to_numpy()
        self.families = [str(name) for name in dict.fromkeys([*of_target, *of_source])]
        self.place = place = {name: k for k, name in enumerate(self.families)}
        # The same families are left out for many targets and sources.
        self.solutions: dict[tuple[frozenset[str], str, float], Array] = {}
        self.sums_of: dict[frozenset[str], tuple[Array, Array]] = {}
        self.weights_of = {choice: self._weights(*choice) for choice in product(FEATURE_SETS, EFFECT_SCALES)}
        self.of_target, self.of_source = (np.array([place[name] for name in some]) for some in (of_target, of_source))
        count, width = len(place), self.x.shape[1]
        self.gram = np.zeros((count, count, width, width))
        self.moment = np.zeros((count, count, width, self.y.shape[1]))
        for one, other in set(zip(self.of_target.tolist(), self.of_source.tolist(), strict=True)):
            of_pair = (self.of_target == one) & (self.of_source == other)
            self.gram[one, other] = self.x[of_pair].T @ self.x[of_pair]
            self.moment[one, other] = self.x[of_pair].T @ self.y[of_pair]
        # Of all rows, and of those that a family has a part in, as target or source.
        self.all_gram, self.all_moment = self.gram.sum((0, 1)), self.moment.sum((0, 1))
        self.gram_of, self.moment_of = (some.sum(0) + some.sum(1) for some in (self.gram, self.moment))

    def sums(self, unseen: frozenset[str]) -> tuple[Array, Array]:
        """Sums over rows of which neither family is unseen."""
        if unseen not in self.sums_of:
            at = [self.place[name] for name in unseen if name in self.place]
            gram = self.all_gram - self.gram_of[at].sum(0) + self.gram[np.ix_(at, at)].sum((0, 1))
            moment = self.all_moment - self.moment_of[at].sum(0) + self.moment[np.ix_(at, at)].sum((0, 1))
            self.sums_of[unseen] = gram, moment
        return self.sums_of[unseen]

    def of_target_family(self, family: str, unseen: Collection[str]) -> tuple[Array, Array]:
        """Rows of the targets of a family, without sources of unseen families."""
        hidden = np.zeros(len(self.families), dtype=bool)
        hidden[[self.place[name] for name in unseen if name in self.place]] = True
        rows = (self.of_target == self.place[family]) & ~hidden[self.of_source]
        return self.x[rows], self.y[rows]

    def _weights(self, name: str, scale: float) -> Array:
        """What each column is multiplied by: 1 for features of the set, the scale for effects."""
        used = [float(one.split()[0] in FEATURE_SETS[name]) for one in self.names]
        return np.array(used + [scale] * len(self.sources))

    def solve(self, unseen: frozenset[str], name: str, scale: float) -> Array:
        """(penalties, columns, ranks) coefficients by each penalty, 0 for columns that are not used."""
        key = unseen, name, scale
        if key in self.solutions:
            return self.solutions[key]
        (gram, moment), weights = self.sums(unseen), self.weights_of[name, scale]
        at = weights > 0
        values, vectors = np.linalg.eigh(gram[np.ix_(at, at)] * np.outer(weights[at], weights[at]))
        turned = vectors.T @ (weights[at, None] * moment[at])
        shrunk = turned / (values[:, None] + np.array(PENALTIES)[:, None, None])
        found = np.zeros((len(PENALTIES), len(weights), moment.shape[1]))
        found[:, at] = weights[at, None] * (vectors @ shrunk)
        self.solutions[key] = found
        return found


def fit_ridge(rows: PairRows, *, unseen: Collection[str] = (), known_sources: bool = True) -> RidgeFit:
    """Learns how the order of sources goes with their features, as :func:`fit_each` does, from one column of ranks."""
    (fit,) = fit_each(rows, unseen=unseen, known_sources=known_sources)
    return fit


def fit_each(rows: PairRows, *, unseen: Collection[str] = (), known_sources: bool = True) -> list[RidgeFit]:
    """Learns each of several orders of the same sources by itself.

    Feature set, penalty and the size of the sources' own effects are chosen by the squared error on families of targets
    that are left out in turn, whose members are left out as sources, too. Families are `unseen` in any role.
    """
    seen = [name for name in rows.families if name not in unseen]
    choices = list(product(FEATURE_SETS, EFFECT_SCALES if known_sources else (0.0,)))
    errors = np.zeros((len(choices), len(PENALTIES), rows.y.shape[1]))
    for out in seen:
        x, y = rows.of_target_family(out, unseen)
        if len(y):
            for k, (name, scale) in enumerate(choices):
                errors[k] += np.square(y - x @ rows.solve(frozenset([*unseen, out]), name, scale)).sum(axis=1)
    found = []
    for k, error in enumerate(np.moveaxis(errors, -1, 0)):
        best, at = np.unravel_index(np.argmin(error), error.shape)
        name, scale = choices[best]
        solution = rows.solve(frozenset(unseen), name, scale)[at, :, k]
        used = np.flatnonzero(rows.weights_of[name, 0.0]).tolist()
        found.append(
            RidgeFit(
                coefficients={rows.names[j]: float(solution[j]) for j in used},
                deviations={rows.names[j]: float(rows.deviations[j]) for j in used},
                effects=dict(zip(rows.sources, solution[len(rows.names) :].tolist(), strict=True)) if scale else {},
                penalty=PENALTIES[at],
                effect_scale=scale,
            )
        )
    return found
