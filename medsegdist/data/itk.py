"""NRRD and MetaImage files, read by SimpleITK after a look at their headers.

ITK trusts a header: it follows it to any file on the machine, and takes any axis for one of the patient.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsegdist.data.layouts.paths import ITK_SUFFIXES
from medsegdist.errors import DataError

_MAX_LINES, _MAX_LINE_BYTES, _CHUNK = 100_000, 1 << 20, 1 << 22
_PATIENT_SPACES = (
    *("left-posterior-superior", "right-anterior-superior", "left-anterior-superior"),
    *("lps", "ras", "las"),
)
# ITK's world is (left, posterior, superior), MONAI's and NIfTI's (right, anterior, superior).
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True)
class _Voxels:
    """Where a header says the voxels are: their file, their first byte, and whether MetaImage deflated them."""

    file: Path
    start: int
    deflated: bool


def read_itk(path: Path, *, header_only: bool = False) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """The voxels of a file and their place.

    Args:
        path: a .nrrd, .mha or .mhd file of 2 dimensions (one slice) or more.
        header_only: whether the shape alone is read; the voxels are then zeros that take no memory.

    Returns:
        (x, y, z) or (x, y, z, channels) in the file's own type, and the (4, 4) affine (RAS+, mm).

    Raises:
        DataError: the voxels lie outside the file's folder, in several files or are missing, or the axes are not the
            patient's in mm.
        ValueError: the file cannot be read, or compressed voxels are damaged.
    """
    import SimpleITK

    voxels = _locate_voxels(path)
    if not voxels.file.is_file():
        raise DataError(
            f"the file {voxels.file.name} with the voxels does not exist", "copy it to the folder of the header"
        )
    reader = SimpleITK.ImageFileReader()
    # Without this ITK looks at the content and reads, say, a PNG by the name of a.nrrd.
    reader.SetImageIO("NrrdImageIO" if path.name.lower().endswith(".nrrd") else "MetaImageIO")
    reader.SetFileName(str(path))
    inflated = _inflated_size(voxels) if voxels.deflated and not header_only else None
    try:
        if header_only:
            reader.ReadImageInformation()
            channels = (reader.GetNumberOfComponents(),) if reader.GetNumberOfComponents() > 1 else ()
            size = (*reader.GetSize(), 1) if reader.GetDimension() == 2 else reader.GetSize()
            return np.broadcast_to(np.uint8(0), (*size, *channels)), _affine(reader)
        image = reader.Execute()
    except RuntimeError as error:
        # Without the places in ITK's source.
        raise ValueError(" ".join(str(error).rpartition("ERROR: ")[2].split())[:300]) from None
    expected = image.GetNumberOfPixels() * image.GetNumberOfComponentsPerPixel() * image.GetSizeOfPixelComponent()
    if inflated is not None and inflated != expected:
        raise ValueError(f"{expected} bytes of voxels expected, {inflated} found")
    # From ITK: (z, y, x) or (z, y, x, channels).
    array: NDArray[np.generic] = SimpleITK.GetArrayFromImage(image)
    dimensions = image.GetDimension()
    array = array.transpose(*range(dimensions)[::-1], *range(dimensions, array.ndim))
    return (array if dimensions > 2 else array[:, :, None]), _affine(image)


def detached_data(path: Path) -> Path | None:
    """The file next to `path` that holds its voxels; None if there is none, or none that would be read."""
    if not path.name.lower().endswith(ITK_SUFFIXES):
        return None
    try:
        data = _locate_voxels(path).file
    except (OSError, DataError):
        return None
    return None if data == path else data


def _locate_voxels(path: Path) -> _Voxels:
    nrrd = path.name.lower().endswith(".nrrd")
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        for line in islice(iter(lambda: file.readline(_MAX_LINE_BYTES), b""), _MAX_LINES):
            if nrrd and not line.strip():
                break
            # As ITK reads them: a lone carriage return ends a line of NRRD, and a colon a name of MetaImage.
            text = line.decode("utf-8", "replace")
            for part in text.split("\r") if nrrd else [text]:
                name, *value = re.split(":" if nrrd else "[=:]", part, maxsplit=1)
                # NRRD's "name:=value" is a note of the writer's own; its "data file" and "datafile" are one.
                if value and not (nrrd and (value[0].startswith("=") or name.startswith("#"))):
                    fields["".join(name.lower().split()) if nrrd else name.strip()] = value[0].strip()
            if "ElementDataFile" in fields:
                break
        end = file.tell()
    if nrrd:
        _check_axes(fields)
    dimensions = fields.get("dimension" if nrrd else "NDims", "")
    # ITK ends the process on thousands of them. An axis of NRRD may be channels.
    if dimensions.isdigit() and not 2 <= int(dimensions) <= 5:
        raise DataError(f"expected 2 to 4 dimensions, found {dimensions[:20]}", "save it as a 3D volume")
    named = fields.get("datafile" if nrrd else "ElementDataFile")
    deflated = not nrrd and fields.get("CompressedData", "").lower().startswith(("t", "1"))
    # ITK itself complains of a header that ends too early.
    if named is None or (not nrrd and named.upper() == "LOCAL"):
        return _Voxels(path, end, deflated)
    return _Voxels(_beside(path, named), 0, deflated)


def _check_axes(fields: dict[str, str]) -> None:
    space = fields.get("space", "lps").lower()
    if space not in _PATIENT_SPACES:
        raise DataError(
            f"expected axes of the patient, as in 'space: left-posterior-superior', found 'space: {space[:80]}'",
            "write the file with the axes of the patient",
        )
    units = fields.get("spaceunits", "").replace('"', " ").split()
    if any(unit.lower() not in ("mm", "millimeter", "millimeters") for unit in units):
        raise DataError(f"expected millimeters, found the units {', '.join(units)[:80]}", "write the file in mm")


def _beside(path: Path, named: str) -> Path:
    """The file of voxels that a header names, which must be in the header's folder."""
    words = named.split()
    if not words or words[0].upper() == "LIST" or "%" in named:
        raise DataError(
            f"expected voxels in one file, found '{named[:80]}'", "save the volume as one .mha or .nrrd file"
        )
    foreign = PureWindowsPath(named)
    if PurePosixPath(named).is_absolute() or foreign.drive or foreign.root or ".." in foreign.parts or "\0" in named:
        raise DataError(
            f"expected voxels inside the folder of the header, found '{named[:200]}'", "save the volume as one file"
        )
    return path.parent / named


def _affine(image: Any) -> NDArray[np.float64]:
    dimensions = image.GetDimension()
    # Two dimensions are one axial slice; what comes after the third one is no space.
    spatial = min(dimensions, 3)
    directions = np.array(image.GetDirection()).reshape(dimensions, dimensions)[:spatial, :spatial]
    affine = np.eye(4)
    affine[:spatial, :spatial] = directions * np.array(image.GetSpacing()[:spatial])
    affine[:spatial, 3] = image.GetOrigin()[:spatial]
    return np.asarray(_LPS_TO_RAS @ affine)


def _inflated_size(voxels: _Voxels) -> int:
    """The number of bytes of compressed voxels. ITK itself goes on with garbage where they are damaged."""
    inflater, size = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32), 0
    with voxels.file.open("rb") as file:
        file.seek(voxels.start)
        while not inflater.eof and (chunk := file.read(_CHUNK)):
            size += len(inflater.decompress(chunk))
    if not inflater.eof:
        raise ValueError("the compressed voxels end too early")
    return size
