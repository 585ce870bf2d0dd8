"""All samples on one grid, so that pixel (i, j) of any two of them can be compared."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data.meta_tensor import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import ensure_tuple_rep
from torch import Tensor

from medsegdist.errors import DataError

from .conversion import BACKEND, Array, as_floats, as_plain_tensor, like, memory_order

# Less than one voxel in any average taken here, more than float32 loses in it: two of four pixels always count as half.
_HALF = 0.5 - 1e-5


class ResampleToGrid(Transform):
    """Resample an image or a mask to a grid, either by resizing or to a voxel size in mm.

    Without `spacing` the whole image is resized to the grid. With it, grid points lie exactly `spacing` apart and the
    grid is centered on the image, to within half a pixel of the input: what reaches beyond the grid is cropped, what
    the image does not cover is padded, and there is only one interpolation.

    Images are interpolated linearly. Where the grid is coarser, the kernel is widened by the same factor
    (antialiasing), as torch's interpolate(antialias=True) does in 2D; here also in 3D and at any spacing. Masks are
    averaged over the exact area of each grid cell and are 1 where at least half of it is foreground: of all binary
    masks that is the one nearest to the true coverage. It does not thicken masks, as interpolate(mode="area") does,
    which counts every pixel touched as a whole one. A lesion smaller than half a cell is lost, always, where the
    nearest neighbor keeps or loses it by chance.

    Args:
        grid: (rows, columns) or (slices, rows, columns), as many as the input has spatial dimensions.
        spacing: mm from one grid point to the next along each axis; None resizes.
        is_mask: whether the input is a mask of 0 and 1.
        pad_value: intensity where the image does not reach; None takes the image's smallest. Masks get 0.

    Raises:
        ValueError: grid or spacing are not positive or differ in length; or, when called, the input has another
            number of spatial dimensions.
        DataError: when called, the input has no affine to read its spacing from, or is a mask that is not binary.
    """

    backend = BACKEND

    def __init__(
        self,
        grid: Sequence[int],
        spacing: Sequence[float] | None = None,
        is_mask: bool = False,
        pad_value: float | None = None,
    ) -> None:
        if len(grid) not in (2, 3) or any(points != int(points) or points < 1 for points in grid):
            raise ValueError(f"expected a grid of 2 or 3 positive whole numbers, found {tuple(grid)}.")
        if spacing is not None and (
            len(spacing) != len(grid) or not all(math.isfinite(step) and step > 0 for step in spacing)
        ):
            raise ValueError(f"expected a positive spacing (mm) for each axis of {tuple(grid)}, found {spacing}.")
        self.grid = tuple(int(points) for points in grid)
        self.spacing = None if spacing is None else tuple(float(step) for step in spacing)
        self.is_mask = is_mask
        self.pad_value = pad_value

    def __call__(self, img: Array) -> Array:
        """`img` as float32, or uint8 if it is a mask, (channels, *grid); a MetaTensor's affine follows.

        Args:
            img: (channels, *spatial); a MetaTensor where `spacing` is given. Of a volume, a grid of (rows, columns)
                resamples each slice, which gives (channels, slices, *grid).
        """
        values = as_plain_tensor(img) if self.is_mask else as_floats(img).to(torch.float32)
        dimensions = len(self.grid)
        if values.ndim - 1 != dimensions and (values.ndim, dimensions) != (4, 2):
            raise ValueError(
                f"expected {dimensions} spatial dimensions, for the grid {self.grid}, "
                f"found an array of shape {tuple(values.shape)}."
            )
        leading, sizes = values.shape[:-dimensions], values.shape[-dimensions:]
        affine = img.affine if isinstance(img, MetaTensor) else None
        steps = self._steps(sizes, affine, values.ndim - 1, type(img).__name__)
        # The slices of a volume are resampled like channels.
        each = values if len(leading) == 1 else values.flatten(0, 1)
        if not len(each):
            resampled = torch.empty((0, *self.grid), device=values.device)
        elif self.is_mask:
            if not _is_binary(values):
                raise DataError("expected a mask of 0 and 1, found other values", "binarize it first (BinarizeLabel)")
            resampled = self._mask(each, steps)
        else:
            resampled = self._image(each, steps, self._pad_value(each, volume=len(leading) == 1))
        resampled = resampled.to(torch.uint8 if self.is_mask else torch.float32)
        result = like(resampled.reshape(*leading, *self.grid), img)
        if affine is not None and isinstance(result, MetaTensor):
            to_input = np.eye(len(affine))
            for axis, (size, points, step) in enumerate(zip(sizes, self.grid, steps, strict=True), len(leading) - 1):
                to_input[axis, axis] = step
                to_input[axis, -1] = _edge(size, points, step) + 0.5 * step - 0.5
            result.affine = affine.to(torch.float64) @ torch.from_numpy(to_input)
        return result

    def _pad_value(self, values: Tensor, *, volume: bool) -> Tensor | float:
        """`pad_value`, or the smallest intensity, of the whole or of each slice."""
        if self.pad_value is not None:
            return self.pad_value
        if volume:
            return float(values.permute(memory_order(values)).min())
        return values.flatten(1).amin(1).reshape(-1, *[1] * len(self.grid))

    def _mask(self, values: Tensor, steps: tuple[float, ...]) -> Tensor:
        """(channels, *grid) bool. Only the box with foreground is read: segments are mostly small."""
        sizes = values.shape[1:]
        foreground = (values.cpu().numpy() != 0).any(axis=0)
        # The last axes on a plane: numpy takes four times longer over all others of a volume.
        plane = foreground if len(sizes) == 2 else foreground.any(axis=0)
        filled = [plane.any(axis=1), plane.any(axis=0)]
        if len(sizes) == 3:
            filled.insert(0, foreground.any(axis=(1, 2)))
        if not filled[0].any():
            return torch.zeros((len(values), *self.grid), dtype=torch.bool, device=values.device)
        box = [slice(int(one.argmax()), len(one) - int(one[::-1].argmax())) for one in filled]
        matrices = [
            _area_weights(size, points, step)[:, part]
            for size, points, step, part in zip(sizes, self.grid, steps, box, strict=True)
        ]
        inside = values[(slice(None), *box)].to(torch.float32)
        return _along_axes(inside, matrices, _order(sizes, self.grid)) >= _HALF

    def _image(self, values: Tensor, steps: tuple[float, ...], pad_value: Tensor | float) -> Tensor:
        sizes = values.shape[1:]
        matrices = [
            None if size == points and step == 1 else _linear_weights(size, points, step)
            for size, points, step in zip(sizes, self.grid, steps, strict=True)
        ]
        # In 64 bits: each kind of processor rounds products of matrices in its own way, and patches, which are drawn by
        # the bytes of an image, would be others.
        resampled = _along_axes(values.to(torch.float64), matrices, _order(sizes, self.grid))
        return _padded(resampled, sizes, steps, pad_value)

    def _steps(self, sizes: Sequence[int], affine: Tensor | None, dimensions: int, kind: str) -> tuple[float, ...]:
        """Distance of neighboring grid points, in pixels of the input."""
        if self.spacing is None:
            return tuple(size / points for size, points in zip(sizes, self.grid, strict=True))
        if affine is None:
            problem = f"expected a MetaTensor, whose affine gives the spacing in mm, found {kind}"
            raise DataError(problem, "make it one, or resize (spacing=None)")
        axes = slice(dimensions - len(self.grid), dimensions)
        voxel = torch.linalg.vector_norm(affine[:-1, axes].to(torch.float64), dim=0).tolist()
        if not all(math.isfinite(size) and size > 0 for size in voxel):
            raise DataError(f"expected an affine with a positive voxel size, found {affine.tolist()}.")
        # Headers keep float32: a spacing that equals the input's but for rounding must not interpolate.
        ratios = (step / size for step, size in zip(self.spacing, voxel, strict=True))
        return tuple(1.0 if math.isclose(ratio, 1, rel_tol=1e-6) else ratio for ratio in ratios)


class ResampleToGridd(MapTransform):
    """Dictionary version of :class:`ResampleToGrid`.

    Args:
        is_mask: whether a key holds a mask, one for all keys or one for each.
    """

    backend = ResampleToGrid.backend

    def __init__(
        self,
        keys: KeysCollection,
        grid: Sequence[int],
        spacing: Sequence[float] | None = None,
        is_mask: Sequence[bool] | bool = False,
        pad_value: float | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.is_mask = ensure_tuple_rep(is_mask, len(self.keys))
        self.resample_image = ResampleToGrid(grid, spacing, is_mask=False, pad_value=pad_value)
        self.resample_mask = ResampleToGrid(grid, spacing, is_mask=True)

    def __call__(self, data: Mapping[Hashable, NdarrayOrTensor]) -> dict[Hashable, NdarrayOrTensor]:
        """The item, `data`, with its (channels, *spatial) arrays under `keys` on the grid."""
        item = dict(data)
        for key, is_mask in self.key_iterator(item, self.is_mask):
            item[key] = self.resample_mask(item[key]) if is_mask else self.resample_image(item[key])
        return item


def _is_binary(values: Tensor) -> bool:
    stored = values.permute(memory_order(values))
    if stored.dtype in (torch.bool, torch.uint8):
        return bool(stored.max() <= 1)
    # Not as wide unsigned integers, which torch compares to nothing.
    stored = stored.to(torch.float32)
    return bool(((stored == 0) | (stored == 1)).all())


def _positions(size: int, points: int, step: float) -> Tensor:
    """(points,) where the grid points lie, in pixels of the input.

    The grid's outer edge is put on the edge of a pixel, so that a grid of the input's own spacing is a plain crop: a
    shift by half a pixel would blur the image and, at exact halves, thicken the mask. The tie is broken a little off
    the half, lest spacings that differ in the last digit move image and mask apart.
    """
    return _edge(size, points, step) + (torch.arange(points, dtype=torch.float64) + 0.5) * step - 0.5


def _edge(size: int, points: int, step: float) -> int:
    return math.ceil((size - points * step) / 2 - 0.501)


@lru_cache(maxsize=128)  # the volumes of a dataset often share some sizes
def _linear_weights(size: int, points: int, step: float) -> Tensor:
    """(points, size) float64 weights of a triangle as wide as two grid steps, or two pixels if those are wider."""
    support = max(step, 1.0)
    offsets = torch.arange(size, dtype=torch.float64) - _positions(size, points, step)[:, None]
    weights = (1 - offsets.abs() / support).clamp(min=0)
    total = weights.sum(dim=1, keepdim=True)
    # Rows without weight are padded afterwards.
    return weights / torch.where(total > 0, total, 1.0)


@lru_cache(maxsize=128)
def _area_weights(size: int, points: int, step: float) -> Tensor:
    """(points, size) float32, the part of each grid cell that each pixel covers; outside the image there is nothing."""
    centers = _positions(size, points, step)[:, None]
    pixels = torch.arange(size, dtype=torch.float64)
    left = torch.maximum(centers - step / 2, pixels - 0.5)
    right = torch.minimum(centers + step / 2, pixels + 0.5)
    return ((right - left).clamp(min=0) / step).to(torch.float32)


def _order(sizes: Sequence[int], grid: Sequence[int]) -> list[int]:
    """The axes, the one that shrinks most first."""
    return sorted(range(len(grid)), key=lambda axis: grid[axis] / sizes[axis])


def _along_axes(values: Tensor, matrices: Sequence[Tensor | None], order: Sequence[int]) -> Tensor:
    """(channels, *points) the values weighted along one axis after another, by (points, size) each; None leaves it."""
    for axis in order:
        matrix = matrices[axis]
        if matrix is None:
            continue
        matrix = matrix.to(values.device)
        if axis + 1 == len(matrices):
            values = values @ matrix.T
        else:
            # A matrix product of the axis and all that comes after it: no axis has to change its place in memory.
            product = matrix @ values.flatten(0, axis).flatten(2)
            values = product.reshape(*values.shape[: axis + 1], len(matrix), *values.shape[axis + 2 :])
    return values.contiguous()


def _padded(values: Tensor, sizes: Sequence[int], steps: Sequence[float], pad_value: Tensor | float) -> Tensor:
    """The values, with `pad_value` at grid points that lie outside the image."""
    for axis, (size, step) in enumerate(zip(sizes, steps, strict=True), start=1):
        outside = _outside(size, values.shape[axis], step)
        if outside is not None:
            shape = [1] * values.ndim
            shape[axis] = -1
            values = torch.where(outside.to(values.device).reshape(shape), pad_value, values)
    return values


@lru_cache(maxsize=128)
def _outside(size: int, points: int, step: float) -> Tensor | None:
    """(points,) which grid points lie outside the image; None if no point does."""
    positions = _positions(size, points, step)
    outside = (positions < -0.5) | (positions > size - 0.5)
    return outside if bool(outside.any()) else None
