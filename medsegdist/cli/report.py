"""`medsegdist report`, and how other commands show what a run found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.cli.console import reported_errors, say
from medsegdist.errors import DataError
from medsegdist.files import check_writable
from medsegdist.progress import LOGGER, bars_are_wanted
from medsegdist.words import printable

if TYPE_CHECKING:
    from medsegdist.report.results import Results


def report(
    directories: Annotated[
        list[Path],
        typer.Argument(
            help="Folder that rank, distances, demo, transfer or agreement wrote; or two rankings to compare.",
            metavar="DIR [OTHER]",
            file_okay=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="File of the page.", show_default="DIR/report.html, or OTHER/comparison.html", dir_okay=False
        ),
    ] = None,
) -> None:
    """Write the results in a folder as one HTML page, which needs no network; or what moved from one run to another.

    The page shows what the folder holds of distances.csv, comparisons.csv, study.json, thumbnails.json, cases.csv,
    gains.csv, controls.csv, transfer.json and agreement.json. Other tables are not read: study.json holds
    characteristics.csv, and agreement.json holds agreement.csv and what scores were compared with.
    """
    from medsegdist.report.page import write_report
    from medsegdist.report.results import Results

    with reported_errors():
        if len(directories) > 1:
            _compare(directories, out)
            return
        (directory,) = directories
        page = out or directory / "report.html"
        check_writable(page)
        write_report(Results.load(directory), page)
    say(f"Report: {page}")


def _compare(directories: Sequence[Path], out: Path | None) -> None:
    """Show what moved between the rankings of two folders, and write it as a page."""
    from medsegdist.report.comparison import comparison_tables, write_comparison
    from medsegdist.report.results import Results

    if len(directories) > 2:
        raise DataError(f"expected one folder, or two to compare, found {len(directories)}", "compare two at a time")
    a, b = directories
    if a.exists() and b.exists() and a.samefile(b):
        raise DataError(f"expected two folders to compare, found {b} twice", "give the folder of another run")
    page = out or b / "comparison.html"
    check_writable(page)
    compared = write_comparison(Results.load(a), Results.load(b), page, (a.resolve().name, b.resolve().name))
    console = Console()
    say(f"A: {a}\nB: {b}\n")
    for target in compared.targets:
        console.print(*comparison_tables(target), f"[bold]{escape(printable(target.headline))}[/bold]", "\n", sep="\n")
    console.print(escape(compared.knowledge))
    for one in compared.differences:
        say(printable(f"  {one.what}: {one.a or '-'} > {one.b or '-'}"))
    say(f"Report: {page}")


def show(
    results: Results,
    out: Path,
    *,
    matrices: bool = False,
    rankings: bool = False,
    as_json: bool = False,
) -> None:
    """Show distances that were saved to a folder: matrices of all pairs, the order of sources by target, or both."""
    from medsegdist.report.reasons import cautions, explained, reasons, trust
    from medsegdist.report.tables import distance_tables, ranking_table
    from medsegdist.report.verdict import Answer

    table, record = results.table, results.record
    answers = [Answer.of(table, target) for target in table.targets]
    if as_json:
        content: dict[str, Any] = {"study": results.name}
        if results.approximate and record is not None:
            content |= {"approximate": results.approximate, "cards": record.cards, "left_out": record.left_out}
        content["targets"] = {
            one.target: {
                "recommended": one.first,
                "not_distinguished_from": one.alike,
                "headline": one.headline,
                "verdict": one.verdict,
                "reasons": reasons(results, one),
                "against": [*cautions(results, one)],
                "trust": trust(results, one)[1],
                "order": [asdict(source) for source in one.order],
            }
            for one in answers
        }
        typer.echo(json.dumps(content | {"distances": [asdict(row) for row in table.rows]}, indent=2))
    else:
        console = Console()
        for rendered in distance_tables(table) if matrices else ():
            console.print(rendered)
        for answer in answers if rankings else ():
            console.print(ranking_table(table, answer.target))
            console.print(f"[bold]{escape(answer.headline)}[/bold]")
            console.print(*map(escape, [answer.verdict, *explained(results, answer), ""]), sep="\n")
        if results.approximate:
            console.print(f"[bold]{escape(results.approximate)}[/bold]", "\n")
        if results.left_out:
            console.print(escape(results.left_out), "\n")
        if results.simulated:
            lines = (escape(f"{name}: {words}") for name, words in results.simulated.items())
            console.print("Simulated here:", *lines, sep="\n  ")
        say(f"All distances: {out / 'distances.csv'}")
    announce(out)


def leave_report(out: Path, *, wanted: bool) -> None:
    """Write the report of a folder, before anything is printed: the reader of a pipe may be gone.

    If none is wanted, none is left: an older one would be of other results.
    """
    (out / "report.html").unlink(missing_ok=True)
    if wanted:
        from medsegdist.report.page import write_report
        from medsegdist.report.results import Results

        write_report(Results.load(out), out / "report.html")


def announce(out: Path) -> None:
    """Print the path of a folder's report, if there is one, on standard error, unless quiet."""
    page = out / "report.html"
    if page.exists():
        LOGGER.info("Report: %s", printable(str(page)))
        if bars_are_wanted():
            say(f"Report: {page}", stderr=True)
