"""An image and its mask as the arrays of two NIfTI files, and those files."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray

from medsegdist.errors import DataError

# The size of an axis is a 16-bit number in NIfTI-1.
_LONGEST_AXIS = 32767
# A row runs to the patient's left and a column to the back, as in an axial slice on a screen.
_PICTURE_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
# How far from a right angle ITK takes two axes for perpendicular, as the cosine between them; found by trial.
_RIGHT_ANGLE = 1e-4
# nibabel's own level: the higher ones take several times longer for a few percent.
_COMPRESSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class NiftiPair:
    """One case, laid out as NIfTI wants it.

    Args:
        image: (x, y, z), or (x, y, z, channels) where there are several; uint8, int16 or uint16 where that holds every
            value, else float32.
        label: (x, y, z) uint8 of 0 and 1.
        affine: (4, 4) float64, voxel indices to mm in RAS+.
        picture: whether it was a 2D picture, whose size in mm is unknown.
    """

    image: NDArray[Any]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]
    picture: bool

    @property
    def channels(self) -> int:
        """How many the image has."""
        return self.image.shape[3] if self.image.ndim == 4 else 1

    @property
    def sheared(self) -> bool:
        """Whether the axes are not at right angles, as of a tilted gantry: ITK, and so nnU-Net, refuses the files."""
        directions = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        return bool(np.abs(directions.T @ directions - np.eye(3)).max() > _RIGHT_ANGLE)


def nifti_pair(item: Mapping[str, Any], *, drawn: bool) -> NiftiPair:
    """The arrays of a case; intensities, grid and orientation are the image's own.

    A 2D picture becomes a volume of one slice, columns first, that every reader shows as the picture.

    Args:
        item: item of :func:`~medsegdist.data.dataset.native_dataset`.
        drawn: the image was in no file, so that the order of its axes is nobody's choice. Slices then go last, where
            nnU-Net expects them.

    Raises:
        DataError: the mask has several channels, or an axis is too long for NIfTI.
    """
    from medsegdist.data.native import ras_affine

    image, label = (item[key].as_subclass(torch.Tensor).cpu().numpy() for key in ("image", "label"))
    if len(label) != 1:
        raise DataError(f"expected a mask of one channel, found {len(label)}; put the labels into one channel.")
    if max(image.shape[1:]) > _LONGEST_AXIS:
        raise DataError(
            f"expected at most {_LONGEST_AXIS} pixels along each axis, which is what NIfTI can hold, "
            f"found {image.shape[1:]}; crop or split the image."
        )
    picture = image.ndim == 3
    if picture:
        image, label = (array.swapaxes(1, 2)[..., None] for array in (image, label))
        affine = _PICTURE_AFFINE
    else:
        affine = ras_affine(item["image"])
        axes = nib.orientations.aff2axcodes(affine)  # type: ignore[no-untyped-call]
        if drawn and axes[0] in "SI":
            image, label = (array.transpose(0, 3, 2, 1) for array in (image, label))
            affine = affine[:, [2, 1, 0, 3]]
    values = np.moveaxis(image, 0, -1)
    return NiftiPair(
        image=_narrowest(values[..., 0] if values.shape[-1] == 1 else values),
        label=label[0].astype(np.uint8, copy=False),
        affine=affine,
        picture=picture,
    )


def write_nifti(file: BinaryIO, voxels: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write a .nii.gz whose bytes depend on the arguments alone.

    Args:
        file: open for writing.
        voxels: (x, y, z) or (x, y, z, channels), of a dtype that NIfTI has.
        affine: (4, 4), voxel indices to mm in RAS+.
    """
    image: Any = nib.nifti1.Nifti1Image(voxels, affine, dtype=voxels.dtype)  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units("mm")
    # gzip would note the time and the file's name.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=file, mtime=0) as packed:
        image.to_stream(packed)


def _narrowest(values: NDArray[Any]) -> NDArray[Any]:
    """The same values as the smallest integers that hold them all, or as float32."""
    low, high = values.min(), values.max()
    for kind in (np.uint8, np.int16, np.uint16):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            whole = values.astype(kind)
            if np.array_equal(whole, values):
                return whole
            break
    return values.astype(np.float32, copy=False)
