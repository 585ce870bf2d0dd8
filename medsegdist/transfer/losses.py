"""What training minimizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from monai.losses import DiceCELoss, DiceLoss
from torch import Tensor

# The paper's very small constant.
_EPSILON = 1e-5


def make_loss(kind: Literal["dice", "dice_ce"]) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of (b, 1, *grid) logits and masks of 0 and 1, as a scalar.

    Args:
        kind: "dice" is the paper's 1 - (2 TP + e) / (2 TP + FN + FP + e), with TP, FN and FP of the whole batch, so
            that a patch without foreground does no harm; "dice_ce" adds the mean cross-entropy.
    """
    loss_type = DiceLoss if kind == "dice" else DiceCELoss
    loss = loss_type(sigmoid=True, batch=True, smooth_nr=_EPSILON, smooth_dr=_EPSILON)

    def measured(logits: Tensor, masks: Tensor) -> Tensor:
        # bfloat16 would round the sums over a batch.
        value: Tensor = loss(logits.float(), masks.float())
        return value

    return measured
