"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsegdist.cli.completion import method_names
from medsegdist.errors import MedSegDistError

StudyFile = Annotated[
    Path, typer.Argument(help="YAML file with datasets, targets and preprocessing.", metavar="STUDY.yaml")
]
Targets = Annotated[
    list[str] | None, typer.Option("--target", help="Name of a target dataset, repeatable.", show_default="the study's")
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        help="Method to compute, repeatable.",
        show_default="the study's, else the paper's five",
        autocompletion=method_names,
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache", help="Folder of prepared samples, reused by later runs.", show_default="OUT/samples", file_okay=False
    ),
]
Device = Annotated[str, typer.Option(help="Device: auto, cpu, cuda or cuda:N.")]
Seed = Annotated[int, typer.Option(help="Random seed (clustering, mixture fits, subsampling, bootstrap).")]
Out = Annotated[
    Path, typer.Option("--out", help="Folder for distances.csv, study.json and report.html.", file_okay=False)
]
REPLICATES = 200
Replicates = Annotated[
    int,
    typer.Option(
        "--bootstrap",
        help="Number of bootstrap replicates (patients resampled with replacement); 0 disables confidence intervals.",
        min=0,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Number of processes that read files and compare datasets.",
        show_default="one for each core where that saves time",
        min=1,
    ),
]
TrainingWorkers = Annotated[
    int | None,
    typer.Option(
        "--workers", help="Number of training processes.", show_default="one for each core, or each GPU", min=1
    ),
]
Dask = Annotated[
    str | None,
    typer.Option(
        "--dask",
        help="Address of a Dask scheduler, such as tcp://host:8786; its workers replace local processes.",
        metavar="URL",
    ),
]
NoReport = Annotated[bool, typer.Option("--no-report", help="Do not write report.html.")]
Thumbnails = Annotated[
    bool,
    typer.Option(
        "--thumbnails",
        help="Show matched samples of the target and its nearest sources in the report. report.html and "
        "thumbnails.json then contain images of patients.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def pick_device(name: str) -> str:
    """The device of this name; "auto" is the GPU if there is one.

    Args:
        name: cpu, cuda, cuda:1 ..., or auto.

    Raises:
        MedSegDistError: it is not there.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise MedSegDistError(f"expected a CUDA device for --device {name}, found none", "use --device cpu")
    return name
