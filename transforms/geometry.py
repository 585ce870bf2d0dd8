"""One axis order for all volumes, (slices, rows, columns) as a DICOM viewer shows them; image and mask in one space."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Any, TypeVar

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Orientation, Orientationd, Transform
from monai.transforms.spatial.functional import orientation
from monai.utils import MetaKeys, SpaceKeys, TraceKeys, convert_to_numpy
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from medsegdist.errors import DataError

from .conversion import BACKEND, Array, OneByOned, as_plain_tensor, with_meta_of

T = TypeVar("T")

_AXIAL = "SPL"  # increasing slice index goes to Superior, row to Posterior, column to the patient's Left
_TOLERANCE = 0.1  # in voxel sides: headers keep offsets in float32 only
_TO_RAS = np.diag([-1.0, -1.0, 1.0])
# A turn by 0.1 degrees about no axis in particular, (3, 3).
_TURN = Rotation.from_rotvec([1.0e-3, 1.7e-3, 0.6e-3]).as_matrix()


def closest_axes(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each axis of a volume that of the patient, 0 to 2, and 1 or -1, (3, 2), by a (4, 4) affine to RAS+.

    It is nibabel's io_orientation, but for ties. At 45 degrees between two axes the rounding of a header would decide,
    and image and mask, or one volume in two orders of its axes, would get different axes. The volume is therefore taken
    as turned by 0.1 degrees, which moves the tie to where nobody scans on purpose.
    """
    turned = np.eye(4)
    turned[:3, :3] = _TURN @ np.asarray(affine, dtype=np.float64)[:3, :3]
    axes: NDArray[np.float64] = io_orientation(turned)  # type: ignore[no-untyped-call]
    return axes


def along_patient(values: Sequence[T], affine: NDArray[np.float64]) -> tuple[T, T, T] | None:
    """What belongs to the three axes of a volume, such as its size, in the order of the patient's: left, back, head.

    None if the (4, 4) affine is singular or not finite.
    """
    if not has_axes(affine):
        return None
    axes = closest_axes(affine)[:, 0].tolist()
    across, deep, up = (values[axes.index(axis)] for axis in range(3))
    return across, deep, up


def has_axes(affine: NDArray[np.float64]) -> bool:
    """Whether a (4, 4) affine is finite and not singular."""
    return bool(np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 0)


class OrientAxial(Orientation):
    """Bring a volume to the axis order (slices, rows, columns), whatever order its file had.

    Slices run from inferior to superior, rows from anterior to posterior, columns from the patient's right to left:
    NIfTI, NRRD and DICOM then give the same array, and row and column mean the same in every dataset. It is MONAI's
    Orientation with the codes "SPL", so it is invertible and may run lazily; an oblique volume goes to the nearest
    axes without resampling. A 2D image, (channels, rows, columns), is returned as it is.

    Args:
        lazy: whether to run lazily, see MONAI's Compose.

    Raises:
        DataError: when called, a volume has no affine (it is no MetaTensor) or a singular one.
    """

    def __init__(self, lazy: bool = False) -> None:
        # labels=None: directions follow the tensor's own "space". MONAI's older default read LPS tensors mirrored.
        super().__init__(axcodes=_AXIAL, labels=None, lazy=lazy)

    def __call__(self, data_array: Any, lazy: bool | None = None) -> Any:
        """`data_array`, (channels, *spatial), in this order; `lazy` overrides the constructor's."""
        if _is_image(data_array):
            return data_array
        if not isinstance(data_array, MetaTensor):
            raise DataError(
                f"expected a MetaTensor, whose affine gives its orientation, found {type(data_array).__name__} of "
                f"shape {tuple(data_array.shape)}",
                "load it with MONAI's LoadImage, or make it a MetaTensor with an affine",
            )
        affine = convert_to_numpy(data_array.peek_pending_affine())  # type: ignore[no-untyped-call]
        change = _to_axial(affine[:3, :3].astype(np.float64).tobytes(), _is_lps(data_array))
        if change is None or not np.isfinite(affine).all():
            problem = f"the affine of the volume is singular or not finite: {affine.tolist()}"
            raise DataError(problem, "repair its header")
        axes, directions = change
        is_lazy = self.lazy if lazy is None else lazy
        if is_lazy or data_array.has_pending_operations:
            return orientation(data_array, affine, axes.copy(), is_lazy, self.get_transform_info())
        # What MONAI does, in a fifth of its time: it works the change out again for every volume.
        flipped = (np.flatnonzero(axes[:, 1] == -1) + 1).tolist()
        order = (0, *(np.argsort(axes[:, 0]) + 1).tolist())
        # Of a plain tensor: each look at a MetaTensor takes as long as a flip of a small volume.
        values = as_plain_tensor(data_array)
        shape = tuple(values.shape)
        to_input = directions.copy()
        for axis in flipped:
            to_input[axis - 1, -1] = shape[axis] - 1
        values = values.flip(flipped) if flipped else values
        result = with_meta_of(values.permute(order), data_array)
        result.affine = torch.from_numpy(affine @ to_input)
        if MetaKeys.PIXDIM in result.meta:
            result.meta[MetaKeys.PIXDIM] = np.array(result.meta[MetaKeys.PIXDIM])
            result.meta[MetaKeys.PIXDIM][1:4] = result.pixdim
        if self.tracing:
            operation = self.get_transform_info()
            operation[TraceKeys.ORIG_SIZE] = shape[1:]
            operation[TraceKeys.LAZY] = False
            operation[TraceKeys.EXTRA_INFO] = {"original_affine": affine}
            result.push_applied_operation(operation)
        return result

    def inverse(self, data: Tensor) -> Tensor:
        """What this transform returned as `data`, (channels, *spatial), in its original axis order."""
        if _is_image(data):
            return data
        original = self.pop_transform(data)[TraceKeys.EXTRA_INFO]["original_affine"]
        change = _to_axial(np.asarray(original)[:3, :3].astype(np.float64).tobytes(), _is_lps(data))
        assert change is not None  # else it could not have been brought to this order
        back = ornt_transform(axcodes2ornt("RAS"), change[0])  # type: ignore[no-untyped-call]
        with self.trace_transform(False):
            return orientation(data, np.asarray(original), back, False, self.get_transform_info())


class OrientAxiald(Orientationd):
    """Dictionary version of :class:`OrientAxial`."""

    def __init__(self, keys: KeysCollection, lazy: bool = False, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, axcodes=_AXIAL, labels=None, allow_missing_keys=allow_missing_keys, lazy=lazy)
        self.ornt_transform = OrientAxial(lazy=lazy)


class CheckSameSpace(Transform):
    """Return an array if it is on the same grid as another one.

    Both must have the same spatial shape, and volumes the same affine: no corner of the two may be further apart than a
    tenth of the smallest voxel side. Orient both first, so that files which merely store their axes in another order
    agree. The affine of a 2D image is not compared, since most picture formats have none.

    Raises:
        DataError: when called, shapes or affines differ.
    """

    backend = BACKEND

    def __call__(self, img: Array, reference: NdarrayOrTensor) -> Array:  # type: ignore[override]
        """The same object as `img`; affines are compared where it and `reference`, (channels, *spatial), have one."""
        shape, expected = tuple(img.shape[1:]), tuple(reference.shape[1:])
        if shape != expected:
            problem = f"expected the same shape, found {shape} and {expected}"
            raise DataError(problem, "pair each image with the mask that was drawn on it")
        if len(shape) == 3 and isinstance(img, MetaTensor) and isinstance(reference, MetaTensor):
            ours, theirs = img.affine.to(torch.float64), reference.affine.to(torch.float64)
            voxel = float(torch.linalg.vector_norm(theirs[:3, :3], dim=0).min())
            corners = torch.tensor(list(product(*((0, size - 1) for size in shape), (1,))), dtype=torch.float64)
            distance = float(torch.linalg.vector_norm(((ours - theirs) @ corners.T)[:3], dim=0).max())
            # Of affines with NaN, too.
            if not distance <= _TOLERANCE * voxel:
                raise DataError(
                    f"expected the same affine, found two that place the volume up to {distance:.3g} mm apart: "
                    f"{_rounded(ours)} and {_rounded(theirs)}",
                    "resample one to the other",
                )
        return img


class CheckSameSpaced(OneByOned):
    """Dictionary version of :class:`CheckSameSpace`.

    Args:
        reference_key: what the entries are compared with.

    Raises:
        KeyError: when called, the item has nothing under `reference_key`.
    """

    def __init__(self, keys: KeysCollection, reference_key: str = "label", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, CheckSameSpace(), allow_missing_keys, reference_key)


def _is_image(img: Any) -> bool:
    return len(img.shape) == 3


def _is_lps(volume: Tensor) -> bool:
    meta = volume.meta if isinstance(volume, MetaTensor) else {}
    return SpaceKeys(meta.get(MetaKeys.SPACE, SpaceKeys.RAS)) == SpaceKeys.LPS


@lru_cache(maxsize=64)  # an image and its mask have the same, and often all volumes of a dataset
def _to_axial(directions: bytes, is_lps: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(3, 2) new place of each axis and 1 or -1, as nibabel's; and the (4, 4) affine to the input, less its offsets.

    None if the directions, (3, 3) float64, are singular or not finite.
    """
    affine = np.eye(4)
    affine[:3, :3] = np.frombuffer(directions).reshape(3, 3)
    if not has_axes(affine):
        return None
    if is_lps:
        affine[:3, :3] = _TO_RAS @ affine[:3, :3]
    change = ornt_transform(closest_axes(affine), axcodes2ornt(_AXIAL))  # type: ignore[no-untyped-call]
    return change, inv_ornt_aff(change, (1, 1, 1))  # type: ignore[no-untyped-call]


def _rounded(affine: Tensor) -> list[list[float]]:
    # Adding 0 makes -0 and 0 one.
    return [[round(value, 4) + 0.0 for value in row] for row in affine.tolist()[:3]]
