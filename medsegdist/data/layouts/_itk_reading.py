"""NRRD and MetaImage files, read by SimpleITK. MONAI's own readers of them need packages that MONAI does not bring."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from medsegdist.data.layouts._itk_headers import ItkHeader, read_itk_header
from medsegdist.errors import DataError

_CHUNK = 1 << 22
# ITK's world is (left, posterior, superior), MONAI's and NIfTI's (right, anterior, superior).
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_itk(path: Path) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """The voxels of a file and where they are.

    Args:
        path: a .nrrd, .mha or .mhd file of 2 dimensions (taken as one slice) or more.

    Returns:
        (x, y, z) or (x, y, z, channels) in the file's own type, and the (4, 4) affine (RAS+, mm).

    Raises:
        DataError: the header is not to be trusted, see `read_itk_header`, or the voxels are damaged.
        ValueError: the file cannot be read.
    """
    header, reader = _opened(path)
    size = _inflated_size(header) if header.deflated else None
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise ValueError(_last_words(error)) from None
    expected = image.GetNumberOfPixels() * image.GetNumberOfComponentsPerPixel() * image.GetSizeOfPixelComponent()
    if size is not None and size != expected:
        raise ValueError(f"{expected} bytes of voxels expected, {size} found")
    return _voxels(image), _affine(image)


def read_itk_size(path: Path) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """The shape of what :func:`read_itk` would give, and its affine; no voxel is read.

    Args:
        path: as for `read_itk`.

    Raises:
        DataError: the header is not to be trusted, or the file of its voxels is missing.
        ValueError: the header cannot be read.
    """
    _, reader = _opened(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ValueError(_last_words(error)) from None
    size, channels = reader.GetSize(), reader.GetNumberOfComponents()
    spatial = (*size, 1) if len(size) == 2 else size
    return (*spatial, *((channels,) if channels > 1 else ())), _affine(reader)


def _opened(path: Path) -> tuple[ItkHeader, SimpleITK.ImageFileReader]:
    header = read_itk_header(path)
    if not header.data.is_file():
        raise DataError(f"the file {header.data.name} with the voxels does not exist; copy it beside the header.")
    reader = SimpleITK.ImageFileReader()
    # Without this ITK looks at the content and reads, say, a PNG by the name of a.nrrd.
    reader.SetImageIO("NrrdImageIO" if path.name.lower().endswith(".nrrd") else "MetaImageIO")
    reader.SetFileName(str(path))
    return header, reader


def _voxels(image: SimpleITK.Image) -> NDArray[np.generic]:
    # From ITK: (z, y, x) or (z, y, x, channels).
    array: NDArray[np.generic] = SimpleITK.GetArrayFromImage(image)
    dimensions = image.GetDimension()
    array = array.transpose(*range(dimensions)[::-1], *range(dimensions, array.ndim))
    return array if dimensions > 2 else array[:, :, None]


def _affine(image: Any) -> NDArray[np.float64]:
    dimensions = image.GetDimension()
    # Two dimensions lie in an axial slice; what comes after the third one is no space.
    spatial = min(dimensions, 3)
    directions = np.array(image.GetDirection()).reshape(dimensions, dimensions)[:spatial, :spatial]
    affine = np.eye(4)
    affine[:spatial, :spatial] = directions * np.array(image.GetSpacing()[:spatial])
    affine[:spatial, 3] = image.GetOrigin()[:spatial]
    return np.asarray(_LPS_TO_RAS @ affine)


def _inflated_size(header: ItkHeader) -> int:
    """How many bytes come out of compressed voxels. ITK itself goes on with garbage where they are damaged."""
    inflater, size = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32), 0
    with header.data.open("rb") as file:
        file.seek(header.start)
        while not inflater.eof and (chunk := file.read(_CHUNK)):
            size += len(inflater.decompress(chunk))
    if not inflater.eof:
        raise ValueError("the compressed voxels end too early")
    return size


def _last_words(error: RuntimeError) -> str:
    """What ITK says, without the places in its source."""
    return " ".join(str(error).rpartition("ERROR: ")[2].split())[:300]
