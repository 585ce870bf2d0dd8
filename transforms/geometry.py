"""One axis order for all volumes: (slices, rows, columns), as a DICOM viewer shows axial slices."""

from __future__ import annotations

from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Orientation, Orientationd
from monai.utils import convert_to_numpy
from torch import Tensor

from medsegdist.errors import DataError

# Increasing slice index goes to Superior, row to Posterior, column to the patient's Left.
_AXIAL = "SPL"


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
        """Reorder the axes.

        Args:
            data_array: (channels, *spatial) MetaTensor of a volume, or any 2D image.
            lazy: overrides the constructor's for this call.
        """
        if _is_image(data_array):
            return data_array
        _check_affine(data_array)
        return super().__call__(data_array, lazy=lazy)

    def inverse(self, data: Tensor) -> Tensor:
        """The volume in its original axis order.

        Args:
            data: (channels, slices, rows, columns) what this transform returned, or a 2D image.
        """
        return data if _is_image(data) else super().inverse(data)


class OrientAxiald(Orientationd):
    """Dictionary version of :class:`OrientAxial`.

    Args:
        keys: volumes to reorder, usually the image and the label.
        lazy: whether to run lazily.
        allow_missing_keys: skip keys that an item lacks.
    """

    def __init__(self, keys: KeysCollection, lazy: bool = False, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, axcodes=_AXIAL, labels=None, allow_missing_keys=allow_missing_keys, lazy=lazy)
        self.ornt_transform = OrientAxial(lazy=lazy)


def _is_image(img: Any) -> bool:
    return len(img.shape) == 3


def _check_affine(img: Any) -> None:
    if not isinstance(img, MetaTensor):
        raise DataError(
            f"expected a MetaTensor, whose affine says how the volume lies, found {type(img).__name__} of shape "
            f"{tuple(img.shape)}",
            "load it with MONAI's LoadImage, or make it a MetaTensor with an affine",
        )
    affine = convert_to_numpy(img.peek_pending_affine())  # type: ignore[no-untyped-call]
    if not np.isfinite(affine).all() or not abs(np.linalg.det(affine[:3, :3])) > 0:
        raise DataError(f"the affine of the volume is singular or not finite: {affine.tolist()}", "repair its header")


OrientAxialD = OrientAxialDict = OrientAxiald
