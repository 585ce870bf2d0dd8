"""Features and labels, checked before anything is measured on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Array = ArrayLike | Tensor
"""Of numpy or torch, on whatever device."""


def as_features(features: Array, what: str = "features") -> NDArray[np.float64]:
    """(n, d) float64 features.

    Args:
        features: a row for each pixel, region or image; a column for each channel.
        what: their name, for the message.

    Raises:
        ValueError: there is no row or column, or a value is NaN or infinite.
    """
    array = _as_array(features).astype(np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"expected {what} of shape (n, channels), found {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(
            f"expected finite {what}, found NaN or infinite ones in {_bad_rows(array)} of {len(array)} rows."
        )
    return array


def as_labels(labels: Array, count: int) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """The classes, and for each row the index of its class.

    Args:
        labels: (n,) class of each row of the features: foreground or not, or any number of classes.
        count: n.

    Raises:
        ValueError: their number is not that of the features, or there is only one class.
    """
    shape = _as_array(labels).shape
    if shape != (count,):
        raise ValueError(f"expected a label for each of {count} rows of features, found labels of shape {shape}.")
    classes, index = as_classes(labels)
    if len(classes) < 2:
        raise ValueError(f"expected labels of at least 2 classes, found only {classes.tolist()}.")
    return classes, index


def as_classes(labels: Array) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """The classes there are, and the index of each label's class.

    Args:
        labels: flattened, if they have more than one axis.
    """
    classes, index = np.unique(_as_array(labels).ravel(), return_inverse=True)
    return classes, index.astype(np.int64)


def _as_array(values: Array) -> NDArray[np.generic]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _bad_rows(array: NDArray[np.float64]) -> int:
    return int((~np.isfinite(array)).any(axis=1).sum())
