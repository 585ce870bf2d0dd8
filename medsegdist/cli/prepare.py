"""`medsegdist prepare`: any dataset as a Decathlon task folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsegdist.cli.console import reported_errors, say
from medsegdist.cli.options import AsJson, Workers
from medsegdist.files import check_writable
from medsegdist.progress import show_progress
from medsegdist.words import counted

if TYPE_CHECKING:
    from medsegdist.data.manifest import DatasetManifest

DatasetFile = Annotated[
    Path, typer.Argument(help="Dataset, or study that holds it, see --dataset.", metavar="DATASET_OR_STUDY.yaml")
]
Out = Annotated[Path, typer.Option("--out", help="New folder, named like Task11_LungNodules.", file_okay=False)]
Pseudonyms = Annotated[
    bool,
    typer.Option("--pseudonyms", help="Name files case_0001, ... and patients patient_0001, ... instead of their ids."),
]


def prepare(
    dataset_file: DatasetFile,
    out: Out,
    dataset: Annotated[str | None, typer.Option("--dataset", help="Name of a dataset in the study.")] = None,
    label: Annotated[str, typer.Option(help="What the masks show, for dataset.json.")] = "foreground",
    pseudonyms: Pseudonyms = False,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Write a dataset of any layout as a Decathlon task, which MONAI and nnU-Net read."""
    from medsegdist.data.manifest import load_dataset
    from medsegdist.data.study import load_datasets

    options = {"label": label, "pseudonyms": pseudonyms, "workers": workers}
    with reported_errors():
        check_writable(out, folder=True)
        manifest = load_dataset(dataset_file) if dataset is None else load_datasets(dataset_file, [dataset])[0]
        write_task(manifest, out, as_json, **options)


def write_task(manifest: DatasetManifest, out: Path, as_json: bool, **options: Any) -> None:
    """Write a dataset as a task, and say where it is.

    Args:
        manifest: describes the dataset.
        out: where to.
        as_json: prints JSON.
        **options: of :func:`~medsegdist.data.export.export_task`.
    """
    from medsegdist.data.export import export_task

    with show_progress():
        task = export_task(manifest, out, **options)
    if as_json:
        content = {"task": str(task.directory), "cases": task.cases, "sheared": task.sheared}
        typer.echo(json.dumps(content, indent=2))
        return
    say(f"{counted(task.cases, 'case')} written: {task.directory}")
    if task.sheared:
        say(
            f"Axes not at right angles, as of a tilted gantry, in {len(task.sheared)} of "
            f"{counted(task.cases, 'case')}, such as '{task.sheared[0]}': MONAI reads them; ITK, and nnU-Net by its "
            "default reader, does not."
        )
    say(f"Name {task.directory / 'dataset.yaml'} in a study to use it.")
