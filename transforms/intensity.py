"""Intensities, checked to be finite, on one scale for all datasets: a window, fixed or by percentiles, or scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import NormalizeIntensity, Transform
from torch import Tensor

from medsegdist.errors import DataError

from .conversion import BACKEND, Array, OneByOned, as_floats, as_plain_tensor, like, memory_order

_DISPLAY_HIGH = 255.0
_LIMIT = 5.0  # of standard scores
_BLOCK = 2**20  # voxels that are counted at once
_KEPT = (torch.uint8, torch.int8, torch.int16)  # taken as they are; all else as floats


class CheckFinite(Transform):
    """Pass an array on if every value is finite.

    Raises:
        DataError: when called, the array is empty or holds NaN or infinite values.
    """

    backend = BACKEND

    def __call__(self, img: Array) -> Array:
        """The same object as `img`, (channels, *spatial) of any real dtype."""
        values = as_plain_tensor(img)
        if values.numel() == 0:
            problem = f"expected an image with pixels, found shape {tuple(values.shape)}"
            raise DataError(problem, "save it again, or leave this case out")
        if not values.is_floating_point():
            return img
        # NaN and infinity show in the extremes, and finding those needs no second volume in memory.
        smallest, largest = torch.aminmax(values.permute(memory_order(values)))
        if not bool(torch.isfinite(smallest) & torch.isfinite(largest)):
            bad = int((~torch.isfinite(values)).sum())
            problem = f"expected finite intensities, found {bad} of {values.numel()} that are NaN or infinite"
            raise DataError(problem, "repair the image, or leave this case out")
        return img


class WindowIntensity(Transform):
    """Clip intensities to a window and rescale it to [0, 255].

    Args:
        low: intensity that becomes 0, in the image's own unit (HU for CT).
        high: intensity that becomes 255.

    Raises:
        ValueError: the window is upside down, empty or not finite.
    """

    backend = BACKEND

    def __init__(self, low: float, high: float) -> None:
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"expected a window with low < high, found low = {low:g} and high = {high:g}.")
        self.low = float(low)
        self.high = float(high)

    def __call__(self, img: Array) -> Array:
        """`img`, (channels, *spatial) of any real dtype, as float32 in [0, 255]; NaN stays NaN."""
        # What MONAI's ScaleIntensityRange computes, to the bit, in one array instead of five.
        scaled = as_floats(img) - self.low
        scaled.div_(self.high - self.low).mul_(_DISPLAY_HIGH).add_(0.0).clamp_(0.0, _DISPLAY_HIGH)
        return like(scaled.to(torch.float32), img)


class PercentileWindowIntensity(Transform):
    """Clip intensities to two percentiles of the image itself and rescale them to [0, 255].

    For MR, ultrasound and photographs, whose numbers have no unit. The percentiles are taken over all channels and
    voxels, so give it whole volumes, not slices: slices of one volume then stay comparable.

    MONAI's ScaleIntensityRangePercentiles warns of a constant image and returns it shifted; here that is an error.

    Args:
        lower: percentile that becomes 0.
        upper: percentile that becomes 255.

    Raises:
        ValueError: not 0 <= lower < upper <= 100.
        DataError: when called, both percentiles have the same value.
    """

    backend = BACKEND

    def __init__(self, lower: float = 0.5, upper: float = 99.5) -> None:
        if not 0 <= lower < upper <= 100:
            raise ValueError(f"expected percentiles 0 <= lower < upper <= 100, found {lower:g} and {upper:g}.")
        self.lower = float(lower)
        self.upper = float(upper)

    def __call__(self, img: Array) -> Array:
        """`img`, (channels, *spatial) of any real dtype, as float32 in [0, 255]."""
        values = as_plain_tensor(img)
        values = values if values.dtype in _KEPT else as_floats(img)
        stored = values.permute(memory_order(values))
        found = _percentiles(stored.cpu().numpy(), [self.lower, self.upper])
        # Of integers, too, in the 32 bits of the floats that they become.
        low, high = (found if values.dtype == torch.float64 else found.astype(np.float32)).tolist()
        if not low < high:
            smallest, largest = (float(value) for value in torch.aminmax(stored))
            raise DataError(
                f"expected an image with contrast, found the same intensity {low:g} at percentiles {self.lower:g} and "
                f"{self.upper:g} (smallest {smallest:g}, largest {largest:g})",
                "leave this image out, or widen the percentiles",
            )
        return WindowIntensity(low, high)(img)


def _percentiles(stored: np.ndarray, percents: Sequence[float]) -> np.ndarray:
    """np.percentile in half its time: floats are sorted; integers of 8 or 16 bits counted, which cannot overflow."""
    # A sort takes half of the time that np.percentile takes to part values around four of them.
    place = np.asarray(percents) / 100 * (stored.size - 1)
    ends = np.floor(place).astype(np.int64), np.ceil(place).astype(np.int64)
    if stored.dtype.kind == "f":
        ordered = np.sort(stored, axis=None)
        if np.isnan(ordered[-1]):
            return np.full(len(percents), np.nan)
        below, above = (ordered[end] for end in ends)
    else:
        flat, lowest = stored.ravel(), int(stored.min())
        counts = np.zeros(int(stored.max()) - lowest + 1, dtype=np.int64)
        # In blocks: each is copied to 64 bits.
        for start in range(0, len(flat), _BLOCK):
            counts += np.bincount(flat[start : start + _BLOCK].astype(np.int64) - lowest, minlength=len(counts))
        below, above = (counts.cumsum().searchsorted(end, side="right") + lowest for end in ends)
    part = place % 1
    return np.asarray(np.where(part < 0.5, below + (above - below) * part, above - (above - below) * (1 - part)))


class StandardizeIntensity(Transform):
    """Bring an image to mean 0 and standard deviation 1, then clip it to [-5, 5].

    NormalizeIntensity of MONAI does the scaling. It is given mean and standard deviation in float64, because its own
    in float32 turn a constant image into noise or zeros; here a constant image is an error. The mean is exactly 0 only
    where nothing is clipped.

    Args:
        per_slice: whether each slice of a volume is standardized for itself; else all channels and pixels together.

    Raises:
        DataError: when called, the image is constant or not finite.
    """

    backend = BACKEND

    def __init__(self, per_slice: bool = False) -> None:
        self.per_slice = per_slice

    def __call__(self, img: Array) -> Array:
        """`img`, (channels, *spatial) of any real dtype, as float32 in [-5, 5]."""
        values = as_floats(img)
        if not (self.per_slice and values.ndim == 4):
            return like(self._standardized(values), img)
        result = torch.empty(values.shape, dtype=torch.float32, device=values.device)
        for k in range(values.shape[1]):
            result[:, k] = self._standardized(values[:, k])
        return like(result, img)

    def _standardized(self, values: Tensor) -> Tensor:
        exact = values.to(torch.float64)
        mean, deviation = float(exact.mean()), float(exact.var(correction=0)) ** 0.5
        if not 0 < deviation < math.inf:
            smallest, largest = (float(value) for value in torch.aminmax(values))
            problem = f"expected an image with contrast, found intensities from {smallest:g} to {largest:g}"
            raise DataError(problem, "a constant image has no standard scores: leave it out, or widen the window")
        scores = NormalizeIntensity(subtrahend=mean, divisor=deviation, dtype=None)(values)  # type: ignore[arg-type]
        return as_plain_tensor(scores).clamp(-_LIMIT, _LIMIT).to(torch.float32)


class CheckFinited(OneByOned):
    """Dictionary version of :class:`CheckFinite`."""

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, CheckFinite(), allow_missing_keys)


class WindowIntensityd(OneByOned):
    """Dictionary version of :class:`WindowIntensity`."""

    def __init__(self, keys: KeysCollection, low: float, high: float, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, WindowIntensity(low, high), allow_missing_keys)


class PercentileWindowIntensityd(OneByOned):
    """Dictionary version of :class:`PercentileWindowIntensity`; every key has its own percentiles."""

    def __init__(
        self, keys: KeysCollection, lower: float = 0.5, upper: float = 99.5, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, PercentileWindowIntensity(lower, upper), allow_missing_keys)


class StandardizeIntensityd(OneByOned):
    """Dictionary version of :class:`StandardizeIntensity`."""

    def __init__(self, keys: KeysCollection, per_slice: bool = False, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, StandardizeIntensity(per_slice), allow_missing_keys)
