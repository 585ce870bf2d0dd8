"""What the header of an NRRD or MetaImage file says about where its voxels are and which way its axes run.

ITK takes all of it on trust: it follows a header to any file on the machine, and an axis without a meaning for an axis
of the patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath

from medsegdist.errors import DataError

_MOST_LINES = 100_000
_LONGEST_LINE = 1 << 20
_PATIENT_SPACES = (
    *("left-posterior-superior", "right-anterior-superior", "left-anterior-superior"),
    *("lps", "ras", "las"),
)


@dataclass(frozen=True, slots=True)
class ItkHeader:
    """The part of a header that says where the voxels are.

    Args:
        data: the file that holds the voxels.
        start: their first byte in it.
        deflated: whether they are compressed by zlib, as MetaImage does, with nobody checking the checksum.
    """

    data: Path
    start: int
    deflated: bool


def read_itk_header(path: Path) -> ItkHeader:
    """Where the voxels of an NRRD or MetaImage file are.

    Args:
        path: a .nrrd, .mha or .mhd file.

    Raises:
        DataError: its voxels lie outside its folder or in several files, or its axes are not the patient's.
    """
    nrrd = path.name.lower().endswith(".nrrd")
    fields, end = _nrrd_fields(path) if nrrd else _meta_fields(path)
    if nrrd:
        _check_axes(fields)
    named = fields.get("datafile" if nrrd else "ElementDataFile")
    # A header that ends too early is left for ITK to complain of.
    inside = named is None or (not nrrd and named.upper() == "LOCAL")
    return ItkHeader(
        data=path if inside or named is None else _beside(path, named),
        start=end if inside else 0,
        deflated=not nrrd and fields.get("CompressedData", "").lower().startswith(("t", "1")),
    )


def detached_data(path: Path) -> Path | None:
    """The file beside `path` that holds its voxels; None if there is none, or none that would be read.

    Args:
        path: any file.
    """
    if not path.name.lower().endswith((".nrrd", ".mha", ".mhd")):
        return None
    try:
        data = read_itk_header(path).data
    except (OSError, DataError):
        return None
    return None if data == path else data


def _nrrd_fields(path: Path) -> tuple[dict[str, str], int]:
    """The fields by their names in small letters without spaces ("data file" and "datafile" are one)."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        for line in islice(iter(lambda: file.readline(_LONGEST_LINE), b""), _MOST_LINES):
            if not line.strip():
                break
            name, colon, value = line.decode("utf-8", "replace").partition(":")
            # "name:=value" is somebody's own note.
            if colon and not value.startswith("=") and not name.startswith("#"):
                fields["".join(name.lower().split())] = value.strip()
        return fields, file.tell()


def _meta_fields(path: Path) -> tuple[dict[str, str], int]:
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        for line in islice(iter(lambda: file.readline(_LONGEST_LINE), b""), _MOST_LINES):
            name, _, value = line.decode("utf-8", "replace").partition("=")
            fields[name.strip()] = value.strip()
            if name.strip() == "ElementDataFile":
                break
        return fields, file.tell()


def _check_axes(fields: dict[str, str]) -> None:
    space = fields.get("space", "lps").lower()
    if space not in _PATIENT_SPACES:
        raise DataError(
            f"expected axes of the patient, as in 'space: left-posterior-superior', found 'space: {space[:80]}'; "
            "write the file with the axes of the patient."
        )
    units = fields.get("spaceunits", "").replace('"', " ").split()
    if any(unit.lower() not in ("mm", "millimeter", "millimeters") for unit in units):
        raise DataError(f"expected millimeters, found the units {', '.join(units)[:80]}; write the file in mm.")


def _beside(path: Path, named: str) -> Path:
    """The file of voxels that a header names, which must lie beside it."""
    words = named.split()
    if not words or words[0].upper() == "LIST" or "%" in named:
        raise DataError(
            f"expected voxels in one file, found '{named[:80]}'; save the volume as one .mha or .nrrd file."
        )
    foreign = PureWindowsPath(named)
    if PurePosixPath(named).is_absolute() or foreign.drive or foreign.root or ".." in foreign.parts or "\0" in named:
        raise DataError(
            f"expected voxels inside the folder of the header, found '{named[:200]}'; save the volume as one file."
        )
    return path.parent / named
