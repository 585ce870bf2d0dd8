"""How well a network segments samples: Dice of cases, and the loss that stands for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from monai.inferers import Inferer, SimpleInferer, SlidingWindowInferer
from monai.losses import DiceCELoss, DiceLoss
from monai.networks import eval_mode
from torch import Tensor, nn

from medsegdist.data.samples import SegmentationSamples
from medsegdist.parallel import check_device
from medsegdist.transfer.batches import NetworkInputs
from medsegdist.transfer.plan import Recipe

# The paper's very small constant.
_EPSILON = 1e-5


def overlap_counts(logits: Tensor, masks: Tensor) -> Tensor:
    """(b, 2) int64 of (b, 1, *grid) logits and masks: points in both, and points of one plus points of the other."""
    predicted, reference = (logits > 0).flatten(1), (masks > 0.5).flatten(1)
    return torch.stack([(predicted & reference).sum(1), predicted.sum(1) + reference.sum(1)], 1)


def mean_dice(counts: Tensor, case_ids: Sequence[str]) -> float:
    """The mean over cases of the Dice of a case's samples together, of (n, 2) :func:`overlap_counts`.

    It is 1 where both sides of a case are empty.
    """
    place = {case: k for k, case in enumerate(dict.fromkeys(case_ids))}
    owners = torch.tensor([place[case] for case in case_ids])
    of_cases = torch.zeros(len(place), 2, dtype=torch.int64).index_add_(0, owners, counts)
    both, total = of_cases.double().unbind(1)
    return float(torch.where(total > 0, 2 * both / total.clamp(min=1), 1.0).mean())


def make_loss(kind: Literal["dice", "dice_ce"]) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of (b, 1, *grid) logits and masks of 0 and 1, as a scalar.

    "dice" is the paper's 1 - (2 TP + e) / (2 TP + FN + FP + e), with TP, FN and FP of the whole batch, so that a patch
    without foreground does no harm; "dice_ce" adds the mean cross-entropy.
    """
    loss_type = DiceLoss if kind == "dice" else DiceCELoss
    loss: Callable[[Tensor, Tensor], Tensor] = loss_type(
        sigmoid=True, batch=True, smooth_nr=_EPSILON, smooth_dr=_EPSILON
    )
    # bfloat16 would round the sums over a batch.
    return lambda logits, masks: loss(logits.float(), masks.float())


def evaluate(
    network: nn.Module,
    samples: SegmentationSamples,
    indices: Sequence[int],
    recipe: Recipe,
    *,
    device: torch.device | str = "cpu",
) -> float:
    """The mean Dice of a case by a network on some samples of a dataset; it is moved to the device."""
    target = check_device(device)
    if not indices:
        raise ValueError("expected at least one sample to evaluate on, found none.")
    return make_evaluator(network.to(target), samples, indices, recipe, target)()


def make_evaluator(
    network: nn.Module,
    samples: SegmentationSamples,
    indices: Sequence[int],
    recipe: Recipe,
    device: torch.device,
) -> Callable[[], float]:
    """A function that measures the mean Dice of a case as the network is then; it is on `device` already."""
    inputs = NetworkInputs(samples, indices, recipe.scale, device)
    case_ids = [samples.case_ids[k] for k in indices]
    inferer: Inferer = SimpleInferer()
    if recipe.patch_size is not None:
        inferer = SlidingWindowInferer(recipe.patch_size, recipe.batch_size, recipe.overlap, mode="gaussian")

    def measure() -> float:
        with eval_mode(network), torch.autocast(device.type, torch.bfloat16, enabled=uses_amp(recipe, device)):
            batches = map(inputs.batch, torch.arange(len(inputs)).split(recipe.batch_size))
            counts = [overlap_counts(inferer(images, network), masks) for images, masks in batches]
        return mean_dice(torch.cat(counts).cpu(), case_ids)

    return measure


def uses_amp(recipe: Recipe, device: torch.device) -> bool:
    """Whether to compute in bfloat16: on CUDA only."""
    return recipe.amp and device.type == "cuda"


class Bfloat16Inferer(SimpleInferer):
    """Runs a network in bfloat16 where that loses nothing that matters."""

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """(b, 1, *grid) logits of (b, 1, *grid) images on the network's device."""
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
            return network(inputs, *args, **kwargs)
