"""`medsegdist prepare`, `handover` and `lidc`: datasets as Decathlon task folders, which MONAI and nnU-Net read."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from medsegdist.cli.console import missing_root_explained, reported_errors, say, study_distances
from medsegdist.cli.options import AsJson, KeptSamples, StudyFile, Workers
from medsegdist.errors import DataError, MedSegDistError
from medsegdist.files import check_writable
from medsegdist.progress import show_progress
from medsegdist.words import and_listed, counted, did_you_mean

if TYPE_CHECKING:
    from medsegdist.data.manifest import DatasetManifest
    from medsegdist.distance.order import Recommendation

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
    nearest: Annotated[
        int | None,
        typer.Option(
            "--nearest",
            help="Write only N cases of --dataset: those that serve a target of the study best, as in `rank --cases`.",
            metavar="N",
            min=1,
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Target of --nearest.", show_default="the study's only one")
    ] = None,
    cache: KeptSamples = None,
    label: Annotated[str, typer.Option(help="What the masks show, for dataset.json.")] = "foreground",
    pseudonyms: Pseudonyms = False,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Write a dataset of any layout as a Decathlon task, which MONAI and nnU-Net read."""
    from medsegdist.data.export import check_request
    from medsegdist.data.manifest import load_dataset
    from medsegdist.data.study import load_datasets

    options: dict[str, Any] = {"label": label, "pseudonyms": pseudonyms, "workers": workers}
    with reported_errors():
        check_writable(out, folder=True)
        if nearest is not None and dataset is None:
            raise MedSegDistError("--nearest: expected --dataset NAME, a source of the study, found none.")
        if nearest is None and target is not None:
            raise MedSegDistError("--target: expected --nearest N, how many cases to write for it, found none.")
        manifest = load_dataset(dataset_file) if dataset is None else load_datasets(dataset_file, [dataset])[0]
        if nearest is not None:
            check_request(manifest, out.resolve(), label)
            manifest, options["case_ids"] = _nearest_cases(dataset_file, manifest, target, nearest, cache, workers)
        write_task(manifest, out, as_json, **options)


def _nearest_cases(
    study_file: Path,
    manifest: DatasetManifest,
    target: str | None,
    nearest: int,
    cache: Path | None,
    workers: int | None,
) -> tuple[DatasetManifest, set[str]]:
    """The cases of a source that serve a target best, and the source with words on which cases these are."""
    from medsegdist.data.collect import load_samples
    from medsegdist.data.leakage import refuse_shared_images
    from medsegdist.data.study import load_study
    from medsegdist.distance.dataset_distance import with_joint_scale
    from medsegdist.distance.order import rank_cases, recommending
    from medsegdist.distance.table import compare_all
    from medsegdist.parallel import check_device

    study, source = load_study(study_file), manifest.name
    if target is None and len(study.targets) > 1:
        raise MedSegDistError(
            f"--target: expected one of the study's targets {', '.join(study.targets)}, found none; name the one that "
            "the cases are for."
        )
    target = study.dataset(target or study.targets[0]).name
    if source not in study.sources_of(target):
        found = "the target itself" if source == target else f"'{source}'"
        raise MedSegDistError(
            f"--dataset: expected a source of '{target}', {', '.join(study.sources_of(target))}, found {found}."
        )
    methods = study_distances(study, study_file)
    refuse_shared_images(study.model_copy(update={"targets": (target,), "sources": (source,)}))
    with show_progress():
        device = check_device("auto")
        with missing_root_explained(study.datasets, study_file):
            read = load_samples(study, names=[source, target], cache=cache, workers=workers)
        samples = [one.to(device) for one in read]
        if study.distance.feature_scale == "joint":
            methods = with_joint_scale(methods, samples, study.distance.features)
        table = compare_all(samples, methods, targets=[target], workers=workers)
    ranked, summary = rank_cases(table, samples, target), samples[0].case_summary
    if summary is not None and (left_out := summary.sentence(source)):
        say(left_out, stderr=True)
    if nearest > len(ranked):
        say(
            f"--nearest {nearest}: {source} has {counted(len(ranked), 'case')} with samples; all are written.",
            stderr=True,
        )
    chosen = {one.case for one in ranked[:nearest]}
    words = (
        f"{counted(len(chosen), 'case')} of {len(manifest.cases())}, nearest to {target} by "
        f"{and_listed(recommending(list(methods)))}."
    )
    return manifest.model_copy(update={"description": f"{manifest.description} {words}".strip()}), chosen


def write_task(manifest: DatasetManifest, out: Path, as_json: bool, **options: Any) -> None:
    """Write a dataset as a task, and say where it is."""
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


Rule = Annotated[
    Literal["median_high", "median_low", "mean", "mode"],
    typer.Option(help="How the ratings of a nodule's readers become one level."),
]
MinReaders = Annotated[int, typer.Option(help="Readers that must have outlined a nodule.", min=1, max=4)]
Level = Annotated[int, typer.Option(min=1, max=5, help="1 highly unlikely ... 5 highly suspicious.")]
Exclusive = Annotated[
    Literal["patient", "slice", "none"], typer.Option(help="What this level may not share with the other ones.")
]
MostPatients = Annotated[
    int | None, typer.Option(min=1, help="Number of patients, drawn at random.", show_default="all")
]


def subsets(
    rule: Rule = "median_high",
    min_readers: MinReaders = 3,
    as_json: AsJson = False,
) -> None:
    """Count the nodules of LIDC-IDRI per malignancy level."""
    from medsegdist.data.layouts.lidc import malignancy_subsets, read_nodules
    from medsegdist.report.tables import filled_table

    with reported_errors():
        found = malignancy_subsets(read_nodules(), rule=rule, min_readers=min_readers)
    nodules = {level: len(of_level) for level, of_level in found.items()}
    patients = {level: len({nodule.patient_id for nodule in of_level}) for level, of_level in found.items()}
    if as_json:
        content = {"rule": rule, "min_readers": min_readers, "nodules": nodules, "patients": patients}
        typer.echo(json.dumps(content, indent=2))
        return
    title = f"LIDC-IDRI nodules, {rule} of at least {min_readers} readers"
    rows = ((level, nodules[level], patients[level]) for level in found)
    Console().print(filled_table(title, "Malignancy | Nodules | Patients", "{0} | {1} | {2}", rows))


def export_lidc(
    malignancy: Level,
    out: Out,
    rule: Rule = "median_high",
    min_readers: MinReaders = 3,
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
