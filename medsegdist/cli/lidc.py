"""`medsegdist lidc subsets`: nodules of LIDC-IDRI per malignancy level."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from medsegdist.cli.console import reported_errors
from medsegdist.cli.options import AsJson

Rule = Literal["median_high", "median_low", "mean", "mode"]


def subsets(
    rule: Annotated[Rule, typer.Option(help="How the ratings of a nodule's readers become one level.")] = "median_high",
    min_readers: Annotated[int, typer.Option(help="Readers that must have outlined the nodule.", min=1, max=4)] = 3,
    as_json: AsJson = False,
) -> None:
    """Nodules of LIDC-IDRI per malignancy level."""
    from medsegdist.data.layouts.lidc import malignancy_subsets, read_nodules

    with reported_errors():
        found = malignancy_subsets(read_nodules(), rule=rule, min_readers=min_readers)
    nodules = {level: len(of_level) for level, of_level in found.items()}
    patients = {level: len({nodule.patient_id for nodule in of_level}) for level, of_level in found.items()}
    if as_json:
        content = {"rule": rule, "min_readers": min_readers, "nodules": nodules, "patients": patients}
        typer.echo(json.dumps(content, indent=2))
        return
    title = f"LIDC-IDRI nodules, {rule} of at least {min_readers} readers"
    table = Table("Malignancy", "Nodules", "Patients", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for level in found:
        table.add_row(str(level), str(nodules[level]), str(patients[level]))
    Console().print(table)
