"""What was learned from a library, as a file, and the order of sources that it recommends for a new target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveFloat, TypeAdapter
from scipy.stats import norm

from medsegdist.distance.order import Recommendation
from medsegdist.distance.resampling import shared_ranks
from medsegdist.distance.table import DistanceTable
from medsegdist.errors import DataError
from medsegdist.files import atomic_write, read_json
from medsegdist.recommend.pair_features import pair_features

if TYPE_CHECKING:
    from medsegdist.recommend.library import Library

KNOWN, NEW = "learned, known sources", "learned, new families"
"""The learned rules: where a source of the list is an entry of the library, and where none is."""

SURE = 0.975  # probability from which on one source is better than another
ALIKE = 0.02  # characteristics that differ by less than this share are of one dataset

_Share = Annotated[FiniteFloat, Field(ge=0, le=1)]


class Evidence(BaseModel):
    """How well a rule did on targets of families that it had not seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: int
    spearman: FiniteFloat  # mean correlation of predicted and measured order
    within_2: _Share  # share of targets whose first choice was within 2 Dice points of the best source
    regret: FiniteFloat  # Dice points that the first choice was behind the best source, mean over targets


class RidgeFit(BaseModel):
    """What was learned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    coefficients: dict[str, FiniteFloat]  # of each feature that is used, by its name, per library standard deviation
    deviations: dict[str, PositiveFloat]  # of each within the targets of the library
    # What a source of the library brings beyond its features, by its name.
    effects: dict[str, FiniteFloat] = Field(default_factory=dict)
    penalty: float = Field(default=0.0, exclude=True)  # that was chosen; 0 where that is not known
    effect_scale: float = Field(default=0.0, exclude=True)  # that was chosen; 0 is none

    def predict(self, features: pd.DataFrame, known: Mapping[str, str] | None = None) -> pd.Series:
        """Predicted ranks within the target, higher for better sources; only their differences mean something.

        `features` are centered within targets; those that are not known add nothing. `known` has the entry of the
        library that a source is, by the source's name; None takes sources by their names.
        """
        sources = features.index.get_level_values("source")
        entries = sources if known is None else sources.map(lambda name: known.get(name, ""))
        effects = np.array([self.effects.get(name, 0.0) for name in entries])
        weights = pd.Series(self.coefficients) / pd.Series(self.deviations)
        used = features.reindex(columns=weights.index).fillna(0.0)
        predicted: pd.Series = used.mul(weights, axis=1).sum(axis=1) + effects
        return predicted


class Weights(RidgeFit):
    """What one rule learned, see :class:`RidgeFit`."""

    error: PositiveFloat  # standard deviation of the errors of predicted ranks, where the rule had not seen the target


class LearnedRanking(BaseModel):
    """A rule to rank the sources of a new target by: what `medsegdist learn` writes.

    Args:
        format: identifies the file.
        steps: of fine-tuning that it was learned from.
        evidence: how well each distance and rule did, and choices such as "a source at random", by their names.
        known: for lists with sources of the library, whose own effects were measured.
        new: for lists of sources that nobody has measured.
        entries: characteristics of each source of the library, by its name and theirs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["medsegdist ranking 1"] = "medsegdist ranking 1"
    steps: int
    evidence: dict[str, Evidence]
    known: Weights
    new: Weights
    entries: dict[str, dict[str, FiniteFloat]]

    @classmethod
    def learn(cls, library: Library, judged: Mapping[str, pd.DataFrame], errors: Mapping[str, float]) -> Self:
        """Learns from the transfers of a `library`.

        `judged` are the predictors and choices of :func:`~medsegdist.recommend.predictors.judge_predictors`, and so are
        `errors`.
        """
        from medsegdist.recommend.model import PairRows, fit_ridge

        pairs = PairRows(library.features, library.ranks, library.families)
        sources = library.features.index.unique("source")
        # Not what single features do.
        features = [str(name) for name in library.features]
        single = {*features, *(f"{name.removeprefix('term ')}, term alone" for name in features)}
        single |= {"learned from shuffled Dice", "number of samples"}
        return cls(
            steps=library.step,
            evidence={
                name: Evidence(targets=len(rows), **rows.fillna(0.0).mean()[["spearman", "within_2", "regret"]])
                for name, rows in judged.items()
                if name not in single
            },
            known=Weights(**fit_ridge(pairs).model_dump(), error=errors[KNOWN]),
            new=Weights(**fit_ridge(pairs, known_sources=False).model_dump(), error=errors[NEW]),
            entries={
                str(name): {str(key): float(value) for key, value in library.characteristics.loc[name].dropna().items()}
                for name in sources
            },
        )

    def save(self, path: str | Path) -> None:
        """Writes it to `path` as JSON, whole or not at all."""
        with atomic_write(path) as file:
            file.write(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path | None = None) -> Self:
        """Reads what :meth:`save` wrote.

        Args:
            path: the file; None reads what the library of public tasks in `scripts/results/transfer_library` teaches.

        Raises:
            DataError: it is no such file.
        """
        path = Path(__file__).with_name("ranking.json") if path is None else Path(path)
        return read_json(path, TypeAdapter(cls), "learn", "give a ranking that it wrote")

    def check_named(self, named: Mapping[str, str]) -> None:
        """Refuses entries, `named` by a study for its datasets, that there are not; an empty one names none.

        Raises:
            DataError: there is no such entry.
        """
        for name, entry in named.items():
            if entry and entry not in self.entries:
                raise DataError(
                    f"library: expected an entry of the ranking, {', '.join(self.entries)}, found '{entry}'",
                    dataset=name,
                )

    def entry_of(self, characteristics: pd.Series) -> str:
        """The entry of the library that has the `characteristics` of a source; empty if none has."""
        for entry, known in self.entries.items():
            pairs = [(float(characteristics[key]), value) for key, value in known.items() if key in characteristics]
            if pairs and all(abs(one - other) <= ALIKE * max(abs(other), 1e-9) for one, other in pairs):
                return entry
        return ""

    def applied(self, table: DistanceTable, characteristics: pd.DataFrame, named: Mapping[str, str]) -> DistanceTable:
        """The `table`, whose terms are normalized, with the order that was learned as the recommended one.

        `characteristics` have a row per dataset, with a column per characteristic and one called samples; `named` are
        the entries that the study names, by the names of datasets.
        """
        sources = dict.fromkeys(row.source for row in table.rows)
        entries = {one: named.get(one) or self.entry_of(characteristics.T[one]) for one in sources}
        features = pair_features(table.to_frame(), characteristics)
        return replace(table, recommendations=tuple(self.order(features, entries)))

    def order(self, features: pd.DataFrame, entries: Mapping[str, str]) -> Iterator[Recommendation]:
        """The sources of each target of `features`, the best first; `entries` of the library are by their names.

        Sources share a rank where the better one of them is so with a probability below 0.975 only.
        """
        for target, rows in features.groupby(level="target", sort=False):
            yield from self._order_of(str(target), rows, entries)

    def _order_of(self, target: str, rows: pd.DataFrame, entries: Mapping[str, str]) -> Iterator[Recommendation]:
        sources = [str(name) for name in rows.index.get_level_values("source")]
        known = any(entries.get(source) for source in sources)
        weights, rule = (self.known, KNOWN) if known else (self.new, NEW)
        scores = weights.predict(rows, entries).to_numpy()
        predicted = dict(zip(sources, scores.tolist(), strict=True))
        chances = dict(zip(sources, chance_of_best(scores, weights.error).tolist(), strict=True))

        def joins(first: str, source: str) -> bool:
            # The difference of two independent normal errors.
            return bool(norm.cdf(predicted[first] - predicted[source], scale=weights.error * 2**0.5) < SURE)

        in_order = sorted(sources, key=lambda source: -predicted[source])
        for source, (rank, tied) in shared_ranks(in_order, joins).items():
            yield Recommendation(target, source, rank, tied, -predicted[source], chances[source], rule)


def chance_of_best(predicted: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
    """The probability of each source to be the best, if predictions are off by independent normal errors.

    >>> chance_of_best(np.array([0.0, 0.0]), 1.0)
    array([0.5, 0.5])
    """
    levels = np.asarray(predicted, dtype=np.float64) / deviation
    points = np.linspace(levels.min() - 8, levels.max() + 8, 2001)
    below = norm.logcdf(points[:, None] - levels)
    density = np.exp(norm.logpdf(points[:, None] - levels) + below.sum(axis=1, keepdims=True) - below)
    chances = np.trapezoid(density, points, axis=0)
    return np.asarray(chances / chances.sum())
