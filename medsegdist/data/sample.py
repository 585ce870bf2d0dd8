"""One sample, and what must hold of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medsegdist.errors import DataError
from medsegdist.words import counted


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One checked sample.

    Args:
        case_id: the case it was taken from.
        patient_id: whom it shows.
        image: (*grid) float32, finite, not constant.
        mask: (*grid) bool, or (classes, *grid) where the dataset has classes.
    """

    case_id: str
    patient_id: str
    image: np.ndarray
    mask: np.ndarray

    @property
    def channels(self) -> np.ndarray:
        """(classes, *grid) the mask of each class, or of the one foreground, without a copy."""
        return self.mask.reshape(-1, *self.image.shape)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Foreground pixels of each channel of the mask."""
        return tuple(int(np.count_nonzero(channel)) for channel in self.channels)


def checked_sample(
    item: object, name_of: Callable[[Mapping[Any, Any]], str], delta: float | None, classes: int | None = None
) -> Sample:
    """The sample that an item of a dataset is.

    Args:
        item: dict with "image" (1, *grid) and "label" (1, *grid), or (classes, *grid), of 0 and 1.
        name_of: gives the name of the case that an item is of.
        delta: what segments will be neutralized by; must lie below the segment's intensities. None: not checked.
        classes: how many channels the label has, one for each class; None for one foreground.

    Raises:
        DataError: the item is something else.
    """
    if not isinstance(item, Mapping) or "image" not in item or "label" not in item:
        found = f"the keys {sorted(map(str, item))}" if isinstance(item, Mapping) else type(item).__name__
        raise DataError(f'expected a dict with "image" and "label", found {found}; rename or add the keys.')
    image, label = _values(item["image"]), _values(item["label"])
    if image.ndim not in (3, 4) or image.shape[0] != 1:
        raise DataError(
            f"expected an image of shape (1, rows, columns) or (1, slices, rows, columns), found "
            f"{tuple(image.shape)}; put the channel first and choose one."
        )
    if label.shape != (1 if classes is None else classes, *image.shape[1:]):
        channels = "" if classes is None else f", expected {counted(classes, 'channel')}, one for each class"
        raise DataError(
            f"the image has shape {tuple(image.shape)} but its mask {tuple(label.shape)}{channels}; "
            "pair each image with the mask that was drawn on it."
        )
    pixels = image[0].to(torch.float32)
    mask = _binary(label[0] if classes is None else label)
    check_intensities(pixels, mask if classes is None else mask.any(0), delta)
    case_id = name_of(item)
    return Sample(case_id, str(item.get("patient_id", case_id)), pixels.numpy(), mask.numpy())


def large_part(sample: Sample, sizes: tuple[int, ...], min_pixels: int) -> Sample | None:
    """The sample without the channels of its mask that are too small; None if none is left.

    Args:
        sample: stays as it is.
        sizes: its `sizes`.
        min_pixels: foreground pixels that each channel needs.
    """
    large = [size >= min_pixels for size in sizes]
    if not any(large):
        return None
    if all(large):
        return sample
    # A copy: the mask may be the dataset's own.
    mask = sample.mask.copy()
    mask[[not kept for kept in large]] = False
    return replace(sample, mask=mask)


def _values(array: Any) -> Tensor:
    # A MetaTensor first of all becomes a plain tensor: every step of it copies its metadata.
    values = array.as_subclass(Tensor) if isinstance(array, Tensor) else torch.as_tensor(array)
    return values.detach().cpu()


def _binary(label: Tensor) -> Tensor:
    mask = label.to(torch.bool)
    if not torch.equal(mask.to(label.dtype), label):
        other = label[(label != 0) & (label != 1)]
        values = ", ".join(f"{value:g}" for value in torch.unique(other)[:5].tolist())
        raise DataError(f"expected a mask of 0 and 1, found {values}; binarize the labels first.")
    return mask


def check_intensities(pixels: Tensor, mask: Tensor, delta: float | None) -> None:
    """Refuse an image that no distance can use.

    Args:
        pixels: (*grid) float32.
        mask: (*grid) bool.
        delta: must lie below the intensities in the mask; None: not checked.

    Raises:
        DataError: the image is constant or not finite, or reaches down to delta in the mask.
    """
    low, high = (float(value) for value in torch.aminmax(pixels))
    # NaN and infinity show in the extremes.
    if not np.isfinite([low, high]).all():
        raise DataError("the image holds NaN or infinite values; repair the image.")
    if low == high:
        raise DataError(f"the image is constant, {low:g} everywhere; check its window, and that it is not blank.")
    if delta is None or low > delta or not bool(mask.any()):
        return
    least = float(pixels[mask].min())
    if least <= delta:
        raise DataError(
            f"expected intensities above delta = {delta:g} in the segment, found {least:g}; "
            "lower delta, or clip the intensities."
        )
