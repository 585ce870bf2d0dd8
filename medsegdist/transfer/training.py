"""One training run on MONAI's engines, which can be cut short at any moment and resumed to the same weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from ignite.handlers import EarlyStopping
from monai.engines import SupervisedTrainer
from monai.handlers import ValidationHandler
from torch import Tensor, nn

from medsegdist.data.samples import SegmentationSamples
from medsegdist.errors import DataError, MedSegDistError
from medsegdist.transfer.batches import NetworkInputs, TrainingBatches
from medsegdist.transfer.checkpoint import load_state
from medsegdist.transfer.evaluate import (
    KEY_METRIC,
    Bfloat16Inferer,
    check_device,
    make_evaluator,
    quiet_logger,
    uses_amp,
)
from medsegdist.transfer.handlers import (
    BestWeights,
    FiniteLoss,
    LearningRateDrop,
    RunState,
    StateSaver,
    StepProgress,
    attach_logging,
)
from medsegdist.transfer.losses import make_loss
from medsegdist.transfer.networks import build_network
from medsegdist.transfer.plan import Recipe
from medsegdist.transfer.splits import Split

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingResult:
    """What a run ended with.

    Args:
        network: with the weights of the best validation, on the run's device.
        dice: of that validation, the mean over its cases.
        best_step: steps that had been done then.
        steps: steps that were done in all; fewer than asked for after an early stop.
        batch_size: of each step; smaller than asked for where the device's memory did not hold more.
        history: (step, validation Dice, mean loss since the validation before) of each validation.
        notes: what a reader of the result should know, in sentences.
    """

    network: nn.Module
    dice: float
    best_step: int
    steps: int
    batch_size: int
    history: tuple[tuple[int, float, float], ...]
    notes: tuple[str, ...] = ()


def train(
    samples: SegmentationSamples,
    split: Split,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    weights: Mapping[str, Tensor] | None = None,
    checkpoint: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    tensorboard: Path | None = None,
    make_network: Callable[[], nn.Module] | None = None,
) -> TrainingResult:
    """Train a network, and keep the weights of its best validation.

    The same seed gives the same weights on a CPU, whatever number of threads is kept the same. torch's global
    generator is left as it was.

    Args:
        samples: the dataset.
        split: which samples to train and to validate on.
        recipe: how.
        seed: of the initial weights, the order of samples and their variations.
        device: where to train.
        weights: to start from, instead of new ones; all of them are trained.
        checkpoint: file that keeps the state at each validation; if it is there, the run goes on from it. It is not
            deleted at the end.
        identity: what else tells this run from others, such as fingerprints of its data; kept in the checkpoint with
            the recipe, and compared when a run is resumed.
        progress: called after each step with (steps done, steps to do).
        tensorboard: folder for TensorBoard's event files.
        make_network: makes a network with new weights, instead of the recipe's.

    Raises:
        DataError: a part of the split is empty, a patch is larger than the grid, or the checkpoint is damaged or of
            another run.
        ConvergenceError: the loss is not finite.
        MedSegDistError: a CUDA device is asked for and there is none, or it cannot hold a batch of one sample.
        MissingDependencyError: `tensorboard` is given, and TensorBoard is not installed.
    """
    target = check_device(device)
    for what, part in (("training", split.train), ("validation", split.validation)):
        if not part:
            raise DataError(
                f"dataset '{samples.name}': expected at least one {what} sample, found none; "
                "add patients, or change the fractions of the split."
            )
    patch, grid = recipe.patch_size, samples.grid
    if patch is not None and (len(patch) != len(grid) or any(a > b for a, b in zip(patch, grid, strict=True))):
        raise DataError(
            f"dataset '{samples.name}': expected samples of at least the patch_size {list(patch)}, found the grid "
            f"{list(grid)}; choose a smaller patch_size."
        )
    config = {"recipe": recipe.as_json(), "seed": seed, **(identity or {})}
    state = None if checkpoint is None else load_state(checkpoint, config)
    batch_size = recipe.batch_size if state is None else state["batch_size"]
    while True:
        run = _Run(samples, split, recipe, seed, target, batch_size, config, checkpoint)
        try:
            return run.result(state, weights, progress, tensorboard, make_network)
        except torch.cuda.OutOfMemoryError as error:
            if batch_size == 1:
                raise MedSegDistError(
                    f"dataset '{samples.name}': the device's memory does not hold a batch of one sample; choose a "
                    "smaller network, grid or patch_size."
                ) from error
        # Outside of the except clause, whose traceback keeps the tensors of the failed step alive.
        batch_size, state = batch_size // 2, None
        if target.type == "cuda":
            torch.cuda.empty_cache()


@dataclass(frozen=True, slots=True)
class _Run:
    samples: SegmentationSamples
    split: Split
    recipe: Recipe
    seed: int
    device: torch.device
    batch_size: int
    config: Mapping[str, Any]
    checkpoint: Path | None

    def result(
        self,
        state: Mapping[str, Any] | None,
        weights: Mapping[str, Tensor] | None,
        progress: Progress | None,
        tensorboard: Path | None,
        make_network: Callable[[], nn.Module] | None,
    ) -> TrainingResult:
        recipe = self.recipe
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self.seed)
            network = self._network(weights, make_network)
            optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
            start = 0 if state is None else state["step"]
            trainer, of_run = self._engine(network, optimizer, start, tensorboard)
            if state is not None:
                of_run.restore(state)
            if progress is not None:
                StepProgress(progress, recipe.steps).attach(trainer)
            # ignite takes a run that has reached its end for one to begin again.
            if start < recipe.steps and not (state is not None and state["stopped"]):
                trainer.run()
            network.load_state_dict(of_run.best.weights)
        network.eval()
        lowered = (
            f"The batch size was lowered from {recipe.batch_size} to {self.batch_size}: the device's memory did not "
            "hold more."
        )
        return TrainingResult(
            network=network,
            dice=of_run.best.dice,
            best_step=of_run.best.step,
            steps=trainer.state.iteration,
            batch_size=self.batch_size,
            history=tuple(of_run.best.history),
            notes=(lowered,) if self.batch_size < recipe.batch_size else (),
        )

    def _network(self, weights: Mapping[str, Tensor] | None, make: Callable[[], nn.Module] | None) -> nn.Module:
        network = build_network(self.recipe.network, len(self.samples.grid)) if make is None else make()
        if weights is not None:
            network.load_state_dict(dict(weights))
        if self.device.type != "cuda":
            return network
        channels_last: Any = torch.channels_last if len(self.samples.grid) == 2 else torch.channels_last_3d
        moved: nn.Module = network.to(self.device).to(memory_format=channels_last)  # type: ignore[call-overload]
        return moved

    def _engine(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, start: int, tensorboard: Path | None
    ) -> tuple[SupervisedTrainer, RunState]:
        """The trainer at step `start`, with `validate_every` steps as its epoch, and the state that it works on."""
        recipe = self.recipe
        inputs = NetworkInputs(self.samples, self.split.train, recipe.scale, self.device)
        trainer = SupervisedTrainer(
            device=self.device,
            max_epochs=recipe.steps // recipe.validate_every,
            train_data_loader=TrainingBatches(inputs, recipe, batch_size=self.batch_size, seed=self.seed, start=start),
            epoch_length=recipe.validate_every,
            network=network,
            optimizer=optimizer,
            loss_function=make_loss(recipe.loss),
            prepare_batch=lambda batch, *_, **__: (batch["image"], batch["label"]),
            # MONAI's own `amp` scales losses, as float16 needs and bfloat16 does not, and skips steps by the way.
            inferer=Bfloat16Inferer() if uses_amp(recipe, self.device) else None,
            decollate=False,
            optim_set_to_none=True,
        )
        trainer.logger = quiet_logger()
        trainer.state.iteration, trainer.state.epoch = start, start // recipe.validate_every
        validating = replace(recipe, batch_size=self.batch_size)
        evaluator, _ = make_evaluator(network, self.samples, self.split.validation, validating, self.device)
        stop = None
        if recipe.patience is not None:
            stop = EarlyStopping(recipe.patience, lambda engine: engine.state.metrics[KEY_METRIC], trainer)
            evaluator.add_event_handler(Events.COMPLETED, stop)
        loss = FiniteLoss(self.samples.name)
        best = BestWeights(network, evaluator, loss)
        state = RunState(trainer, network, optimizer, best, stop, self.batch_size, self.device)
        if recipe.drop_after is not None:
            LearningRateDrop(optimizer, recipe.drop_after, recipe.final_learning_rate).attach(trainer)
        # In this order after every epoch: a loss that is not finite is neither validated nor saved.
        loss.attach(trainer)
        ValidationHandler(interval=1, validator=evaluator).attach(trainer)
        best.attach(trainer)
        if self.checkpoint is not None:
            StateSaver(self.checkpoint, self.config, state).attach(trainer)
        attach_logging(trainer, evaluator, tensorboard)
        return trainer, state
