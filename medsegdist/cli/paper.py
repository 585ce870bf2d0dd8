"""`medsegdist paper`: the published statistics, recomputed."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from medsegdist.cli.console import reported_errors, say
from medsegdist.cli.options import AsJson
from medsegdist.files import atomic_write, check_writable

if TYPE_CHECKING:
    from medsegdist.transfer.paper import PaperComparison

COPIED = {"published_distances.csv": "distances.csv", "published_gains.csv": "gains.csv"}
"""The paper's own numbers, under the names that `medsegdist agreement` is used to."""


def paper(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for paper.json and the paper's numbers as distances.csv and gains.csv.",
            show_default="nothing is written",
            file_okay=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute the paper's Tables 12 and 13 from its Tables 5 to 11."""
    from medsegdist.report.tables import certainty_table, choice_tables, rank_table, table_12, table_13, warning_lines
    from medsegdist.transfer.paper import recompute_paper, verdict

    comparisons = recompute_paper()
    said = verdict(comparisons)
    content = json.dumps({"verdict": said, "methods": [_fields(one) for one in comparisons]}, indent=2)
    if out is not None:
        with reported_errors():
            check_writable(out, folder=True)
            texts = {
                copy: (files("medsegdist.transfer") / name).read_text(encoding="utf-8") for name, copy in COPIED.items()
            }
            for name, text in {"paper.json": content + "\n", **texts}.items():
                with atomic_write(out / name) as file:
                    file.write(text)
    if as_json:
        typer.echo(content)
        return
    console = Console()
    recomputed = [one.recomputed for one in comparisons]
    console.print(table_12(comparisons))
    console.print(table_13(comparisons))
    console.print(said, "\n")
    for table in (rank_table(recomputed), certainty_table(recomputed), *choice_tables(recomputed)):
        console.print(table)
    for line in warning_lines(recomputed):
        console.print(line)
    if out is not None:
        say(f"All numbers: {out / 'paper.json'}")


def _fields(one: PaperComparison) -> dict[str, Any]:
    """What is printed and what is recomputed, without the parts that `medsegdist agreement` shows."""
    recomputed = one.recomputed
    return {
        "method": one.method,
        "published": asdict(one.published),
        "recomputed": asdict(one.line),
        "p_const_reproduced": one.p_const_reproduced,
        "p_slope_reproduced": one.p_slope_reproduced,
        "table_13_reproduced": one.table_13_reproduced,
        "implied_r_squared": one.implied_r_squared,
        "ranks": asdict(recomputed.ranks) if recomputed.ranks else None,
        "regret": recomputed.regret,
        "warnings": list(recomputed.warnings),
    }
