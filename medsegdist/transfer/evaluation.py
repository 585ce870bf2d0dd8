"""How well a network segments samples."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from monai.engines import SupervisedEvaluator
from monai.inferers import Inferer, SimpleInferer, SlidingWindowInferer
from torch import Tensor, nn

from medsegdist.data.samples import SegmentationSamples
from medsegdist.transfer.batches import NetworkInputs
from medsegdist.transfer.devices import check_device
from medsegdist.transfer.dice import KEY_METRIC, CaseDice, Evaluation
from medsegdist.transfer.recipe import Recipe


def evaluate(
    network: nn.Module,
    samples: SegmentationSamples,
    indices: Sequence[int],
    recipe: Recipe,
    *,
    device: torch.device | str = "cpu",
) -> Evaluation:
    """The Dice of a network.

    Args:
        network: (b, 1, *grid) intensities to logits; it is moved to `device`.
        samples: a dataset.
        indices: which of its samples to segment, at least one.
        recipe: how it was trained: intensities, patches and batch size.
        device: where to compute.

    Raises:
        MedSegDistError: a CUDA device is asked for and there is none.
        ValueError: there are no samples.
    """
    target = check_device(device)
    if not indices:
        raise ValueError("expected at least one sample to evaluate on, found none.")
    network.to(target)
    evaluator, dice = make_evaluator(network, samples, indices, recipe, target)
    evaluator.run()
    return dice.evaluation()


def make_evaluator(
    network: nn.Module,
    samples: SegmentationSamples,
    indices: Sequence[int],
    recipe: Recipe,
    device: torch.device,
) -> tuple[SupervisedEvaluator, CaseDice]:
    """An evaluator that can run many times, and its metric.

    Args:
        network: on `device` already.
        samples: as for :func:`evaluate`.
        indices: as for :func:`evaluate`.
        recipe: as for :func:`evaluate`.
        device: where to compute.
    """
    dice = CaseDice([samples.case_ids[k] for k in indices])
    batches = _InOrder(NetworkInputs(samples, indices, recipe.scale, device), recipe.batch_size)
    evaluator = SupervisedEvaluator(
        device=device,
        val_data_loader=batches,
        network=network,
        inferer=_inferer(recipe),
        key_val_metric={KEY_METRIC: dice},
        amp=uses_amp(recipe, device),
        amp_kwargs={"dtype": torch.bfloat16},
        decollate=False,
    )
    evaluator.logger = quiet_logger()
    return evaluator, dice


def uses_amp(recipe: Recipe, device: torch.device) -> bool:
    """Whether to compute in bfloat16: on CUDA only.

    Args:
        recipe: of the run.
        device: where it is computed.
    """
    return recipe.amp and device.type == "cuda"


class Bfloat16Inferer(SimpleInferer):
    """Runs a network in bfloat16 where that loses nothing that matters."""

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """(b, 1, *grid) logits of (b, 1, *grid) images on the network's device.

        Args:
            inputs: (b, 1, *grid) images.
            network: what computes the logits.
            *args: handed to the network.
            **kwargs: likewise.
        """
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
            return network(inputs, *args, **kwargs)


def quiet_logger() -> logging.Logger:
    """A logger of nobody: what an engine raises is told by whoever catches it."""
    logger = logging.Logger("medsegdist.transfer")
    logger.addHandler(logging.NullHandler())
    return logger


def _inferer(recipe: Recipe) -> Inferer:
    if recipe.patch_size is None:
        return SimpleInferer()
    return SlidingWindowInferer(recipe.patch_size, recipe.batch_size, recipe.overlap, mode="gaussian")


class _InOrder:
    """All samples once, in their order, a batch at a time."""

    def __init__(self, inputs: NetworkInputs, batch_size: int) -> None:
        self.inputs, self.batch_size = inputs, batch_size

    def __len__(self) -> int:
        return -(-len(self.inputs) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for positions in torch.arange(len(self.inputs)).split(self.batch_size):
            images, masks = self.inputs.batch(positions)
            yield {"image": images, "label": masks}
