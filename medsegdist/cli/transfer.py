"""`medsegdist transfer`: what pre-training on each source really gained."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.cli.console import missing_root_explained, reported_errors, say
from medsegdist.cli.options import AsJson, Cache, Dask, Device, NoReport, StudyFile, Targets
from medsegdist.cli.report import announce, leave_report
from medsegdist.data.options import ScoreName
from medsegdist.errors import ManifestError, MedSegDistError
from medsegdist.files import check_writable, write_csv
from medsegdist.progress import duration, show_progress
from medsegdist.words import did_you_mean, printable

if TYPE_CHECKING:
    from medsegdist.data.samples import SegmentationSamples
    from medsegdist.data.study import Study
    from medsegdist.transfer.outcomes import TransferResult
    from medsegdist.transfer.runs import TransferStudy


def transfer(
    study_file: StudyFile,
    target: Targets = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for runs.jsonl, gains.csv and report.html.", file_okay=False)
    ] = Path("out"),
    cache: Cache = None,
    device: Device = "auto",
    workers: Annotated[
        int | None,
        typer.Option(help="Number of training processes.", show_default="one for each core, or each GPU", min=1),
    ] = None,
    dask: Dask = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the runs and their estimated time; train nothing.")
    ] = False,
    include_not_converged: Annotated[
        bool, typer.Option("--include-not-converged", help="Also write gains of runs that did not converge.")
    ] = False,
    bundle: Annotated[
        bool,
        typer.Option("--bundle", help="Also write each target's best pre-training as a MONAI Bundle, in OUT/bundles."),
    ] = False,
    scores: Annotated[
        list[str] | None,
        typer.Option(help="Score of the sources to write to scores.csv, repeatable.", show_default="the study's"),
    ] = None,
    no_report: NoReport = False,
    as_json: AsJson = False,
) -> None:
    """Pre-train on every source, fine-tune on every target, and measure the gains.

    Run it again after an interruption: finished runs are kept, others are resumed. Exit status 1 if a run failed.
    """
    import joblib
    import torch

    from medsegdist.data.study import load_study
    from medsegdist.parallel import check_device, dask_cluster
    from medsegdist.report.describe import describe_transfer
    from medsegdist.transfer.bundle import write_bundles
    from medsegdist.transfer.runs import run_study
    from medsegdist.transfer.scores.compute import score_sources

    with reported_errors():
        # A cluster may have the device that is named where this machine has none.
        picked = device if dask is not None and device != "auto" else str(check_device(device))
        check_writable(out, folder=True)
        described = load_study(study_file)
        targets = target or described.targets
        wanted, known = scores or described.transfer.scores, get_args(ScoreName)
        for name in wanted:
            if name not in known:
                hint = did_you_mean(name, known)
                raise MedSegDistError(f"expected --scores to be one of {', '.join(known)}, found '{name}'{hint}")
        study = _prepared(described, study_file, targets, out, cache)
        devices = worker_devices(picked, workers, cuda_devices=torch.cuda.device_count(), cores=joblib.cpu_count())
        # No more are needed than there are runs.
        devices = devices[: max(1, len(study.to_do))]
        if dry_run:
            _show_plan(study, described, devices, as_json)
            return
        needs = {"GPU": 1.0} if picked.startswith("cuda") else None
        with show_progress(), nullcontext() if dask is None else dask_cluster(dask, resources=needs):
            result = run_study(
                study,
                devices=devices if dask is None else (picked,),
                include_not_converged=include_not_converged,
            )
            if wanted:
                write_csv(out / "scores.csv", score_sources(study, wanted), float_format="%.10g")
        bundles = write_bundles(study, result, described, targets, out / "bundles") if bundle else {}
        describe_transfer(described, targets, result, picked).save(out / "transfer.json")
        unwritten = [name for name in targets if name not in bundles] if bundle else []
        leave_report(out, wanted=not no_report)
        _show(result, targets, out, study.options.dice_floor, bundles, unwritten, as_json)
        announce(out)
        if result.failed:
            raise typer.Exit(1)


def _prepared(described: Study, file: Path, targets: Sequence[str], out: Path, cache: Path | None) -> TransferStudy:
    from medsegdist.data.collect import load_samples
    from medsegdist.transfer.plan import IntensityScale
    from medsegdist.transfer.runs import prepare_study

    for name in targets:
        described.dataset(name)
        if not described.sources_of(name):
            raise ManifestError(f"study '{described.name}': the target '{name}' has no source left but itself.")
    wanted = dict.fromkeys([*targets, *(source for target in targets for source in described.sources_of(target))])
    for name in wanted:
        described.dataset(name).check_one_foreground()
    with show_progress(), missing_root_explained(described.datasets, file):
        read = load_samples(described, names=list(wanted), cache=cache or out / "samples", workers=None)
    samples = cast("list[SegmentationSamples]", read)  # for no dataset has classes
    return prepare_study(
        samples,
        described.transfer,
        targets=targets,
        sources_of=described.sources_of,
        scale=IntensityScale.of(described.preprocessing),
        # Workers of a cluster have working directories of their own.
        folder=out.resolve(),
    )


def worker_devices(device: str, workers: int | None, *, cuda_devices: int, cores: int) -> tuple[str, ...]:
    """The device of each process that trains: "cuda" takes all CUDA devices in turn, any other name that one alone."""
    if device == "cuda" and cuda_devices > 1:
        return tuple(f"cuda:{k % cuda_devices}" for k in range(workers or cuda_devices))
    return (device,) * (workers or (cores if device == "cpu" else 1))


def _show_plan(study: TransferStudy, described: Study, devices: Sequence[str], as_json: bool) -> None:
    """The runs of a study and how long they will take, as measured now."""
    from medsegdist.data.samples import SegmentationSamples
    from medsegdist.report.tables import filled_table
    from medsegdist.transfer.train import seconds_per_step

    to_do = study.to_do
    sizes = [len(SegmentationSamples.load(directory)) for directory in study.data.values()]
    options = study.options
    pace = seconds_per_step(study.runs[0].recipe, described.preprocessing.grid, devices[0])
    # A validation runs forward only: a third of a training step a batch.
    validation = ceil(max(sizes) * options.validation_fraction) / options.batch_size / 3 / options.validate_every
    seconds = pace * sum(run.recipe.steps for run in to_do) * (1 + validation) / len(devices)
    if as_json:
        plan = [{**run.facts(), "steps": run.recipe.steps, "done": run not in to_do} for run in study.runs]
        cost = {"seconds_per_step": pace, "workers": len(devices), "seconds": seconds}
        typer.echo(json.dumps({"study": described.name, "runs": plan, "estimate": cost}, indent=2))
        return
    rows = []
    for kind, count in Counter(run.kind for run in study.runs).items():
        steps = [run.recipe.steps for run in to_do if run.kind == kind]
        rows.append((kind.replace("_", "-"), count, len(steps), sum(steps)))
    heads, cells = "Runs | all | to do | steps to do", "{0} | {1} | {2} | {3:,}"
    console = Console()
    console.print(filled_table(f"Plan of {described.name}", heads, cells, rows))
    if not to_do:
        console.print("Nothing is to do: every run has ended.")
        return
    where = ", ".join(dict.fromkeys(devices))
    console.print(
        f"About {duration(seconds)} on {where} with {len(devices)} at a time, at {1000 * pace:.0f} ms a step as "
        "measured now. Trainings that collapse are repeated, and take as long again."
    )


def _show(
    result: TransferResult,
    targets: Sequence[str],
    out: Path,
    dice_floor: float,
    bundles: Mapping[str, Path],
    unwritten: Sequence[str],
    as_json: bool,
) -> None:
    from medsegdist.report.gain_words import transfer_verdict
    from medsegdist.report.results import Results
    from medsegdist.report.tables import gain_table
    from medsegdist.transfer.gains import UNDEFINED

    if as_json:
        content = {
            "gains": [asdict(gain) for gain in result.gains],
            "controls": [asdict(gain) for gain in result.controls],
            "not_converged": list(result.not_converged),
            "failed": [{"run": title, "reason": reason} for title, reason in result.failed],
            "bundles": [str(directory) for directory in bundles.values()],
            "without_bundle": list(unwritten),
        }
        typer.echo(json.dumps(content, indent=2))
        return
    console, run = Console(), Results.load(out)

    for target in targets:
        if any(one.target == target and one.gain_percent is not None for one in (*result.gains, *result.controls)):
            console.print(gain_table(target, result.gains, result.controls))
            console.print(escape(printable(transfer_verdict(run, target))), "\n")
    undefined = (one for one in result.gains if one.status == UNDEFINED)
    below = f"Not converged (validation Dice twice below {dice_floor:g}, the study's dice_floor), and left out:"
    for head, lines in {
        below: result.not_converged,
        "Without a gain, for the Dice from scratch is 0:": [
            f"{one.source} -> {one.target}, seed {one.seed}" for one in undefined
        ],
        "Failed, and tried again by the next start:": [f"{title}: {reason}" for title, reason in result.failed],
    }.items():
        if lines:
            say("\n  ".join([head, *lines]))
    for bundle in bundles.values():
        say(f"MONAI Bundle: {bundle}")
    for name in unwritten:
        say(f"No MONAI Bundle for {name}: no source has a gain for it, so none is the best.")
    say(f"All gains: {out / 'gains.csv'}")
