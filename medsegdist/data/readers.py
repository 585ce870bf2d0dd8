"""Reading files as checked MONAI tensors: one function for volumes, one for 2D images, one for an image with its mask.

This module imports MONAI: layouts import it inside `load` only.
"""

from __future__ import annotations

import filecmp
import gzip
import io
import math
import os
import zlib
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.utils.enums import MetaKeys, SpaceKeys
from monai.utils.misc import ImageMetaKey
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from medsegdist.data.inflate import inflate
from medsegdist.data.itk import MOST_VOXELS, detached_data, read_itk
from medsegdist.data.layouts.paths import ITK_SUFFIXES, PICTURE_SUFFIXES, SUFFIXES, VOLUME_SUFFIXES, Color
from medsegdist.data.pictures import read_picture
from medsegdist.data.problems import check_present, damaged_file
from medsegdist.errors import DataError
from medsegdist.transforms.geometry import along_patient
from medsegdist.words import counted

# Units of NIfTI by their code; 0 is unknown, which nearly always means mm, and 2 is mm.
_OTHER_UNITS = {1: "m", 3: "micron"}
_MARGIN = 1 << 20  # bytes after the last voxel that are not looked at
_KEPT_TYPES = (np.uint8, np.int8, np.int16)
_BROKEN = (OSError, EOFError, ValueError, TypeError, OverflowError, zlib.error, ImageFileError, HeaderDataError)


def read_pair(
    item: Mapping[Hashable, Any],
    *,
    channel: int | None = None,
    color: Color = "luminance",
    header_only: bool = False,
    keys: Sequence[str] = ("image", "label"),
) -> dict[Hashable, Any]:
    """An item with its image and its mask, or those of them among the keys, read from the files that it names.

    They are (1, x, y, z) volumes and their affine (RAS+, mm), or (1, rows, columns) pictures, as float32 or the small
    integers that a volume stores. With `header_only`, tensors are on the meta device.
    All that is wrong with the item is in one DataError.
    """
    read = dict(item)
    if len(keys) > 1:
        _check_two_files(Path(item["image"]), Path(item["label"]))
    wrong = []
    for key in keys:
        path, is_mask = Path(item[key]), key == "label"
        try:
            if path.name.lower().endswith(VOLUME_SUFFIXES):
                read[key] = read_volume(path, None if is_mask else channel, is_mask=is_mask, header_only=header_only)
            elif path.name.lower().endswith(PICTURE_SUFFIXES):
                read[key] = read_picture(path, None if is_mask else color, header_only=header_only)
            else:
                raise DataError(f"expected a file ending in {', '.join(SUFFIXES)}", "convert it")
            read[key].meta[ImageMetaKey.FILENAME_OR_OBJ] = str(path)
        except DataError as error:
            wrong.append(DataError(f"{key} {path}: {error.problem}", error.remedy))
    if wrong:
        *others, last = wrong
        raise DataError(" | ".join([*(str(one).rstrip(".") for one in others), last.problem]), last.remedy)
    if len(keys) > 1:
        _check_same_shape(read["image"], read["label"])
    return read


def read_volume(
    path: Path, channel: int | None = None, *, is_mask: bool = False, header_only: bool = False
) -> MetaTensor:
    """One channel of a volume as a (1, x, y, z) tensor with its affine (RAS+, mm); a file of 2 dimensions is one slice.

    Integers of 8 or 16 bits that the file stores without a scale stay what they are, which takes a quarter or half of
    the memory and time; everything else becomes float32. Of the two affines of a NIfTI file the sform counts if its
    code is set, as in nibabel.
    """
    check_present(path)
    try:
        if path.name.lower().endswith(ITK_SUFFIXES):
            stored, affine = read_itk(path, header_only=header_only)
        else:
            stored, affine = _read_nifti(path, header_only)
        shape = _checked_shape(stored.shape, channel, is_mask)
        part = stored if channel is None else stored[:, :, :, channel]
        if np.iscomplexobj(part):
            raise DataError("expected real intensities, found complex ones", "save the magnitude")
        if header_only:
            voxels = torch.empty((1, *shape[:3]), device="meta")
        else:
            native = part.dtype.newbyteorder("=")
            scaled = isinstance(part, ArrayProxy) and (part.slope, part.inter) != (1, 0)
            kind = native if native in _KEPT_TYPES and not scaled else np.float32
            # Values beyond the largest float become infinite, which is refused where intensities are checked.
            with np.errstate(over="ignore"):
                array = np.require(part, dtype=kind, requirements="W")
            voxels = torch.from_numpy(array.reshape((1, *shape[:3])))
    except DataError:
        raise
    except _BROKEN as error:
        raise damaged_file(error) from error
    in_mm = torch.as_tensor(np.array(affine, dtype=np.float64))
    return MetaTensor(voxels, affine=in_mm, meta={MetaKeys.SPACE: SpaceKeys.RAS.value})


def threshold_mask(label: MetaTensor, threshold: float) -> MetaTensor:
    """A mask of 0 and 1, which is 1 where the finite values of `label`, (1, *spatial), are at least `threshold`."""
    values = label.as_subclass(torch.Tensor)
    if values.is_floating_point() and not bool(torch.isfinite(values).all()):
        raise DataError("expected finite values in the mask, found NaN or infinite ones", "repair it")
    return MetaTensor((values >= threshold).to(torch.uint8), meta=label.meta)


def _read_nifti(path: Path, header_only: bool) -> tuple[Any, Any]:
    """The voxels (x, y, z[, channels]), possibly read only when they are sliced, and the affine (RAS+)."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        start = (gzip.GzipFile(fileobj=file) if compressed else file).read(nib.nifti2.Nifti2Header.sizeof_hdr)
    kinds: tuple[Any, ...] = (nib.nifti1.Nifti1Header, nib.nifti2.Nifti2Header)
    kind = next((one for one in kinds if one.may_contain_header(start[: one.sizeof_hdr])), None)
    if kind is None:
        raise ValueError("not a NIfTI file")
    # Without the extensions, which hold no voxels and may be of any size.
    header = kind.from_fileobj(io.BytesIO(start[: kind.sizeof_hdr]))
    shape, dtype, offset = header.get_data_shape(), header.get_data_dtype(), int(header.get_data_offset())
    if math.prod(shape) > MOST_VOXELS:
        raise ValueError(f"at most {MOST_VOXELS} voxels expected, found more")
    # Of older files, and of pairs of .hdr and .img: nibabel would read the header as voxels.
    if offset < kind.sizeof_hdr:
        raise DataError("expected voxels behind the header, found none of their own place", "save it again")
    if dtype.fields is not None:
        raise DataError("expected one intensity for each voxel, found colors", "save the volume in gray")
    if unit := _OTHER_UNITS.get(int(header["xyzt_units"]) & 7):
        raise DataError(f"expected millimeters, found the unit {unit}", "write the file in mm")
    if header_only:
        return np.broadcast_to(np.uint8(0), shape), header.get_best_affine()
    expected = math.prod(shape) * dtype.itemsize
    # What some programs add behind the voxels is passed over.
    most = offset + expected + _MARGIN
    with path.open("rb") as file:
        content = file.read(min(path.stat().st_size, most + most // 64))
    # All of it: nibabel would stop after the last voxel, before the checksum, and pass a damaged file.
    content = inflate(content, most) if compressed else content
    # Before memory is asked for: a damaged header may claim more voxels than the file holds.
    if expected > (found := max(len(content) - offset, 0)):
        raise ValueError(f"{expected} bytes of voxels expected, {found} found")
    return ArrayProxy(io.BytesIO(content), header, mmap=False), header.get_best_affine()  # type: ignore[no-untyped-call]


def _checked_shape(shape: tuple[int, ...], channel: int | None, is_mask: bool) -> tuple[int, ...]:
    """(x, y, z) or (x, y, z, channels): a 2D file is one slice, and axes of length 1 at the end say nothing."""
    stored = shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    shape = (*shape, *(1,) * (3 - len(shape)))
    if is_mask and len(shape) == 4:
        raise DataError(f"expected a mask of one channel, found shape {shape}", "put the labels into one channel")
    if 0 in shape:
        raise DataError(f"expected a volume with voxels, found shape {shape}", "save it again")
    if len(shape) > 4:
        raise DataError(f"expected (x, y, z) or (x, y, z, channels), found shape {shape}", "save it as a 3D volume")
    if len(shape) == 3:
        if channel is not None:
            raise DataError(f"expected a volume with channels, found shape {stored}", "leave `channel` out")
    elif channel is None:
        remedy = f"say which one by `channel: 0` to {shape[-1] - 1}"
        raise DataError(f"found {shape[-1]} channels, shape {shape}", remedy)
    elif not 0 <= channel < shape[-1]:
        found = counted(shape[-1], "channel")
        raise DataError(f"expected channel {channel}, found {found}", "set `channel` below that")
    return shape


def _check_two_files(image: Path, label: Path) -> None:
    """Refuse one file, or a copy of it, as image and mask."""
    one, other = (detached_data(path) or path for path in (image, label))
    try:
        states = one.stat(), other.stat()
    # What is missing is said of each.
    except OSError:
        return
    if os.path.samestat(*states):
        raise DataError(f"expected an image and its mask, found one file as both, {image}", "correct the list")
    # Bytes are read of regular files of one size only, up to the first that differs.
    if states[0].st_size == states[1].st_size > 0 and filecmp.cmp(one, other, shallow=False):
        problem = f"expected an image and its mask, found copies of one file as both, {image} and {label}"
        raise DataError(problem, "put back the one that was replaced")


def _check_same_shape(image: MetaTensor, label: MetaTensor) -> None:
    """Refuse two files with different grids, in the shapes that their own readers show.

    Files that merely store their axes in another order agree.
    """
    shapes = tuple(image.shape[1:]), tuple(label.shape[1:])
    along: Sequence[Any] = shapes
    if sorted(shapes[0]) == sorted(shapes[1]) and len(shapes[0]) == 3:
        along = [along_patient(shape, one.affine.numpy()) for shape, one in zip(shapes, (image, label), strict=True)]
    # An affine without axes is refused where volumes are oriented.
    if None in along or along[0] == along[1]:
        return
    lying = ", which lie along other axes of the patient" if shapes[0] == shapes[1] else ""
    problem = f"'image' and 'label': expected the same shape, found {shapes[0]} and {shapes[1]}{lying}"
    raise DataError(problem, "pair each image with the mask that was drawn on it")
