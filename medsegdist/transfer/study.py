"""The grid of runs: baselines, pre-trainings, fine-tunings and controls, through any executor."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from medsegdist.data.options import TransferOptions
from medsegdist.data.samples import SegmentationSamples
from medsegdist.errors import MedSegDistError, PreprocessingMismatchError
from medsegdist.transfer.gains import NOT_CONVERGED, OK, UNDEFINED, Gain, write_gains
from medsegdist.transfer.journal import Journal
from medsegdist.transfer.performing import Assignment, forget_state, perform
from medsegdist.transfer.plan import IntensityScale, Run, plan_runs
from medsegdist.transfer.shared_data import share
from medsegdist.transfer.splits import seen_test_samples, split_source, split_target
from medsegdist.transfer.workers import InThisProcess

StudyProgress = Callable[[int, int, str], None]
StepsOfRun = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class TransferResult:
    """How the runs of a study ended.

    Args:
        gains: of every fine-tuning that ended, also those whose pre-training or baseline did not converge.
        controls: of training from scratch with the steps of a pre-training and a fine-tuning.
        not_converged: titles of pre-trainings and baselines that learned nothing, twice.
        failed: titles of runs that failed, or rest on one that did, with the reason.
        done: runs that ended well, now or before.
    """

    gains: tuple[Gain, ...]
    controls: tuple[Gain, ...]
    not_converged: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    done: int


@dataclass(frozen=True, slots=True)
class TransferStudy:
    """A study that is ready to run: what is to be done, and what an earlier start has done.

    Args:
        runs: all of them, each after those that it needs.
        data: directory of each dataset's samples.
        options: of the study.
        folder: of all results.
        journal: of the runs that ended.
    """

    runs: tuple[Run, ...]
    data: Mapping[str, Path]
    options: TransferOptions
    folder: Path
    journal: Journal

    def is_done(self, run: Run) -> bool:
        """Whether a run ended, and left what others need of it. A failed one is tried again.

        Args:
            run: one of `runs`.
        """
        outcome = self.journal.outcome(run.key)
        if outcome is None or outcome["status"] == "failed":
            return False
        return run.kind != "pretraining" or self.assignment(run, "cpu").weights(run.key).exists()

    def assignment(self, run: Run, device: str) -> Assignment:
        """What a process needs for a run whose needs are done.

        Args:
            run: one of `runs`.
            device: where it is to be computed, such as "cpu" or "cuda:0".
        """
        hardened = False
        if run.kind in ("fine_tuning", "control"):
            baseline = self.journal.outcome(run.needs[-1])
            hardened = baseline is not None and bool(baseline.get("hardened"))
        data = self.data[(run.target or run.source) or ""]
        return Assignment(run, data, self.options, device, self.folder, follows_hardened=hardened)


def prepare_study(
    samples: Sequence[SegmentationSamples],
    options: TransferOptions,
    *,
    targets: Sequence[str],
    sources_of: Callable[[str], Sequence[str]],
    scale: IntensityScale,
    folder: Path,
) -> TransferStudy:
    """Plan the runs of a study, and store the samples where all of its processes find them.

    Args:
        samples: of every target and source.
        options: of the study.
        targets: names of datasets.
        sources_of: names of the sources of a target.
        scale: how intensities enter the network.
        folder: of all results.

    Raises:
        DataError: a dataset has too few patients to be split (found before anything is trained), or runs.jsonl is
            damaged.
        PreprocessingMismatchError: the datasets were not prepared alike.
    """
    by_name = {one.name: one for one in samples}
    if len({one.preprocessing for one in samples}) > 1:
        found = ", ".join(f"'{one.name}' has {one.preprocessing}" for one in samples)
        raise PreprocessingMismatchError(f"expected datasets that were prepared alike, found that {found}.")
    options.check_grid(samples[0].grid)
    sources = dict.fromkeys(source for target in targets for source in sources_of(target))
    for seed in options.seeds:
        splits = {target: split_target(target, by_name[target].patient_ids, options, seed) for target in targets}
    # The same for all seeds.
    tested = {target: split.test for target, split in splits.items()}
    left_out = seen_test_samples({name: by_name[name] for name in (*targets, *sources)}, tested, sources_of)
    for source in sources:
        split_source(source, by_name[source].patient_ids, options, options.seeds[0], left_out.get(source, ()))
    shared = {name: share(by_name[name], folder / "runs" / "data") for name in (*targets, *sources)}
    fingerprints = {name: found for name, (found, _) in shared.items()}
    runs = plan_runs(targets, sources_of, fingerprints, options, scale, left_out)
    data = {name: directory for name, (_, directory) in shared.items()}
    return TransferStudy(runs, data, options, folder, Journal(folder / "runs.jsonl"))


def run_study(
    study: TransferStudy,
    *,
    device: str = "cpu",
    executor: Executor | None = None,
    progress: StudyProgress | None = None,
    steps: StepsOfRun | None = None,
    include_not_converged: bool = False,
) -> TransferResult:
    """Do the runs that are not done yet, and write gains.csv and controls.csv.

    A run that fails is written down, and the others go on; starting the study again repeats it. A study that was
    killed goes on where it was, in the middle of a run, too.

    Args:
        study: made by :func:`prepare_study`.
        device: where to compute.
        executor: does the runs, with the study's folder under the same path as here; None does one after the other
            in this process.
        progress: called with (runs done, runs in all, what has just ended).
        steps: called after each step with (title of the run, steps done, steps to do) where there is no executor.
        include_not_converged: also writes gains whose pre-training or baseline did not converge.

    Raises:
        MedSegDistError: another process works on the same study, or a worker was killed.
    """
    with _only_one(study.folder):
        # Of processes that were killed while they wrote.
        for leftover in (study.folder / "runs").glob(".*.partial"):
            leftover.unlink(missing_ok=True)
        failures = _work_off(study, device, executor or InThisProcess(), progress, steps)
        result = _result(study, failures)
        for name, gains in (("gains.csv", result.gains), ("controls.csv", result.controls)):
            write_gains(study.folder / name, (gain for gain in gains if include_not_converged or gain.status == "ok"))
    return result


def _work_off(
    study: TransferStudy,
    device: str,
    executor: Executor,
    progress: StudyProgress | None,
    steps: StepsOfRun | None,
) -> dict[str, str]:
    """The reasons of runs that failed, by key."""
    ended = {run.key for run in study.runs if study.is_done(run)}
    waiting = [run for run in study.runs if run.key not in ended]
    working: dict[Future[dict[str, Any]], Assignment] = {}
    failures: dict[str, str] = {}
    if progress is not None:
        progress(len(ended), len(study.runs), "")
    while waiting or working:
        for run in [run for run in waiting if ended.issuperset(run.needs)]:
            waiting.remove(run)
            broken = [need for need in run.needs if need in failures]
            if broken:
                failures[run.key] = "it rests on a run that failed"
                ended.add(run.key)
                continue
            assignment = study.assignment(run, device)
            if not isinstance(executor, InThisProcess):
                working[executor.submit(perform, assignment)] = assignment
                continue
            told = () if steps is None else (partial(steps, run.title),)
            working[executor.submit(perform, assignment, *told)] = assignment
            # What is done is written down before the next one begins.
            break
        for future in wait(working, return_when=FIRST_COMPLETED).done:
            assignment = working.pop(future)
            run = assignment.run
            reason = _written_down(study, assignment, future)
            if reason is not None:
                failures[run.key] = reason
            ended.add(run.key)
            if progress is not None:
                progress(len(ended), len(study.runs), run.title)
    return failures


def _written_down(study: TransferStudy, assignment: Assignment, future: Future[dict[str, Any]]) -> str | None:
    """Why the run failed, if it did."""
    run = assignment.run
    if future.cancelled():
        raise MedSegDistError(
            f"{run.title}: the run was canceled from elsewhere; is the cluster still there? Start the study again: "
            "finished runs are kept, and begun ones go on."
        )
    error = future.exception()
    if error is None:
        study.journal.append(future.result())
        forget_state(assignment)
        return None
    if isinstance(error, BrokenExecutor):
        raise MedSegDistError(
            f"{run.title}: a worker process ended before its work did; the system may have run out of memory. Start "
            "the study again, with fewer workers: finished runs are kept, and begun ones go on."
        ) from error
    if not isinstance(error, Exception):
        raise error
    reason = str(error) or type(error).__name__
    names = {"run": run.key, "kind": run.kind, "source": run.source, "target": run.target, "seed": run.seed}
    study.journal.append({**names, "status": "failed", "error": reason})
    return reason


def _result(study: TransferStudy, failures: Mapping[str, str]) -> TransferResult:
    outcomes = {run.key: study.journal.outcome(run.key) for run in study.runs if run.key not in failures}
    gains: list[Gain] = []
    controls: list[Gain] = []
    for run in study.runs:
        outcome = outcomes.get(run.key)
        if outcome is None or run.kind not in ("fine_tuning", "control"):
            continue
        before = [found for need in run.needs if (found := outcomes.get(need)) is not None]
        baseline = float(before[-1]["dice"])
        status = OK if baseline else UNDEFINED
        if any(one["status"] == NOT_CONVERGED for one in before):
            status = NOT_CONVERGED
        gain = Gain(run.source or "", run.target or "", run.seed, float(outcome["dice"]), baseline, status=status)
        (gains if run.kind == "fine_tuning" else controls).append(gain)
    titles = {run.key: run.title for run in study.runs}
    ended = [(key, outcome) for key, outcome in outcomes.items() if outcome is not None]
    return TransferResult(
        gains=tuple(gains),
        controls=tuple(controls),
        not_converged=tuple(titles[key] for key, outcome in ended if outcome["status"] == NOT_CONVERGED),
        failed=tuple((titles[key], reason) for key, reason in failures.items()),
        done=sum(outcome["status"] == "done" for _, outcome in ended),
    )


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / ".runs.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MedSegDistError(
                f"{folder}: another process is working on this study; wait for it, or choose another folder."
            ) from error
        yield
    finally:
        os.close(lock)
