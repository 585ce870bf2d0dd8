"""From label values to binary masks, refusing whatever is not clearly a label."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import Transform
from torch import Tensor

from medsegdist.errors import DataError

from .conversion import BACKEND, Array, OneByOned, as_plain_tensor, like, memory_order

_MOST_VALUES_NAMED = 10
# torch compares its wider unsigned integers to nothing.
_COMPARED = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


class BinarizeLabel(Transform):
    """Turn a label map into a mask of 0 and 1 (paper Eq. 6).

    A wanted value that is absent from one label map is no error: whether a whole dataset lacks it is for the caller
    to check.

    Args:
        foreground: label values that become 1, all others becoming 0; None takes the only value other than 0, whatever
            it is (1, 255, ...), and refuses a label map with more than one.

    Raises:
        ValueError: `foreground` is empty or not whole numbers.
        DataError: when called, the label map holds NaN, infinite or fractional values, floats so large that two labels
            may have become one, or several values where none was named.
    """

    backend = BACKEND

    def __init__(self, foreground: Sequence[int] | int | None = None) -> None:
        self.foreground: tuple[int, ...] | None = None
        if foreground is not None:
            values: Any = tuple(foreground) if isinstance(foreground, Sequence) else (foreground,)
            if not values or not all(isinstance(value, Real) and float(value).is_integer() for value in values):
                raise ValueError(f"expected foreground label values as whole numbers, found {foreground!r}.")
            self.foreground = tuple(map(int, values))

    def __call__(self, img: Array) -> Array:
        """The mask of `img`, (channels, *spatial) integers or floats that are whole numbers, as uint8."""
        stored = as_plain_tensor(img)
        order = memory_order(stored)
        mask = self._mask(stored.permute(order)).to(torch.uint8)
        return like(mask.permute(sorted(range(mask.ndim), key=order.__getitem__)), img)

    def _mask(self, labels: Tensor) -> Tensor:
        if self.foreground is not None and labels.dtype in _COMPARED:
            # torch takes a value modulo 256 where it compares it with 8-bit labels.
            limits = torch.iinfo(labels.dtype)
            held = [value for value in self.foreground if limits.min <= value <= limits.max]
            return torch.isin(labels, torch.tensor(held, dtype=labels.dtype, device=labels.device))
        # Label maps are mostly 0: looking at the rest only is what makes this cheap on a whole CT.
        labeled = labels != 0
        found = _as_whole(labels[labeled])
        if self.foreground is None:
            if found.numel() and bool(found.min() != found.max()):
                all_values = torch.cat([found, found.new_zeros(int(not labeled.all()))])
                problem = f"expected a mask of 0 and one other value, found {_named(all_values)}"
                raise DataError(problem, "name the values that are foreground")
            return labeled
        mask = torch.full_like(labeled, 0 in self.foreground)
        mask[labeled] = torch.isin(found, torch.tensor(self.foreground, device=found.device))
        return mask


class BinarizeLabeld(OneByOned):
    """Dictionary version of :class:`BinarizeLabel`."""

    def __init__(
        self,
        keys: KeysCollection,
        foreground: Sequence[int] | int | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, BinarizeLabel(foreground), allow_missing_keys)


class ClassMasks(Transform):
    """Turn a label map into one mask of 0 and 1 for each class, one class against all others.

    Args:
        classes: label values of each class, in the order of the channels. They may overlap.

    Raises:
        ValueError: a class has no values, or they are not whole numbers; or, when called, the label map has more than
            one channel, or holds what :class:`BinarizeLabel` refuses.
    """

    backend = BACKEND

    def __init__(self, classes: Sequence[Sequence[int] | int]) -> None:
        if not classes:
            raise ValueError("expected label values of at least one class, found none.")
        self.binarize = [BinarizeLabel(values) for values in classes]

    def __call__(self, img: Array) -> Array:
        """The masks of `img`, (1, *spatial) integers or floats that are whole numbers, as (classes, *spatial) uint8."""
        labels = as_plain_tensor(img)
        if len(labels) != 1:
            raise ValueError(f"expected a label map of one channel, found shape {tuple(labels.shape)}.")
        return like(torch.cat([binarize(labels) for binarize in self.binarize]), img)


class ClassMasksd(OneByOned):
    """Dictionary version of :class:`ClassMasks`."""

    def __init__(
        self, keys: KeysCollection, classes: Sequence[Sequence[int] | int], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, ClassMasks(classes), allow_missing_keys)


def _as_whole(found: Tensor) -> Tensor:
    """The values as int64: torch compares its wider unsigned types to nothing, and half floats to little."""
    if not found.is_floating_point():
        return found.to(torch.int64)
    if not bool(torch.isfinite(found).all()):
        problem = "expected whole numbers as label values, found NaN or infinite ones"
        raise DataError(problem, "repair the label map, or leave this case out")
    fractional = found != found.round()
    if bool(fractional.any()):
        problem = f"expected whole numbers as label values, found {_named(found[fractional])}"
        raise DataError(problem, "if this is a probability map, threshold it first")
    # From there on the floats of this width leave out whole numbers: 16777217 has become 16777216.
    kind = torch.finfo(found.dtype)
    exact = int(2 / kind.eps)
    too_large = found.abs() >= exact
    if bool(too_large.any()):
        raise DataError(
            f"expected label values between -{exact} and {exact}, which {kind.bits}-bit floats hold exactly, "
            f"found {_named(found[too_large])}",
            "renumber the labels",
        )
    return found.to(torch.int64)


def _named(labels: Tensor) -> str:
    values = torch.unique(labels)
    shown = values[:_MOST_VALUES_NAMED].cpu().numpy()
    # As numpy writes them: 0.9999999 is not shortened to 1, nor 0.1 lengthened to what it is in 32 bits.
    text = ", ".join(str(int(value) if value == value.round() else value) for value in shown)
    return text if len(values) <= _MOST_VALUES_NAMED else f"{text}, ... ({len(values)} values)"
