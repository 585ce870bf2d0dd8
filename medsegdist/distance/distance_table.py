"""Distances in rows: what `distances.csv` holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

from medsegdist.distance.table_reading import read_rows
from medsegdist.errors import DataError
from medsegdist.files import atomic_write


@dataclass(frozen=True, slots=True)
class DistanceRow:
    """One source seen from one target by one method; the columns of `distances.csv`.

    Args:
        source: name of the dataset to pre-train on.
        target: name of the dataset to train on in the end.
        method: name of the mask metric.
        distance: image_term + mask_term.
        image_term: the part of the images.
        mask_term: the part of the masks.
        low: lower end of the interval of the distance; None where no patients were drawn anew, or one dataset has one
            patient only.
        high: upper end of that interval.
        noise_floor: the target's distance to its own resample; None likewise.
        rank: 1 for the nearest source of this target by this method. Sources that cannot be told apart share one.
        tied: the rank is shared.
        n_source: samples of the source that were compared.
        n_target: samples of the target that were compared.
        optimality_gap: relative certificate of the transport; None where the distance is of cards, which have none.
    """

    source: str
    target: str
    method: str
    distance: float
    image_term: float
    mask_term: float
    low: float | None
    high: float | None
    noise_floor: float | None
    rank: int
    tied: bool
    n_source: int
    n_target: int
    optimality_gap: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sources of one target by one method; the columns of `comparisons.csv`.

    Args:
        target: name of the target.
        method: name of the mask metric.
        nearer: the source with the smaller distance.
        farther: the other source.
        probability: that `nearer` is nearer indeed, were there more patients; 0.5 is a toss-up.
        patients: how many the smallest of the three datasets has.
    """

    target: str
    method: str
    nearer: str
    farther: str
    probability: float
    patients: int


COLUMNS = tuple(field.name for field in fields(DistanceRow))
"""The columns of `distances.csv`, in order."""


@dataclass(frozen=True, slots=True)
class DistanceTable:
    """Distances from sources to targets by one or more methods.

    Args:
        rows: one per source, target and method.
        comparisons: one per two sources, target and method; empty where no patients were drawn anew.
    """

    rows: tuple[DistanceRow, ...]
    comparisons: tuple[Comparison, ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, in the order of the rows."""
        return tuple(dict.fromkeys(row.method for row in self.rows))

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets, in the order of the rows."""
        return tuple(dict.fromkeys(row.target for row in self.rows))

    def ranking(self, target: str, method: str) -> list[DistanceRow]:
        """The sources of one target by one method, nearest first.

        Args:
            target: name of a target.
            method: name of a method.

        Raises:
            ValueError: the table has no such target and method.
        """
        found = [row for row in self.rows if row.target == target and row.method == method]
        if not found:
            raise ValueError(
                f"expected one of the targets {list(self.targets)} and methods {list(self.methods)}, "
                f"found '{target}' and '{method}'."
            )
        return sorted(found, key=lambda row: (row.rank, row.distance))

    def matrix(self, method: str) -> pd.DataFrame:
        """Distances by one method: a row per source, a column per target, NaN where there is none (Tables 5 to 9).

        Args:
            method: name of a method; one that the table has not gives an empty frame.
        """
        rows = [row for row in self.rows if row.method == method]
        sources = list(dict.fromkeys(row.source for row in rows))
        frame = pd.DataFrame(index=sources, columns=list(self.targets), dtype="float64")
        for row in rows:
            frame.loc[row.source, row.target] = row.distance
        return frame

    def to_frame(self) -> pd.DataFrame:
        """All rows as a pandas table with the columns of `distances.csv`."""
        return pd.DataFrame([asdict(row) for row in self.rows], columns=list(COLUMNS))

    def save(self, path: str | Path) -> None:
        """Writes the rows as CSV, whole or not at all; comparisons go into `comparisons.csv` beside it.

        Args:
            path: of the CSV, usually `distances.csv`; one that is there is replaced.
        """
        with atomic_write(path) as file:
            self.to_frame().to_csv(file, index=False, float_format="%.17g")
        beside = Path(path).with_name("comparisons.csv")
        beside.unlink(missing_ok=True)  # an older one would belong to other distances
        if self.comparisons:
            with atomic_write(beside) as file:
                frame = pd.DataFrame([asdict(one) for one in self.comparisons])
                frame.to_csv(file, index=False, float_format="%.4g")

    @classmethod
    def load(cls, path: str | Path) -> DistanceTable:
        """Reads what :meth:`save` wrote, or a CSV of somebody else's with the same columns.

        Args:
            path: of the CSV; a `comparisons.csv` beside it is read, too.

        Raises:
            DataError: a file is missing or no such table, or a cell is not what its column holds.
        """
        file = Path(path)
        remedy = "`medsegdist rank STUDY.yaml --out DIR` writes it"
        if not file.exists():
            raise DataError(f"{file}: expected a table, found no such file; {remedy}.")
        rows = read_rows(file, DistanceRow, ("source", "target", "method"), remedy)
        beside = file.with_name("comparisons.csv")
        if not beside.exists():
            return cls(rows=rows)
        key = ("target", "method", "nearer", "farther")
        return cls(rows=rows, comparisons=read_rows(beside, Comparison, key, remedy))
