"""One run of a study, in any process, and what runs will cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

import monai
import torch

from medsegdist.data.options import TransferOptions
from medsegdist.data.samples import SegmentationSamples
from medsegdist.parallel import one_thread
from medsegdist.transfer.checkpoint import load_weights, save_weights
from medsegdist.transfer.evaluate import check_device, evaluate, make_loss
from medsegdist.transfer.gains import NOT_CONVERGED
from medsegdist.transfer.networks import build_network
from medsegdist.transfer.plan import Recipe, Run
from medsegdist.transfer.splits import Split, split_source, split_target
from medsegdist.transfer.train import (
    TrainingResult,
    hardened,
    second_checkpoint,
    train,
    train_with_retry,
)

# torch's global generator, which draws weights and dropout, belongs to the process: on a Dask worker that has several
# threads, runs take turns.
_TURN = Lock()

_TIMED_STEPS = 3
# A validation runs forward only: a third of a training step.
_FORWARD = 1 / 3


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
        """Weights that a run left.

        Args:
            key: of the run.
        """
        return self.folder / "runs" / f"{key}.weights.pt"

    def forget_state(self) -> None:
        """Delete the state of a run whose outcome is on the disk."""
        for path in (self.checkpoint, second_checkpoint(self.checkpoint)):
            path.unlink(missing_ok=True)


def perform(assignment: Assignment) -> dict[str, Any]:
    """Do a run, or the rest of it.

    On a CPU it takes one thread, so that any number of processes gives the same result.

    Args:
        assignment: what to do.

    Returns:
        The run's line of runs.jsonl.

    Raises:
        MedSegDistError: the run failed.
    """
    with _TURN, one_thread():
        start = perf_counter()
        run, options = assignment.run, assignment.options
        # Stored without a name; messages give the dataset's own.
        samples = replace(SegmentationSamples.load(assignment.data), name=(run.target or run.source) or "")
        if run.target is None:
            split = split_source(run.source or "", samples.patient_ids, options, run.seed, run.left_out)
        else:
            split = split_target(run.target, samples.patient_ids, options, run.seed)
        training = _trained(assignment, samples, split)
        outcome = _outcome(assignment, samples, split, training)
        if run.kind == "pretraining" or options.keep_weights:
            save_weights(assignment.weights(run.key), training.network, run.recipe.network, len(samples.grid))
    outcome["seconds"] = round(perf_counter() - start, 3)
    return outcome


def _trained(assignment: Assignment, samples: SegmentationSamples, split: Split) -> TrainingResult:
    run = assignment.run
    common: dict[str, Any] = {
        "seed": run.seed,
        "device": assignment.device,
        "checkpoint": assignment.checkpoint,
        "identity": {"run": run.key},
        "title": run.title[:1].upper() + run.title[1:],
    }
    if run.kind in ("baseline", "pretraining"):
        return train_with_retry(samples, split, run.recipe, floor=assignment.options.dice_floor, **common)
    recipe = hardened(run.recipe) if assignment.follows_hardened else run.recipe
    weights = None if run.kind == "control" else load_weights(assignment.weights(run.needs[0]))
    return replace(train(samples, split, recipe, weights=weights, **common), hardened=assignment.follows_hardened)


def _outcome(
    assignment: Assignment, samples: SegmentationSamples, split: Split, training: TrainingResult
) -> dict[str, Any]:
    run, tested = assignment.run, None
    if split.test:
        recipe = replace(run.recipe, batch_size=training.batch_size)
        tested = evaluate(training.network, samples, split.test, recipe, device=assignment.device)
    return {
        "run": run.key,
        "kind": run.kind,
        "source": run.source,
        "target": run.target,
        "seed": run.seed,
        "status": "done" if training.converged else NOT_CONVERGED,
        "dice": None if tested is None else tested.dice,
        "dice_per_sample": None if tested is None else tested.dice_per_sample,
        "validation_dice": training.dice,
        "samples": [len(split.train), len(split.validation), len(split.test)],
        "steps": training.steps,
        "best_step": training.best_step,
        "batch_size": training.batch_size,
        "hardened": training.hardened,
        "history": [list(point) for point in training.history],
        "notes": list(training.notes),
        "recipe": run.recipe.as_json(),
        "device": assignment.device,
        "versions": {"torch": torch.__version__, "monai": monai.__version__},
    }


def seconds_per_step(recipe: Recipe, grid: tuple[int, ...], device: torch.device | str = "cpu") -> float:
    """Seconds of a training step on random samples, the median of three, without the first one.

    Args:
        recipe: of a run.
        grid: of the samples.
        device: where the run will be.

    Raises:
        MedSegDistError: the device is not there.
    """
    target = check_device(device)
    with one_thread(), torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
        shape = (recipe.batch_size, 1, *(recipe.patch_size or grid))
        images, masks = torch.randn(shape, device=target), (torch.rand(shape, device=target) > 0.5).float()
        network, loss = build_network(recipe.network, len(grid)).to(target), make_loss(recipe.loss)
        optimizer = torch.optim.Adam(network.parameters())
        seconds = []
        for _ in range(_TIMED_STEPS + 1):
            start = perf_counter()
            optimizer.zero_grad()
            loss(network(images), masks).backward()
            optimizer.step()
            if target.type == "cuda":
                torch.cuda.synchronize(target)
            seconds.append(perf_counter() - start)
    return sorted(seconds[1:])[_TIMED_STEPS // 2]


def estimated_seconds(runs: Iterable[Run], pace: float, validation_samples: int) -> float:
    """Seconds of work that runs take on one device or core.

    Args:
        runs: to be done.
        pace: seconds of a step.
        validation_samples: of a validation, about.
    """
    total = 0.0
    for run in runs:
        recipe = run.recipe
        validations = recipe.steps // recipe.validate_every
        total += pace * (recipe.steps + validations * validation_samples / recipe.batch_size * _FORWARD)
    return total
