"""How well a network segments samples: Dice of volumes and of slices, and the loss that stands for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from ignite.metrics import Metric
from monai.engines import SupervisedEvaluator
from monai.inferers import Inferer, SimpleInferer, SlidingWindowInferer
from monai.losses import DiceCELoss, DiceLoss
from monai.utils import CommonKeys
from torch import Tensor, nn

from medsegdist.data.samples import SegmentationSamples
from medsegdist.parallel import check_device
from medsegdist.transfer.batches import NetworkInputs
from medsegdist.transfer.plan import Recipe

# The paper's very small constant.
_EPSILON = 1e-5

KEY_METRIC = "dice"  # what engines call it


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a network segments a dataset."""

    dice: float  # mean over cases of the Dice of a case's samples together; the primary number
    dice_per_sample: float  # mean over samples, which are slices in 2D

    @classmethod
    def of_counts(cls, counts: Tensor, case_ids: Sequence[str]) -> Evaluation:
        """The Dice of samples with (n, 2) :func:`overlap_counts`, and the case of each."""
        place = {case: k for k, case in enumerate(dict.fromkeys(case_ids))}
        owners = torch.tensor([place[case] for case in case_ids])
        of_cases = dice_of_counts(torch.zeros(len(place), 2, dtype=torch.int64).index_add_(0, owners, counts))
        return cls(dice=float(of_cases.mean()), dice_per_sample=float(dice_of_counts(counts).mean()))


def overlap_counts(logits: Tensor, masks: Tensor) -> Tensor:
    """(b, 2) int64 of (b, 1, *grid) logits and masks: points in both, and points of one plus points of the other."""
    predicted, reference = (logits > 0).flatten(1), (masks > 0.5).flatten(1)
    return torch.stack([(predicted & reference).sum(1), predicted.sum(1) + reference.sum(1)], 1)


def dice_of_counts(counts: Tensor) -> Tensor:
    """(n,) float64 Dice of (n, 2) :func:`overlap_counts`; 1 where both sides are empty."""
    both, total = counts.double().unbind(1)
    return torch.where(total > 0, 2 * both / total.clamp(min=1), 1.0)


class CaseDice(Metric):
    """Dice per case as an ignite metric; samples come in the order of `case_ids`."""

    def __init__(self, case_ids: Sequence[str]) -> None:
        self.case_ids = tuple(case_ids)
        self.counts: list[Tensor] = []
        super().__init__(output_transform=lambda output: (output[CommonKeys.PRED], output[CommonKeys.LABEL]))

    def reset(self) -> None:
        """Forget all counts."""
        self.counts = []

    def update(self, output: Any) -> None:
        """Count a batch of (b, 1, *grid) logits and masks."""
        self.counts.append(overlap_counts(*output))

    def evaluation(self) -> Evaluation:
        """The Dice of all samples."""
        return Evaluation.of_counts(torch.cat(self.counts).cpu(), self.case_ids)

    def compute(self) -> float:
        """The mean Dice of a case."""
        return self.evaluation().dice


def make_loss(kind: Literal["dice", "dice_ce"]) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of (b, 1, *grid) logits and masks of 0 and 1, as a scalar.

    "dice" is the paper's 1 - (2 TP + e) / (2 TP + FN + FP + e), with TP, FN and FP of the whole batch, so that a patch
    without foreground does no harm; "dice_ce" adds the mean cross-entropy.
    """
    loss_type = DiceLoss if kind == "dice" else DiceCELoss
    loss = loss_type(sigmoid=True, batch=True, smooth_nr=_EPSILON, smooth_dr=_EPSILON)

    def measured(logits: Tensor, masks: Tensor) -> Tensor:
        # bfloat16 would round the sums over a batch.
        value: Tensor = loss(logits.float(), masks.float())
        return value

    return measured


def evaluate(
    network: nn.Module,
    samples: SegmentationSamples,
    indices: Sequence[int],
    recipe: Recipe,
    *,
    device: torch.device | str = "cpu",
) -> Evaluation:
    """The Dice of a network on some samples of a dataset; it is moved to the device."""
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
    """An evaluator that can run many times, and its metric; the network is on `device` already."""
    dice = CaseDice([samples.case_ids[k] for k in indices])
    inputs = NetworkInputs(samples, indices, recipe.scale, device)
    inferer: Inferer = SimpleInferer()
    if recipe.patch_size is not None:
        inferer = SlidingWindowInferer(recipe.patch_size, recipe.batch_size, recipe.overlap, mode="gaussian")
    evaluator = SupervisedEvaluator(
        device=device,
        val_data_loader=torch.arange(len(inputs)).split(recipe.batch_size),
        prepare_batch=lambda positions, *_, **__: inputs.batch(positions),
        network=network,
        inferer=inferer,
        key_val_metric={KEY_METRIC: dice},
        amp=uses_amp(recipe, device),
        amp_kwargs={"dtype": torch.bfloat16},
        decollate=False,
    )
    evaluator.logger = quiet_logger()
    return evaluator, dice


def uses_amp(recipe: Recipe, device: torch.device) -> bool:
    """Whether to compute in bfloat16: on CUDA only."""
    return recipe.amp and device.type == "cuda"


class Bfloat16Inferer(SimpleInferer):
    """Runs a network in bfloat16 where that loses nothing that matters."""

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """(b, 1, *grid) logits of (b, 1, *grid) images on the network's device."""
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
            return network(inputs, *args, **kwargs)


def quiet_logger() -> logging.Logger:
    """A logger without output: the caller reports what an engine raises."""
    logger = logging.Logger("medsegdist.transfer")
    logger.addHandler(logging.NullHandler())
    return logger
