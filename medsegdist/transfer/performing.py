"""One run of the grid, in whatever process it is done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

import monai
import torch

from medsegdist.data.options import TransferOptions
from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.store import load_samples
from medsegdist.threads import one_thread
from medsegdist.transfer.checkpoint import load_weights, save_weights
from medsegdist.transfer.evaluate import evaluate
from medsegdist.transfer.gains import NOT_CONVERGED
from medsegdist.transfer.plan import Run
from medsegdist.transfer.proven import ProvenResult, hardened, second_checkpoint, train_proven
from medsegdist.transfer.splits import Split, split_source, split_target
from medsegdist.transfer.training import Progress, train

# torch's global generator, which draws weights and dropout, and its number of threads belong to the process: in an
# executor of threads, or a Dask worker that has several, runs take turns.
_TURN = Lock()


@dataclass(frozen=True, slots=True)
class Assignment:
    """All that a process needs for a run.

    Args:
        run: which.
        data: directory of the samples that are trained on.
        options: of the study.
        device: where to compute.
        folder: the study's own.
        follows_hardened: the target's baseline needed a hardened recipe, which this run shares then.
    """

    run: Run
    data: Path
    options: TransferOptions
    device: str
    folder: Path
    follows_hardened: bool = False

    @property
    def checkpoint(self) -> Path:
        """State of the run while it is not done."""
        return self.folder / "runs" / f"{self.run.key}.state.pt"

    def weights(self, key: str) -> Path:
        """Weights that a run left."""
        return self.folder / "runs" / f"{key}.weights.pt"


def perform(assignment: Assignment, progress: Progress | None = None) -> dict[str, Any]:
    """Do a run, or the rest of it, and say how it ended.

    On a CPU it takes one thread, so that any number of processes gives the same result.

    Args:
        assignment: what to do.
        progress: called after each step with (steps done, steps to do).

    Returns:
        The run's line of runs.jsonl.

    Raises:
        MedSegDistError: the run failed, in words.
    """
    with _TURN, one_thread():
        start = perf_counter()
        run = assignment.run
        # Stored without a name; messages give the dataset's own.
        samples = replace(load_samples(assignment.data), name=(run.target or run.source) or "")
        split = _split(assignment, samples)
        proven = _trained(assignment, samples, split, progress)
        outcome = _described(assignment, samples, split, proven)
        if run.kind == "pretraining" or assignment.options.keep_weights:
            network = proven.training.network
            save_weights(assignment.weights(run.key), network, run.recipe.network, len(samples.grid))
    outcome["seconds"] = round(perf_counter() - start, 3)
    return outcome


def forget_state(assignment: Assignment) -> None:
    """Delete the state of a run whose outcome is on the disk."""
    for path in (assignment.checkpoint, second_checkpoint(assignment.checkpoint)):
        path.unlink(missing_ok=True)


def _split(assignment: Assignment, samples: SegmentationSamples) -> Split:
    run, options = assignment.run, assignment.options
    if run.target is None:
        return split_source(run.source or "", samples.patient_ids, options, run.seed, run.left_out)
    return split_target(run.target, samples.patient_ids, options, run.seed)


def _trained(
    assignment: Assignment, samples: SegmentationSamples, split: Split, progress: Progress | None
) -> ProvenResult:
    run = assignment.run
    common: dict[str, Any] = {
        "seed": run.seed,
        "device": assignment.device,
        "checkpoint": assignment.checkpoint,
        "identity": {"run": run.key},
        "progress": progress,
    }
    recipe = hardened(run.recipe) if assignment.follows_hardened else run.recipe
    if run.kind in ("baseline", "pretraining"):
        return train_proven(samples, split, recipe, floor=assignment.options.dice_floor, **common)
    weights = None if run.kind == "control" else load_weights(assignment.weights(run.needs[0]))
    training = train(samples, split, recipe, weights=weights, **common)
    return ProvenResult(training, converged=True, hardened=assignment.follows_hardened)


def _described(
    assignment: Assignment, samples: SegmentationSamples, split: Split, proven: ProvenResult
) -> dict[str, Any]:
    run, training = assignment.run, proven.training
    tested = None
    if split.test:
        recipe = replace(run.recipe, batch_size=training.batch_size)
        tested = evaluate(training.network, samples, split.test, recipe, device=assignment.device)
    return {
        "run": run.key,
        "kind": run.kind,
        "source": run.source,
        "target": run.target,
        "seed": run.seed,
        "status": "done" if proven.converged else NOT_CONVERGED,
        "dice": None if tested is None else tested.dice,
        "dice_per_sample": None if tested is None else tested.dice_per_sample,
        "validation_dice": training.dice,
        "samples": [len(split.train), len(split.validation), len(split.test)],
        "steps": training.steps,
        "best_step": training.best_step,
        "batch_size": training.batch_size,
        "hardened": proven.hardened,
        "history": [list(point) for point in training.history],
        "notes": list(training.notes),
        "recipe": run.recipe.as_json(),
        "device": assignment.device,
        "versions": {"torch": torch.__version__, "monai": monai.__version__},
    }
