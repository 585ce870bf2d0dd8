"""`medsegdist report`: what a run found, as one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.cli.console import reported_errors
from medsegdist.cli.loudness import LOGGER, bars_are_wanted
from medsegdist.data.problems import printable
from medsegdist.files import check_writable

if TYPE_CHECKING:
    from medsegdist.distance.table import DistanceTable
    from medsegdist.report.record import StudyRecord
    from medsegdist.report.thumbnails import Thumbnails

RunFolder = Annotated[
    Path,
    typer.Argument(
        help="Folder that rank, distances, demo, transfer or agreement wrote.", metavar="DIR", file_okay=False
    ),
]


def report(
    directory: RunFolder,
    out: Annotated[
        Path | None, typer.Option("--out", help="The page. Default: DIR/report.html.", dir_okay=False)
    ] = None,
) -> None:
    """Writes what a run found as one HTML page, which needs no network.

    Reads whatever is there of distances.csv, comparisons.csv and study.json; gains.csv, controls.csv and transfer.json;
    agreement.json and agreement.csv; and thumbnails.json, which rank --thumbnails writes.
    """
    from medsegdist.report.page import write_report
    from medsegdist.report.run import read_run

    with reported_errors():
        check_writable(directory / "report.html" if out is None else out)
        page = write_report(read_run(directory), directory / "report.html" if out is None else out)
    Console().print(f"Report: {escape(str(page))}", soft_wrap=True)


def save_run(table: DistanceTable, record: StudyRecord, out: Path, thumbnails: Thumbnails | None = None) -> None:
    """Writes distances.csv, comparisons.csv and study.json; what an earlier run left never stands beside new distances.

    Args:
        table: the distances.
        record: how they came about.
        out: the folder.
        thumbnails: pictures of samples, which become thumbnails.json; None where none are wanted.
    """
    from medsegdist.report.record import FILE_NAME
    from medsegdist.report.thumbnails import FILE_NAME as THUMBNAILS

    for name in (FILE_NAME, THUMBNAILS, "report.html"):
        (out / name).unlink(missing_ok=True)
    table.save(out / "distances.csv")
    record.save(out / FILE_NAME)
    if thumbnails is not None:
        thumbnails.save(out / THUMBNAILS)


def leave_report(out: Path, *, wanted: bool) -> None:
    """Writes the report of the run that was just saved, and says on standard error where it is, unless quiet.

    Args:
        out: its folder.
        wanted: False writes none, and leaves no older one, which would be of other results.
    """
    page = out / "report.html"
    if not wanted:
        page.unlink(missing_ok=True)
        return
    from medsegdist.report.page import write_report
    from medsegdist.report.run import read_run

    write_report(read_run(out), page)
    LOGGER.info("Report: %s", printable(str(page)))
    if bars_are_wanted():
        Console(stderr=True).print(f"Report: {escape(str(page))}", soft_wrap=True)
