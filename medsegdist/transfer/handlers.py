"""ignite handlers of a training run; each is attached to the trainer, whose epoch is the time between validations."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping
from monai.handlers import StatsHandler, TensorBoardStatsHandler
from monai.utils import CommonKeys
from torch import Tensor, nn

from medsegdist.errors import ConvergenceError, MissingDependencyError
from medsegdist.transfer.checkpoint import save_state
from medsegdist.transfer.evaluate import KEY_METRIC

_LOGGER = "medsegdist.transfer"


class FiniteLoss:
    """The mean loss since the last validation, and an error if it is not finite.

    Looked at once an epoch: asking at every step would make a GPU wait.

    Args:
        dataset: its name, for messages.
    """

    def __init__(self, dataset: str) -> None:
        self.dataset, self.mean = dataset, float("nan")
        self._losses: list[Tensor] = []

    def attach(self, engine: Engine) -> None:
        """Watch a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._check)

    def _keep(self, engine: Engine) -> None:
        output: Any = engine.state.output
        self._losses.append(output[CommonKeys.LOSS].detach())

    def _check(self, engine: Engine) -> None:
        self.mean = float(torch.stack(self._losses).double().mean())
        steps = len(self._losses)
        self._losses = []
        if not torch.isfinite(torch.tensor(self.mean)):
            last = engine.state.iteration
            raise ConvergenceError(
                f"dataset '{self.dataset}': the training diverged, with a loss that is not finite between steps "
                f"{last - steps + 1} and {last}; lower the learning rate, and look for extreme intensities."
            )


class LearningRateDrop:
    """Another learning rate after some steps; a function of the step, so that it has no state.

    Args:
        optimizer: of the run.
        after: the last step with the first rate.
        rate: of all later steps.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, after: int, rate: float) -> None:
        self.optimizer, self.after, self.rate = optimizer, after, rate

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.ITERATION_STARTED, self._set)

    def _set(self, engine: Engine) -> None:
        if engine.state.iteration > self.after:
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate


class BestWeights:
    """The weights of the best validation so far; of equal ones, the first.

    Args:
        network: being trained.
        evaluator: whose metric is compared; it must have run when this handler is called.
        loss: of the same run.
    """

    def __init__(self, network: nn.Module, evaluator: Engine, loss: FiniteLoss) -> None:
        self.network, self.evaluator, self.loss = network, evaluator, loss
        self.dice, self.step = -1.0, 0
        self.weights: dict[str, Tensor] = {}
        self.history: list[tuple[int, float, float]] = []

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._compare)

    def _compare(self, engine: Engine) -> None:
        dice, step = float(self.evaluator.state.metrics[KEY_METRIC]), int(engine.state.iteration)
        self.history.append((step, dice, self.loss.mean))
        if dice > self.dice:
            self.dice, self.step = dice, step
            self.weights = {name: value.detach().clone() for name, value in self.network.state_dict().items()}


class RunState:
    """All that a run is resumed from; the order of samples and their variations follow from seed and step.

    Args:
        trainer: of the run.
        network: being trained.
        optimizer: of the network.
        best: weights so far.
        stop: the early stop, if there is one.
        batch_size: of each step.
        device: where the run is.
    """

    def __init__(
        self,
        trainer: Engine,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        best: BestWeights,
        stop: EarlyStopping | None,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self.trainer, self.network, self.optimizer, self.best, self.stop = trainer, network, optimizer, best, stop
        self.batch_size, self.device = batch_size, device

    def state(self) -> dict[str, Any]:
        """The state after the last step."""
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        return {
            "step": self.trainer.state.iteration,
            "stopped": bool(self.trainer.should_terminate),
            "batch_size": self.batch_size,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": {"dice": self.best.dice, "step": self.best.step, "weights": self.best.weights},
            "history": self.best.history,
            "early_stop": None if self.stop is None else dict(self.stop.state_dict()),
            # Of dropout.
            "generators": {"cpu": torch.get_rng_state(), "cuda": cuda},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state; the trainer itself is made at its step."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        best = state["best"]
        self.best.dice, self.best.step = best["dice"], best["step"]
        self.best.weights = {name: value.to(self.device) for name, value in best["weights"].items()}
        self.best.history = list(state["history"])
        if self.stop is not None:
            self.stop.load_state_dict(state["early_stop"])
        torch.set_rng_state(state["generators"]["cpu"])
        if self.device.type == "cuda" and state["generators"]["cuda"] is not None:
            torch.cuda.set_rng_state(state["generators"]["cuda"], self.device)


class StateSaver:
    """Writes a checkpoint after every epoch.

    MONAI's CheckpointSaver writes in place, and a process that is killed while it does leaves half a file.

    Args:
        path: the file.
        config: what the run is made from.
        state: of the run.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], state: RunState) -> None:
        self.path, self.config, self.state = path, config, state

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: save_state(self.path, self.config, self.state.state()))


class StepProgress:
    """Tells how far a run is.

    Args:
        progress: called with (steps done, steps to do).
        steps: to do.
    """

    def __init__(self, progress: Callable[[int, int], None], steps: int) -> None:
        self.progress, self.steps = progress, steps

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._tell)

    def _tell(self, engine: Engine) -> None:
        self.progress(engine.state.iteration, self.steps)


def attach_logging(trainer: Engine, evaluator: Engine, tensorboard: Path | None) -> None:
    """MONAI's handlers that tell of a run: to the logger "medsegdist.transfer", if it takes INFO, and TensorBoard.

    Args:
        trainer: of the run.
        evaluator: of its validation.
        tensorboard: folder for event files; None writes none.

    Raises:
        MissingDependencyError: `tensorboard` is given, and TensorBoard is not installed.
    """
    if logging.getLogger(_LOGGER).isEnabledFor(logging.INFO):
        _stats(output_transform=_loss_of, iteration_log=False).attach(trainer)
        _stats(iteration_log=False, global_epoch_transform=lambda _: trainer.state.epoch).attach(evaluator)
    if tensorboard is None:
        return
    if find_spec("tensorboard") is None and find_spec("tensorboardX") is None:
        raise MissingDependencyError(
            "expected TensorBoard, to write its event files, found none; install it with pip install tensorboard, or "
            "leave `tensorboard` out."
        )
    TensorBoardStatsHandler(log_dir=str(tensorboard), output_transform=_loss_of).attach(trainer)
    TensorBoardStatsHandler(
        log_dir=str(tensorboard), output_transform=lambda _: None, global_epoch_transform=lambda _: trainer.state.epoch
    ).attach(evaluator)


def _stats(**options: Any) -> StatsHandler:
    # MONAI takes whatever logger it is given a name of away from its parents, and lets it print on standard output.
    handler = StatsHandler(name=f"{_LOGGER}.monai", **options)
    handler.logger = logging.getLogger(_LOGGER)
    return handler


def _loss_of(output: Mapping[str, Tensor]) -> float:
    return output[CommonKeys.LOSS].item()
