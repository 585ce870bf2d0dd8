"""`medsegdist transfer --dry-run`: the runs of a study, and what they cost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from medsegdist.data.study import Study
    from medsegdist.transfer.study import TransferStudy


def show_plan(study: TransferStudy, described: Study, devices: Sequence[str], *, as_json: bool) -> None:
    """Prints the runs of a study and how long they will take, as measured now.

    Args:
        study: the runs; those that have ended cost nothing.
        described: the same study as its YAML says.
        devices: of each process that will train.
        as_json: prints JSON instead of a table.
    """
    from medsegdist.data.store import load_samples
    from medsegdist.transfer.cost import estimated_seconds, seconds_per_step

    to_do = [run for run in study.runs if not study.is_done(run)]
    sizes = [len(load_samples(directory)) for directory in study.data.values()]
    validation = ceil(max(sizes) * study.options.validation_fraction)
    pace = seconds_per_step(study.runs[0].recipe, described.preprocessing.grid, devices[0])
    seconds = estimated_seconds(to_do, pace, validation) / len(devices)
    kinds = Counter(run.kind for run in study.runs)
    left = Counter(run.kind for run in to_do)
    if as_json:
        plan = [
            {
                "run": run.key,
                "kind": run.kind,
                "source": run.source,
                "target": run.target,
                "seed": run.seed,
                "steps": run.recipe.steps,
                "done": study.is_done(run),
            }
            for run in study.runs
        ]
        cost = {"seconds_per_step": pace, "workers": len(devices), "seconds": seconds}
        typer.echo(json.dumps({"study": described.name, "runs": plan, "estimate": cost}, indent=2))
        return
    table = Table("Runs", title=f"Plan of {escape(described.name)}", title_justify="left")
    for column in ("all", "to do", "steps to do"):
        table.add_column(column, justify="right")
    for kind, count in kinds.items():
        steps = sum(run.recipe.steps for run in to_do if run.kind == kind)
        table.add_row(kind.replace("_", "-"), str(count), str(left[kind]), f"{steps:,}")
    console = Console()
    console.print(table)
    if not to_do:
        console.print("Nothing is to do: every run has ended.")
        return
    where = ", ".join(dict.fromkeys(devices))
    console.print(
        f"About {_duration(seconds)} on {where} with {len(devices)} at a time, at {1000 * pace:.0f} ms a step as "
        "measured now. Trainings that collapse are repeated, and take as long again."
    )


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 2:
        return f"{max(1, ceil(seconds))} seconds"
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
