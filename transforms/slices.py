"""Slices that show foreground, out of a volume."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data.meta_tensor import MetaTensor
from monai.transforms import MapTransform, Transform
from torch import Tensor

from .conversion import BACKEND, Array, as_plain_tensor, like


class ForegroundSlices(Transform):
    """Cut a volume of axis order (slices, rows, columns) into the slices whose mask has any foreground.

    Orient the volume first (:class:`OrientAxial`). The slices are copies: they do not keep the volume alive. A slice
    of a MetaTensor has the affine of its own pixels, with the axes (row, column, slice), and an empty list of applied
    operations, as no inverse leads back to the volume.

    Args:
        max_slices: the most slices of one volume, chosen at random; None takes all.
        seed: seed of the choice, >= 0.

    Raises:
        ValueError: `max_slices` < 1 or `seed` < 0; or, when called, the input is no volume or the mask does not fit.
    """

    backend = BACKEND

    def __init__(self, max_slices: int | None = None, seed: int = 0) -> None:
        if max_slices is not None and max_slices < 1:
            raise ValueError(f"expected max_slices >= 1 or None, found {max_slices}.")
        if seed < 0:
            raise ValueError(f"expected a seed >= 0, found {seed}.")
        self.max_slices = max_slices
        self.seed = seed

    def __call__(  # type: ignore[override]
        self, img: Array, mask: NdarrayOrTensor, name: str = ""
    ) -> list[Array]:
        """The slices of `img` on which `mask` has foreground, in increasing order.

        Args:
            img: (channels, slices, rows, columns).
            mask: (channels, slices, rows, columns), foreground where it is not 0.
            name: name of the volume; with the seed it decides which slices are chosen.

        Returns:
            Arrays (channels, rows, columns); none if the mask is empty.
        """
        return [self.cut(img, index) for index in self.select(mask, name)]

    def select(self, mask: NdarrayOrTensor, name: str = "") -> list[int]:
        """Indices of the slices to keep, in increasing order.

        Args:
            mask: (channels, slices, rows, columns), foreground where it is not 0.
            name: name of the volume.
        """
        labels = mask if isinstance(mask, np.ndarray) else as_plain_tensor(mask).cpu().numpy()
        _check_volume(labels)
        # numpy goes through a slice as it lies; torch takes 50 times longer over a permuted view.
        indices = [index for index in range(labels.shape[1]) if np.count_nonzero(labels[:, index])]
        if self.max_slices is None or len(indices) <= self.max_slices:
            return indices
        # crc32 and not hash(): the choice must be the same in every process.
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        return sorted(rng.choice(indices, size=self.max_slices, replace=False).tolist())

    def cut(self, img: Array, index: int) -> Array:
        """One slice as an array of its own.

        Args:
            img: (channels, slices, rows, columns).
            index: which slice.
        """
        result = like(_volume(img)[:, index].clone(), img)
        if isinstance(result, MetaTensor):
            volume_affine = result.affine
            affine = volume_affine[:, [1, 2, 0, 3]].clone()
            affine[:3, 3] += index * volume_affine[:3, 0]
            result.affine = affine
            result.applied_operations = []
        return result


class ForegroundSlicesd(MapTransform):
    """Dictionary version of :class:`ForegroundSlices`: one item becomes a list of items, one for each slice.

    Each has the other entries of the item, and the slice's index under "slice_index". An item that is already a 2D
    image, (channels, rows, columns), is passed on as it is, and not as a list.

    Args:
        keys: volumes to cut, usually the image and the label.
        label_key: the mask that decides which slices are kept.
        max_slices: the most slices of one volume; None takes all.
        seed: seed of the choice.
        name_key: entry with the name of the volume, which takes part in the choice; an item may lack it.
        allow_missing_keys: skip keys that an item lacks.

    Raises:
        ValueError: `max_slices` < 1 or `seed` < 0; or, when called, image and mask have different shapes.
        KeyError: when called, the item has nothing under `label_key`.
    """

    backend = ForegroundSlices.backend

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str = "label",
        max_slices: int | None = None,
        seed: int = 0,
        name_key: str = "case_id",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_key = label_key
        self.name_key = name_key
        self.slices = ForegroundSlices(max_slices, seed)

    def __call__(self, data: Mapping[Hashable, Any]) -> list[dict[Hashable, Any]] | dict[Hashable, Any]:
        """The slices of the item.

        Args:
            data: item with volumes (channels, slices, rows, columns) or 2D images under `keys`, and their mask.
        """
        item = dict(data)
        if self.label_key not in item:
            raise KeyError(f"no mask under '{self.label_key}'; the item has {sorted(map(str, item))}.")
        label = item[self.label_key]
        keys = list(self.key_iterator(item))
        for key in keys:
            if item[key].shape[1:] != label.shape[1:]:
                raise ValueError(
                    f"'{key}' has shape {tuple(item[key].shape)} but the mask '{self.label_key}' "
                    f"{tuple(label.shape)}; both must show the same volume."
                )
        if label.ndim == 3:
            return item
        return [
            {**item, **{key: self.slices.cut(item[key], index) for key in keys}, "slice_index": index}
            for index in self.slices.select(label, str(item.get(self.name_key, "")))
        ]


def _volume(img: NdarrayOrTensor) -> Tensor:
    values = as_plain_tensor(img)
    _check_volume(values)
    return values


def _check_volume(values: NdarrayOrTensor) -> None:
    if values.ndim != 4:
        raise ValueError(f"expected a volume (channels, slices, rows, columns), found shape {tuple(values.shape)}.")


ForegroundSlicesD = ForegroundSlicesDict = ForegroundSlicesd
