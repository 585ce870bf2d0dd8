"""A study's runs: planned, done where they are not done yet, written down in runs.jsonl, and gains made of them."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

import monai
import torch
from filelock import FileLock, Timeout

from medsegdist.data.options import TransferOptions
from medsegdist.data.samples import SegmentationSamples
from medsegdist.errors import DataError, MedSegDistError, PreprocessingMismatchError
from medsegdist.files import write_csv
from medsegdist.parallel import map_ordered, one_thread
from medsegdist.transfer.evaluate import evaluate
from medsegdist.transfer.gains import NOT_CONVERGED, OK, write_gains
from medsegdist.transfer.networks import load_network, save_weights
from medsegdist.transfer.outcomes import RunLog, TransferResult, learning_curves, result_of
from medsegdist.transfer.plan import (
    POOLED,
    IntensityScale,
    Run,
    plan_runs,
    seen_test_samples,
    split_source,
    split_target,
)
from medsegdist.transfer.train import second_checkpoint, train, train_with_retry

LOGGER = logging.getLogger("medsegdist")

STAGES = {
    "Training from scratch": ("baseline", "pretraining"),
    "Fine-tuning": ("fine_tuning", "control"),
}
"""Kinds of runs, each of which needs only runs of the stage before."""

# torch's global generator, which draws weights and dropout, belongs to the process: on a Dask worker that has several
# threads, runs take turns.
_TURN = Lock()


@dataclass(frozen=True, slots=True)
class Assignment:
    """All that a process needs for a run."""

    run: Run
    data: tuple[Path, ...]  # directories of the samples of each dataset in `run.trained_on`
    options: TransferOptions  # of the study
    device: str
    folder: Path  # of the study's results
    follows_hardened: bool  # the target's baseline needed a hardened recipe, which this run shares then

    @property
    def checkpoint(self) -> Path:
        """State of the run while it is not done."""
        return self.folder / "runs" / f"{self.run.key}.state.pt"

    def weights(self, key: str) -> Path:
        """Weights that the run with this `key` left."""
        return self.folder / "runs" / f"{key}.weights.pt"


def perform(assignment: Assignment) -> dict[str, Any]:
    """Do the run of an `assignment`, or the rest of it, and return its line of runs.jsonl.

    On a CPU it takes one thread, so that any number of processes gives the same result.
    """
    with _TURN, one_thread():
        start = perf_counter()
        run, options, recipe = assignment.run, assignment.options, assignment.run.recipe
        samples, left_out = _samples_of(assignment)
        if run.target is None:
            split = split_source(samples.name, samples.patient_ids, options, run.seed, left_out)
        else:
            split = split_target(samples.name, samples.patient_ids, options, run.seed)
        common: dict[str, Any] = {
            "seed": run.seed,
            "device": assignment.device,
            "checkpoint": assignment.checkpoint,
            "identity": {"run": run.key},
            "curve": options.curve if run.target and run.kind != "control" else (),
            "title": run.title[:1].upper() + run.title[1:],
        }
        if not run.needs:
            training = train_with_retry(samples, split, recipe, floor=options.dice_floor, **common)
        else:
            if run.kind == "fine_tuning":
                common["weights"] = load_network(assignment.weights(run.needs[0])).state_dict()
            used = recipe.hardened() if assignment.follows_hardened else recipe
            training = replace(train(samples, split, used, **common), hardened=assignment.follows_hardened)
        dice = evaluate(training.network, samples, split.test, recipe, device=assignment.device) if split.test else None
        if run.kind == "pretraining" or options.keep_weights:
            save_weights(assignment.weights(run.key), training.network, recipe.network, len(samples.grid))
    return {
        **run.facts(),
        "status": "done" if training.converged else NOT_CONVERGED,
        "dice": dice,
        "validation_dice": training.dice,
        "samples": [len(split.train), len(split.validation), len(split.test)],
        **{name: getattr(training, name) for name in ("steps", "best_step", "hardened", "history", "curve")},
        "recipe": recipe.model_dump(mode="json"),
        "device": assignment.device,
        "versions": {"torch": torch.__version__, "monai": monai.__version__},
        "seconds": round(perf_counter() - start, 3),
    }


def _samples_of(assignment: Assignment) -> tuple[SegmentationSamples, list[int]]:
    """The samples that a run is trained on, and the indices of those that it may not see."""
    run = assignment.run
    loaded = [SegmentationSamples.load(directory) for directory in assignment.data]
    if len(loaded) == 1:
        ((name, hidden),) = run.trained_on
        # Stored without a name; messages give the dataset's own.
        return replace(loaded[0], name=name), list(hidden)
    left_out, case_ids, patient_ids, start = [], [], [], 0
    for one, (name, hidden) in zip(loaded, run.trained_on, strict=True):
        left_out += [start + k for k in hidden]
        start += len(one)
        # Numbered alike in every dataset.
        case_ids += [f"{name}: {number}" for number in one.case_ids]
        patient_ids += [f"{name}: {number}" for number in one.patient_ids]
    parts: dict[str, Any] = {"case_ids": tuple(case_ids), "patient_ids": tuple(patient_ids)}
    for part in ("images", "masks", "weights"):
        parts[part] = torch.cat([getattr(one, part) for one in loaded])
    return replace(loaded[0], name=POOLED, **parts), left_out


@dataclass(frozen=True, slots=True)
class TransferStudy:
    """A study that is ready to run: what is to be done, and what an earlier start has done."""

    runs: tuple[Run, ...]  # all of them, each after those that it needs
    data: Mapping[str, Path]  # directory of each dataset's samples
    options: TransferOptions
    folder: Path  # of all results
    log: RunLog  # of the runs that ended

    @property
    def to_do(self) -> tuple[Run, ...]:
        """Runs that have not ended well, and pre-trainings whose weights they need and that are gone."""
        outcomes = {run.key: self.log.outcome(run.key) for run in self.runs}
        waiting = {key for key, outcome in outcomes.items() if outcome is None or outcome["status"] == "failed"}
        needed = {need for run in self.runs if run.key in waiting for need in run.needs}
        return tuple(
            run
            for run in self.runs
            if run.key in waiting
            or (run.kind == "pretraining" and run.key in needed and not self.assignment(run).weights(run.key).exists())
        )

    def assignment(self, run: Run, device: str = "cpu") -> Assignment:
        """What a process needs for a `run` whose needs are done, on a `device` such as "cpu" or "cuda:0"."""
        baseline = self.log.outcome(run.needs[-1]) if run.needs else None
        data = tuple(self.data[name] for name, _ in run.trained_on)
        return Assignment(run, data, self.options, device, self.folder, bool(baseline and baseline.get("hardened")))


def prepare_study(
    samples: Sequence[SegmentationSamples],
    options: TransferOptions,
    *,
    targets: Sequence[str],
    sources_of: Callable[[str], Sequence[str]],
    scale: IntensityScale,
    folder: Path,
) -> TransferStudy:
    """Plan the runs of a study, and store the samples where all of its processes find them, in its `folder`.

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
    if options.pooled and POOLED in by_name:
        raise DataError(f"expected no dataset called '{POOLED}', as all sources together are", "rename it")
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

    Each of the `devices`, such as ("cuda:0", "cuda:1"), has a process that trains; one works in this process.
    `include_not_converged` also writes gains whose pre-training or baseline did not converge.

    Raises:
        MedSegDistError: another process works on the same study, or a worker was killed.
    """
    with _locked(study.folder):
        _remove_partial_files(study)
        failures: dict[str, str] = {}
        for description, kinds in STAGES.items():
            assigned: list[Assignment] = []
            for run in study.to_do:
                if run.kind not in kinds:
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
                    for path in (assignment.checkpoint, second_checkpoint(assignment.checkpoint)):
                        path.unlink(missing_ok=True)
        _remove_partial_files(study)
        result = result_of(study, failures)
        if study.options.curve:
            write_csv(study.folder / "learning_curves.csv", learning_curves(study), float_format="%.6f")
        for name, gains in (("gains.csv", result.gains), ("controls.csv", result.controls)):
            write_gains(study.folder / name, (gain for gain in gains if include_not_converged or gain.status == OK))
    return result


def _remove_partial_files(study: TransferStudy) -> None:
    """Removes what processes left that were killed while they wrote, earlier or as workers of this run."""
    for leftover in list((study.folder / "runs").rglob(".*.partial")):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _attempt(assignment: Assignment) -> dict[str, Any]:
    try:
        return perform(assignment)
    # One run that fails is no reason to end the others.
    except Exception as error:  # noqa: BLE001
        return {**assignment.run.facts(), "status": "failed", "error": str(error) or type(error).__name__}


def _store_anonymized(samples: SegmentationSamples, folder: Path) -> Path:
    """The directory of samples without the names of patients and cases, named by a fingerprint of the content."""
    numbered: list[tuple[str, ...]] = []
    for what, names in (("case", samples.case_ids), ("patient", samples.patient_ids)):
        place = {name: k for k, name in enumerate(dict.fromkeys(names))}
        numbered.append(tuple(f"{what} {place[name]}" for name in names))
    nameless = replace(samples, name="samples", case_ids=numbered[0], patient_ids=numbered[1])
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
