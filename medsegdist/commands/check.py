"""`medsegdist check`: every problem of a study's datasets at once."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from medsegdist.commands.comparing import configured_distances
from medsegdist.commands.console import bar, progress_bars, reported_errors
from medsegdist.commands.options import AsJson, StudyFile, Workers


def check(
    study_file: StudyFile,
    full: Annotated[
        bool, typer.Option("--full", help="Read every voxel, not the headers only: slower, and finds all.")
    ] = False,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Lists every problem of a study's datasets at once, and changes nothing.

    Exit status 1 if there is an error, 0 if there are only warnings, or nothing.
    """
    from medsegdist.cards.of_study import card_problems
    from medsegdist.data.checking import check_study
    from medsegdist.data.manifest import load_study
    from medsegdist.report.tables import problem_table

    with reported_errors():
        study = load_study(study_file)
        configured_distances(study.methods or (), study, study_file, seed=0)
        with progress_bars() as progress:
            problems = [
                *card_problems(study),
                *check_study(
                    study, full=full, progress=lambda name: bar(progress, f"Checking {name}"), workers=workers
                ),
            ]
    errors = sum(problem.severity == "error" for problem in problems)
    cards = sum(manifest.is_card for manifest in study.datasets)
    counted = [
        (len(study.datasets) - cards, f"{'every voxel' if full else 'the headers'} of ", "dataset"),
        (cards, "", "card"),
    ]
    read = " and in ".join(f"{what}{count} {noun}{'s' if count > 1 else ''}" for count, what, noun in counted if count)
    if as_json:
        typer.echo(json.dumps([asdict(problem) for problem in problems], indent=2))
    elif problems:
        console = Console()
        console.print(problem_table(problems))
        console.print(f"Errors: {errors}, warnings: {len(problems) - errors}, in {read}.")
    else:
        Console().print(f"No problem found in {read}.")
    if not (full or as_json or errors):
        Console().print("--full reads every voxel.")
    raise typer.Exit(1 if errors else 0)
