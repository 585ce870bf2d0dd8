"""Slices that show foreground, out of a volume."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data.meta_tensor import MetaTensor
from monai.transforms import MapTransform, Transform

from medsegdist.errors import DataError

from .conversion import BACKEND, Array, as_plain_tensor, like

SLICE_INDEX = "slice_index"
"""Entry of an item with the index of its slice in the volume that it was cut from, or the indices of all slices."""


class ForegroundSlices(Transform):
    """Keep the slices of a volume whose mask has any foreground.

    Orient the volume first (:class:`OrientAxial`), and cut what is kept into images last (:class:`SplitSlices`): one
    stack of slices is resampled in a tenth of the time that its slices take one by one. The slices are copied, so they
    do not keep the volume alive; the affine stays that of the volume.

    Args:
        max_slices: the most slices of one volume, chosen at random; None takes all.
        seed: seed of the choice, >= 0.

    Raises:
        ValueError: `max_slices` < 1 or `seed` < 0; or, when called, the input is no volume.
    """

    backend = BACKEND

    def __init__(self, max_slices: int | None = None, seed: int = 0) -> None:
        if max_slices is not None and max_slices < 1:
            raise ValueError(f"expected max_slices >= 1 or None, found {max_slices}.")
        if seed < 0:
            raise ValueError(f"expected a seed >= 0, found {seed}.")
        self.max_slices = max_slices
        self.seed = seed

    def __call__(self, img: Array, mask: NdarrayOrTensor, name: str = "") -> Array:  # type: ignore[override]
        """The slices of `img` on which `mask` has foreground, in increasing order: (channels, n, rows, columns).

        Args:
            img: (channels, slices, rows, columns).
            mask: (channels, slices, rows, columns), foreground where it is not 0.
            name: of the volume; with the seed it decides which slices are chosen.
        """
        return self.keep(img, self.select(mask, name))

    def select(self, mask: NdarrayOrTensor, name: str = "") -> list[int]:
        """Indices of the slices to keep of the volume `name` with this `mask`, in increasing order."""
        labels = mask if isinstance(mask, np.ndarray) else as_plain_tensor(mask).cpu().numpy()
        _check_volume(labels)
        # numpy reads a slice in the order of memory; torch takes 50 times longer over a permuted view.
        indices = [index for index in range(labels.shape[1]) if np.count_nonzero(labels[:, index])]
        if self.max_slices is None or len(indices) <= self.max_slices:
            return indices
        # crc32 and not hash(): the choice must be the same in every process.
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        return sorted(rng.choice(indices, size=self.max_slices, replace=False).tolist())

    def keep(self, img: Array, indices: Sequence[int]) -> Array:
        """The slices at `indices` of `img`, (channels, slices, rows, columns)."""
        _check_volume(img)
        values = as_plain_tensor(img)
        return like(values.index_select(1, torch.tensor(indices, dtype=torch.int64, device=values.device)), img)


class ForegroundSlicesd(MapTransform):
    """Dictionary version of :class:`ForegroundSlices`; the indices of the slices are added under "slice_index".

    An item that is already a 2D image, (channels, rows, columns), is passed on as it is.

    Args:
        label_key: the mask that decides which slices are kept.
        seed: seed of the choice; the item's "case_id", if it has one, takes part in it.

    Raises:
        DataError: when called, image and mask have different shapes.
        KeyError: when called, the item has nothing under `label_key`.
    """

    backend = ForegroundSlices.backend

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str = "label",
        max_slices: int | None = None,
        seed: int = 0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_key = label_key
        self.slices = ForegroundSlices(max_slices, seed)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item, `data`, with the slices that are kept."""
        item = dict(data)
        if self.label_key not in item:
            raise KeyError(f"no mask under '{self.label_key}'; the item has {sorted(map(str, item))}.")
        label = item[self.label_key]
        keys = list(self.key_iterator(item))
        for key in keys:
            if item[key].shape[1:] != label.shape[1:]:
                raise DataError(
                    f"'{key}' has shape {tuple(item[key].shape)} but the mask '{self.label_key}' {tuple(label.shape)}",
                    "both must show the same volume",
                )
        if label.ndim == 3:
            return item
        indices = self.slices.select(label, str(item.get("case_id", "")))
        for key in keys:
            item[key] = self.slices.keep(item[key], indices)
        item[SLICE_INDEX] = indices
        return item


class SplitSlices(Transform):
    """Cut a volume into its slices.

    A slice of a MetaTensor has the affine of its own pixels, with the axes (row, column, slice), and an empty list of
    applied operations, as no inverse leads back to the volume.
    """

    backend = BACKEND

    def __call__(self, img: Array, indices: Sequence[int] | None = None) -> list[Array]:
        """The slices, (channels, rows, columns), which share memory with each other and with `img`.

        Args:
            img: (channels, slices, rows, columns).
            indices: (slices,) index of each slice in the volume that the affine is of; None counts from 0.
        """
        _check_volume(img)
        if isinstance(img, np.ndarray):
            return [img[:, k] for k in range(img.shape[1])]  # type: ignore[misc]
        values = as_plain_tensor(img).unbind(1)
        if not isinstance(img, MetaTensor):
            return list(values)  # type: ignore[arg-type]
        return [
            _as_slice(value, img, index) for value, index in zip(values, indices or range(len(values)), strict=True)
        ]


class SplitSlicesd(MapTransform):
    """Dictionary version of :class:`SplitSlices`: one item becomes a list of items, one for each slice.

    Each has the other entries of the item, and the slice's index under "slice_index". An item that is already a 2D
    image, (channels, rows, columns), is passed on as it is, and not as a list.
    """

    backend = SplitSlices.backend

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.split = SplitSlices()

    def __call__(self, data: Mapping[Hashable, Any]) -> list[dict[Hashable, Any]] | dict[Hashable, Any]:
        """The slices of the item, `data`, which has "slice_index" where they are not all slices of the volume."""
        item = dict(data)
        keys = list(self.key_iterator(item))
        if not keys or item[keys[0]].ndim == 3:
            return item
        indices = item.get(SLICE_INDEX, range(item[keys[0]].shape[1]))
        slices = {key: self.split(item[key], indices) for key in keys}
        return [
            {**item, **{key: slices[key][k] for key in keys}, SLICE_INDEX: index} for k, index in enumerate(indices)
        ]


def _as_slice(values: Any, volume: MetaTensor, index: int) -> Any:
    result: MetaTensor = like(values, volume)
    affine = volume.affine[:, [1, 2, 0, 3]].clone()
    affine[:3, 3] += index * volume.affine[:3, 0]
    result.affine = affine
    result.applied_operations = []
    return result


def _check_volume(values: NdarrayOrTensor) -> None:
    if values.ndim != 4:
        raise ValueError(f"expected a volume (channels, slices, rows, columns), found shape {tuple(values.shape)}.")
