"""The command line: where the wings are put together, and the only module that picks a device."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.commands.agreement import agreement
from medsegdist.commands.characteristics import characteristics
from medsegdist.commands.console import AsJson, bar, progress_bars, reported_errors
from medsegdist.commands.fetch import fetch
from medsegdist.commands.paper import paper
from medsegdist.commands.prepare import export_lidc, prepare
from medsegdist.commands.reading import read_samples
from medsegdist.commands.report import NoReport, figures, leave_report, report
from medsegdist.commands.resources import Dask, Memory, Workers, chosen_executor, size_in_bytes
from medsegdist.errors import ManifestError, MedSegDistError

if TYPE_CHECKING:
    from medsegdist.data.manifest import Study
    from medsegdist.distance.dataset_distance import DatasetDistance
    from medsegdist.distance.distance_table import DistanceTable

app = typer.Typer(
    help="Distances between binary medical segmentation datasets, to choose what to pre-train on.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
lidc = typer.Typer(help="LIDC-IDRI by malignancy.", no_args_is_help=True)
app.add_typer(lidc, name="lidc")
app.add_typer(fetch, name="fetch")
app.command()(prepare)
app.command()(agreement)
app.command()(paper)
app.command()(characteristics)
app.command()(report)
app.command()(figures)
lidc.command("export")(export_lidc)

StudyFile = Annotated[Path, typer.Argument(help="Study YAML: datasets, targets, preprocessing.", metavar="STUDY.yaml")]
Methods = Annotated[
    list[str] | None,
    typer.Option("--method", help="Method to compute, repeatable. [default: the study's, else the paper's five]"),
]
Out = Annotated[Path, typer.Option("--out", help="Folder for distances.csv.", file_okay=False)]
Cache = Annotated[
    Path | None, typer.Option("--cache", help="Folder for prepared samples. [default: OUT/samples]", file_okay=False)
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ..., or auto.")]
Rule = Literal["median_high", "median_low", "mean", "mode"]
Seed = Annotated[int, typer.Option(help="Of clusterings, fits, choices of samples and draws of patients.")]
Replicates = Annotated[
    int, typer.Option("--bootstrap", help="How often patients are drawn anew for intervals; 0 does not.", min=0)
]


@app.command()
def demo(
    out: Out = Path("out/demo"),
    cache: Cache = None,
    device: Device = "auto",
    seed: Seed = 0,
    bootstrap: Replicates = 200,
    workers: Workers = None,
    dask: Dask = None,
    memory: Memory = None,
    no_report: NoReport = False,
    as_json: AsJson = False,
) -> None:
    """The paper's ten datasets in miniature: five distances and a ranking for both targets."""
    with reported_errors(), as_file(files("medsegdist.data_manifests")) as manifests:
        study, table = _distances(
            manifests / "demo.yaml", None, None, out, cache, device, seed, bootstrap, workers, dask, memory
        )
        _show(study, table, out, as_json, matrices=True)
        leave_report(out, wanted=not no_report)


@app.command()
def rank(
    study_file: StudyFile,
    target: Annotated[
        list[str] | None, typer.Option("--target", help="Target, repeatable. [default: the study's]")
    ] = None,
    method: Methods = None,
    out: Out = Path("out"),
    cache: Cache = None,
    device: Device = "auto",
    seed: Seed = 0,
    bootstrap: Replicates = 200,
    workers: Workers = None,
    dask: Dask = None,
    memory: Memory = None,
    no_report: NoReport = False,
    as_json: AsJson = False,
) -> None:
    """Ranks the sources of a study for its target, nearest first."""
    with reported_errors():
        study, table = _distances(
            study_file, target, method, out, cache, device, seed, bootstrap, workers, dask, memory
        )
        _show(study, table, out, as_json, matrices=False)
        leave_report(out, wanted=not no_report)


@app.command()
def distances(
    study_file: StudyFile,
    method: Methods = None,
    out: Out = Path("out"),
    cache: Cache = None,
    device: Device = "auto",
    seed: Seed = 0,
    bootstrap: Replicates = 200,
    workers: Workers = None,
    dask: Dask = None,
    memory: Memory = None,
    no_report: NoReport = False,
    as_json: AsJson = False,
) -> None:
    """Distances between all pairs of a study's datasets."""
    with reported_errors():
        study, table = _distances(study_file, [], method, out, cache, device, seed, bootstrap, workers, dask, memory)
        _show(study, table, out, as_json, matrices=True, rankings=False)
        leave_report(out, wanted=not no_report)


@app.command()
def check(
    study_file: StudyFile,
    full: Annotated[
        bool, typer.Option("--full", help="Read every voxel, not the headers only: slower, and finds all.")
    ] = False,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Lists every problem of a study's datasets at once, and changes nothing.

    Exit status 1 if there is an error, 0 if there are only warnings, or nothing.
    """
    from medsegdist.data.checking import check_study
    from medsegdist.data.manifest import load_study
    from medsegdist.report.tables import problem_table

    with reported_errors():
        study = load_study(study_file)
        _configured(study.methods or (), study, study_file, seed=0)
        with progress_bars() as progress:
            problems = check_study(
                study, full=full, progress=lambda name: bar(progress, f"Checking {name}"), workers=workers
            )
    errors = sum(problem.severity == "error" for problem in problems)
    read = "every voxel" if full else "the headers"
    if as_json:
        typer.echo(json.dumps([_fields(problem) for problem in problems], indent=2))
    elif problems:
        console = Console()
        console.print(problem_table(problems))
        console.print(
            f"Errors: {errors}, warnings: {len(problems) - errors}, in {read} of {len(study.datasets)} datasets."
        )
    else:
        Console().print(f"No problem found in {read} of {len(study.datasets)} datasets.")
    if not (full or as_json or errors):
        Console().print("--full reads every voxel.")
    raise typer.Exit(1 if errors else 0)


@app.command()
def transfer(
    study_file: StudyFile,
    target: Annotated[
        list[str] | None, typer.Option("--target", help="Target, repeatable. [default: the study's]")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for runs.jsonl and gains.csv.", file_okay=False)] = Path(
        "out"
    ),
    cache: Cache = None,
    device: Device = "auto",
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Processes that train. [default: one for each core; 1 on a GPU]", min=1),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the runs and what they cost; train nothing.")
    ] = False,
    include_not_converged: Annotated[
        bool, typer.Option("--include-not-converged", help="Also write gains of trainings that learned nothing.")
    ] = False,
    bundle: Annotated[
        bool,
        typer.Option("--bundle", help="Also write each target's best pre-training as a MONAI Bundle, in OUT/bundles."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Pre-trains on every source, fine-tunes on every target, and says what each source gained.

    Run it again after an interruption: finished runs are kept, and begun ones go on. Exit status 1 if a run failed.
    """
    from medsegdist.commands.transfer import transfer as run_transfer

    with reported_errors():
        run_transfer(
            study_file,
            targets=target,
            out=out,
            cache=cache,
            device=_device(device),
            workers=workers,
            dry_run=dry_run,
            include_not_converged=include_not_converged,
            bundle=bundle,
            as_json=as_json,
        )


@lidc.command()
def subsets(
    rule: Annotated[Rule, typer.Option(help="How the ratings of a nodule's readers become one level.")] = "median_high",
    min_readers: Annotated[int, typer.Option(help="Readers that must have outlined the nodule.", min=1, max=4)] = 3,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Cluster all 1,018 scans anew instead of reading the shipped table.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="With --rebuild: write the table here.", dir_okay=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Nodules of LIDC-IDRI per malignancy level."""
    from medsegdist.data.layouts.lidc_nodules import malignancy_subsets, read_nodules
    from medsegdist.report.tables import subset_table

    with reported_errors():
        nodules = _rebuilt(out) if rebuild else read_nodules()
        found = malignancy_subsets(nodules, rule=rule, min_readers=min_readers)
    patients = {level: len({nodule.patient_id for nodule in of_level}) for level, of_level in found.items()}
    if as_json:
        counts = {str(level): len(of_level) for level, of_level in found.items()}
        typer.echo(
            json.dumps(
                {
                    "rule": rule,
                    "min_readers": min_readers,
                    "nodules": counts,
                    "patients": {str(level): n for level, n in patients.items()},
                },
                indent=2,
            )
        )
    else:
        Console().print(subset_table(found, patients, f"LIDC-IDRI nodules, {rule} of at least {min_readers} readers"))


def _distances(
    study_file: Path,
    targets: Sequence[str] | None,
    methods: Sequence[str] | None,
    out: Path,
    cache: Path | None,
    device: str,
    seed: int,
    replicates: int,
    workers: int | None,
    dask: str | None,
    memory: str | None,
) -> tuple[Study, DistanceTable]:
    """Distances of a study to its targets (None: those of the study; empty: every dataset), also as distances.csv."""
    from medsegdist.data.checking import refuse_shared_images
    from medsegdist.data.manifest import load_study
    from medsegdist.distance.bootstrap import Bootstrap
    from medsegdist.distance.mask_metrics import PAPER_METHODS
    from medsegdist.distance.ranking import compare_all
    from medsegdist.report.record import FILE_NAME
    from medsegdist.report.recording import record_study

    study = load_study(study_file)
    for manifest in study.datasets:
        manifest.check_one_foreground()
    names = [manifest.name for manifest in study.datasets]
    # Where all pairs are asked for, the study still says what is ranked for what.
    ranked = targets or study.targets
    targets = study.targets if targets is None else targets or names
    for name in targets:
        if name not in names:
            raise ManifestError(f"expected a target among the datasets {', '.join(names)}, found '{name}'.")
    configured = _configured(methods or study.methods or PAPER_METHODS, study, study_file, seed)
    picked = _device(device)
    refuse_shared_images(study.model_copy(update={"targets": tuple(ranked)}))
    bootstrap = Bootstrap(replicates, seed=seed) if replicates else None
    summaries: dict[tuple[str, str], Any] = {}
    budget = None if memory is None else size_in_bytes(memory)
    with progress_bars() as progress, chosen_executor(workers, dask) as executor:
        samples = [one.to(picked) for one in read_samples(study, cache or out / "samples", workers, progress)]
        advance = bar(progress, "Comparing")
        table = compare_all(
            samples,
            configured,
            targets=targets,
            sources=study.sources or names,
            bootstrap=bootstrap,
            memory=budget,
            executor=executor,
            progress=lambda done, total, what: advance(done, total),
            summarized=lambda name, method, summary: summaries.update({(name, method): summary}),
        )
        described = bar(progress, "Describing")
        record = record_study(
            study, samples, configured, table, summaries=summaries, bootstrap=bootstrap, progress=described
        )
    table.save(out / "distances.csv")
    record.save(out / FILE_NAME)
    alone = [one.name for one in samples if len(one.patients) < 2] if replicates else []
    if alone:
        said = f"No interval for distances of {', '.join(alone)}: one patient does not tell how patients differ."
        Console(stderr=True).print(escape(said))
    return study, table


def _configured(methods: Sequence[str], study: Study, study_file: Path, seed: int) -> dict[str, DatasetDistance]:
    """The distances of these names, with the options of the study's `distance`."""
    from medsegdist.distance.dataset_distance import DatasetDistance
    from medsegdist.distance.mask_metrics import all_metrics
    from medsegdist.distance.mask_metrics.options import with_options

    metrics = all_metrics(delta=study.preprocessing.effective_delta, seed=seed)
    for name in methods:
        if name not in metrics:
            raise ManifestError(f"expected a method among {', '.join(metrics)}, found '{name}'.")
    try:
        of_masks, of_formula = study.distance.of_masks(), study.distance.of_formula()
        return {
            name: DatasetDistance(with_options(metrics[name], of_masks), seed=seed, **of_formula) for name in methods
        }
    except ValueError as error:
        raise ManifestError(f"{study_file}: distance: {error}") from error


def _rebuilt(out: Path | None) -> Any:
    from medsegdist.data.layouts.lidc_nodules import format_nodules
    from medsegdist.data.layouts.lidc_rebuild import rebuild_nodules
    from medsegdist.files import written_whole

    with progress_bars() as progress:
        nodules = rebuild_nodules(progress=bar(progress, "Clustering scans"))
    if out is not None:
        with written_whole(out) as file:
            file.write(format_nodules(nodules))
    return nodules


def _show(
    study: Study, table: DistanceTable, out: Path, as_json: bool, *, matrices: bool, rankings: bool = True
) -> None:
    from medsegdist.report.tables import distance_tables, mean_ranks, ranking_table, verdict

    if as_json:
        by_target = {
            target: {"mean_ranks": mean_ranks(table, target), "verdict": verdict(table, target)}
            for target in table.targets
        }
        typer.echo(
            json.dumps(
                {"study": study.name, "targets": by_target, "distances": [_fields(row) for row in table.rows]}, indent=2
            )
        )
        return
    console = Console()
    simulated = [f"{manifest.name}: {manifest.simulated}" for manifest in study.datasets if manifest.simulated]
    if matrices:
        for rendered in distance_tables(table):
            console.print(rendered)
    if rankings:
        for target in table.targets:
            console.print(ranking_table(table, target))
            console.print(escape(verdict(table, target)), "\n")
    if simulated:
        console.print("Simulated here:", *(escape(line) for line in simulated), sep="\n  ")
    console.print(f"All distances: {escape(str(out / 'distances.csv'))}", soft_wrap=True)


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise MedSegDistError(f"expected a CUDA device for --device {name}, found none; use --device cpu.")
    return name


def _fields(value: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(value)
