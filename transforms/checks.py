"""What must hold of an image and its mask before anything is measured; MONAI itself accepts all of it silently."""

from __future__ import annotations

from itertools import product

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Transform
from torch import Tensor

from medsegdist.errors import DataError

from .conversion import BACKEND, Array, OneByOned, as_plain_tensor, memory_order


class CheckFinite(Transform):
    """Pass an array on if every value is finite.

    Raises:
        DataError: when called, the array is empty or holds NaN or infinite values.
    """

    backend = BACKEND

    def __call__(self, img: Array) -> Array:
        """The same object.

        Args:
            img: (channels, *spatial), any real dtype.
        """
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


class CheckSameSpace(Transform):
    """Return an array if it is on the same grid as another one.

    Both must have the same spatial shape, and volumes the same affine: no corner of the two may be further apart than
    `tolerance` voxels. Orient both first, so that files which merely store their axes in another order agree. The
    affine of a 2D image is not compared, since most picture formats have none.

    Args:
        tolerance: allowed distance, in units of the smallest voxel side; headers keep offsets in float32 only.

    Raises:
        ValueError: the tolerance is negative.
        DataError: when called, shapes or affines differ.
    """

    backend = BACKEND

    def __init__(self, tolerance: float = 0.1) -> None:
        if not tolerance >= 0:
            raise ValueError(f"expected a tolerance >= 0, found {tolerance:g}.")
        self.tolerance = float(tolerance)

    def __call__(self, img: Array, reference: NdarrayOrTensor) -> Array:  # type: ignore[override]
        """The same object as `img`.

        Args:
            img: (channels, *spatial).
            reference: (channels, *spatial); affines are compared where both are MetaTensors.
        """
        shape, expected = tuple(img.shape[1:]), tuple(reference.shape[1:])
        if shape != expected:
            problem = f"expected the same shape, found {shape} and {expected}"
            raise DataError(problem, "pair each image with the mask that was drawn on it")
        if len(shape) == 3 and isinstance(img, MetaTensor) and isinstance(reference, MetaTensor):
            self._compare(shape, img.affine, reference.affine)
        return img

    def _compare(self, shape: tuple[int, ...], affine: Tensor, expected: Tensor) -> None:
        if torch.equal(affine, expected) and bool(torch.isfinite(affine).all()):
            return
        voxel = float(torch.linalg.vector_norm(expected[:3, :3], dim=0).min())
        distance = _furthest_corner(affine, expected, shape)
        if not distance <= self.tolerance * voxel:
            raise DataError(
                f"expected the same affine, found two that place the volume up to {distance:.3g} mm apart: "
                f"{_rounded(affine)} and {_rounded(expected)}",
                "resample one to the other",
            )


class CheckFinited(OneByOned):
    """Dictionary version of :class:`CheckFinite`.

    Args:
        keys: images to check.
        allow_missing_keys: skip keys that an item lacks.

    Raises:
        DataError: when called, what :class:`CheckFinite` raises.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, CheckFinite(), allow_missing_keys)


class CheckSameSpaced(OneByOned):
    """Dictionary version of :class:`CheckSameSpace`.

    Args:
        keys: images to check.
        reference_key: what they are compared with.
        tolerance: allowed distance of any corner, in units of the smallest voxel side.
        allow_missing_keys: skip keys that an item lacks.

    Raises:
        ValueError: `tolerance` < 0.
        DataError: when called, shapes or affines differ.
        KeyError: when called, the item has nothing under `reference_key`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        reference_key: str = "label",
        tolerance: float = 0.1,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, CheckSameSpace(tolerance), allow_missing_keys, reference_key)


def _furthest_corner(affine: Tensor, other: Tensor, shape: tuple[int, ...]) -> float:
    corners = torch.tensor(list(product(*((0, size - 1) for size in shape), (1,))), dtype=torch.float64)
    apart = (affine.to(torch.float64) - other.to(torch.float64)) @ corners.T
    return float(torch.linalg.vector_norm(apart[:3], dim=0).max())


def _rounded(affine: Tensor) -> list[list[float]]:
    # Adding 0 makes -0 and 0 one.
    return [[round(value, 4) + 0.0 for value in row] for row in affine.tolist()[:3]]
