"""NRRD and MetaImage files. No other program reads a stranger's header: each key, size and name is checked here.

ITK would follow a header to any file on the machine, ask for all the memory that it claims, and go on with whatever is
there where compressed voxels are damaged.
"""

from __future__ import annotations

import math
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
_ENCODINGS = {
    "raw": "raw",
    **dict.fromkeys(("gzip", "gz"), "deflated"),
    **dict.fromkeys(("ascii", "text", "txt"), "text"),
}
_NRRD_FIELDS = frozenset(
    [
        *("dimension", "sizes", "type", "encoding", "endian", "kinds", "space", "spacedimension", "spacedirections"),
        *("spaceorigin", "spaceunits", "spacings", "axismins", "axismaxs", "centers", "units", "byteskip", "lineskip"),
        "datafile",
    ]
)
_META_FIELDS = frozenset(
    [
        *("ObjectType", "NDims", "DimSize", "ElementType", "ElementNumberOfChannels", "BinaryData", "CompressedData"),
        *("BinaryDataByteOrderMSB", "ElementByteOrderMSB", "ElementSpacing", "ElementSize", "Offset", "Position"),
        *("Origin", "TransformMatrix", "Rotation", "Orientation", "DistanceUnits", "HeaderSize", "ElementDataFile"),
        *("ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset", "CompressedDataSize"),
    ]
)
_META_BY_LOWER_CASE = {name.lower(): name for name in _META_FIELDS}


@dataclass(frozen=True, slots=True)
class _Header:
    """What a header says: shape as stored (first index fastest), axes in the order (x, y, z, channels), and where."""

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    spatial: int
    dtype: np.dtype[np.generic]
    encoding: str
    affine: NDArray[np.float64]
    file: Path
    start: int = 0
    ends_with_voxels: bool = False

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_itk(path: Path, *, header_only: bool = False) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """The voxels of a file, (x, y, z) or (x, y, z, channels) in its own type, and the (4, 4) affine (RAS+, mm).

    Of 2 dimensions, it is one slice. With `header_only` the voxels are zeros that take no memory.

    Raises:
        DataError: the voxels lie outside the file's folder, in several files or are missing, or the axes are not the
            patient's in mm.
        ValueError, OSError, EOFError: the file cannot be read, or its voxels are damaged or fewer than stated.
    """
    header = _read_header(path)
    if not header.file.is_file():
        problem = "the file with the voxels, which the header names, does not exist"
        raise DataError(problem, "copy it to the folder of the header")
    stored = np.broadcast_to(header.dtype.type(0), header.shape) if header_only else _read_voxels(header)
    array = stored.transpose(header.axes)
    array = array.reshape(*array.shape[: header.spatial], *(size for size in array.shape[header.spatial :] if size > 1))
    return (array[:, :, None] if header.spatial == 2 else array), header.affine


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
        _put(fields, "".join(name.lower().split()), value.strip(), _NRRD_FIELDS)
    if "datafile" not in fields and not blank:
        raise ValueError("the header has no end")
    shape = _shape(fields, "dimension", "sizes", most=5)
    affine, axes, spatial = _nrrd_place(fields, shape)
    encoding = _ENCODINGS.get(fields.get("encoding", "").lower())
    name = re.sub(r" int$|_t$|^signed | ", "", re.sub(r"^unsigned ", "u", fields.get("type", "").lower()))
    if encoding is None or name not in _TYPES:
        raise ValueError("the type or encoding of the voxels is not known")
    dtype = np.dtype(_TYPES[name])
    endian = fields.get("endian", "").lower()
    if dtype.itemsize > 1 and encoding != "text" and endian not in ("little", "big"):
        raise ValueError("the header has no endian")
    skips = [_whole(fields.get(key, "0")) for key in ("lineskip", "byteskip")]
    if skips[0] or (skips[1] and encoding != "raw"):
        raise DataError("expected voxels from the first line on, found some to be skipped", "save the volume again")
    detached = "datafile" in fields
    return _Header(
        shape=shape,
        axes=axes,
        spatial=spatial,
        dtype=dtype.newbyteorder(">" if endian == "big" else "<"),
        encoding=encoding,
        affine=affine,
        file=_beside(path, fields["datafile"]) if detached else path,
        start=max(skips[1], 0) + (0 if detached or blank is None else blank.end()),
        ends_with_voxels=skips[1] == -1,
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
    kinds = fields["kinds"].lower().split() if "kinds" in fields else ["domain"] * dimension
    if "complex" in kinds:
        raise DataError("expected real intensities, found complex ones", "save the magnitude")
    vectors: list[list[float] | None] | None = None
    if "spacedirections" in fields:
        found = re.findall(r"none|\([^()]*\)", fields["spacedirections"])
        if "".join(found) != re.sub(r"(?<=\)|e)\s+(?=\(|n)|^\s+|\s+$", "", fields["spacedirections"]):
            raise ValueError("the space directions are no vectors")
        vectors = [None if one == "none" else _vector(one, in_space) for one in found]
    spacings, lows, highs = alone = np.array(
        [_numbers(fields.get(key, "nan " * dimension), dimension) for key in ("spacings", "axismins", "axismaxs")]
    )
    centers = fields.get("centers", "cell " * dimension).lower().split()
    if len(kinds) != dimension or len(centers) != dimension or (vectors is not None and len(vectors) != dimension):
        raise ValueError(f"{dimension} axes expected, another number described")
    space = [
        axis
        for axis in range(dimension)
        if kinds[axis] in ("domain", "space", "none", "???") and (vectors is None or vectors[axis] is not None)
    ]
    placed = [vectors is not None and vectors[axis] is not None for axis in range(dimension)]
    if not np.isnan(alone[:, placed]).all() or ("spaceorigin" in fields and not np.isnan(lows).all()):
        problem = "expected axes placed either in space or each alone (spacings, axis mins, axis maxs), found both"
        raise DataError(problem, "keep one of them")
    spatial = min(len(space), 3)
    rest = [axis for axis in range(dimension) if axis not in space[:spatial]]
    if spatial < 2 or sum(shape[axis] > 1 for axis in rest) > 1:
        raise DataError("expected 2 or 3 axes of space and one of channels at most", "save it as a 3D volume")
    # Of cells, which are usual, the ends of an axis are half a voxel beyond the centers.
    margins = np.where(np.array(centers) == "node", 0, 0.5)
    with np.errstate(invalid="ignore"):
        ends = (highs - lows) / np.maximum(np.array(shape) - 1 + 2 * margins, 1)
    steps = np.where(np.isnan(spacings), np.where(np.isnan(ends), 1, ends), spacings)
    starts = np.where(np.isnan(lows), 0, lows + margins * steps)
    matrix = np.diag([*steps[space[:spatial]], 1.0][:3])
    origin = _vector(fields["spaceorigin"], in_space) if "spaceorigin" in fields else [*starts[space[:spatial]], 0.0]
    for k, axis in enumerate(space[:spatial]):
        vector = (vectors[axis] if vectors is not None else None) or []
        if any(vector[3:]):
            raise ValueError("an axis of space leads out of it")
        matrix[: len(vector[:3]), k] = vector[:3]
    if spatial == 2:
        # A slice may be oblique.
        across = np.cross(matrix[:, 0], matrix[:, 1])
        matrix[:, 2] = across / max(np.linalg.norm(across), 1e-300)
    return _affine(matrix, origin[:3], signs), (*space[:spatial], *rest), spatial


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
            _put(fields, name, value[0].strip(), _META_FIELDS)
    shape = _shape(fields, "NDims", "DimSize", most=4)
    dimension, spatial = len(shape), min(len(shape), 3)
    channels = _whole(fields.get("ElementNumberOfChannels", "1"))
    name = fields.get("ElementType", "").lower().removeprefix("met_").removesuffix("_array").replace("_", "")
    if fields.get("ObjectType", "Image").lower() != "image" or name not in _META_TYPES or not 0 < channels < 1 << 16:
        raise ValueError("the type of object or of its voxels is not known, or it has no channels")
    scale = [
        fields.get(f"ElementToIntensityFunction{part}", default) for part, default in (("Slope", "1"), ("Offset", "0"))
    ]
    if [*_numbers(scale[0], 1), *_numbers(scale[1], 1)] != [1, 0]:
        problem = "expected intensities as they are stored, found a slope or an offset"
        raise DataError(problem, "apply it, and save them")
    if fields.get("DistanceUnits", "mm").lower() not in ("mm", "?"):
        raise DataError("expected millimeters, found another unit", "write the file in mm")
    big = _flag(fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    deflated, binary = _flag(fields, "CompressedData"), "BinaryData" not in fields or _flag(fields, "BinaryData")
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
    named = fields["ElementDataFile"]
    local, skip = named.upper() == "LOCAL", _whole(fields.get("HeaderSize", "0"))
    components = (channels,) if channels > 1 else ()
    # The components of a voxel are stored together.
    shape = (*components, *shape)
    first = len(components)
    return _Header(
        shape=shape,
        axes=(*range(first, len(shape)), *range(first)),
        spatial=spatial,
        dtype=np.dtype(_META_TYPES[name]).newbyteorder(">" if big else "<"),
        encoding="deflated" if deflated else "raw" if binary else "text",
        affine=_affine(matrix, origin[:spatial], _SPACES["lps"]),
        file=path if local else _beside(path, named),
        start=last.end() if local and skip <= 0 else max(skip, 0),
        ends_with_voxels=skip == -1 and not deflated,
    )


def _lines(content: bytes) -> list[str]:
    text = content.decode("utf-8", "replace").replace("\r\n", "\n").removesuffix("\r")
    if "\r" in text or "\0" in text:
        # Some programs end a line there and others do not: each would read another header.
        raise DataError("expected lines that end with LF or CRLF, found other control characters", "save it again")
    return [line for line in text.split("\n") if line.strip()]


def _put(fields: dict[str, str], name: str, value: str, known: frozenset[str]) -> None:
    if name in known and name in fields:
        raise ValueError("the header says something twice")
    fields[name] = value


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
    words = named.split()
    if not words or words[0].upper() == "LIST" or "%" in named:
        problem = "expected voxels in one file, found a list or pattern of files"
        raise DataError(problem, "save the volume as one .mha or .nrrd file")
    foreign = PureWindowsPath(named)
    if PurePosixPath(named).is_absolute() or foreign.drive or foreign.root or ".." in foreign.parts:
        problem = "expected voxels inside the folder of the header, found a path that leaves it"
        raise DataError(problem, "save the volume as one .mha or .nrrd file")
    return path.parent / named


def _read_voxels(header: _Header) -> NDArray[np.generic]:
    """The voxels as they are stored; no memory is asked for that the file cannot fill."""
    count, expected, length = math.prod(header.shape), header.size, header.file.stat().st_size
    start = length - expected if header.ends_with_voxels else header.start
    found = max(length - max(start, 0), 0)
    if header.encoding == "raw":
        # More than the end of a line are voxels of another type or shape than stated, or a second header.
        if start < 0 or not expected <= found <= expected + (2 if start else 0):
            raise ValueError(f"{expected} bytes of voxels expected, {found} found")
        return np.fromfile(header.file, header.dtype, count, offset=start).reshape(header.shape, order="F")
    with header.file.open("rb") as file:
        file.seek(max(start, 0))
        # Numbers as text may have any length; deflated ones are hardly ever longer than stored.
        most = 32 * count if header.encoding == "text" else expected + expected // 64
        content = file.read(min(found, most + _MARGIN))
    if header.encoding == "text":
        words = content.replace(b",", b" ").split(maxsplit=count)
        try:
            values = np.array(words, dtype=header.dtype)
        except OverflowError:
            raise ValueError("a number is beyond the type of the voxels") from None
        inflated = values.nbytes
    else:
        values = np.frombuffer(inflate(content, expected), np.uint8)
        inflated = len(values)
    if inflated != expected:
        raise ValueError(f"{expected} bytes of voxels expected, {inflated} found")
    return values.view(header.dtype).reshape(header.shape, order="F")
