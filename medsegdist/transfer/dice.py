"""Dice of volumes and of slices.

Primary is the Dice of a case: all of its samples count together, as one volume. Samples are the slices that hold
foreground (`min_pixels` of the preprocessing), so that no reference is empty; what a network would mark on slices
without foreground is not measured. Were a reference empty, its Dice would be 1 for an empty prediction and 0 for any
other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from ignite.metrics import Metric
from monai.utils import CommonKeys
from torch import Tensor

KEY_METRIC = "dice"
"""What engines call it."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a network segments a dataset.

    Args:
        dice: mean over cases of the Dice of a case's samples together; the primary number.
        dice_per_sample: mean over samples, which are slices in 2D.
        case_dice: of each case, in the order of their first samples.
        samples: how many there were.
    """

    dice: float
    dice_per_sample: float
    case_dice: tuple[float, ...]
    samples: int

    @classmethod
    def of_counts(cls, counts: Tensor, case_ids: Sequence[str]) -> Evaluation:
        """The Dice of samples whose points were counted.

        Args:
            counts: (n, 2) int64 points that are in prediction and reference, and the sum of both.
            case_ids: (n,) the case of each sample.
        """
        place = {case: k for k, case in enumerate(dict.fromkeys(case_ids))}
        owners = torch.tensor([place[case] for case in case_ids])
        of_cases = dice_of_counts(torch.zeros(len(place), 2, dtype=torch.int64).index_add_(0, owners, counts))
        of_samples = dice_of_counts(counts)
        return cls(
            dice=float(of_cases.mean()),
            dice_per_sample=float(of_samples.mean()),
            case_dice=tuple(of_cases.tolist()),
            samples=len(counts),
        )


def overlap_counts(logits: Tensor, masks: Tensor) -> Tensor:
    """(b, 2) int64: points in both, and points of prediction plus points of reference.

    Args:
        logits: (b, 1, *grid); above 0 is foreground.
        masks: (b, 1, *grid) of 0 and 1.
    """
    predicted, reference = (logits > 0).flatten(1), (masks > 0.5).flatten(1)
    return torch.stack([(predicted & reference).sum(1), predicted.sum(1) + reference.sum(1)], 1)


def dice_of_counts(counts: Tensor) -> Tensor:
    """(n,) float64 Dice of (n, 2) counts; 1 where both sides are empty."""
    both, total = counts.double().unbind(1)
    return torch.where(total > 0, 2 * both / total.clamp(min=1), 1.0)


class CaseDice(Metric):
    """Dice per case as an ignite metric; samples come in the order of `case_ids`.

    Args:
        case_ids: (n,) the case of each sample.
    """

    def __init__(self, case_ids: Sequence[str]) -> None:
        self.case_ids = tuple(case_ids)
        self.counts: list[Tensor] = []
        super().__init__(output_transform=lambda output: (output[CommonKeys.PRED], output[CommonKeys.LABEL]))

    def reset(self) -> None:
        """Forget all counts."""
        self.counts = []

    def update(self, output: Any) -> None:
        """Count a batch of logits and masks."""
        self.counts.append(overlap_counts(*output))

    def evaluation(self) -> Evaluation:
        """The Dice of all samples."""
        return Evaluation.of_counts(torch.cat(self.counts).cpu(), self.case_ids)

    def compute(self) -> float:
        """The mean Dice of a case."""
        return self.evaluation().dice
