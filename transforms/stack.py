"""What a preprocessing pipeline makes of an item, as one stack: the same numbers, without metadata, in less time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import nibabel as nib
import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose, Transform
from monai.utils import MetaKeys, SpaceKeys
from torch import Tensor

from .checks import CheckFinited, CheckSameSpaced
from .conversion import as_plain_tensor
from .geometry import OrientAxial, OrientAxiald
from .grid import ResampleToGridd
from .intensity import PercentileWindowIntensityd, StandardizeIntensityd, WindowIntensityd
from .labels import BinarizeLabeld, ClassMasksd
from .slices import ForegroundSlicesd

_Step = TypeVar("_Step", bound=Transform)
_LPS_LABELS = (("R", "L"), ("A", "P"), ("I", "S"))


class StackedPipeline(Transform):
    """Give all samples of an item as one stack, where :func:`preprocessing_pipeline` gives an item for each.

    Each step is that of the pipeline with its options, taken once for all slices of a volume. Numbers are the same to
    the bit; metadata, inverses and lazy evaluation are left out, which for small volumes cost more than the numbers.

    Args:
        pipeline: what :func:`preprocessing_pipeline` made.
    """

    def __init__(self, pipeline: Compose) -> None:
        steps = list(pipeline.transforms)
        self._same_space = _taken(steps, CheckSameSpaced)
        self._finite = _taken(steps, CheckFinited)
        self._binarize = _taken(steps, BinarizeLabeld)
        self._classes = _taken(steps, ClassMasksd)
        self._percentiles = _taken(steps, PercentileWindowIntensityd)
        self._slices = _taken(steps, ForegroundSlicesd)
        self._window = _taken(steps, WindowIntensityd)
        self._resample = _taken(steps, ResampleToGridd)
        self._standardize = _taken(steps, StandardizeIntensityd)
        _taken(steps, OrientAxiald)
        if steps or self._finite is None or self._same_space is None or self._resample is None:
            found = [type(step).__name__ for step in pipeline.transforms]
            raise ValueError(f"expected the steps of preprocessing_pipeline, found {found}.")
        self.image_key: Hashable = self._finite.keys[0]
        self.label_key: Hashable = self._same_space.reference_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its samples one after the other, n of them, possibly none.

        Args:
            data: item with a volume (1, *spatial) or a 2D image, and its label map.

        Returns:
            The item with plain tensors: the image (n, *grid) float32 and the label (n, channels, *grid) bool; and,
            where they are slices of a volume, "slice_index", the index of each.

        Raises:
            ValueError: what the pipeline raises; or the image has more than one channel.
        """
        assert self._same_space is not None  # as the constructor has seen
        image, affine = _oriented(data[self.image_key])
        label, affine_of_label = _oriented(data[self.label_key])
        if len(image) != 1:
            raise ValueError(f"expected an image of one channel, found shape {tuple(image.shape)}; choose one.")
        self._check(image, affine, label, affine_of_label)
        masks = self._masks(label)
        window = None if self._window is None else self._window.window
        if self._percentiles is not None:
            window = self._percentiles.window.of(image)
        item = dict(data)
        if self._slices is not None and image.ndim == 4:
            name = str(item.get(self._slices.name_key, ""))
            indices = self._slices.slices.select(masks, name)
            item["slice_index"] = indices
            images, masks = image[0][indices].contiguous(), masks[:, indices].transpose(0, 1).contiguous()
            affine = None if affine is None else affine[:, [1, 2, 0, 3]]
        else:
            images, masks = image, masks[None]
        if window is not None:
            images = window(images).contiguous()
        item[self.image_key], item[self.label_key] = self._resampled(images, masks, affine)
        return item

    def _check(self, image: Tensor, affine: Tensor | None, label: Tensor, affine_of_label: Tensor | None) -> None:
        assert self._same_space is not None
        assert self._finite is not None
        try:
            self._same_space.check.compare(tuple(image.shape[1:]), affine, tuple(label.shape[1:]), affine_of_label)
        except ValueError as error:
            raise ValueError(f"'{self.image_key}' and '{self.label_key}': {error}") from None
        try:
            self._finite.check(image)
        except ValueError as error:
            raise ValueError(f"'{self.image_key}': {error}") from None

    def _masks(self, label: Tensor) -> Tensor:
        """(channels, *spatial)"""
        return self._classes.masks(label) if self._binarize is None else self._binarize.binarize(label)  # type: ignore[union-attr]

    def _resampled(self, images: Tensor, masks: Tensor, affine: Tensor | None) -> tuple[Tensor, Tensor]:
        assert self._resample is not None
        if not len(images):
            grid = self._resample.resample_image.grid
            return torch.empty((0, *grid)), torch.empty((0, masks.shape[1], *grid), dtype=torch.bool)
        resampled = self._resample.resample_image.each(images, affine)
        on_grid = self._resample.resample_mask.each(masks.flatten(0, 1), affine)
        if self._standardize is not None:
            resampled = torch.stack([self._standardize.standardize(one) for one in resampled])
        return resampled, on_grid.unflatten(0, masks.shape[:2])


def _taken(steps: list[Any], kind: type[_Step]) -> _Step | None:
    for step in steps:
        if type(step) is kind:
            steps.remove(step)
            return step
    return None


def _oriented(img: Any) -> tuple[Tensor, Tensor | None]:
    """What OrientAxial gives, and its affine where there is one."""
    values = as_plain_tensor(img)
    if not isinstance(img, MetaTensor):
        return as_plain_tensor(OrientAxial()(img)), None
    affine = img.affine.to(torch.float64)
    if values.ndim != 4:
        return values, affine
    matrix = affine.numpy()
    try:
        is_lps = SpaceKeys(img.meta[MetaKeys.SPACE]) == SpaceKeys.LPS
    except KeyError:
        is_lps = False
    found = _axes(matrix[:3, :3].tobytes(), is_lps) if np.isfinite(matrix).all() else None
    if found is None or img.pending_operations:
        oriented = OrientAxial()(img)
        return as_plain_tensor(oriented), oriented.affine
    flipped, order = found
    axial = matrix.copy()
    if flipped:
        values = torch.flip(values, dims=flipped)
        for axis in flipped:
            axial[:, -1] += matrix[:, axis - 1] * (values.shape[axis] - 1)
            axial[:, axis - 1] *= -1
    return values.permute(order), torch.from_numpy(axial[:, [*(axis - 1 for axis in order[1:]), 3]])


@lru_cache(maxsize=64)  # the volumes of a dataset often lie alike, and image and mask nearly always
def _axes(directions: bytes, is_lps: bool) -> tuple[list[int], list[int]] | None:
    """Axes to flip, and the order of the axes, channel first, from (3, 3) float64; None if they are no directions."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.frombuffer(directions, dtype=np.float64).reshape(3, 3)
    if not np.isfinite(matrix).all() or not abs(np.linalg.det(matrix[:3, :3])) > 0:
        return None
    axes: Any = nib.orientations
    there = axes.axcodes2ornt(OrientAxial().axcodes, labels=_LPS_LABELS if is_lps else None)
    change = axes.ornt_transform(axes.io_orientation(matrix), there)
    flipped = [axis + 1 for axis, direction in enumerate(change[:, 1]) if direction == -1]
    return flipped, [0, *(np.argsort(change[:, 0]) + 1).tolist()]
