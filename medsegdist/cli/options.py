"""Options that several commands share."""

# Annotations are evaluated here, and not kept as text: commands of other files have them, too.

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from medsegdist.distance.metrics.mask_metric import METHODS, PAPER_METHODS

C = TypeVar("C", bound=Callable[..., None])

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
        help=f"Method to compute, repeatable. Of the paper: {', '.join(PAPER_METHODS)}. "
        f"Others: {', '.join(name for name in METHODS if name not in PAPER_METHODS)}.",
        show_default="the study's, else boundary, fingerprint and patches, which predict gains best",
        autocompletion=lambda incomplete: [name for name in METHODS if name.startswith(incomplete)],
    ),
]
Paper = Annotated[
    bool,
    typer.Option(
        "--paper", help="The paper's five distances as published: image and mask terms added in their own units."
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache", help="Folder of prepared samples, reused by later runs.", show_default="OUT/samples", file_okay=False
    ),
]
KeptSamples = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Folder of prepared samples, images included, such as OUT/samples of `rank`.",
        show_default="none is kept",
        file_okay=False,
    ),
]
Device = Annotated[str, typer.Option(help="Device: auto, cpu, cuda or cuda:N.")]
Out = Annotated[
    Path, typer.Option("--out", help="Folder for distances.csv, study.json and report.html.", file_okay=False)
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Number of processes.",
        show_default="one for each core where that saves time",
        min=1,
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
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@dataclass(frozen=True)
class RankOptions:
    """What `rank`, `distances` and `demo` can be asked for."""

    out: Out = Path("out")
    cache: Cache = None
    device: Device = "auto"
    seed: Annotated[int, typer.Option(help="Random seed (clustering, mixture fits, subsampling, bootstrap).")] = 0
    bootstrap: Annotated[
        int,
        typer.Option(
            help="Number of bootstrap replicates (patients resampled with replacement); 0 disables confidence "
            "intervals.",
            min=0,
        ),
    ] = 200
    workers: Workers = None
    dask: Dask = None
    ranking: Annotated[
        Path | None,
        typer.Option(
            help="Order the sources by what `medsegdist learn` wrote to this file.",
            show_default="the mean distance",
            dir_okay=False,
        ),
    ] = None
    thumbnails: Annotated[
        bool,
        typer.Option(
            "--thumbnails",
            help="Show matched samples of the target and its nearest sources in the report. report.html and "
            "thumbnails.json then contain images of patients.",
        ),
    ] = False
    cases: Annotated[
        bool,
        typer.Option(
            "--cases",
            help="Rank the cases of each source by how well they serve the target. cases.csv then names cases; "
            "report.html does not.",
        ),
    ] = False
    no_report: NoReport = False
    as_json: AsJson = False


def takes(kind: type[Any], **defaults: Any) -> Callable[[C], C]:
    """Let a command that ends in `**options` have the fields of a dataclass as options."""

    def decorate(command: C) -> C:
        *own, _ = inspect.signature(command, eval_str=True).parameters.values()
        fields = inspect.signature(kind, eval_str=True).parameters.values()
        shared = [one.replace(default=defaults.get(one.name, one.default)) for one in fields]
        command.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
        return command

    return decorate


class _PlainFlags:
    """Shows flags without a type: they take no value."""

    def get_params(self, ctx: Any) -> list[Any]:
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for one in found:
            if getattr(one, "is_flag", False):
                one.metavar = ""
        return found


class Command(_PlainFlags, TyperCommand):
    """A command of ours."""


class Group(_PlainFlags, TyperGroup):
    """Commands with one first word."""
