"""`medsegdist prepare` and `medsegdist lidc export`: any dataset as a Decathlon task folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.cli.console import reported_errors
from medsegdist.cli.options import AsJson
from medsegdist.files import check_writable
from medsegdist.progress import show_progress
from medsegdist.words import counted

if TYPE_CHECKING:
    from medsegdist.data.manifest import DatasetManifest

DatasetFile = Annotated[
    Path, typer.Argument(help="Dataset YAML: name, modality, layout, foreground.", metavar="DATASET.yaml")
]
Out = Annotated[Path, typer.Option("--out", help="New folder, named like Task11_LungNodules.", file_okay=False)]
Force = Annotated[bool, typer.Option("--force", help="Replace the task that is there, once the new one is complete.")]
Pseudonyms = Annotated[
    bool,
    typer.Option("--pseudonyms", help="Name files case_0001, ... and patients patient_0001, ... instead of their ids."),
]
Level = Annotated[int, typer.Option(min=1, max=5, help="1 highly unlikely ... 5 highly suspicious.")]
Exclusive = Annotated[
    Literal["patient", "slice", "none"], typer.Option(help="What this level may not share with the other ones.")
]
ReadingWorkers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Processes that read and compress cases. [default: one for each core where that saves time]",
        min=1,
    ),
]
MostPatients = Annotated[int | None, typer.Option(min=1, help="So many patients, drawn at random. [default: all]")]


def prepare(
    dataset_file: DatasetFile,
    out: Out,
    label: Annotated[str, typer.Option(help="What the masks show, for dataset.json.")] = "foreground",
    force: Force = False,
    pseudonyms: Pseudonyms = False,
    workers: ReadingWorkers = None,
    as_json: AsJson = False,
) -> None:
    """Writes a dataset of any layout as a Decathlon task, which MONAI and nnU-Net read.

    Run it again after an interruption: finished cases are not read again.
    """
    from medsegdist.data.manifest import load_dataset

    _export(lambda: load_dataset(dataset_file), out, label, force, pseudonyms, workers, as_json)


def export_lidc(
    malignancy: Level,
    out: Out,
    rule: Annotated[
        Literal["median_high", "median_low", "mean", "mode"],
        typer.Option(help="How the ratings of a nodule's readers become one level."),
    ] = "median_high",
    min_readers: Annotated[int, typer.Option(help="Readers that must have outlined a nodule.", min=1, max=4)] = 3,
    consensus: Annotated[
        float, typer.Option(help="Fraction of the readers that a pixel needs.", min=0.01, max=1)
    ] = 0.5,
    exclusive: Exclusive = "none",
    max_patients: MostPatients = None,
    dicom_root: Annotated[
        Path | None, typer.Option(help="Take HU from the CT series here. [default: simulate them]", file_okay=False)
    ] = None,
    slice_thickness_max: Annotated[
        float | None, typer.Option(help="Leave out scans with thicker slices, in mm.", min=0.01)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the patients drawn, and of all that is simulated.", min=0)] = 0,
    force: Force = False,
    pseudonyms: Pseudonyms = False,
    workers: ReadingWorkers = None,
    as_json: AsJson = False,
) -> None:
    """Writes a malignancy level of LIDC-IDRI as a Decathlon task.

    Contours are the radiologists' own; intensities are simulated unless there is a --dicom-root.
    """

    def manifest() -> DatasetManifest:
        from medsegdist.data.manifest import DatasetManifest, load_dataset

        with as_file(files("medsegdist.data_manifests") / f"lidc_{malignancy}.yaml") as file:
            shipped = load_dataset(file)
        chosen = {
            "rule": rule,
            "min_readers": min_readers,
            "consensus": consensus,
            "exclusive": exclusive,
            "max_patients": max_patients,
            "images": "simulated" if dicom_root is None else "dicom",
            "dicom_root": dicom_root,
            "slice_thickness_max": slice_thickness_max,
            "seed": seed,
        }
        content = shipped.model_dump()
        simulated = shipped.simulated if dicom_root is None else ""
        layout = {**content["layout"], **chosen}
        return DatasetManifest.model_validate({**content, "layout": layout, "simulated": simulated})

    _export(manifest, out, "nodule", force, pseudonyms, workers, as_json)


def _export(
    manifest: Callable[[], DatasetManifest],
    out: Path,
    label: str,
    force: bool,
    pseudonyms: bool,
    workers: int | None,
    as_json: bool,
) -> None:
    from medsegdist.data.export import export_task

    with reported_errors():
        check_writable(out, folder=True)
        described = manifest()
        with show_progress():
            task = export_task(
                described,
                out,
                label=label,
                overwrite=force,
                pseudonyms=pseudonyms,
                workers=workers,
            )
    if as_json:
        content = {"task": str(task.directory), "cases": task.cases, "resumed": task.resumed, "sheared": task.sheared}
        typer.echo(json.dumps(content, indent=2))
        return
    resumed = f", {task.resumed} of them by an earlier run" if task.resumed else ""
    console = Console()
    console.print(f"{counted(task.cases, 'case')} written{resumed}: {escape(str(task.directory))}", soft_wrap=True)
    if task.sheared:
        console.print(
            f"Axes not at right angles, as of a tilted gantry, in {len(task.sheared)} of "
            f"{counted(task.cases, 'case')}, such as "
            f"'{escape(task.sheared[0])}': MONAI reads them; ITK, and nnU-Net by its default reader, does not.",
            soft_wrap=True,
        )
    console.print(f"Name {escape(str(task.directory / 'dataset.yaml'))} in a study to use it.", soft_wrap=True)
