"""`medsegdist check`: every problem of a study's datasets at once."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from medsegdist.cli.console import reported_errors, say, study_distances
from medsegdist.cli.options import AsJson, StudyFile, Workers
from medsegdist.progress import show_progress
from medsegdist.words import counted, printable


def check(
    study_file: StudyFile,
    full: Annotated[
        bool,
        typer.Option("--full", help="Read every voxel, not only headers and one mask of each dataset (slower)."),
    ] = False,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """List every problem of a study's datasets at once, and change nothing.

    All headers are read, and masks of each dataset until one has foreground.

    Exit status 1 if there is an error, else 0.
    """
    from medsegdist.data.check import check_study
    from medsegdist.data.problems import merge_similar
    from medsegdist.data.study import load_study

    with reported_errors():
        study = load_study(study_file)
        study_distances(study, study_file)
        with show_progress():
            problems = check_study(study, full=full, workers=workers)
    shown = merge_similar(problems)
    errors = sum(problem.severity == "error" for problem in shown)
    read = f"{'every voxel' if full else 'headers and first masks'} of {counted(len(study.datasets), 'dataset')}"
    if as_json:
        typer.echo(json.dumps([asdict(problem) for problem in problems], indent=2))
    elif problems:
        for one in shown:
            # One line each: a name or a path that is cut off, or broken, names nothing.
            color = "bold red" if one.severity == "error" else "yellow"
            Console().print(Text.assemble((one.severity, color), f" {printable(one.dataset)}: {one}"), soft_wrap=True)
        say(f"Errors: {errors}, warnings: {len(shown) - errors}, in {read}.")
    else:
        say(f"No problem found in {read}.")
    if not (full or as_json or errors):
        say("--full reads every voxel.")
    raise typer.Exit(1 if errors else 0)
