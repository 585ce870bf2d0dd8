"""What a report is made of: the folder that a run wrote."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd

from medsegdist.distance.distance_table import DistanceTable
from medsegdist.distance.table_reading import check_distinct, read_table, records
from medsegdist.errors import DataError
from medsegdist.report.record import FILE_NAME, StudyRecord


@dataclass(frozen=True, slots=True)
class Gain:
    """What pre-training on a source brought a target; the columns of `gains.csv`.

    Args:
        source: name of the dataset pre-trained on.
        target: name of the dataset trained on in the end.
        seed: of the training.
        dice: on the test split, with pre-training.
        dice_baseline: likewise, from scratch.
        gain_percent: of dice over dice_baseline (the paper's Eq. 20).
    """

    source: str
    target: str
    seed: int
    dice: float
    dice_baseline: float
    gain_percent: float


@dataclass(frozen=True, slots=True)
class Run:
    """All that a folder holds for a report.

    Args:
        directory: the folder.
        table: `distances.csv` and `comparisons.csv`.
        record: `study.json`; None where it is missing.
        gains: `gains.csv`; empty where it is missing.
        agreement: `agreement.csv`, all cells as text; None where it is missing.
    """

    directory: Path
    table: DistanceTable
    record: StudyRecord | None = None
    gains: tuple[Gain, ...] = ()
    agreement: pd.DataFrame | None = None

    @property
    def name(self) -> str:
        """The study's name, or else that of the folder."""
        return self.directory.resolve().name if self.record is None else self.record.name

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets of the study first, then the other ones that have distances."""
        first = () if self.record is None else self.record.targets
        return tuple(dict.fromkeys(name for name in (*first, *self.table.targets) if name in self.table.targets))


def read_run(directory: str | Path) -> Run:
    """Reads what `medsegdist rank`, `distances` or `demo` wrote, and what training added to it.

    Args:
        directory: the folder; it needs `distances.csv`, all else is optional.

    Raises:
        DataError: `distances.csv` is missing, or a file is not what it should be.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise DataError(
            f"{folder}: expected a folder with distances.csv, found {'a file' if folder.exists() else 'nothing'}; "
            "`medsegdist rank STUDY.yaml --out DIR` writes one."
        )
    table = DistanceTable.load(folder / "distances.csv")
    record = StudyRecord.load(folder / FILE_NAME) if (folder / FILE_NAME).exists() else None
    gains = read_gains(folder / "gains.csv") if (folder / "gains.csv").exists() else ()
    return Run(folder, table, record, gains, _agreement(folder / "agreement.csv"))


def read_gains(path: Path) -> tuple[Gain, ...]:
    """The gains of transfer learning.

    Raises:
        DataError: the file is no such table.
    """
    remedy = "`medsegdist transfer STUDY.yaml --out DIR` writes it, or remove the file to report without gains"
    frame = read_table(path, [field.name for field in fields(Gain)], remedy)
    gains = tuple(Gain(**record) for record in records(frame, Gain, path))
    check_distinct(gains, ("source", "target", "seed"), path)
    return gains


def _agreement(path: Path) -> pd.DataFrame | None:
    if not path.exists():
        return None
    return read_table(path, (), "`medsegdist agreement` writes it, or remove the file to report without it")
