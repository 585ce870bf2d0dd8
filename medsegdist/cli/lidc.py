"""`medsegdist lidc`: the malignancy subsets of LIDC-IDRI, counted or written as Decathlon tasks."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from medsegdist.cli.console import reported_errors
from medsegdist.cli.options import AsJson, Workers
from medsegdist.cli.prepare import Out, Pseudonyms, write_task
from medsegdist.files import check_writable

Rule = Literal["median_high", "median_low", "mean", "mode"]
Level = Annotated[int, typer.Option(min=1, max=5, help="1 highly unlikely ... 5 highly suspicious.")]
Exclusive = Annotated[
    Literal["patient", "slice", "none"], typer.Option(help="What this level may not share with the other ones.")
]
MostPatients = Annotated[
    int | None, typer.Option(min=1, help="Number of patients, drawn at random.", show_default="all")
]


def subsets(
    rule: Annotated[Rule, typer.Option(help="How the ratings of a nodule's readers become one level.")] = "median_high",
    min_readers: Annotated[int, typer.Option(help="Readers that must have outlined the nodule.", min=1, max=4)] = 3,
    as_json: AsJson = False,
) -> None:
    """Count the nodules of LIDC-IDRI per malignancy level."""
    from medsegdist.data.layouts.lidc import malignancy_subsets, read_nodules

    with reported_errors():
        found = malignancy_subsets(read_nodules(), rule=rule, min_readers=min_readers)
    nodules = {level: len(of_level) for level, of_level in found.items()}
    patients = {level: len({nodule.patient_id for nodule in of_level}) for level, of_level in found.items()}
    if as_json:
        content = {"rule": rule, "min_readers": min_readers, "nodules": nodules, "patients": patients}
        typer.echo(json.dumps(content, indent=2))
        return
    title = f"LIDC-IDRI nodules, {rule} of at least {min_readers} readers"
    table = Table("Malignancy", "Nodules", "Patients", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for level in found:
        table.add_row(str(level), str(nodules[level]), str(patients[level]))
    Console().print(table)


def export_lidc(
    malignancy: Level,
    out: Out,
    rule: Annotated[Rule, typer.Option(help="How the ratings of a nodule's readers become one level.")] = "median_high",
    min_readers: Annotated[int, typer.Option(help="Readers that must have outlined a nodule.", min=1, max=4)] = 3,
    consensus: Annotated[
        float, typer.Option(help="Fraction of the readers that a pixel needs.", min=0.01, max=1)
    ] = 0.5,
    exclusive: Exclusive = "none",
    max_patients: MostPatients = None,
    dicom_root: Annotated[
        Path | None,
        typer.Option(help="Take HU from the CT series here.", show_default="simulate them", file_okay=False),
    ] = None,
    slice_thickness_max: Annotated[
        float | None, typer.Option(help="Leave out scans with thicker slices, in mm.", min=0.01)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the patients drawn, and of all that is simulated.", min=0)] = 0,
    pseudonyms: Pseudonyms = False,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Write a malignancy level of LIDC-IDRI as a Decathlon task.

    Contours are the radiologists' own; intensities are simulated unless there is a --dicom-root.
    """
    from medsegdist.data.manifest import DatasetManifest, load_dataset

    options = {"label": "nodule", "pseudonyms": pseudonyms, "workers": workers}
    with reported_errors():
        check_writable(out, folder=True)
        with as_file(files("medsegdist.data_manifests") / f"lidc_{malignancy}.yaml") as file:
            content = load_dataset(file).model_dump()
        content["layout"] |= {
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
        if dicom_root is not None:
            content["simulated"] = ""
        write_task(DatasetManifest.model_validate(content), out, as_json, **options)
