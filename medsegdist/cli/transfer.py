"""`medsegdist transfer`: what pre-training on each source really gained."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.cli.console import bar, progress_bars
from medsegdist.cli.reading import read_samples
from medsegdist.cli.report import leave_report
from medsegdist.cli.transfer_bundles import write_bundles
from medsegdist.cli.transfer_plan import show_plan
from medsegdist.errors import ManifestError
from medsegdist.files import check_writable

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from rich.progress import Progress

    from medsegdist.data.study import Study
    from medsegdist.transfer.study import TransferResult, TransferStudy


def transfer(
    study_file: Path,
    *,
    targets: Sequence[str] | None,
    out: Path,
    cache: Path | None,
    device: str,
    workers: int | None,
    dask: str | None,
    dry_run: bool,
    include_not_converged: bool,
    bundle: bool,
    report: bool,
    as_json: bool,
) -> None:
    """Runs, or plans, the transfer learning of a study; exit status 1 if a run failed.

    Args:
        study_file: the study.
        targets: names; None takes the study's.
        out: folder of runs.jsonl, gains.csv, controls.csv, transfer.json and report.html.
        cache: folder of prepared samples; None is below `out`.
        device: where to compute.
        workers: processes that train; None is one for each core on a CPU, and one for each GPU.
        dask: address of a Dask scheduler whose workers train instead; on CUDA each run asks for one resource "GPU".
        dry_run: shows the plan and its cost, and trains nothing.
        include_not_converged: also writes gains whose pre-training or baseline did not converge.
        bundle: also writes the pre-training of each target's best source as a MONAI Bundle.
        report: leaves report.html.
        as_json: prints JSON instead of tables.
    """
    from medsegdist.data.study import load_study
    from medsegdist.report.transfer_record import FILE_NAME, record_transfer
    from medsegdist.transfer.study import run_study

    check_writable(out, folder=True)
    described = load_study(study_file)
    for name in targets or ():
        described.dataset(name)
        if not described.sources_of(name):
            raise ManifestError(f"study '{described.name}': the target '{name}' has no source left but itself.")
    chosen = tuple(targets or described.targets)
    with progress_bars() as progress:
        study = _prepared(described, study_file, chosen, out, cache, progress)
        to_do = [run for run in study.runs if not study.is_done(run)]
        devices = _devices(workers, device)[: max(1, len(to_do))]
        if not dry_run:
            advance = bar(progress, "Training")
            with _executor(devices, dask, device) as executor:
                result = run_study(
                    study,
                    device=devices[0] if dask is None else device,
                    executor=executor,
                    progress=lambda done, total, _: advance(done, total),
                    steps=_steps_bar(progress) if executor is None else None,
                    include_not_converged=include_not_converged,
                )
    if dry_run:
        show_plan(study, described, devices, as_json=as_json)
        return
    bundles = write_bundles(study, result, described, chosen, out / "bundles") if bundle else {}
    record_transfer(described, chosen, result, device).save(out / FILE_NAME)
    unwritten = [target for target in chosen if target not in bundles] if bundle else []
    _show(result, chosen, out, study.options.dice_floor, bundles, unwritten, as_json)
    leave_report(out, wanted=report)
    if result.failed:
        raise typer.Exit(1)


def _prepared(
    described: Study, file: Path, targets: Sequence[str], out: Path, cache: Path | None, progress: Progress
) -> TransferStudy:
    from medsegdist.transfer.plan import IntensityScale
    from medsegdist.transfer.study import prepare_study

    wanted = dict.fromkeys([*targets, *(source for target in targets for source in described.sources_of(target))])
    for name in wanted:
        described.dataset(name).check_one_foreground()
    samples = list(read_samples(described, cache or out / "samples", None, progress, wanted, study_file=file))
    return prepare_study(
        samples,
        described.transfer,
        targets=targets,
        sources_of=described.sources_of,
        scale=IntensityScale.of(described.preprocessing),
        # Workers of a cluster have working directories of their own.
        folder=out.resolve(),
    )


def _steps_bar(progress: Progress) -> Callable[[str, int, int], None]:
    task = progress.add_task("", total=None)
    return lambda title, done, total: progress.update(
        task, description=escape(title[:1].upper() + title[1:]), completed=done, total=total
    )


def _executor(devices: Sequence[str], dask: str | None, device: str) -> AbstractContextManager[Executor | None]:
    """What does the runs; None is this process."""
    from medsegdist.transfer import workers

    if dask is not None:
        from medsegdist.executors import dask_cluster

        return dask_cluster(dask, resources={"GPU": 1} if device.startswith("cuda") else None)
    if len(devices) == 1:
        return nullcontext()
    if len(set(devices)) == 1:
        return workers.local_workers(len(devices))
    return workers.DeviceProcesses(devices)


def _devices(workers: int | None, device: str) -> tuple[str, ...]:
    """Of each process that trains."""
    import torch

    from medsegdist.processes import available_cores
    from medsegdist.transfer.evaluate import worker_devices

    return worker_devices(device, workers, cuda_devices=torch.cuda.device_count(), cores=available_cores())


def _show(
    result: TransferResult,
    targets: Sequence[str],
    out: Path,
    dice_floor: float,
    bundles: Mapping[str, Path],
    unwritten: Sequence[str],
    as_json: bool,
) -> None:
    from medsegdist.report.transfer_tables import gain_table

    if as_json:
        content: dict[str, Any] = {
            "gains": [asdict(gain) for gain in result.gains],
            "controls": [asdict(gain) for gain in result.controls],
            "not_converged": list(result.not_converged),
            "failed": [{"run": title, "reason": reason} for title, reason in result.failed],
            "bundles": [str(directory) for directory in bundles.values()],
            "without_bundle": list(unwritten),
        }
        typer.echo(json.dumps(content, indent=2))
        return
    console = Console()
    for target in targets:
        if any(gain.target == target and gain.status == "ok" for gain in (*result.gains, *result.controls)):
            console.print(gain_table(target, result.gains, result.controls))
    if result.not_converged:
        console.print(
            f"Not converged (validation Dice twice below {dice_floor:g}, the study's dice_floor), and left out:",
            *(escape(title) for title in result.not_converged),
            sep="\n  ",
            soft_wrap=True,
        )
    undefined = [gain for gain in result.gains if gain.status == "undefined"]
    if undefined:
        lines = (escape(f"{gain.source} -> {gain.target}, seed {gain.seed}") for gain in undefined)
        console.print("Without a gain, for the Dice from scratch is 0:", *lines, sep="\n  ")
    if result.failed:
        lines = (escape(f"{title}: {reason}") for title, reason in result.failed)
        console.print("Failed, and tried again by the next start:", *lines, sep="\n  ")
    for directory in bundles.values():
        console.print(f"MONAI Bundle: {escape(str(directory))}", soft_wrap=True)
    for target in unwritten:
        console.print(
            f"No MONAI Bundle for {escape(target)}: no source has a gain for it, so none is the best.", soft_wrap=True
        )
    console.print(f"All gains: {escape(str(out / 'gains.csv'))}", soft_wrap=True)
