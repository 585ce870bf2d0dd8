"""Which label values a mask holds, noted before it is made binary.

This module imports MONAI.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms.transform import Transform

from medsegdist.data.case_reading import FOUND_LABELS


class NoteLabels(Transform):
    """Add to an item which of the wanted label values its mask holds.

    Args:
        foreground: the wanted values; None notes the value farthest from 0, which is the only one beside 0 if the mask
            is as it should be.
    """

    def __init__(self, foreground: tuple[int, ...] | None) -> None:
        self.foreground = foreground

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with "found_labels": a bool for each wanted value, or one number.

        Args:
            data: item with "label" (1, *spatial).
        """
        label = torch.as_tensor(data["label"]).as_subclass(torch.Tensor)
        found = (
            _farthest_from_0(label)
            if self.foreground is None
            else torch.stack([_holds(label, value) for value in self.foreground])
        )
        return {**data, FOUND_LABELS: found}


def _farthest_from_0(label: torch.Tensor) -> torch.Tensor:
    if not label.numel():
        return label.new_zeros(())
    smallest, largest = torch.aminmax(label)
    return largest if largest >= -smallest else smallest


def _holds(label: torch.Tensor, value: int) -> torch.Tensor:
    # torch takes a value modulo 256 where it compares it with 8-bit labels.
    if not label.is_floating_point() and not torch.iinfo(label.dtype).min <= value <= torch.iinfo(label.dtype).max:
        return torch.tensor(False)
    # numpy goes through the values as they lie, torch through the axes.
    return torch.tensor(bool((label.cpu().numpy() == value).any()))
