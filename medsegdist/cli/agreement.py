"""`medsegdist agreement`: whether distance predicts gain."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.cli.console import reported_errors, say
from medsegdist.cli.options import AsJson, NoReport
from medsegdist.cli.report import announce, leave_report
from medsegdist.errors import DataError
from medsegdist.files import check_writable
from medsegdist.progress import LOGGER
from medsegdist.words import printable

if TYPE_CHECKING:
    from medsegdist.transfer.agreement import Agreement, CharacteristicAgreement

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
    from medsegdist.transfer.curves import read_learning_curves
    from medsegdist.transfer.gains import read_distances, read_gains

    with reported_errors():
        check_writable(out, folder=True)
        curves = step is not None or gains_file.name == "learning_curves.csv"
        gains = read_learning_curves(gains_file, step=step) if curves else read_gains(gains_file)
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
            means = read_characteristics(looks)
            try:
                correlated = correlate_characteristics(means, gains, seed=seed)
            except DataError as error:
                LOGGER.warning("%s says nothing of gains: %s", looks, error)
        save_agreement(agreements, out, correlated)
        page = leave_report(out, wanted=not no_report)
        if as_json:
            typer.echo(to_json(agreements))
        else:
            _show(agreements, correlated, leave_out)
            say(f"All numbers: {out / 'agreement.json'}")
        announce(page)


def _study_name(distances_file: Path, gains_file: Path) -> str:
    """The name of the study whose tables these are, as `rank` and `transfer` leave it next to them; empty without."""
    from medsegdist.report.record import StudyRecord, TransferRecord

    records = (
        (distances_file.with_name("study.json"), StudyRecord),
        (gains_file.with_name("transfer.json"), TransferRecord),
    )
    for file, kind in records:
        if file.exists():
            # A title is no reason to stop; the report of that folder says what is wrong with the file.
            with suppress(DataError):
                return kind.load(file).name
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


def _show(agreements: Sequence[Agreement], correlated: Sequence[CharacteristicAgreement], leave_out: bool) -> None:
    from medsegdist.report.gain_words import agreement_verdict
    from medsegdist.report.tables import (
        certainty_table,
        choice_tables,
        correlation_table,
        over_targets_table,
        prediction_table,
        rank_table,
        regression_table,
        warning_lines,
        without_table,
    )

    console = Console()
    console.print(escape(printable(" ".join(agreement_verdict(agreements)))), "\n")
    for part in (
        regression_table(agreements),
        rank_table(agreements),
        over_targets_table(agreements),
        certainty_table(agreements),
        *choice_tables(agreements),
        without_table(agreements) if leave_out else None,
        prediction_table(agreements),
        correlation_table(correlated) if correlated else None,
        *warning_lines(agreements),
    ):
        if part is not None:
            console.print(part)
