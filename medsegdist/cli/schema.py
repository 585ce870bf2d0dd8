"""`medsegdist schema`: what an editor needs to complete and check a study's YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from medsegdist.cli.console import reported_errors

SCHEMA_FILE = "medsegdist.schema.json"
"""Under this name `init` finds a schema beside the study that it writes."""


def schema(
    out: Annotated[
        Path | None,
        typer.Option("--out", help=f"Write it here, as {SCHEMA_FILE}. [default: standard output]", dir_okay=False),
    ] = None,
    dataset: Annotated[bool, typer.Option("--dataset", help="That of a dataset's own file, not of a study.")] = False,
) -> None:
    """The JSON schema of a study's YAML, with which an editor completes keys and marks mistakes."""
    from medsegdist.data.schema import dataset_schema, study_schema
    from medsegdist.files import atomic_write, check_writable

    with reported_errors():
        text = json.dumps(dataset_schema() if dataset else study_schema(), indent=2) + "\n"
        if out is None:
            typer.echo(text, nl=False)
            return
        check_writable(out)
        with atomic_write(out) as file:
            file.write(text)
