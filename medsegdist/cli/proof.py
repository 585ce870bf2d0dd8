"""`medsegdist agreement`, `paper` and `learn`: whether distance predicts what pre-training gains."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.cli.console import reported_errors, say
from medsegdist.cli.options import AsJson, NoReport
from medsegdist.cli.report import announce, leave_report
from medsegdist.errors import DataError
from medsegdist.files import atomic_write, check_writable
from medsegdist.progress import LOGGER
from medsegdist.words import printable

if TYPE_CHECKING:
    import pandas as pd

    from medsegdist.recommend.library import Library
    from medsegdist.recommend.predictors import OrderReliability
    from medsegdist.transfer.agreement import Agreement, CharacteristicAgreement
    from medsegdist.transfer.paper import PaperComparison

DistancesFile = Annotated[
    Path,
    typer.Argument(
        help="CSV with the columns source, target, distance and, for several, method.", metavar="DISTANCES.csv"
    ),
]
GainsFile = Annotated[
    Path,
    typer.Argument(
        help="CSV with the columns source, target, gain_percent and, for several, seed.", metavar="GAINS.csv"
    ),
]


def agreement(
    distances_file: DistancesFile,
    gains_file: GainsFile,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for agreement.json, agreement.csv and report.html.", file_okay=False)
    ] = Path("out"),
    method: Annotated[
        list[str] | None, typer.Option("--method", help="Method to compare, repeatable.", show_default="all")
    ] = None,
    predict: Annotated[
        list[str] | None,
        typer.Option(
            help="Distance of a new source to predict the gain of, repeatable; METHOD=DISTANCE for several methods."
        ),
    ] = None,
    leave_out: Annotated[bool, typer.Option("--leave-out", help="Also show the result without each source.")] = False,
    step: Annotated[
        int | None,
        typer.Option(
            help="Steps of fine-tuning, where GAINS.csv is learning_curves.csv.", show_default="the last", min=0
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of permutations and intervals.", min=0)] = 0,
    no_report: NoReport = False,
    as_json: AsJson = False,
) -> None:
    """Compare distances with the gains of transfer learning: regression, ranks, regret, and what they rest on.

    Sources that have a distance but no gain yet get an expected gain. A scores.csv next to GAINS.csv is
    compared in the same way, and a characteristics.csv next to DISTANCES.csv as the paper's Table 14 does.
    """
    from medsegdist.transfer.agreement import (
        correlate_characteristics,
        measure_agreement,
        read_characteristics,
        save_agreement,
        to_json,
    )
    from medsegdist.transfer.gains import read_distances, read_gains
    from medsegdist.transfer.outcomes import read_curve

    with reported_errors():
        check_writable(out, folder=True)
        curves = step is not None or gains_file.name == "learning_curves.csv"
        gains = [one.gain for one in read_curve(gains_file, step=step)] if curves else read_gains(gains_file)
        distances = read_distances(distances_file)
        scores, looks = gains_file.parent / "scores.csv", distances_file.parent / "characteristics.csv"
        if scores.exists() and not scores.samefile(distances_file):
            distances += read_distances(scores)
        names = method or list(dict.fromkeys(record.method for record in distances))
        predictions = _predictions(predict or (), names)
        study = _study_name(distances_file, gains_file)
        agreements = measure_agreement(distances, gains, methods=method, predict=predictions, seed=seed, study=study)
        correlated: Sequence[CharacteristicAgreement] = ()
        if looks.exists():
            means, _ = read_characteristics(looks)
            try:
                correlated = correlate_characteristics(means, gains, seed=seed)
            except DataError as error:
                LOGGER.warning("%s says nothing of gains: %s", looks, error)
        save_agreement(agreements, out, correlated)
        leave_report(out, wanted=not no_report)
        if as_json:
            typer.echo(to_json(agreements))
        else:
            _show_agreement(agreements, correlated, leave_out)
            say(f"All numbers: {out / 'agreement.json'}")
        announce(out)


def _study_name(distances_file: Path, gains_file: Path) -> str:
    """The name of the study whose tables these are, as `rank` and `transfer` leave it next to them; empty without."""
    from medsegdist.report.record import StudyRecord, TransferRecord

    # A title is no reason to stop; the report of that folder says what is wrong with the file.
    with suppress(DataError, OSError):
        return StudyRecord.load(distances_file.with_name("study.json")).name
    with suppress(DataError, OSError):
        return TransferRecord.load(gains_file.with_name("transfer.json")).name
    return ""


def _predictions(texts: Sequence[str], methods: Sequence[str]) -> dict[str, list[float]]:
    """Distances by method, from the command line."""
    found: dict[str, list[float]] = {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        if not equals and len(methods) > 1:
            raise DataError(
                f"expected --predict METHOD=DISTANCE, as there are the methods {', '.join(methods)}, found '{text}'; "
                "or choose one with --method."
            )
        try:
            distance = float(number)
        except ValueError as error:
            raise DataError(f"expected a number as the distance of --predict, found '{text}'.") from error
        if distance - distance != 0:
            raise DataError(f"expected a finite distance of --predict, found '{text}'.")
        found.setdefault(name if equals else methods[0], []).append(distance)
    return found


def _show_agreement(
    agreements: Sequence[Agreement], correlated: Sequence[CharacteristicAgreement], leave_out: bool
) -> None:
    from medsegdist.report import tables
    from medsegdist.report.gain_words import agreement_verdict

    console = Console()
    console.print(escape(printable(" ".join(agreement_verdict(agreements)))), "\n")
    for part in (
        tables.regression_table(agreements),
        tables.rank_table(agreements),
        tables.over_targets_table(agreements),
        tables.certainty_table(agreements),
        *tables.choice_tables(agreements),
        tables.without_table(agreements) if leave_out else None,
        tables.prediction_table(agreements),
        tables.correlation_table(correlated) if correlated else None,
        *tables.warning_lines(agreements),
    ):
        if part is not None:
            console.print(part)


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
    from medsegdist.report import tables
    from medsegdist.transfer.paper import recompute_paper, verdict

    comparisons = recompute_paper()
    said = verdict(comparisons)
    content = json.dumps({"verdict": said, "methods": [_fields(one) for one in comparisons]}, indent=2)
    if out is not None:
        with reported_errors():
            check_writable(out, folder=True)
            texts = {"paper.json": content + "\n"}
            # The paper's own numbers, under the names that `medsegdist agreement` is used to.
            for name in ("distances.csv", "gains.csv"):
                texts[name] = (files("medsegdist.transfer") / f"published_{name}").read_text(encoding="utf-8")
            for name, text in texts.items():
                with atomic_write(out / name) as file:
                    file.write(text)
    if as_json:
        typer.echo(content)
        return
    console = Console()
    recomputed = [one.recomputed for one in comparisons]
    console.print(tables.table_12(comparisons), tables.table_13(comparisons), said, "\n", sep="\n")
    shown = tables.rank_table(recomputed), tables.certainty_table(recomputed), *tables.choice_tables(recomputed)
    for part in (*shown, *tables.warning_lines(recomputed)):
        console.print(part)
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
    _show_predictors(library, reliability, table)
    if out is not None:
        say(f"What was learned: {out}")


def _show_predictors(library: Library, reliability: OrderReliability | None, table: pd.DataFrame) -> None:
    from medsegdist.report.tables import filled_table

    console = Console()
    if reliability is not None:
        console.print(
            f"Reliability of the order of sources over {reliability.repetitions} repetitions: {reliability.mean:.2f}. "
            f"Predictors are judged by {reliability.of_half.repetitions} at a time, with which none can be expected to "
            f"correlate by more than {reliability.of_half.ceiling:.2f}."
        )
    if library.unlearned:
        console.print(f"Left out, for no source reaches a Dice of 0.2 on them: {', '.join(library.unlearned)}.")
    title = f"{len(library.targets)} targets, {library.step} steps of fine-tuning"
    heads = "Predictor | Spearman | 95 % | Kendall | Regret | Within 2"
    cells = (
        "{0.Index} | {0.spearman:.2f} | {0.spearman_low:.2f} to {0.spearman_high:.2f} | {0.weighted_kendall:.2f} | "
        "{0.regret:.1f} | {0.within_2:.0%}"
    )
    console.print(filled_table(title, heads, cells, ((row,) for row in table.itertuples())))
    console.print(
        "Kendall: weighted, the best sources count most. Regret: Dice points that the first choice is behind the best "
        "source. Within 2: first choices that are at most 2 points behind."
    )
