"""Segments cut out of their images, with a background that cannot be mistaken for an intensity."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data.meta_tensor import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform

from medsegdist.errors import DataError

from .conversion import BACKEND, Array, as_floats, as_plain_tensor, like


class NeutralizeSegment(InvertibleTransform):
    """Cut the segment S out of an image X: S = X - delta inside the mask, 0 outside it (paper Eq. 7, 8).

    `delta` lies below every intensity of the segment, so S is positive inside the mask and a black pixel of the
    segment is told from no pixel at all. MONAI's MaskIntensity leaves 0 for both, and writes -0.0.

    The inverse gives the matrix of Eq. 7: X inside the mask and `delta` outside it. What the image showed outside
    the mask is lost.

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
        """Cut out the segment.

        Args:
            img: (channels, *spatial) intensities, any real dtype.
            mask: (1, *spatial) or (channels, *spatial), 0 and 1 or bool.

        Returns:
            The same kind of array as `img`, float32 (float64 stays float64), >= 0.
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
        result = like(torch.where(inside, values - self.delta, 0.0), img)
        if isinstance(result, MetaTensor):
            self.push_transform(result, extra_info={"delta": self.delta})  # type: ignore[no-untyped-call]
        return result

    def inverse(self, data: Array) -> Array:
        """The matrix of Eq. 7: the image inside the mask, `delta` outside it.

        Args:
            data: (channels, *spatial) what this transform returned.
        """
        result = like(as_floats(data) + self.delta, data)
        if isinstance(result, MetaTensor):
            self.pop_transform(result)
        return result


class NeutralizeSegmentd(MapTransform, InvertibleTransform):
    """Dictionary version of :class:`NeutralizeSegment`.

    Args:
        keys: images to cut the segments out of.
        mask_key: the mask they share.
        delta: the empty value, below every intensity of a segment.
        allow_missing_keys: skip keys that an item lacks.

    Raises:
        ValueError: what :class:`NeutralizeSegment` raises.
        KeyError: when called, the item has nothing under `mask_key`.
    """

    backend = NeutralizeSegment.backend

    def __init__(
        self,
        keys: KeysCollection,
        mask_key: str = "label",
        delta: float = -1.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_key = mask_key
        self.neutralize = NeutralizeSegment(delta)

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """The item with its images replaced by their segments.

        Args:
            data: item with (channels, *spatial) images under `keys`, and their mask.
        """
        item = dict(data)
        if self.mask_key not in item:
            raise KeyError(f"no mask under '{self.mask_key}'; the item has {sorted(map(str, item))}.")
        for key in self.key_iterator(item):
            item[key] = self.neutralize(item[key], item[self.mask_key])
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its images restored inside the mask, and `delta` outside it.

        Args:
            data: what this transform returned.
        """
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.neutralize.inverse(item[key])
        return item


NeutralizeSegmentD = NeutralizeSegmentDict = NeutralizeSegmentd
