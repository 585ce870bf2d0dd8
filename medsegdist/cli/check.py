"""`medsegdist check`: every problem of a study's datasets at once."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from medsegdist.cli.console import reported_errors
from medsegdist.cli.options import AsJson, StudyFile, Workers
from medsegdist.cli.rank import study_distances
from medsegdist.progress import show_progress
from medsegdist.words import counted


def check(
    study_file: StudyFile,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Read every voxel, not only headers and a mask of each dataset: slower, and finds all."
        ),
    ] = False,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Lists every problem of a study's datasets at once, and changes nothing.

    It reads all headers, and of each dataset masks until one holds foreground: the first, if labels are named rightly.

    Exit status 1 if there is an error, 0 if there are only warnings, or nothing.
    """
    from medsegdist.data.check import check_study
    from medsegdist.data.problems import merge_similar
    from medsegdist.data.study import load_study
    from medsegdist.report.tables import problem_table

    with reported_errors():
        study = load_study(study_file)
        study_distances(study, None, study_file, seed=0)
        with show_progress():
            problems = check_study(study, full=full, workers=workers)
    shown = merge_similar(problems)
    errors = sum(problem.severity == "error" for problem in shown)
    read = f"{'every voxel' if full else 'headers and first masks'} of {counted(len(study.datasets), 'dataset')}"
    if as_json:
        typer.echo(json.dumps([asdict(problem) for problem in problems], indent=2))
    elif problems:
        console = Console()
        console.print(problem_table(shown))
        console.print(f"Errors: {errors}, warnings: {len(shown) - errors}, in {read}.")
    else:
        Console().print(f"No problem found in {read}.")
    if not (full or as_json or errors):
        Console().print("--full reads every voxel.")
    raise typer.Exit(1 if errors else 0)
