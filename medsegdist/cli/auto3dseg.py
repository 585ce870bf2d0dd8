"""`medsegdist export-auto3dseg`: a dataset of a study, to go on with in MONAI's Auto3DSeg."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.cli.console import bar, progress_bars, reported_errors
from medsegdist.cli.options import AsJson, StudyFile
from medsegdist.cli.prepare import Force, Pseudonyms
from medsegdist.files import check_writable
from medsegdist.words import counted


def export_auto3dseg(
    study_file: StudyFile,
    out: Annotated[Path, typer.Option("--out", help="New folder.", file_okay=False)],
    dataset: Annotated[str | None, typer.Option(help="Which dataset. [default: the study's only target]")] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="The dataset's pre-training that `transfer --bundle` wrote, to be copied.", file_okay=False),
    ] = None,
    folds: Annotated[int, typer.Option(help="For cross-validation; no patient is in two.", min=2)] = 5,
    seed: Annotated[int, typer.Option(help="Of the draw of the folds.", min=0)] = 0,
    label: Annotated[str, typer.Option(help="What the masks show.")] = "foreground",
    force: Force = False,
    pseudonyms: Pseudonyms = False,
    as_json: AsJson = False,
) -> None:
    """Writes a dataset as MONAI's Auto3DSeg takes it: images, datalist with folds, and AutoRunner's input.

    Run it again after an interruption: finished cases are not read again.
    """
    from medsegdist.data.auto3dseg import INPUT
    from medsegdist.data.auto3dseg import export_auto3dseg as export
    from medsegdist.data.study import load_study
    from medsegdist.errors import ManifestError

    with reported_errors():
        check_writable(out, folder=True)
        study = load_study(study_file)
        if dataset is None and len(study.targets) > 1:
            raise ManifestError(
                f"study '{study.name}' has the targets {', '.join(study.targets)}; name one of its datasets by "
                "--dataset."
            )
        with progress_bars() as progress:
            handed = export(
                study.dataset(dataset or study.targets[0]),
                out,
                folds=folds,
                seed=seed,
                label=label,
                bundle=bundle,
                overwrite=force,
                pseudonyms=pseudonyms,
                progress=bar(progress, f"Writing {out.name}"),
            )
    input_file = handed.directory / INPUT
    if as_json:
        copied = None if handed.bundle is None else str(handed.bundle)
        content = {"input": str(input_file), "cases": handed.cases, "folds": handed.folds, "bundle": copied}
        typer.echo(json.dumps(content, indent=2))
        return
    console = Console()
    sizes = ", ".join(map(str, handed.folds))
    told = f"{counted(handed.cases, 'case')} in {len(handed.folds)} folds ({sizes}): {handed.directory}"
    console.print(escape(told), soft_wrap=True)
    if handed.bundle is not None:
        console.print(f"Pre-training: {escape(str(handed.bundle))}; README.md says how to load it.", soft_wrap=True)
    command = f"python -m monai.apps.auto3dseg AutoRunner run --input {quote(str(input_file))}"
    console.print(f"To go on: {escape(command)}", soft_wrap=True)
