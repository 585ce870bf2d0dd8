"""What a report is made of: the folder that a run wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medsegdist.cards.ranking import approximate, left_out_sentence
from medsegdist.csv_table import CsvTable, read_table
from medsegdist.distance.table import COLUMNS, DistanceTable
from medsegdist.errors import DataError
from medsegdist.report.agreement_record import FILE_NAME as AGREEMENT
from medsegdist.report.agreement_record import AgreementRecord, read_agreement
from medsegdist.report.record import FILE_NAME as STUDY
from medsegdist.report.record import StudyRecord
from medsegdist.report.thumbnails import FILE_NAME as THUMBNAILS
from medsegdist.report.thumbnails import Thumbnails
from medsegdist.report.transfer_record import FILE_NAME as TRANSFER
from medsegdist.report.transfer_record import TransferRecord
from medsegdist.transfer.gains import DistanceRecord, Gain, read_distances, read_gains

NO_TABLE = DistanceTable(rows=())
"""Of a folder without rankings."""


@dataclass(frozen=True, slots=True)
class Run:
    """All that a folder holds for a report; whatever is not there is empty or None.

    Args:
        directory: the folder.
        table: `distances.csv` and `comparisons.csv`.
        listed: `distances.csv` where it says no more than source, target, method and distance.
        record: `study.json`.
        thumbnails: `thumbnails.json`.
        gains: `gains.csv`, with the runs that have no gain.
        controls: `controls.csv`.
        transfer: `transfer.json`.
        agreements: `agreement.json`.
        agreement: `agreement.csv`, all cells as text.
    """

    directory: Path
    table: DistanceTable = NO_TABLE
    listed: tuple[DistanceRecord, ...] = ()
    record: StudyRecord | None = None
    thumbnails: Thumbnails | None = None
    gains: tuple[Gain, ...] = ()
    controls: tuple[Gain, ...] = ()
    transfer: TransferRecord | None = None
    agreements: tuple[AgreementRecord, ...] = ()
    agreement: CsvTable | None = None

    @property
    def name(self) -> str:
        """The study's name, or else that of the folder."""
        described = self.record or self.transfer
        return self.directory.resolve().name if described is None else described.name

    @property
    def description(self) -> str:
        """What the study is about; empty where that is not known."""
        described = self.record or self.transfer
        return "" if described is None else described.description

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets of the study first, then the other ones that have distances."""
        first = () if self.record is None else self.record.targets
        return tuple(dict.fromkeys(name for name in (*first, *self.table.targets) if name in self.table.targets))

    @property
    def distances(self) -> tuple[DistanceRecord, ...]:
        """Every distance, ranked or not."""
        ranked = (DistanceRecord(row.source, row.target, row.distance, row.method) for row in self.table.rows)
        return (*ranked, *self.listed)

    @property
    def approximate(self) -> str:
        """What has to be said beside distances of cards; empty where they are of samples."""
        cards = () if self.record is None else self.record.cards
        # Only distances of cards have no certificate.
        uncertified = bool(self.table.rows) and all(row.optimality_gap is None for row in self.table.rows)
        return approximate(cards) if cards or uncertified else ""

    @property
    def left_out(self) -> str:
        """Which methods are not there because a card lacks them; empty where none is missing."""
        return "" if self.record is None else left_out_sentence(self.record.left_out)

    @property
    def simulated(self) -> dict[str, str] | None:
        """Name and words of every dataset of which something is simulated; None where that is not known."""
        if self.record is not None:
            return {one.name: one.simulated for one in self.record.datasets if one.simulated}
        return None if self.transfer is None else self.transfer.simulated


def read_run(directory: str | Path) -> Run:
    """Reads what the commands left in a folder.

    Args:
        directory: the folder; it needs `distances.csv`, `gains.csv` or `agreement.json`, all else is optional.

    Raises:
        DataError: none of the three is there, or a file is not what it should be.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise DataError(
            f"{folder}: expected a folder with distances.csv, found {'a file' if folder.exists() else 'nothing'}; "
            "`medsegdist rank STUDY.yaml --out DIR` writes one."
        )
    has = {path.name for path in folder.iterdir()}
    needed = "distances.csv" in has or not has & {"gains.csv", AGREEMENT}
    table, listed = _distances(folder / "distances.csv") if needed else (NO_TABLE, ())
    return Run(
        directory=folder,
        table=table,
        listed=listed,
        record=StudyRecord.load(folder / STUDY) if STUDY in has else None,
        thumbnails=Thumbnails.load(folder / THUMBNAILS) if THUMBNAILS in has else None,
        gains=tuple(read_gains(folder / "gains.csv", rows_needed=False)) if "gains.csv" in has else (),
        controls=_controls(folder / "controls.csv") if "controls.csv" in has else (),
        transfer=TransferRecord.load(folder / TRANSFER) if TRANSFER in has else None,
        agreements=read_agreement(folder / AGREEMENT) if AGREEMENT in has else (),
        agreement=_agreement(folder / "agreement.csv") if "agreement.csv" in has else None,
    )


def _distances(path: Path) -> tuple[DistanceTable, tuple[DistanceRecord, ...]]:
    """A table with its ranks, or anybody's plain distances."""
    if path.exists():
        columns = read_table(path, (), remedy="`medsegdist rank STUDY.yaml --out DIR` writes it").columns
        # One column of ours that is not plain is enough to expect all of them, so that a damaged table is told of.
        plain = {"source", "target", "method", "distance"}
        if not (set(COLUMNS) - plain) & set(columns) and {"source", "target", "distance"} <= set(columns):
            return NO_TABLE, tuple(read_distances(path))
    return DistanceTable.load(path), ()


def _controls(path: Path) -> tuple[Gain, ...]:
    return tuple(read_gains(path, of_controls=True, rows_needed=False))


def _agreement(path: Path) -> CsvTable:
    return read_table(path, (), remedy="`medsegdist agreement` writes it, or remove the file to report without it")
