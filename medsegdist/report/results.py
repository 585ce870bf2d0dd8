"""What a run is: one object, shown in a terminal and as a page, saved to a folder and loaded from it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import TypeAdapter

from medsegdist.data.class_samples import MulticlassSamples
from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.study import Study
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.order import RankedCase, rank_cases
from medsegdist.distance.resampling import Bootstrap
from medsegdist.distance.table import COLUMNS, DistanceTable
from medsegdist.errors import DataError
from medsegdist.files import read_csv, read_json, read_text, write_csv
from medsegdist.progress import track
from medsegdist.report.describe import describe_dataset, describe_method, versions
from medsegdist.report.record import StudyRecord, TransferRecord
from medsegdist.report.verdict import Answer, approximate
from medsegdist.words import counted

if TYPE_CHECKING:
    from medsegdist.recommend.learned import LearnedRanking
    from medsegdist.report.thumbnails import Thumbnails
    from medsegdist.transfer.agreement import Agreement
    from medsegdist.transfer.gains import DistanceRecord, Gain
    from medsegdist.transfer.outcomes import LearningCurve

NO_TABLE = DistanceTable(rows=())  # of a folder without rankings


@dataclass(frozen=True, slots=True)
class Results:
    """All that a run found, and all that a folder of runs holds; what is not there is empty or None."""

    name: str  # of the study, or else of the folder
    table: DistanceTable = NO_TABLE  # distances with their ranks: `distances.csv` and `comparisons.csv`
    record: StudyRecord | None = None  # how they came about: `study.json`
    thumbnails: Thumbnails | None = None  # samples that were matched: `thumbnails.json`
    cases: tuple[RankedCase, ...] = ()  # `cases.csv`; empty unless they were asked for
    listed: tuple[DistanceRecord, ...] = ()  # `distances.csv` where it says no more than these
    gains: tuple[Gain, ...] = ()  # `gains.csv`, with the runs that have no gain
    controls: tuple[Gain, ...] = ()  # `controls.csv`
    transfer: TransferRecord | None = None  # how the gains came about: `transfer.json`
    agreements: tuple[Agreement, ...] = ()  # `agreement.json`
    curves: tuple[LearningCurve, ...] = ()  # `learning_curves.csv`, or else the validations of `runs.jsonl`

    def __repr__(self) -> str:
        found = (len(self.distances), "distance"), (len(self.gains), "gain"), (len(self.agreements), "agreement")
        return f"Results({self.name!r}: {', '.join(counted(*one) for one in found if one[0]) or 'nothing'})"

    def _repr_html_(self) -> str:
        lines = [escape(repr(self))]
        for target in self.targets:
            lines.append(f"<b>{escape(target)}</b>: {escape(Answer.of(self.table, target).headline)}")
        html = "".join(f"<p>{line}</p>" for line in lines)
        html += self.table._repr_html_() if self.table.rows else ""
        return html + (pd.DataFrame(map(asdict, self.gains)).to_html(index=False) if self.gains else "")

    @property
    def description(self) -> str:
        """What the study is about; empty if that is not known."""
        return getattr(self.record or self.transfer, "description", "")

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets of the study first, then the other ones that have distances."""
        first = () if self.record is None else self.record.targets
        return tuple(dict.fromkeys(name for name in (*first, *self.table.targets) if name in self.table.targets))

    @property
    def distances(self) -> tuple[DistanceRecord, ...]:
        """Every distance, ranked or not."""
        from medsegdist.transfer.gains import DistanceRecord

        ranked = (DistanceRecord(row.source, row.target, row.distance, row.method) for row in self.table.rows)
        return (*ranked, *self.listed)

    @property
    def approximate(self) -> str:
        """What has to be said of distances of cards; empty for those of samples."""
        cards = () if self.record is None else self.record.cards
        # Only distances of cards have no certificate.
        uncertified = bool(self.table.rows) and all(row.optimality_gap is None for row in self.table.rows)
        return approximate(cards) if cards or uncertified else ""

    @property
    def left_out(self) -> str:
        """Which methods are not there because a card lacks them; empty if none is missing."""
        said = []
        for method, names in self.record.left_out.items() if self.record else ():
            card, lacks = ("card", "lacks") if len(names) == 1 else ("cards", "lack")
            why = "a fake class has fewer patients than a card may show"
            said.append(f"{method} is left out, because the {card} {', '.join(names)} {lacks} it: {why}.")
        return " ".join(said)

    @property
    def simulated(self) -> dict[str, str] | None:
        """Name and words of every dataset of which something is simulated; None if that is not known."""
        if self.record is not None:
            return {one.name: one.simulated for one in self.record.datasets if one.simulated}
        return None if self.transfer is None else self.transfer.simulated

    @classmethod
    def of(
        cls,
        study: Study,
        samples: Sequence[SegmentationSamples | MulticlassSamples],
        distances: Mapping[str, DatasetDistance],
        table: DistanceTable,
        *,
        bootstrap: Bootstrap | None = None,
        thumbnails: bool = False,
        ranking: LearnedRanking | None = None,
        cases: bool = False,
    ) -> Results:
        """What a ranking found, how it came about, and what the datasets look like.

        Pictures of matched samples, and the cases of the sources, are there if they are asked for. A learned `ranking`
        orders the sources; None keeps the order of the table.
        """
        # Of a dataset with classes, the page shows the foreground of all.
        whole = [one.whole if isinstance(one, MulticlassSamples) else one for one in samples]
        record = StudyRecord(
            name=study.name,
            description=study.description,
            targets=tuple(name for name in study.targets if name in table.targets) or table.targets,
            methods=tuple(describe_method(method, distances[method], table) for method in table.methods),
            datasets=tuple(describe_dataset(study, one, table) for one in track(whole, "Describing")),
            preprocessing=study.preprocessing.model_dump(mode="json"),
            fingerprint=study.preprocessing.fingerprint,
            bootstrap=bootstrap,
            device=str(samples[0].images.device),
            software=versions(),
            shared_images=study.shared_images == "allow",
        )
        if ranking is not None:
            table = ranking.applied(table, record.means, {one.name: one.library for one in study.datasets})
        ranked = [case for target in record.targets for case in rank_cases(table, samples, target)] if cases else []
        drawn: Thumbnails | None = None
        if thumbnails:
            from medsegdist.report.thumbnails import draw_thumbnails

            drawn = draw_thumbnails(table, record.targets, table.matches, {one.name: one for one in whole})
        return cls(study.name, table, record, drawn, tuple(ranked))

    def save(self, folder: str | Path, *, report: bool = True) -> Results:
        """Writes the tables, study.json, characteristics.csv, thumbnails.json, cases.csv and report.html.

        What an earlier ranking left in the folder goes; gains and agreement stay, and are shown on the page. What the
        folder holds now is returned: this, with what was trained.
        """
        folder = Path(folder)
        for name in ("study.json", "characteristics.csv", "thumbnails.json", "cases.csv", "report.html"):
            (folder / name).unlink(missing_ok=True)
        self.table.save(folder / "distances.csv")
        for name, content in (("study.json", self.record), ("thumbnails.json", self.thumbnails)):
            if content is not None:
                content.save(folder / name)
        if self.record is not None:
            write_csv(folder / "characteristics.csv", _characteristics_frame(self.record), float_format="%.17g")
        if self.cases:
            write_csv(folder / "cases.csv", pd.DataFrame(map(asdict, self.cases)), float_format="%.17g")
        together = replace(self, **_of_training(folder))
        if report:
            from medsegdist.report.page import write_report

            write_report(together, folder / "report.html")
        return together

    @classmethod
    def load(cls, folder: str | Path) -> Results:
        """Reads what the commands left in a folder; it needs `distances.csv`, `gains.csv` or `agreement.json`."""
        folder = Path(folder)
        if not folder.is_dir():
            raise DataError(
                f"{folder}: expected a folder with distances.csv, found {'a file' if folder.exists() else 'nothing'}",
                "`medsegdist rank STUDY.yaml --out DIR` writes one",
            )
        found = _of_training(folder)
        if (folder / "distances.csv").exists() or not found.keys() & {"gains", "agreements"}:
            found["table"], found["listed"] = _distances(folder / "distances.csv")
        if (folder / "study.json").exists():
            found["record"] = StudyRecord.load(folder / "study.json")
        if (folder / "thumbnails.json").exists():
            from medsegdist.report.thumbnails import Thumbnails

            found["thumbnails"] = Thumbnails.load(folder / "thumbnails.json")
        if (folder / "cases.csv").exists():
            remedy = "`medsegdist rank STUDY.yaml --cases --out DIR` writes it, or remove the file to report without it"
            cases = read_csv(folder / "cases.csv", RankedCase, key=("target", "source", "case"), remedy=remedy)
            found["cases"] = tuple(cases)
        described = found.get("record") or found.get("transfer")
        compared = next((one.study for one in found.get("agreements", ()) if one.study), folder.resolve().name)
        return cls(name=described.name if described else compared, **found)


def _characteristics_frame(record: StudyRecord) -> pd.DataFrame:
    """A row for each dataset and characteristic, as `medsegdist agreement` reads them."""
    rows = [
        (one.name, one.family, one.samples, one.patients, value.name, value.unit, value.mean, value.deviation)
        for one in record.datasets
        for value in one.characteristics
    ]
    columns = ["dataset", "family", "samples", "patients", "characteristic", "unit", "mean", "deviation"]
    return pd.DataFrame(rows, columns=columns)


def _distances(path: Path) -> tuple[DistanceTable, tuple[DistanceRecord, ...]]:
    """A table with its ranks, or anybody's plain distances."""
    # One column of ours that is not plain is enough to expect all of them, so that a damaged table is refused.
    ranked = set(COLUMNS) - {"source", "target", "method", "distance"}
    if path.exists():
        head = read_text(path, encoding="utf-8-sig").splitlines()[:1]
        columns = {name.strip() for name in next(csv.reader(head), ())}
        if not ranked & columns and {"source", "target", "distance"} <= columns:
            from medsegdist.transfer.gains import read_distances

            return NO_TABLE, tuple(read_distances(path))
    return DistanceTable.load(path), ()


def _of_training(folder: Path) -> dict[str, Any]:
    """What `transfer` and `agreement` left in a folder."""
    names = "gains.csv", "controls.csv", "transfer.json", "agreement.json"
    gains, controls, transfer, agreement = (folder / name for name in names)
    found: dict[str, Any] = {}
    if not any(path.exists() for path in (gains, controls, transfer, agreement)):
        return found
    from medsegdist.transfer.agreement import Agreement
    from medsegdist.transfer.gains import read_gains
    from medsegdist.transfer.outcomes import read_curves

    if gains.exists():
        found["gains"] = tuple(read_gains(gains, rows_needed=False))
        found["curves"] = read_curves(folder, found["gains"])
    if controls.exists():
        found["controls"] = tuple(read_gains(controls, of_controls=True, rows_needed=False))
    if transfer.exists():
        found["transfer"] = TransferRecord.load(transfer)
    if agreement.exists():
        found["agreements"] = read_json(agreement, TypeAdapter(tuple[Agreement, ...]), "agreement")
    return found
