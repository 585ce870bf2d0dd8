"""One slice of an image series: where it lies, and its intensities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medsegdist.data.dicom.headers import discreet, read_header
from medsegdist.errors import DataError

_TAGS = [
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "NumberOfFrames",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "SliceThickness",
    "SpacingBetweenSlices",
    "InstanceNumber",
]


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """What the header of a slice says.

    Args:
        path: the file.
        number: its InstanceNumber; 0 if it has none.
        shape: rows, columns.
        spacing: (2,) mm between rows and between columns.
        directions: (2, 3) unit vectors along a row and down a column.
        position: (3,) mm, the center of the first pixel.
        thickness: mm; None if unknown.
    """

    path: Path
    number: int
    shape: tuple[int, int]
    spacing: NDArray[np.float64]
    directions: NDArray[np.float64]
    position: NDArray[np.float64]
    thickness: float | None

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit vector across the slice."""
        return np.asarray(np.cross(*self.directions))

    @property
    def level(self) -> float:
        """Mm along the normal."""
        return float(self.position @ self.normal)


def frames_in(path: Path) -> int:
    """How many images a DICOM file holds."""
    return int(_header_of(path).get("NumberOfFrames") or 1)


def read_slice(path: Path) -> Slice:
    """Where the pixels of a slice lie.

    Args:
        path: a DICOM file.

    Raises:
        DataError: it is no DICOM file, or no slice that has a place in a volume.
    """
    header = _header_of(path)
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise DataError(f"{path.name}: expected one slice a file, found {header.NumberOfFrames} frames; split them.")
    try:
        with discreet():
            return Slice(
                path=path,
                number=int(header.get("InstanceNumber") or 0),
                shape=(int(header.Rows), int(header.Columns)),
                spacing=_numbers(header.PixelSpacing, 2),
                directions=_directions(_numbers(header.ImageOrientationPatient, 6)),
                position=_numbers(header.ImagePositionPatient, 3),
                thickness=_thickness(header),
            )
    except AttributeError as error:
        raise DataError(
            f"{path.name}: expected a slice of a volume, but {error.name} is missing; leave it out."
        ) from None
    # A header's text is not repeated.
    except (TypeError, ValueError):
        raise DataError(f"{path.name}: the position or size of its pixels cannot be read; export it again.") from None


def _header_of(path: Path) -> Dataset:
    try:
        header = read_header(path, _TAGS)
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from None
    if header is None:
        raise DataError(f"{path.name}: the file is no DICOM file; copy it again.")
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise DataError(f"{path.name}: expected gray values, found colors; leave it out.")
    return header


def _numbers(values: Sequence[float] | None, count: int) -> NDArray[np.float64]:
    numbers = np.array(values or (), dtype=np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"not {count} numbers")
    return numbers


def _directions(orientation: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, 3): unit vectors along a row and down a column."""
    directions = orientation.reshape(2, 3)
    lengths = np.linalg.norm(directions, axis=1)
    if not np.allclose(lengths, 1, atol=1e-2) or abs(directions[0] @ directions[1]) > 1e-2:
        raise ValueError("not two perpendicular unit vectors")
    return np.asarray(directions / lengths[:, None])


def _thickness(header: Dataset) -> float | None:
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        if header.get(keyword):
            return abs(float(header[keyword].value)) or None
    return None


def read_pixels(part: Slice) -> NDArray[np.float32]:
    """The intensities of a slice, (rows, columns), rescaled by its slope and intercept.

    Args:
        part: the slice.

    Raises:
        DataError: the pixels are damaged.
    """
    try:
        # GDCM decodes every transfer syntax in use, and applies the file's own slope and intercept.
        image = SimpleITK.ReadImage(str(part.path), SimpleITK.sitkFloat32, imageIO="GDCMImageIO")
    except RuntimeError:
        raise DataError(f"{part.path.name}: the pixels cannot be read; copy the file again.") from None
    return np.asarray(SimpleITK.GetArrayFromImage(image), dtype=np.float32).reshape(part.shape)
