"""What a preprocessing pipeline makes of an item, as one stack: the same samples without metadata, in less time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import nibabel as nib
import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose, Transform
from monai.utils import MetaKeys, SpaceKeys
from numpy.typing import NDArray
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

    Each step is that of the pipeline with its options, taken once for all slices of a volume. Masks are the same to
    the bit, and so are images but for the rounding of a matrix product, which may add up in another order if it is
    larger. Metadata, inverses and lazy evaluation are left out: for small volumes they cost more than the numbers.

    Args:
        pipeline: what :func:`preprocessing_pipeline` made.

    Raises:
        ValueError: its steps are not those of :func:`preprocessing_pipeline`.
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
        image, to_axial, affine = _lying(data[self.image_key])
        label, to_axial_of_label, affine_of_label = _lying(data[self.label_key])
        if len(image) != 1:
            raise ValueError(f"expected an image of one channel, found shape {tuple(image.shape)}; choose one.")
        shapes = to_axial(image).shape[1:], to_axial_of_label(label).shape[1:]
        self._check(image, label, shapes, (affine, affine_of_label))
        masks = to_axial_of_label(self._masks(label))
        window = None if self._window is None else self._window.window
        if self._percentiles is not None:
            window = self._percentiles.window.of(image)
        images = to_axial(image)
        item = dict(data)
        if self._slices is not None and image.ndim == 4:
            name = str(item.get(self._slices.name_key, ""))
            indices = self._slices.slices.select(masks, name)
            item["slice_index"] = indices
            images, masks = images[0][indices], masks[:, indices].swapaxes(0, 1)
            affine = None if affine is None else affine[:, [1, 2, 0, 3]]
        else:
            masks = masks[None]
        stack = torch.from_numpy(np.ascontiguousarray(images))
        if window is not None:
            stack = window(stack)
        item[self.image_key], item[self.label_key] = self._resampled(
            stack, torch.from_numpy(np.ascontiguousarray(masks)), affine
        )
        return item

    def _check(
        self,
        image: Tensor,
        label: Tensor,
        shapes: tuple[tuple[int, ...], tuple[int, ...]],
        affines: tuple[Tensor | None, Tensor | None],
    ) -> None:
        assert self._same_space is not None  # as the constructor has seen
        assert self._finite is not None
        try:
            self._same_space.check.compare(shapes[0], affines[0], shapes[1], affines[1])
        except ValueError as error:
            raise ValueError(f"'{self.image_key}' and '{self.label_key}': {error}") from None
        try:
            self._finite.check(image)
        except ValueError as error:
            raise ValueError(f"'{self.image_key}': {error}") from None

    def _masks(self, label: Tensor) -> Tensor:
        """(channels, *spatial) uint8 of 0 and 1, as the label map lies."""
        if self._classes is not None:
            return self._classes.masks(label)
        assert self._binarize is not None  # a pipeline has one of the two
        return self._binarize.binarize(label)

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


def _lying(img: Any) -> tuple[Tensor, _ToAxial, Tensor | None]:
    """The values as they lie, how they lie as OrientAxial wants them, and the affine they have then."""
    values = as_plain_tensor(img)
    affine = img.affine.to(torch.float64) if isinstance(img, MetaTensor) else None
    if values.ndim != 4:
        return values, _ToAxial((), None), affine
    found = None
    matrix = np.zeros((4, 4)) if affine is None else affine.numpy()
    if affine is not None and np.isfinite(matrix).all() and not img.pending_operations:
        space = img.meta.get(MetaKeys.SPACE)
        found = _axes(matrix[:3, :3].tobytes(), space is not None and SpaceKeys(space) == SpaceKeys.LPS)
    if found is None or affine is None:
        # Refused there, in its own words, or not as usual.
        oriented = OrientAxial()(img)
        return as_plain_tensor(oriented), _ToAxial((), None), oriented.affine
    axial = matrix.copy()
    for axis in found.flipped:
        axial[:, -1] += matrix[:, axis - 1] * (values.shape[axis] - 1)
        axial[:, axis - 1] *= -1
    assert found.order is not None
    return values, found, torch.from_numpy(axial[:, [*(axis - 1 for axis in found.order[1:]), 3]])


@dataclass(frozen=True, slots=True)
class _ToAxial:
    """From the axes of a file to (channels, slices, rows, columns), as a view: what it costs is paid when it is copied.

    Args:
        flipped: axes to flip, counted with the channels.
        order: the axes in their new order; None leaves them.
    """

    flipped: tuple[int, ...]
    order: tuple[int, ...] | None

    def __call__(self, values: Tensor) -> NDArray[Any]:
        # torch has no negative strides.
        array = np.flip(values.cpu().numpy(), self.flipped)
        return array if self.order is None else array.transpose(self.order)


@lru_cache(maxsize=64)  # the volumes of a dataset often lie alike, and image and mask nearly always
def _axes(directions: bytes, is_lps: bool) -> _ToAxial | None:
    """How a volume whose axes go this way, (3, 3) float64, becomes axial; None if these are no directions."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.frombuffer(directions, dtype=np.float64).reshape(3, 3)
    if not abs(np.linalg.det(matrix[:3, :3])) > 0:
        return None
    axes: Any = nib.orientations
    there = axes.axcodes2ornt(OrientAxial().axcodes, labels=_LPS_LABELS if is_lps else None)
    change = axes.ornt_transform(axes.io_orientation(matrix), there)
    flipped = tuple(axis + 1 for axis, direction in enumerate(change[:, 1].tolist()) if direction == -1)
    return _ToAxial(flipped, (0, *(np.argsort(change[:, 0]) + 1).tolist()))
