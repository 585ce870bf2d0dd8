"""What every transform here does first and last: array in, plain tensor inside, the same kind of array out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar, cast

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data.meta_tensor import MetaTensor
from monai.transforms import MapTransform
from monai.utils import TransformBackends, convert_to_dst_type, convert_to_tensor
from torch import Tensor

from medsegdist.errors import DataError

BACKEND = [TransformBackends.TORCH]  # arrays of numpy are taken and given back, the work is done by torch
Array = TypeVar("Array", bound=NdarrayOrTensor)


class OneByOned(MapTransform):
    """Base of dictionary transforms that apply one array transform to each of their keys; its errors name the keys.

    The array transform takes an entry, and the one under `other_key` if there is one, such as their mask.
    """

    backend = BACKEND

    def __init__(
        self,
        keys: KeysCollection,
        transform: Callable[..., Any],
        allow_missing_keys: bool,
        other_key: Hashable | None = None,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = transform
        self.other_key = other_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item, `data`, with these entries transformed."""
        item = dict(data)
        if self.other_key is not None and self.other_key not in item:
            raise KeyError(f"nothing under '{self.other_key}'; the item has {sorted(map(str, item))}.")
        others = () if self.other_key is None else (self.other_key,)
        for key in self.key_iterator(item):
            try:
                item[key] = self.transform(item[key], *(item[other] for other in others))
            except DataError as error:
                names = " and ".join(f"'{name}'" for name in (key, *others))
                raise DataError(f"{names}: {error.problem}", error.remedy) from None
        return item


def as_plain_tensor(img: NdarrayOrTensor) -> Tensor:
    """The values of `img` as a tensor without metadata; it may share memory with `img`, so never write to it."""
    return cast(Tensor, convert_to_tensor(img, track_meta=False))


def as_floats(img: NdarrayOrTensor) -> Tensor:
    """The values of `img` as a plain tensor of at least 32-bit floats.

    Half precision holds HU to the nearest 1 only up to 2048, and integers cannot hold a rescaled intensity.
    """
    values = as_plain_tensor(img)
    return values if values.dtype in (torch.float32, torch.float64) else values.to(torch.float32)


def like(values: Tensor, img: Array) -> Array:
    """`values`, with their own dtype, as the same kind of array as `img`; a MetaTensor gets a copy of its metadata."""
    if isinstance(img, MetaTensor):
        return cast(Array, with_meta_of(values.to(img.device).contiguous(), img))
    if type(img) is Tensor:
        return cast(Array, values.to(img.device).contiguous())
    return convert_to_dst_type(values, dst=img, dtype=values.dtype)[0]


def with_meta_of(values: Tensor, img: MetaTensor) -> MetaTensor:
    """`values`, in their memory, with a copy of the metadata of `img`: convert_to_dst_type takes ten times longer."""
    result = values.as_subclass(MetaTensor)
    return cast(MetaTensor, result.copy_meta_from(img))  # type: ignore[no-untyped-call]


def memory_order(values: Tensor) -> list[int]:
    """The axes in the order in which they lie in memory, the slowest first.

    An oriented volume is often a permuted view, over which torch reduces and selects 10 to 100 times slower than over
    the same values in their own order.
    """
    return sorted(range(values.ndim), key=lambda axis: values.stride(axis), reverse=True)
