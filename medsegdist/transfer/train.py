"""One training run on MONAI's engines, which can be cut short at any moment and resumed to the same weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping
from monai.engines import SupervisedTrainer
from monai.utils import CommonKeys
from torch import Tensor, nn

from medsegdist.data.samples import SegmentationSamples
from medsegdist.errors import ConvergenceError, DataError, MedSegDistError
from medsegdist.parallel import check_device, one_thread
from medsegdist.progress import track
from medsegdist.transfer.batches import NetworkInputs, TrainingBatches
from medsegdist.transfer.evaluate import Bfloat16Inferer, make_evaluator, make_loss, uses_amp
from medsegdist.transfer.networks import build_network, load_state, save_state
from medsegdist.transfer.plan import Recipe, Split


@dataclass(frozen=True, slots=True, eq=False)
class TrainingResult:
    """What a run ended with."""

    network: nn.Module  # with the weights of the best validation, or the last ones; on the run's device
    dice: float  # of the validation of these weights, the mean over its cases
    best_step: int  # steps that had been done then
    steps: int  # steps that were done in all; fewer than asked for after an early stop
    history: tuple[tuple[int, float, float], ...]  # of each validation: step, Dice, mean loss since the one before
    curve: tuple[tuple[int, float], ...]  # (step, test Dice) of the steps that were asked for
    converged: bool = True  # the validation Dice reached the floor of `train_with_retry`
    hardened: bool = False  # it was trained with a hardened recipe


def second_checkpoint(checkpoint: Path) -> Path:
    """Where the training with a hardened recipe leaves its state, next to the `checkpoint` of the first training."""
    return checkpoint.with_name(f"{checkpoint.stem}.second{checkpoint.suffix}")


def train_with_retry(
    samples: SegmentationSamples,
    split: Split,
    recipe: Recipe,
    *,
    floor: float,
    seed: int,
    checkpoint: Path | None = None,
    **options: Any,
) -> TrainingResult:
    """Train, and once more with a hardened recipe if the network did not learn: it is no pre-training and no baseline.

    `samples`, `split`, `seed` and `options` are those of :func:`train` for both, and so are its errors; `recipe` and
    `checkpoint` are of the first training. A network that learned has a validation Dice of at least `floor`.
    """
    try:
        first = train(samples, split, recipe, seed=seed, checkpoint=checkpoint, **options)
    except ConvergenceError:
        first = None
    if first is not None and first.dice >= floor:
        return first
    state = None if checkpoint is None else second_checkpoint(checkpoint)
    second = train(samples, split, recipe.hardened(), seed=seed, checkpoint=state, **options)
    return replace(second, converged=second.dice >= floor, hardened=True)


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
    curve: Sequence[int] = (),
    title: str = "Training",
    make_network: Callable[[], nn.Module] | None = None,
) -> TrainingResult:
    """Train a network, and keep the weights of its best validation, or the last ones.

    The same `seed` gives the same weights on a CPU with the same number of threads. torch's global generator is left as
    it was. With `weights` the training starts from these, all of which are trained. The file `checkpoint` keeps the
    state at each validation; if it is there, the run goes on from it, provided that recipe, seed and `identity`, what
    else distinguishes the run, are the same. `curve` are the steps, multiples of the recipe's `validate_every`, after
    which the Dice of the split's test samples is measured; 0 is before the first step. `title` is what progress calls
    the run, and `make_network` makes a network with new weights, instead of the recipe's.

    Raises:
        DataError: a part of the split is empty, or the checkpoint is damaged or of another run.
        ValueError: a patch is larger than the grid.
        ConvergenceError: the loss is not finite.
        MedSegDistError: a CUDA device is asked for and there is none, or its memory does not hold a batch.
    """
    target = check_device(device)
    for what, part in (("training", split.train), ("validation", split.validation)):
        if not part:
            raise DataError(
                f"expected at least one {what} sample, found none",
                "add patients, or change the fractions of the split",
                dataset=samples.name,
            )
    recipe.check_grid(samples.grid)
    config = {"recipe": recipe.model_dump(mode="json"), "seed": seed, **(identity or {})}
    state = None if checkpoint is None else load_state(checkpoint, config)
    try:
        with torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
            torch.manual_seed(seed)
            network = build_network(recipe.network, len(samples.grid)) if make_network is None else make_network()
            if weights is not None:
                network.load_state_dict(dict(weights))
            run = _Run(samples, split, recipe, seed, target, network, state, curve)
            if checkpoint is not None:
                run.trainer.add_event_handler(Events.EPOCH_COMPLETED, run.save, checkpoint, config)
            return run.result(title)
    except torch.cuda.OutOfMemoryError as error:
        raise MedSegDistError(
            f"expected room for a batch of {recipe.batch_size} in the device's memory, found too little",
            "choose a smaller batch_size, patch_size, network or grid",
            dataset=samples.name,
        ) from error


class _Run:
    """A training under way: what is resumed, and the handlers that follow the trainer.

    The order of samples and their variations follow from seed and step, so they are no part of the state. An epoch of
    the trainer is the time between two validations.
    """

    def __init__(
        self,
        samples: SegmentationSamples,
        split: Split,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        network: nn.Module,
        state: Mapping[str, Any] | None,
        curve: Sequence[int],
    ) -> None:
        self.dataset, self.recipe, self.device = samples.name, recipe, device
        if device.type == "cuda":
            channels_last: Any = torch.channels_last if len(samples.grid) == 2 else torch.channels_last_3d
            network = network.to(device).to(memory_format=channels_last)  # type: ignore[call-overload]
        self.network = network
        self.optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
        self.best: dict[str, Any] = {"dice": -1.0}
        self.history: list[tuple[int, float, float]] = []
        self.curve: list[tuple[int, float]] = []
        self.losses: list[Tensor] = []
        self.mean_loss = float("nan")
        self.start = 0 if state is None else int(state["step"])
        self.stopped = state is not None and bool(state["stopped"])
        inputs = NetworkInputs(samples, split.train, recipe.scale, device)
        self.trainer = SupervisedTrainer(
            device=device,
            max_epochs=recipe.steps // recipe.validate_every,
            train_data_loader=TrainingBatches(inputs, recipe, seed=seed, start=self.start),
            epoch_length=recipe.validate_every,
            network=network,
            optimizer=self.optimizer,
            loss_function=make_loss(recipe.loss),
            prepare_batch=lambda batch, *_, **__: (batch["image"], batch["label"]),
            # MONAI's own `amp` scales losses, as float16 needs and bfloat16 does not, and skips steps by the way.
            inferer=Bfloat16Inferer() if uses_amp(recipe, device) else None,
            decollate=False,
            optim_set_to_none=True,
        )
        # Who trains reports what is raised.
        self.trainer.logger = logging.Logger("medsegdist.transfer", logging.CRITICAL + 1)
        self.trainer.state.iteration, self.trainer.state.epoch = self.start, self.start // recipe.validate_every
        self.validate = make_evaluator(network, samples, split.validation, recipe, device)
        self.trainer.add_event_handler(Events.ITERATION_STARTED, self._set_learning_rate)
        self.trainer.add_event_handler(Events.ITERATION_COMPLETED, self._keep_loss)
        # In this order: a loss that is not finite is neither validated nor saved.
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self._check_loss)
        validations = 1 if recipe.select == "best" else recipe.steps // recipe.validate_every
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED(every=validations), self._keep_best)
        self.early_stop: EarlyStopping | None = None
        if recipe.patience is not None:
            self.early_stop = EarlyStopping(recipe.patience, lambda _: self.history[-1][1], self.trainer)
            self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self.early_stop)
        if curve:
            self.test = make_evaluator(network, samples, split.test, recipe, device)
            asked = Events.STARTED | Events.EPOCH_COMPLETED
            self.trainer.add_event_handler(asked, self._test, frozenset(curve))
        if state is not None:
            self._restore(state)

    def result(self, title: str) -> TrainingResult:
        # ignite takes a run that has reached its end for one to begin again.
        if self.start < self.recipe.steps and not self.stopped:
            shown = track(range(self.start, self.recipe.steps), title)
            next(shown)
            self.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: next(shown, None))
            self.trainer.run()
            shown.close()
        self.network.load_state_dict(self.best["weights"])
        self.network.eval()
        dice, step, steps = self.best["dice"], self.best["step"], self.trainer.state.iteration
        return TrainingResult(self.network, dice, step, steps, tuple(self.history), tuple(self.curve))

    def _set_learning_rate(self, trainer: Engine) -> None:
        # A function of the step: a scheduler would be one more state to resume.
        if self.recipe.drop_after is not None and trainer.state.iteration > self.recipe.drop_after:
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.final_learning_rate

    def _keep_loss(self, trainer: Engine) -> None:
        output: Any = trainer.state.output
        self.losses.append(output[CommonKeys.LOSS].detach())

    def _check_loss(self, trainer: Engine) -> None:
        # Once an epoch: asking at every step would make a GPU wait.
        self.mean_loss = float(torch.stack(self.losses).double().mean())
        steps, last = len(self.losses), trainer.state.iteration
        self.losses = []
        if not torch.isfinite(torch.tensor(self.mean_loss)):
            raise ConvergenceError(
                f"the training diverged, with a loss that is not finite between steps {last - steps + 1} and {last}",
                "lower the learning rate, and look for extreme intensities",
                dataset=self.dataset,
            )

    def _keep_best(self, trainer: Engine) -> None:
        """The weights of the best validation so far; of equal ones, the first."""
        dice, step = self.validate(), int(trainer.state.iteration)
        self.history.append((step, dice, self.mean_loss))
        if dice > self.best["dice"]:
            weights = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
            self.best = {"dice": dice, "step": step, "weights": weights}

    def _test(self, trainer: Engine, steps: frozenset[int]) -> None:
        step = int(trainer.state.iteration)
        # A run that is resumed starts a second time.
        if step in steps and step not in dict(self.curve):
            self.curve.append((step, self.test()))

    def save(self, _: Engine, path: Path, config: Mapping[str, Any]) -> None:
        """Keep the state; MONAI's CheckpointSaver knows neither `config` nor generators, nor syncs its file."""
        state = {
            "step": self.trainer.state.iteration,
            "stopped": bool(self.trainer.should_terminate),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "history": self.history,
            "curve": self.curve,
            "early_stop": None if self.early_stop is None else dict(self.early_stop.state_dict()),
            # Of dropout.
            "generators": {
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
            },
        }
        save_state(path, config, state)

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best, self.history, self.curve = state["best"], state["history"], state["curve"]
        if self.early_stop is not None:
            self.early_stop.load_state_dict(state["early_stop"])
        torch.set_rng_state(state["generators"]["cpu"])
        if self.device.type == "cuda" and state["generators"]["cuda"] is not None:
            torch.cuda.set_rng_state(state["generators"]["cuda"], self.device)


def seconds_per_step(recipe: Recipe, grid: tuple[int, ...], device: torch.device | str = "cpu") -> float:
    """Seconds of a step of `recipe` on random samples of a `grid`, on a `device`: the median of three."""
    target = check_device(device)
    with one_thread(), torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
        shape = (recipe.batch_size, 1, *(recipe.patch_size or grid))
        images, masks = torch.randn(shape, device=target), (torch.rand(shape, device=target) > 0.5).float()
        network, loss = build_network(recipe.network, len(grid)).to(target), make_loss(recipe.loss)
        optimizer = torch.optim.Adam(network.parameters())
        seconds = []
        for _ in range(4):
            start = perf_counter()
            optimizer.zero_grad()
            loss(network(images), masks).backward()
            optimizer.step()
            if target.type == "cuda":
                torch.cuda.synchronize(target)
            seconds.append(perf_counter() - start)
    return median(seconds[1:])
