"""What a DICOM case is read from: plain descriptions that name files, fit for caches and other processes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medsegdist.data.dicom.headers import Kind


@dataclass(frozen=True, slots=True)
class SeriesFiles:
    """The files of an image series.

    Args:
        paths: in a fixed order.
        stamp: changes when a file is replaced.
    """

    paths: tuple[str, ...]
    stamp: str

    @classmethod
    def of(cls, paths: Sequence[Path]) -> SeriesFiles:
        """The files as they are now."""
        return cls(tuple(str(path) for path in paths), _stamp_of(paths))


@dataclass(frozen=True, slots=True)
class DrawnSegment:
    """One segment of a segmentation object, or one region of a structure set.

    Args:
        path: the file.
        kind: "seg" or "rtstruct".
        number: which segment or region.
        stamp: changes when the file is replaced.
        problem: why it cannot be read; empty if it can.
    """

    path: str
    kind: Kind
    number: int
    stamp: str
    problem: str = ""

    @classmethod
    def of(cls, path: Path, kind: Kind, number: int, problem: str = "") -> DrawnSegment:
        """A segment of the file as it is now."""
        return cls(str(path), kind, number, _stamp_of([path]), problem)


def _stamp_of(paths: Sequence[Path]) -> str:
    """Hexadecimal digits that change when a file of these changes in size or time."""
    digest = hashlib.sha256()
    for path in paths:
        status = path.stat()
        digest.update(f"{path}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
