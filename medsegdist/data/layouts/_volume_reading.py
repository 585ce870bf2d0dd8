"""Reading a volume of any format, as a MONAI tensor that knows where it lies.

This module imports MONAI: layouts import it inside `loader()` only.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import correct_nifti_header_if_necessary
from monai.utils.enums import MetaKeys, SpaceKeys
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from medsegdist.data.layouts._paths import ITK_SUFFIXES, check_present, damaged
from medsegdist.errors import DataError
from medsegdist.words import counted

# Codes of NIfTI; 0 is unknown, which nearly always means mm, and 2 is mm.
_OTHER_UNITS = {1: "m", 3: "micron"}
_KEPT = (np.uint8, np.int8, np.int16)
_UNREADABLE = (OSError, EOFError, ValueError, TypeError, zlib.error, ImageFileError, HeaderDataError)


def read_volume(path: Path, channel: int | None = None, *, is_mask: bool = False) -> MetaTensor:
    """One channel of a volume as a (1, x, y, z) tensor with its affine (RAS+, mm).

    Integers of 8 or 16 bits that the file stores as they are stay what they are, which takes a quarter or half of the
    memory and time; everything else becomes float32.

    Of the two affines of a NIfTI file the sform counts where its code is set, as in nibabel and MONAI.

    Args:
        path: a .nii, .nii.gz, .nrrd, .mha or .mhd file of 2 dimensions (taken as one slice), 3, or 4 (the last one
            being channels).
        channel: which channel, from 0; None where there are none.
        is_mask: whether it is a mask, which never has channels.

    Raises:
        DataError: the file is missing, empty, truncated or of another format, is in colors or in another unit than mm,
            or has channels other than expected.
    """
    check_present(path)
    try:
        stored, affine = _stored(path)
        shape = _spatial_and_channels(stored.shape)
        _check_shape(shape, is_mask)
        part = stored if len(shape) == 3 else stored[:, :, :, _checked_channel(shape, channel)]
        if np.iscomplexobj(part):
            raise DataError("expected real intensities, found complex ones; save the magnitude.")
        # Beyond the largest float lies infinity, which is refused where intensities are looked at.
        with np.errstate(over="ignore"):
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


def read_volume_header(path: Path, channel: int | None = None, *, is_mask: bool = False) -> MetaTensor:
    """What :func:`read_volume` would give, without a voxel: a (1, x, y, z) tensor on the meta device, and its affine.

    Args:
        path: as for `read_volume`.
        channel: as for `read_volume`.
        is_mask: as for `read_volume`.

    Raises:
        DataError: the file is missing or empty, its header cannot be read, or it has channels other than expected.
    """
    check_present(path)
    try:
        stored, affine = _stored_size(path)
        shape = _spatial_and_channels(stored)
        _check_shape(shape, is_mask)
        if len(shape) > 3:
            _checked_channel(shape, channel)
    except DataError:
        raise
    except _UNREADABLE as error:
        raise damaged(error) from error
    if len(shape) == 3 and channel is not None:
        raise DataError(f"expected a volume with channels, found shape {stored}; leave `channel` out.")
    return MetaTensor(
        torch.empty((1, *shape[:3]), device="meta"),
        affine=torch.as_tensor(np.array(affine, dtype=np.float64)),
        meta={MetaKeys.SPACE: SpaceKeys.RAS.value},
    )


def _stored_size(path: Path) -> tuple[tuple[int, ...], Any]:
    """(x, y, z[, channels]) of what a file stores, and its affine (RAS+)."""
    if path.name.lower().endswith(ITK_SUFFIXES):
        from medsegdist.data.layouts._itk_reading import read_itk_size

        return read_itk_size(path)
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as file:
        start = file.read(nib.nifti2.Nifti2Header.sizeof_hdr)
    for kind in (nib.nifti1.Nifti1Image, nib.nifti2.Nifti2Image):
        of_kind: Any = kind.header_class
        if of_kind.may_contain_header(start[: of_kind.sizeof_hdr]):
            header = of_kind.from_fileobj(io.BytesIO(start))
            _check_nifti(header)
            # MONAI mends the voxel size of an image, which here is one value seen everywhere.
            blank = np.broadcast_to(np.uint8(0), header.get_data_shape())
            image: Any = kind(blank, header.get_best_affine(), header)  # type: ignore[no-untyped-call]
            return image.shape, correct_nifti_header_if_necessary(image).affine  # type: ignore[no-untyped-call]
    raise ValueError("not a NIfTI file")


def _stored(path: Path) -> tuple[Any, Any]:
    """What a file stores, (x, y, z[, channels]) and possibly read only when it is sliced, and its affine (RAS+)."""
    if path.name.lower().endswith(ITK_SUFFIXES):
        from medsegdist.data.layouts._itk_reading import read_itk

        return read_itk(path)
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        # All of it: nibabel would stop after the last voxel, before the checksum, and pass a damaged file.
        content = _inflated(content)
    for kind in (nib.nifti1.Nifti1Image, nib.nifti2.Nifti2Image):
        of_kind: Any = kind.header_class
        if of_kind.may_contain_header(content[: of_kind.sizeof_hdr]):
            header = of_kind.from_fileobj(io.BytesIO(content))
            voxels = ArrayProxy(io.BytesIO(content), header)  # type: ignore[no-untyped-call]
            _check_size(voxels, len(content))
            _check_nifti(header)
            return voxels, _affine(kind, voxels, header)
    raise ValueError("not a NIfTI file")


def _affine(kind: Any, voxels: ArrayProxy, header: Any) -> Any:
    """The affine of a NIfTI image, after MONAI has mended one that contradicts the voxel size."""
    affine = header.get_best_affine()
    if int(header["dim"][0]) == 3:
        sizes, lengths = header.get_zooms(), np.sqrt((affine[:3, :3] ** 2).sum(0)).tolist()
        # Far within what MONAI takes for equal; an image for it to look at costs more than all else here.
        if all(abs(size - length) <= 1e-6 * length for size, length in zip(sizes, lengths, strict=True)):
            return affine
    return correct_nifti_header_if_necessary(kind(voxels, affine, header)).affine  # type: ignore[no-untyped-call]


def _check_nifti(header: Any) -> None:
    if header.get_data_dtype().fields is not None:
        raise DataError("expected one intensity for each voxel, found colors; save the volume in gray.")
    unit = _OTHER_UNITS.get(int(header["xyzt_units"]) & 7)
    if unit is not None:
        raise DataError(f"expected millimeters, found the unit {unit}; write the file in mm.")


def _check_shape(shape: tuple[int, ...], is_mask: bool) -> None:
    if is_mask and len(shape) == 4:
        raise DataError(f"expected a mask of one channel, found shape {shape}; put the labels into one channel.")
    if 0 in shape:
        raise DataError(f"expected a volume with voxels, found shape {shape}; save it anew.")


def _check_size(voxels: ArrayProxy, size: int) -> None:
    """Before memory is asked for: a damaged header may claim more voxels than any memory holds."""
    expected, found = math.prod(voxels.shape) * voxels.dtype.itemsize, size - int(voxels.offset)
    if expected > found:
        raise ValueError(f"{expected} bytes of voxels expected, {max(found, 0)} found")


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
        raise DataError(f"expected channel {channel}, found {counted(shape[-1], 'channel')}; set `channel` below that.")
    return channel
