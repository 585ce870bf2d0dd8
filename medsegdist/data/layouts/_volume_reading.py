"""Reading a volume of any format, as a MONAI tensor that knows where it lies.

This module imports MONAI: layouts import it inside `loader()` only.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import correct_nifti_header_if_necessary
from monai.utils.enums import MetaKeys, SpaceKeys
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from medsegdist.data.layouts._paths import ITK_SUFFIXES, check_present, damaged
from medsegdist.errors import DataError

_KEPT = (np.uint8, np.int8, np.int16)
_UNREADABLE = (OSError, EOFError, ValueError, TypeError, zlib.error, ImageFileError, HeaderDataError)


def read_volume(path: Path, channel: int | None = None) -> MetaTensor:
    """One channel of a volume as a (1, x, y, z) tensor with its affine (RAS+, mm).

    Integers of 8 or 16 bits that the file stores as they are stay what they are, which takes a quarter or half of the
    memory and time; everything else becomes float32.

    Args:
        path: a .nii, .nii.gz, .nrrd, .mha or .mhd file of 2 dimensions (taken as one slice), 3, or 4 (the last one
            being channels).
        channel: which channel, from 0; None where there are none.

    Raises:
        DataError: the file is missing, empty, truncated or of another format, or has channels other than expected.
    """
    check_present(path)
    try:
        stored, affine = _stored(path)
        shape = _spatial_and_channels(stored.shape)
        part = stored if len(shape) == 3 else stored[:, :, :, _checked_channel(shape, channel)]
        if np.iscomplexobj(part):
            raise DataError("expected real intensities, found complex ones; save the magnitude.")
        voxels = _in_working_type(part)
    except DataError:
        raise
    except _UNREADABLE as error:
        raise damaged(error) from error
    if len(shape) == 3 and channel is not None:
        raise DataError(f"expected a volume with channels, found shape {stored.shape}; leave `channel` out.")
    return MetaTensor(
        torch.from_numpy(voxels.reshape((1, *shape[:3]))),
        affine=torch.as_tensor(np.array(affine, dtype=np.float64)),
        meta={MetaKeys.SPACE: SpaceKeys.RAS.value},
    )


def _stored(path: Path) -> tuple[Any, Any]:
    """What a file stores, (x, y, z[, channels]) and possibly read only when it is sliced, and its affine (RAS+)."""
    if path.name.lower().endswith(ITK_SUFFIXES):
        from medsegdist.data.layouts._itk_reading import read_itk

        return read_itk(path)
    volume = correct_nifti_header_if_necessary(_parsed(path))  # type: ignore[no-untyped-call]
    return volume.dataobj, volume.affine


def _parsed(path: Path) -> Any:
    """The NIfTI image of a file, all of whose bytes have been read.

    nibabel stops reading a compressed file after the last voxel, before the checksum: a damaged file would pass.
    """
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = _inflated(content)
    for kind in (nib.nifti1.Nifti1Image, nib.nifti2.Nifti2Image):
        header: Any = kind.header_class
        if header.may_contain_header(content[: header.sizeof_hdr]):
            return kind.from_bytes(content)
    raise ValueError("not a NIfTI file")


def _inflated(content: bytes) -> bytes:
    """All of a gzip file, its checksum compared; by isal where that is installed, twice as fast."""
    try:
        from isal import igzip
    except ImportError:
        return gzip.decompress(content)
    try:
        return cast(bytes, igzip.decompress(content))
    # Damaged, and told in the same words with isal as without.
    except Exception:  # noqa: BLE001
        return gzip.decompress(content)


def _in_working_type(stored: Any) -> NDArray[Any]:
    """The values, writable, in native byte order, and of a type that torch computes with."""
    kind = np.dtype(np.float32)
    if isinstance(stored, np.ndarray) or (stored.slope, stored.inter) == (1, 0):
        native = stored.dtype.newbyteorder("=")
        kind = native if native in _KEPT else kind
    return np.require(stored, dtype=kind, requirements="W")


def _spatial_and_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(x, y, z) or (x, y, z, channels): a 2D file is one slice, and axes of length 1 at the end say nothing."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    while len(shape) < 3:
        shape = (*shape, 1)
    return shape


def _checked_channel(shape: tuple[int, ...], channel: int | None) -> int:
    if len(shape) > 4:
        raise DataError(f"expected (x, y, z) or (x, y, z, channels), found shape {shape}; save it as a 3D volume.")
    if channel is None:
        raise DataError(f"found {shape[-1]} channels, shape {shape}; say which one by `channel: 0` to {shape[-1] - 1}.")
    if not 0 <= channel < shape[-1]:
        raise DataError(f"expected channel {channel}, found {shape[-1]} channels; set `channel` below that.")
    return channel
