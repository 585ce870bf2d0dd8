"""Which label values a mask holds, noted before it is made binary.

This module imports MONAI.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms.transform import Transform

from medsegdist.data.case_reading import FOUND_LABELS

_MOST_OTHERS = 8


class NoteLabels(Transform):
    """Add to an item which of the wanted label values its mask holds, and which others if it holds none of them.

    Args:
        foreground: the wanted values; None notes the value farthest from 0, which is the only one beside 0 if the mask
            is as it should be.
    """

    def __init__(self, foreground: tuple[int, ...] | None) -> None:
        self.foreground = foreground

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with "found_labels": as :class:`~medsegdist.data.label_tally.LabelTally` notes it.

        Args:
            data: item with "label" (1, *spatial).
        """
        label = torch.as_tensor(data["label"]).as_subclass(torch.Tensor)
        if self.foreground is None:
            return {**data, FOUND_LABELS: _farthest_from_0(label)}
        held = [_holds(label, value) for value in self.foreground]
        others = [] if any(held) else _other_values(label)
        return {**data, FOUND_LABELS: torch.tensor([*map(float, held), *others], dtype=torch.float64)}


def _farthest_from_0(label: torch.Tensor) -> torch.Tensor:
    if not label.numel():
        return label.new_zeros(())
    smallest, largest = torch.aminmax(label)
    return largest if largest >= -smallest else smallest


def _other_values(label: torch.Tensor) -> list[float]:
    """The values beside 0, the first few of them."""
    values = torch.unique(label[label != 0])
    return [float(value) for value in values[:_MOST_OTHERS]]


def _holds(label: torch.Tensor, value: int) -> bool:
    # torch takes a value modulo 256 where it compares it with 8-bit labels.
    if not label.is_floating_point() and not torch.iinfo(label.dtype).min <= value <= torch.iinfo(label.dtype).max:
        return False
    # numpy goes through the values as they lie, torch through the axes.
    return bool((label.cpu().numpy() == value).any())
