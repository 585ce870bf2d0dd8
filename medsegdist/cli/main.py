"""The command line: where the wings are put together."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from medsegdist.cli.agreement import agreement
from medsegdist.cli.characteristics import characteristics
from medsegdist.cli.check import check
from medsegdist.cli.comparing import compare
from medsegdist.cli.comparison import REPLICATES, Comparison
from medsegdist.cli.console import reported_errors
from medsegdist.cli.init import init
from medsegdist.cli.lidc import subsets
from medsegdist.cli.loudness import loudness
from medsegdist.cli.options import (
    AsJson,
    Cache,
    Dask,
    Device,
    Methods,
    NoReport,
    Replicates,
    Seed,
    StudyFile,
    Targets,
    Thumbnails,
    Workers,
    pick_device,
)
from medsegdist.cli.paper import paper
from medsegdist.cli.prepare import export_lidc, prepare
from medsegdist.cli.report import report
from medsegdist.cli.summarize import summarize
from medsegdist.cli.transfer import transfer

app = typer.Typer(
    help="Distances between binary medical segmentation datasets, to choose what to pre-train on.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    callback=loudness,
)
Out = Annotated[Path, typer.Option("--out", help="Folder for distances.csv and report.html.", file_okay=False)]


@app.command()
def demo(
    out: Out = Path("out/demo"),
    cache: Cache = None,
    device: Device = "auto",
    seed: Seed = 0,
    bootstrap: Replicates = REPLICATES,
    workers: Workers = None,
    dask: Dask = None,
    thumbnails: Thumbnails = False,
    no_report: NoReport = False,
    as_json: AsJson = False,
) -> None:
    """The paper's ten datasets in miniature: five distances and a ranking for both targets."""
    with reported_errors(), as_file(files("medsegdist.data_manifests")) as manifests:
        study_file = manifests / "demo.yaml"
        picked = pick_device(device)
        asked = Comparison(study_file, None, None, out, cache, picked, seed, bootstrap, workers, dask, thumbnails)
        compare(asked, matrices=True, rankings=True, report=not no_report, as_json=as_json)


@app.command()
def rank(
    study_file: StudyFile,
    target: Targets = None,
    method: Methods = None,
    out: Out = Path("out"),
    cache: Cache = None,
    device: Device = "auto",
    seed: Seed = 0,
    bootstrap: Replicates = REPLICATES,
    workers: Workers = None,
    dask: Dask = None,
    thumbnails: Thumbnails = False,
    no_report: NoReport = False,
    as_json: AsJson = False,
) -> None:
    """Ranks the sources of a study for its target, nearest first.

    Where one of them is a card, as `medsegdist summarize` writes it, all are compared by cards: approximately.
    """
    with reported_errors():
        picked = pick_device(device)
        asked = Comparison(study_file, target, method, out, cache, picked, seed, bootstrap, workers, dask, thumbnails)
        compare(asked, matrices=False, rankings=True, report=not no_report, as_json=as_json)


@app.command()
def distances(
    study_file: StudyFile,
    method: Methods = None,
    out: Out = Path("out"),
    cache: Cache = None,
    device: Device = "auto",
    seed: Seed = 0,
    bootstrap: Replicates = REPLICATES,
    workers: Workers = None,
    dask: Dask = None,
    thumbnails: Thumbnails = False,
    no_report: NoReport = False,
    as_json: AsJson = False,
) -> None:
    """Distances between all pairs of a study's datasets."""
    with reported_errors():
        picked = pick_device(device)
        asked = Comparison(study_file, [], method, out, cache, picked, seed, bootstrap, workers, dask, thumbnails)
        compare(asked, matrices=True, rankings=False, report=not no_report, as_json=as_json)


app.command()(check)
app.command()(transfer)
for command in (report, agreement, characteristics, paper, prepare, init, summarize):
    app.command()(command)
lidc = typer.Typer(help="LIDC-IDRI by malignancy.", no_args_is_help=True)
lidc.command()(subsets)
lidc.command("export")(export_lidc)
app.add_typer(lidc, name="lidc")
