"""NRRD and MetaImage files. No other program reads a stranger's header: each key, size and name is checked here.

ITK would follow a header to any file on the machine, ask for all the memory that it claims, and go on with whatever is
there where compressed voxels are damaged.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from medsegdist.data.inflate import inflate
from medsegdist.data.layouts.paths import ITK_SUFFIXES
from medsegdist.errors import DataError
from medsegdist.words import counted

MOST_VOXELS = 1 << 31  # larger volumes are refused: a header of a few bytes can state any size
_MOST_HEADER = _MARGIN = 1 << 20
# From the world of a file to NIfTI's and MONAI's, (right, anterior, superior).
_SPACES = {
    **dict.fromkeys(("left-posterior-superior", "lps"), (-1.0, -1.0, 1.0)),
    **dict.fromkeys(("right-anterior-superior", "ras"), (1.0, 1.0, 1.0)),
    **dict.fromkeys(("left-anterior-superior", "las"), (-1.0, 1.0, 1.0)),
}
_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4"},
    **{"double": "f8", "longlong": "i8", "ulonglong": "u8", "int8": "i1", "uint8": "u1", "int16": "i2"},
    **{"uint16": "u2", "int32": "i4", "uint32": "u4", "int64": "i8", "uint64": "u8"},
}
_META_TYPES = _TYPES | {"long": "i4", "ulong": "u4"}
_META_KEYS = (
    *("ObjectType", "NDims", "DimSize", "ElementType", "ElementNumberOfChannels", "BinaryData", "CompressedData"),
    *("BinaryDataByteOrderMSB", "ElementByteOrderMSB", "ElementSpacing", "ElementSize", "Offset", "Position"),
    *("Origin", "TransformMatrix", "Rotation", "Orientation", "DistanceUnits", "HeaderSize", "ElementDataFile"),
    *("ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset", "CompressedDataSize"),
)
_META_BY_LOWER_CASE = {name.lower(): name for name in _META_KEYS}


@dataclass(frozen=True, slots=True)
class _Header:
    """What a header says: shape as stored (first index fastest), axes in the order (x, y, z, channels), and where."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    spatial: int
    dtype: np.dtype[np.generic]
    deflated: bool
    affine: NDArray[np.float64]
    file: Path
    start: int


def read_itk(path: Path, *, header_only: bool = False) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """The voxels of a file, (x, y, z) or (x, y, z, channels) in its own type, and the (4, 4) affine (RAS+, mm).

    Of 2 dimensions, it is one slice. With `header_only` the voxels are zeros that take no memory.
    What is damaged is a ValueError, OSError or EOFError, and what is refused in words a DataError.
    """
    header = _read_header(path)
    if not header.file.is_file():
        problem = "the file with the voxels, which the header names, does not exist"
        raise DataError(problem, "copy it to the folder of the header")
    stored = np.broadcast_to(header.dtype.type(0), header.shape) if header_only else _read_voxels(header)
    array = stored.transpose(header.axes)
    space, rest = array.shape[: header.spatial], array.shape[header.spatial :]
    shape = (*space, *[1] * (3 - len(space)), *(size for size in rest if size > 1))
    return array.reshape(shape), header.affine


def detached_data(path: Path) -> Path | None:
    """The file next to `path` that holds its voxels; None if there is none, or none that would be read."""
    if not path.name.lower().endswith(ITK_SUFFIXES):
        return None
    try:
        data = _read_header(path).file
    except (OSError, ValueError):
        return None
    return None if data == path else data


def _read_header(path: Path) -> _Header:
    with path.open("rb") as file:
        content = file.read(_MOST_HEADER)
    return _nrrd(path, content) if path.name.lower().endswith(".nrrd") else _meta_image(path, content)


def _nrrd(path: Path, content: bytes) -> _Header:
    if re.match(rb"NRRD000[1-5]\r?\n", content) is None:
        raise ValueError("not a NRRD file")
    blank = re.search(rb"\n\r?\n", content)
    fields: dict[str, str] = {}
    for line in _lines(content[: blank.start()] if blank else content)[1:]:
        name, mark, value = line.partition(":")
        # "#" begins a comment, and "name:=value" is a note of the writer's own.
        if line.startswith("#") or value.startswith("="):
            continue
        if not mark:
            raise ValueError("a line of the header is no field")
        _put(fields, "".join(name.lower().split()), value.strip())
    if "datafile" not in fields and not blank:
        raise ValueError("the header has no end")
    shape = _shape(fields, "dimension", "sizes", most=5)
    affine, axes, spatial = _nrrd_place(fields, shape)
    encoding = fields.get("encoding", "").lower()
    name = re.sub(r" int$|_t$|^signed | ", "", re.sub(r"^unsigned ", "u", fields.get("type", "").lower()))
    if encoding not in ("raw", "gzip", "gz") or name not in _TYPES:
        raise ValueError("the type or encoding of the voxels is not known")
    dtype = np.dtype(_TYPES[name])
    endian = fields.get("endian", "").lower()
    if dtype.itemsize > 1 and endian not in ("little", "big"):
        raise ValueError("the header has no endian")
    _check_nothing_skipped(fields, "lineskip", "byteskip")
    return _Header(
        shape=shape,
        axes=axes,
        spatial=spatial,
        dtype=dtype.newbyteorder(">" if endian == "big" else "<"),
        deflated=encoding != "raw",
        affine=affine,
        file=_beside(path, fields["datafile"]) if "datafile" in fields else path,
        start=0 if "datafile" in fields or blank is None else blank.end(),
    )


def _nrrd_place(fields: Mapping[str, str], shape: tuple[int, ...]) -> tuple[NDArray[np.float64], tuple[int, ...], int]:
    """The affine, the axes with those of space first, and how many these are."""
    signs = _SPACES.get(fields.get("space", "lps").lower())
    if signs is None:
        problem = "expected axes of the patient, as in 'space: left-posterior-superior', found another space"
        raise DataError(problem, "write the file with the axes of the patient")
    units = (fields.get("spaceunits", "") + " " + fields.get("units", "")).replace('"', " ").lower().split()
    if any(unit not in ("mm", "millimeter", "millimeters", "???", "none") for unit in units):
        raise DataError("expected millimeters, found another unit", "write the file in mm")
    dimension = len(shape)
    in_space = 3 if "space" in fields else _whole(fields.get("spacedimension", "3"))
    kinds = fields.get("kinds", "domain " * dimension).lower().split()
    if "complex" in kinds:
        raise DataError("expected real intensities, found complex ones", "save the magnitude")
    directions, directed = fields.get("spacedirections", ""), "spacedirections" in fields
    vector = r"none|\([^()]*\)"
    if re.sub(rf"{vector}|\s", "", directions):
        raise ValueError("the space directions are no vectors")
    found = re.findall(vector, directions) if directed else ["none"] * dimension
    vectors = [None if one == "none" else _vector(one, in_space) for one in found]
    spacings, lows, highs = alone = np.array(
        [_numbers(fields.get(key, "nan " * dimension), dimension) for key in ("spacings", "axismins", "axismaxs")]
    )
    centers = fields.get("centers", "cell " * dimension).lower().split()
    if not len(kinds) == len(centers) == len(vectors) == dimension:
        raise ValueError(f"{dimension} axes expected, another number described")
    space = [
        axis
        for axis in range(dimension)
        if kinds[axis] in ("domain", "space", "none", "???") and (vectors[axis] is not None or not directed)
    ][:3]
    placed = [one is not None for one in vectors]
    if not np.isnan(alone[:, placed]).all() or ("spaceorigin" in fields and not np.isnan(lows).all()):
        problem = "expected axes placed either in space or each alone (spacings, axis mins, axis maxs), found both"
        raise DataError(problem, "keep one of them")
    spatial = len(space)
    rest = [axis for axis in range(dimension) if axis not in space]
    if spatial < 2 or sum(shape[axis] > 1 for axis in rest) > 1:
        raise DataError("expected 2 or 3 axes of space and one of channels at most", "save it as a 3D volume")
    # Of cells, which are usual, the ends of an axis are half a voxel beyond the centers.
    margins = np.where(np.array(centers) == "node", 0, 0.5)
    with np.errstate(invalid="ignore"):
        ends = (highs - lows) / np.maximum(np.array(shape) - 1 + 2 * margins, 1)
    steps = np.where(np.isnan(spacings), np.where(np.isnan(ends), 1, ends), spacings)
    starts = np.where(np.isnan(lows), 0, lows + margins * steps)
    matrix = np.diag([*steps[space], 1.0][:3])
    origin = _vector(fields["spaceorigin"], in_space) if "spaceorigin" in fields else [*starts[space], 0.0]
    for k, axis in enumerate(space):
        along = vectors[axis] or []
        if any(along[3:]):
            raise ValueError("an axis of space leads out of it")
        matrix[: len(along[:3]), k] = along[:3]
    if spatial == 2:
        # A slice may be oblique.
        across = np.cross(matrix[:, 0], matrix[:, 1])
        matrix[:, 2] = across / max(np.linalg.norm(across), 1e-300)
    return _affine(matrix, origin[:3], signs), (*space, *rest), spatial


def _meta_image(path: Path, content: bytes) -> _Header:
    last = re.search(rb"^[ \t]*ElementDataFile[ \t]*[=:][^\n]*(\n|$)", content, re.MULTILINE)
    if last is None:
        raise ValueError("the header names no ElementDataFile")
    fields: dict[str, str] = {}
    for line in _lines(content[: last.end()]):
        name, *value = re.split("[=:]", line, maxsplit=1)
        if value:
            name = name.strip()
            if _META_BY_LOWER_CASE.get(name.lower(), name) != name:
                raise ValueError("a key of the header is written in another case than MetaImage has it")
            _put(fields, name, value[0].strip())
    shape = _shape(fields, "NDims", "DimSize", most=4)
    dimension, spatial = len(shape), min(len(shape), 3)
    channels = _whole(fields.get("ElementNumberOfChannels", "1"))
    name = fields.get("ElementType", "").lower().removeprefix("met_").removesuffix("_array").replace("_", "")
    if fields.get("ObjectType", "Image").lower() != "image" or name not in _META_TYPES or not 0 < channels < 1 << 16:
        raise ValueError("the type of object or of its voxels is not known, or it has no channels")
    scale = (("Slope", "1"), ("Offset", "0"))
    if [_numbers(fields.get(f"ElementToIntensityFunction{part}", usual), 1) for part, usual in scale] != [[1], [0]]:
        raise DataError("expected intensities as they are stored, found a slope or an offset", "apply it and save them")
    if fields.get("DistanceUnits", "mm").lower() not in ("mm", "?"):
        raise DataError("expected millimeters, found another unit", "write the file in mm")
    if "BinaryData" in fields and not _flag(fields, "BinaryData"):
        raise DataError("expected binary voxels, found numbers written as text", "save the volume again")
    _check_nothing_skipped(fields, "HeaderSize")
    big = _flag(fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    spacing = _numbers(fields.get("ElementSpacing") or fields.get("ElementSize") or "1 " * dimension, dimension)
    origin = _numbers(_one_of(fields, "Offset", "Position", "Origin") or "0 " * dimension, dimension)
    turned = _one_of(fields, "TransformMatrix", "Rotation", "Orientation")
    # Programs of ITK pass over it, and others do not.
    oriented = zip(fields.get("AnatomicalOrientation", ""), "RAI", strict=False)
    if not turned and any(found not in ("?", usual) for found, usual in oriented):
        raise DataError("expected directions, found an AnatomicalOrientation alone", "add its TransformMatrix")
    directions = np.reshape(_numbers(turned, dimension**2), (dimension, dimension)) if turned else np.eye(dimension)
    matrix = np.eye(3)
    # A row for each axis of the file.
    matrix[:spatial, :spatial] = directions[:spatial, :spatial].T * spacing[:spatial]
    local = fields["ElementDataFile"].upper() == "LOCAL"
    # The components of a voxel are stored together.
    components = (channels,) if channels > 1 else ()
    first = len(components)
    return _Header(
        shape=(*components, *shape),
        axes=(*range(first, first + dimension), *range(first)),
        spatial=spatial,
        dtype=np.dtype(_META_TYPES[name]).newbyteorder(">" if big else "<"),
        deflated=_flag(fields, "CompressedData"),
        affine=_affine(matrix, origin[:spatial], _SPACES["lps"]),
        file=path if local else _beside(path, fields["ElementDataFile"]),
        start=last.end() if local else 0,
    )


def _lines(content: bytes) -> list[str]:
    text = content.decode("utf-8", "replace").replace("\r\n", "\n").removesuffix("\r")
    if "\r" in text or "\0" in text:
        # Some programs end a line there and others do not: each would read another header.
        raise DataError("expected lines that end with LF or CRLF, found other control characters", "save it again")
    return [line for line in text.split("\n") if line.strip()]


def _put(fields: dict[str, str], name: str, value: str) -> None:
    if name in fields:
        raise ValueError("the header says something twice")
    fields[name] = value


def _check_nothing_skipped(fields: Mapping[str, str], *names: str) -> None:
    if any(_whole(fields.get(name, "0")) for name in names):
        raise DataError("expected voxels from the first byte on, found some to be skipped", "save the volume again")


def _shape(fields: Mapping[str, str], dimension: str, sizes: str, most: int) -> tuple[int, ...]:
    number = _whole(fields.get(dimension, ""))
    if not 2 <= number <= most:
        raise DataError("expected 2 to 4 dimensions, found fewer or more", "save it as a 3D volume")
    shape = tuple(_whole(word) for word in fields.get(sizes, "").split())
    if len(shape) != number or min(shape) < 1:
        raise ValueError(f"{number} sizes of at least 1 expected")
    if math.prod(shape) > MOST_VOXELS:
        raise ValueError(f"at most {MOST_VOXELS} voxels expected, found more")
    return shape


def _whole(text: str) -> int:
    if re.fullmatch(r"[+-]?[0-9]{1,9}", text) is None:
        raise ValueError("a whole number of the header is missing or is none")
    return int(text)


def _numbers(text: str, number: int) -> list[float]:
    values = [float(word) for word in text.split()] if re.fullmatch(r"[\w\s.+-]*", text) else []
    if len(values) != number:
        raise ValueError(f"{counted(number, 'number')} expected in a line of the header")
    return values


def _vector(text: str, length: int) -> list[float]:
    return _numbers(text.strip().removeprefix("(").removesuffix(")").replace(",", " "), length)


def _one_of(fields: Mapping[str, str], *names: str) -> str:
    """The value of a key that has several names; empty if it is not given."""
    found = [fields[name] for name in names if name in fields]
    if len(found) > 1:
        raise ValueError(f"one of {', '.join(names)} expected, found several")
    return found[0] if found else ""


def _flag(fields: Mapping[str, str], *names: str) -> bool:
    value = _one_of(fields, *names).lower() or "false"
    if value not in ("true", "t", "1", "false", "f", "0"):
        raise ValueError(f"True or False expected for {names[0]}")
    return value[0] in "t1"


def _affine(matrix: NDArray[np.float64], origin: Sequence[float], signs: Sequence[float]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[: len(origin), 3] = origin
    if not np.isfinite(affine).all() or np.linalg.det(matrix) == 0:
        raise ValueError("the axes have no length, coincide or are not finite")
    return np.diag([*signs, 1.0]) @ affine


def _beside(path: Path, named: str) -> Path:
    """The file of voxels that a header names, which must be in the header's folder."""
    words, foreign, remedy = named.split(), PureWindowsPath(named), "save the volume as one .mha or .nrrd file"
    if not words or words[0].upper() == "LIST" or "%" in named:
        raise DataError("expected voxels in one file, found a list or pattern of files", remedy)
    if PurePosixPath(named).is_absolute() or foreign.drive or foreign.root or ".." in foreign.parts:
        raise DataError("expected voxels inside the folder of the header, found a path that leaves it", remedy)
    return path.parent / named


def _read_voxels(header: _Header) -> NDArray[np.generic]:
    """The voxels as they are stored; no memory is asked for that the file cannot fill."""
    expected = math.prod(header.shape) * header.dtype.itemsize
    # More than the end of a line are voxels of another type or shape than stated, or a second header.
    most = expected + (2 if header.start and not header.deflated else 0)
    with header.file.open("rb") as file:
        found = file.seek(0, os.SEEK_END) - header.start
        file.seek(header.start)
        if header.deflated:
            # Deflated voxels are hardly ever longer than stored ones.
            content = file.read(min(found, expected + expected // 64 + _MARGIN))
            voxels = np.frombuffer(inflate(content, expected), np.uint8)
            found = len(voxels)
        if not expected <= found <= most:
            raise ValueError(f"{expected} bytes of voxels expected, {found} found")
        if not header.deflated:
            voxels = np.fromfile(file, np.uint8, expected)
    return voxels.view(header.dtype).reshape(header.shape, order="F")
