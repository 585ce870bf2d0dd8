"""`medsegdist handover`: from a ranking to the training of its first source, in nnU-Net or MONAI."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medsegdist.cli.console import missing_root_explained, reported_errors, say
from medsegdist.cli.options import AsJson, StudyFile, Workers
from medsegdist.cli.prepare import Pseudonyms
from medsegdist.errors import DataError, MedSegDistError
from medsegdist.files import check_writable
from medsegdist.progress import show_progress

if TYPE_CHECKING:
    from medsegdist.distance.order import Recommendation


def handover(
    study_file: StudyFile,
    ranking: Annotated[Path, typer.Argument(help="Folder that rank wrote.", metavar="RANKING", file_okay=False)],
    out: Annotated[Path, typer.Option("--out", help="New folder for both tasks and README.md.", file_okay=False)],
    target: Annotated[
        str | None, typer.Option("--target", help="Dataset to fine-tune on.", show_default="the only one ranked for")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="Dataset to pre-train on.", show_default="the recommended one")
    ] = None,
    pseudonyms: Pseudonyms = False,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Write the recommended source and the target as Decathlon tasks, with the commands of nnU-Net and MONAI."""
    from medsegdist.data.study import load_study
    from medsegdist.transfer.handover import write_handover

    with reported_errors():
        check_writable(out, folder=True)
        study, order = load_study(study_file), _recommended(ranking, target)
        with show_progress(), missing_root_explained(study.datasets, study_file):
            written = write_handover(study, order, out, source=source, pseudonyms=pseudonyms, workers=workers)
    if as_json:
        typer.echo(json.dumps({**asdict(written), "directory": str(written.directory)}, indent=2))
        return
    say(f"Pre-train on {written.source}, fine-tune on {written.target}. What speaks against it:")
    for caution in written.cautions:
        say(f"  {caution}")
    say(f"Commands: {written.directory / 'README.md'}")


def _recommended(folder: Path, target: str | None) -> tuple[Recommendation, ...]:
    """The order of the sources of the target, or of the only one."""
    from medsegdist.report.results import Results
    from medsegdist.words import did_you_mean

    results = Results.load(folder)
    if not results.targets:
        raise DataError(
            f"{folder}: expected a ranking, found none", "`medsegdist rank STUDY.yaml --out DIR` writes one"
        )
    if target is None and len(results.targets) == 1:
        (target,) = results.targets
    if target not in results.targets:
        found = f"'{target}'" if target else "no --target"
        hint = did_you_mean(target, results.targets)
        raise MedSegDistError(
            f"{folder}: expected --target to be one of {', '.join(results.targets)}, found {found}{hint or '.'}"
        )
    return results.table.recommended(target)
