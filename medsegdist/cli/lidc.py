"""`medsegdist lidc subsets`: nodules of LIDC-IDRI per malignancy level."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from medsegdist.cli.console import bar, progress_bars, reported_errors
from medsegdist.cli.options import AsJson

Rule = Literal["median_high", "median_low", "mean", "mode"]


def subsets(
    rule: Annotated[Rule, typer.Option(help="How the ratings of a nodule's readers become one level.")] = "median_high",
    min_readers: Annotated[int, typer.Option(help="Readers that must have outlined the nodule.", min=1, max=4)] = 3,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Cluster all 1,018 scans anew instead of reading the shipped table.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="With --rebuild: write the table here.", dir_okay=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Nodules of LIDC-IDRI per malignancy level."""
    from medsegdist.data.layouts.lidc_nodules import malignancy_subsets, read_nodules
    from medsegdist.report.tables import subset_table

    with reported_errors():
        nodules = _rebuilt(out) if rebuild else read_nodules()
        found = malignancy_subsets(nodules, rule=rule, min_readers=min_readers)
    patients = {level: len({nodule.patient_id for nodule in of_level}) for level, of_level in found.items()}
    if as_json:
        counts = {str(level): len(of_level) for level, of_level in found.items()}
        typer.echo(
            json.dumps(
                {
                    "rule": rule,
                    "min_readers": min_readers,
                    "nodules": counts,
                    "patients": {str(level): n for level, n in patients.items()},
                },
                indent=2,
            )
        )
    else:
        Console().print(subset_table(found, patients, f"LIDC-IDRI nodules, {rule} of at least {min_readers} readers"))


def _rebuilt(out: Path | None) -> Any:
    from medsegdist.data.layouts.lidc_nodules import format_nodules
    from medsegdist.data.layouts.lidc_rebuild import rebuild_nodules
    from medsegdist.files import atomic_write

    with progress_bars() as progress:
        nodules = rebuild_nodules(progress=bar(progress, "Clustering scans"))
    if out is not None:
        with atomic_write(out) as file:
            file.write(format_nodules(nodules))
    return nodules
