"""`medsegdist prepare`: any dataset as a Decathlon task folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsegdist.cli.console import missing_root_explained, reported_errors, say, study_distances
from medsegdist.cli.options import AsJson, Workers, pick_device
from medsegdist.errors import MedSegDistError
from medsegdist.files import check_writable
from medsegdist.progress import show_progress
from medsegdist.words import and_listed, counted

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
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            help="Folder of prepared samples for --nearest, such as OUT/samples of `rank`.",
            show_default="none is kept",
            file_okay=False,
        ),
    ] = None,
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
    from medsegdist.distance.methods import with_joint_scale
    from medsegdist.distance.order import recommending
    from medsegdist.distance.relevance import rank_cases
    from medsegdist.distance.table import compare_all

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
        with missing_root_explained(study.datasets, study_file):
            samples = load_samples(study, names=[source, target], cache=cache, workers=workers)
        samples = [one.to(pick_device("auto")) for one in samples]
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
