"""`medsegdist learn`: a ranking that has learned from transfers, and how well every predictor does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from medsegdist.cli.console import reported_errors, say
from medsegdist.cli.options import AsJson
from medsegdist.files import check_writable

if TYPE_CHECKING:
    import pandas as pd

    from medsegdist.recommend.library import Library
    from medsegdist.recommend.predictors import OrderReliability


def learn(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Folders with distances.csv, characteristics.csv and learning_curves.csv of one study each.",
            metavar="LIBRARY...",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File for what was learned.", show_default="nothing is written"),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(help="Steps of fine-tuning to learn from.", show_default="the last that were measured", min=1),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the intervals.", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """Learn to rank sources from transfers that were measured, and compare all predictors of their order.

    Every target is predicted by what was learned without it and its family. Intervals are over targets.
    """
    from medsegdist.recommend.learned import LearnedRanking
    from medsegdist.recommend.library import read_libraries
    from medsegdist.recommend.predictors import compare_predictors, judge_predictors, order_reliability

    with reported_errors():
        if out is not None:
            check_writable(out, folder=False)
        library = read_libraries(folders, step=step)
        reliability = order_reliability(library)
        judged, choices, errors = judge_predictors(library, workers=None)
        table = compare_predictors(judged, choices, seed=seed)
        if out is not None:
            LearnedRanking.learn(library, judged | choices, errors).save(out)
    if as_json:
        content = {"targets": list(library.targets), "unlearned": list(library.unlearned)}
        typer.echo(json.dumps({**content, "predictors": json.loads(table.to_json(orient="index"))}, indent=2))
        return
    _show(library, reliability, table)
    if out is not None:
        say(f"What was learned: {out}")


def _show(library: Library, reliability: OrderReliability | None, table: pd.DataFrame) -> None:
    console = Console()
    if reliability is not None:
        console.print(
            f"Reliability of the order of sources over {reliability.repetitions} repetitions: {reliability.mean:.2f}. "
            f"Predictors are judged by {reliability.of_half.repetitions} at a time, with which none can be expected to "
            f"correlate by more than {reliability.of_half.ceiling:.2f}."
        )
    if library.unlearned:
        console.print(f"Left out, for no source reaches a Dice of 0.2 on them: {', '.join(library.unlearned)}.")
    shown = Table(
        box=SIMPLE_HEAD,
        title=f"{len(library.targets)} targets, {library.step} steps of fine-tuning",
        title_justify="left",
    )
    shown.add_column("Predictor", no_wrap=True)
    for column in ("Spearman", "95 %", "Kendall", "Regret", "Within 2"):
        shown.add_column(column, justify="right", no_wrap=True)
    for name, row in table.iterrows():
        known = row["spearman"] == row["spearman"]
        shown.add_row(
            str(name),
            f"{row['spearman']:.2f}" if known else "-",
            f"{row['spearman_low']:.2f} to {row['spearman_high']:.2f}" if known else "-",
            f"{row['weighted_kendall']:.2f}" if known else "-",
            f"{row['regret']:.1f}",
            f"{row['within_2']:.0%}",
        )
    console.print(shown)
    console.print(
        "Kendall: weighted, the best sources count most. Regret: Dice points that the first choice is behind the best "
        "source. Within 2: first choices that are at most 2 points behind."
    )
