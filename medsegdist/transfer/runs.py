"""A study's runs: planned, done where they are not done yet, written down in runs.jsonl, and gains made of them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from medsegdist.data.options import TransferOptions
from medsegdist.data.samples import SegmentationSamples
from medsegdist.errors import DataError, MedSegDistError, PreprocessingMismatchError
from medsegdist.parallel import map_ordered
from medsegdist.transfer.gains import NOT_CONVERGED, OK, UNDEFINED, Gain, write_gains
from medsegdist.transfer.perform import Assignment, perform
from medsegdist.transfer.plan import IntensityScale, Run, plan_runs
from medsegdist.transfer.splits import seen_test_samples, split_source, split_target

LOGGER = logging.getLogger("medsegdist")

STAGES = {
    "Training from scratch": ("baseline", "pretraining"),
    "Fine-tuning": ("fine_tuning", "control"),
}
"""Kinds of runs, each of which needs only runs of the stage before."""


class RunLog:
    """runs.jsonl: one line for each run that ended, appended and never changed.

    A process that is killed while it writes leaves a torn line, which is cut off.

    Args:
        path: the file; made when the first run ends.

    Raises:
        DataError: a line that is not the last one is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries = _read_log(path)

    def outcome(self, key: str) -> Mapping[str, Any] | None:
        """The last that was written of a run; None if it never ended.

        Args:
            key: of the run.
        """
        return self._entries.get(key)

    def append(self, outcome: Mapping[str, Any]) -> None:
        """Write how a run ended; it is on the disk when this returns.

        Args:
            outcome: values of JSON, among them "run", its key.

        Raises:
            OSError: the disk is full or not writable.
        """
        line = json.dumps(outcome, allow_nan=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            end = file.tell()
            try:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                # No half line stays behind on a full disk.
                os.truncate(self.path, end)
                raise
        self._entries[outcome["run"]] = dict(outcome)


def _read_log(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
            os.fsync(file.fileno())
    entries = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            entry = json.loads(line)
            entries[entry["run"]] = entry
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path}: line {number} is damaged; expected a JSON object with the key 'run'",
                "delete the line, and its run is repeated",
            ) from error
    return entries


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
        log: of the runs that ended.
    """

    runs: tuple[Run, ...]
    data: Mapping[str, Path]
    options: TransferOptions
    folder: Path
    log: RunLog

    def is_done(self, run: Run) -> bool:
        """Whether a run ended, and left what others need of it. A failed one is tried again.

        Args:
            run: one of `runs`.
        """
        outcome = self.log.outcome(run.key)
        if outcome is None or outcome["status"] == "failed":
            return False
        return run.kind != "pretraining" or self.assignment(run).weights(run.key).exists()

    def assignment(self, run: Run, device: str = "cpu") -> Assignment:
        """What a process needs for a run whose needs are done.

        Args:
            run: one of `runs`.
            device: where it is to be computed, such as "cpu" or "cuda:0".
        """
        after_hardened = False
        if run.kind in ("fine_tuning", "control"):
            baseline = self.log.outcome(run.needs[-1])
            after_hardened = baseline is not None and bool(baseline.get("hardened"))
        data = self.data[(run.target or run.source) or ""]
        return Assignment(run, data, self.options, device, self.folder, follows_hardened=after_hardened)


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
    data = {name: _store_anonymized(by_name[name], folder / "runs" / "data") for name in (*targets, *sources)}
    fingerprints = {name: directory.name for name, directory in data.items()}
    runs = plan_runs(targets, sources_of, fingerprints, options, scale, left_out)
    return TransferStudy(runs, data, options, folder, RunLog(folder / "runs.jsonl"))


def run_study(
    study: TransferStudy, *, devices: Sequence[str] = ("cpu",), include_not_converged: bool = False
) -> TransferResult:
    """Do the runs that are not done yet, and write gains.csv and controls.csv.

    A run that fails is written down, and the others go on; starting the study again repeats it. A study that was
    killed goes on where it was, in the middle of a run, too. Inside a :func:`~medsegdist.parallel.dask_cluster` the
    cluster's workers do the runs; they see the study's folder under the same path.

    Args:
        study: made by :func:`prepare_study`.
        devices: of each process that trains, such as ("cuda:0", "cuda:1"); runs take them in turn. One works in this
            process.
        include_not_converged: also writes gains whose pre-training or baseline did not converge.

    Raises:
        MedSegDistError: another process works on the same study, or a worker was killed.
    """
    with _locked(study.folder):
        # Of processes that were killed while they wrote.
        for leftover in (study.folder / "runs").glob(".*.partial"):
            leftover.unlink(missing_ok=True)
        failures: dict[str, str] = {}
        for description, kinds in STAGES.items():
            _run_stage(study, kinds, description, devices, failures)
        result = _result(study, failures)
        for name, gains in (("gains.csv", result.gains), ("controls.csv", result.controls)):
            write_gains(study.folder / name, (gain for gain in gains if include_not_converged or gain.status == OK))
    return result


def _run_stage(
    study: TransferStudy, kinds: Sequence[str], description: str, devices: Sequence[str], failures: dict[str, str]
) -> None:
    """Do the runs of some kinds; adds the reasons of those that failed to `failures`, by their keys."""
    assigned: list[Assignment] = []
    for run in study.runs:
        if run.kind not in kinds or study.is_done(run):
            continue
        if any(need in failures for need in run.needs):
            failures[run.key] = "it rests on a run that failed"
        else:
            assigned.append(study.assignment(run, devices[len(assigned) % len(devices)]))
    outcomes = map_ordered(
        _attempt, assigned, workers=len(devices), description=description, name_of=lambda one: one.run.title
    )
    for assignment, outcome in zip(assigned, outcomes, strict=True):
        study.log.append(outcome)
        if outcome["status"] == "failed":
            failures[assignment.run.key] = outcome["error"]
        else:
            assignment.forget_state()


def _attempt(assignment: Assignment) -> dict[str, Any]:
    try:
        return perform(assignment)
    # One run that fails is no reason to end the others.
    except Exception as error:  # noqa: BLE001
        run = assignment.run
        names = {"run": run.key, "kind": run.kind, "source": run.source, "target": run.target, "seed": run.seed}
        return {**names, "status": "failed", "error": str(error) or type(error).__name__}


def _result(study: TransferStudy, failures: Mapping[str, str]) -> TransferResult:
    outcomes = {run.key: study.log.outcome(run.key) for run in study.runs if run.key not in failures}
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


def _store_anonymized(samples: SegmentationSamples, folder: Path) -> Path:
    """The directory of samples without the names of patients and cases, named by a fingerprint of the content."""
    nameless = replace(
        samples,
        name="samples",
        case_ids=_numbered("case", samples.case_ids),
        patient_ids=_numbered("patient", samples.patient_ids),
    )
    digest = hashlib.blake2b(digest_size=8)
    digest.update(repr((nameless.preprocessing, tuple(nameless.images.shape))).encode())
    digest.update(repr((nameless.case_ids, nameless.patient_ids)).encode())
    for image, mask in zip(nameless.images, nameless.masks, strict=True):
        digest.update(image.cpu().contiguous().numpy().data)
        digest.update(mask.cpu().contiguous().numpy().data)
    directory = folder / digest.hexdigest()
    if not directory.exists():
        try:
            nameless.save(directory)
        except FileExistsError:
            # Another process was first, with the same content.
            SegmentationSamples.load(directory)
    return directory


def _numbered(what: str, names: Sequence[str]) -> tuple[str, ...]:
    place = {name: k for k, name in enumerate(dict.fromkeys(names))}
    return tuple(f"{what} {place[name]}" for name in names)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let no other process work on the same study, where the file system has locks."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".runs.lock", blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise MedSegDistError(
            f"{folder}: another process is working on this study", "wait for it, or choose another folder"
        ) from error
    except (OSError, NotImplementedError) as error:
        LOGGER.warning("%s: no lock could be had (%s); start the study only once at a time.", folder, error)
    try:
        yield
    finally:
        lock.release()
