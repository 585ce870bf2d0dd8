"""`medsegdist fetch`: public datasets, downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.cli.console import reported_errors
from medsegdist.files import check_writable

fetch = typer.Typer(help="Download public datasets.", no_args_is_help=True)

Out = Annotated[Path, typer.Option("--out", help="Folder to download into.", file_okay=False)]


@fetch.command()
def decathlon(
    task: Annotated[str, typer.Argument(help="Such as Task09_Spleen.", metavar="TASK")], out: Out = Path("data")
) -> None:
    """Downloads a task of the Medical Segmentation Decathlon (0.03 to 28 GB)."""
    from medsegdist.data.download import fetch_decathlon

    with reported_errors():
        check_writable(out, folder=True)
        folder = fetch_decathlon(task, out)
    Console().print(f"The task is in {escape(str(folder))}", soft_wrap=True)


@fetch.command()
def lidc(
    patient: Annotated[
        list[str] | None, typer.Option("--patient", help="Such as LIDC-IDRI-0001, repeatable. [default: all, 128 GB]")
    ] = None,
    out: Out = Path("data/LIDC-IDRI"),
) -> None:
    """Downloads CT series of LIDC-IDRI from the Imaging Data Commons; run it again to go on after an interruption."""
    from medsegdist.data.download import fetch_lidc

    with reported_errors():
        check_writable(out, folder=True)
        downloaded = fetch_lidc(out, patient or ())
    Console().print(f"{len(downloaded)} series downloaded; all that were asked for are in {escape(str(out))}")
