"""From label values to binary masks, refusing whatever is not clearly a label; and segments cut out by a mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import Transform
from torch import Tensor

from medsegdist.errors import DataError

from .conversion import BACKEND, Array, OneByOned, as_floats, as_plain_tensor, like, memory_order

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
        self.foreground = None if foreground is None else _as_label_values(foreground)

    def __call__(self, img: Array) -> Array:
        """The mask of `img`, (channels, *spatial) integers or floats that are whole numbers, as uint8."""
        stored = as_plain_tensor(img)
        order = memory_order(stored)
        labels = stored.permute(order)
        if self.foreground is not None and labels.dtype in _COMPARED:
            mask = _any_of(labels, self.foreground)
            return like(mask.to(torch.uint8).permute(sorted(range(mask.ndim), key=order.__getitem__)), img)
        # Label maps are mostly 0: looking at the rest only is what makes this cheap on a whole CT.
        labeled = labels != 0
        found = _as_whole(labels[labeled])
        if self.foreground is None:
            if found.numel() and bool(found.min() != found.max()):
                all_values = torch.cat([found, found.new_zeros(int(not labeled.all()))])
                problem = f"expected a mask of 0 and one other value, found {_named(all_values)}"
                raise DataError(problem, "name the values that are foreground")
            mask = labeled
        else:
            mask = torch.full_like(labeled, 0 in self.foreground)
            mask[labeled] = torch.isin(found, torch.tensor(self.foreground, device=found.device))
        return like(mask.to(torch.uint8).permute(sorted(range(mask.ndim), key=order.__getitem__)), img)


class BinarizeLabeld(OneByOned):
    """Dictionary version of :class:`BinarizeLabel`.

    Args:
        foreground: label values that become 1; None takes the only value other than 0.
    """

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
    """Dictionary version of :class:`ClassMasks`.

    Args:
        classes: label values of each class.
    """

    def __init__(
        self, keys: KeysCollection, classes: Sequence[Sequence[int] | int], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, ClassMasks(classes), allow_missing_keys)


def _as_label_values(foreground: Any) -> tuple[int, ...]:
    values = tuple(foreground) if isinstance(foreground, Sequence) else (foreground,)
    if not values or not all(isinstance(value, Real) and float(value).is_integer() for value in values):
        raise ValueError(f"expected foreground label values as whole numbers, found {foreground!r}.")
    return tuple(int(value) for value in values)


def _any_of(labels: Tensor, values: Sequence[int]) -> Tensor:
    """Where integers are one of the values. torch takes a value modulo 256 where it compares it with 8-bit labels."""
    limits = torch.iinfo(labels.dtype)
    mask = torch.zeros_like(labels, dtype=torch.bool)
    for value in values:
        if limits.min <= value <= limits.max:
            mask |= labels == value
    return mask


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
    # As numpy writes them: 0.9999999 is not shortened to 1, nor 0.1 lengthened to what it is in 32 bits.
    text = ", ".join(_written(value) for value in values[:_MOST_VALUES_NAMED])
    return text if len(values) <= _MOST_VALUES_NAMED else f"{text}, ... ({len(values)} values)"


def _written(value: Tensor) -> str:
    number = value.cpu().numpy()
    return str(int(number)) if number == number.round() else str(number)


class NeutralizeSegment(Transform):
    """Cut the segment S out of an image X: S = X - delta inside the mask, 0 outside it (paper Eq. 7, 8).

    `delta` is below every intensity of the segment, so S is positive inside the mask and a black pixel of the
    segment is distinguished from no pixel at all. MONAI's MaskIntensity leaves 0 for both, and writes -0.0.

    Args:
        delta: the empty value, in the image's unit: -1 for intensities in [0, 255], -2048 for HU, -6 for standard
            scores clipped at -5.

    Raises:
        ValueError: `delta` is not finite; or, when called, mask and image have different shapes.
        DataError: when called, `delta` is not below the smallest intensity inside the mask, or the mask is not binary.
    """

    backend = BACKEND

    def __init__(self, delta: float = -1.0) -> None:
        if not math.isfinite(delta):
            raise ValueError(f"expected a finite delta, found {delta}.")
        self.delta = float(delta)

    def __call__(self, img: Array, mask: NdarrayOrTensor) -> Array:  # type: ignore[override]
        """The segment, as float32 (float64 stays float64) >= 0.

        Args:
            img: (channels, *spatial) intensities, any real dtype.
            mask: (1, *spatial) or (channels, *spatial), 0 and 1 or bool.
        """
        values = as_floats(img)
        labels = as_plain_tensor(mask).to(values.device)
        if labels.shape[1:] != values.shape[1:] or labels.shape[0] not in (1, values.shape[0]):
            raise ValueError(f"image of shape {tuple(values.shape)} but mask of shape {tuple(labels.shape)}.")
        inside = labels != 0
        if not bool((labels[inside] == 1).all()):
            raise DataError("expected a mask of 0 and 1, found other values", "binarize it first (BinarizeLabel)")
        segment = values[inside.expand_as(values)]
        # torch compares in the image's precision: a delta that rounding makes equal to an intensity would give S = 0.
        if segment.numel() and not bool(segment.min() > self.delta):
            raise DataError(
                f"delta = {self.delta:g} must lie below every intensity inside the mask, but the smallest there is "
                f"{float(segment.min()):g}",
                "choose a smaller delta",
            )
        return like(torch.where(inside, values - self.delta, 0.0), img)


class NeutralizeSegmentd(OneByOned):
    """Dictionary version of :class:`NeutralizeSegment`.

    Args:
        mask_key: the mask they share.
        delta: the empty value, below every intensity of a segment.

    Raises:
        KeyError: when called, the item has nothing under `mask_key`.
    """

    def __init__(
        self, keys: KeysCollection, mask_key: str = "label", delta: float = -1.0, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, NeutralizeSegment(delta), allow_missing_keys, mask_key)
