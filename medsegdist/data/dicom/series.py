"""Image series: slices in files of their own or the frames of one file, put in order by their place in the patient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.utils.enums import MetaKeys, SpaceKeys
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medsegdist.data.dicom.headers import discreet, read_header
from medsegdist.data.dicom.intensities import check_rescale, read_pixels
from medsegdist.errors import DataError, MissingDependencyError
from medsegdist.words import listed

TOLERANCE = 0.1
"""How far a slice or pixel may be from its place, in slice gaps or pixels: headers round their numbers."""

_SAME_PLACE = 1e-3  # mm
_LEAST_LIMIT = 1 << 24  # bytes, which any compressed image may take
# Those that were converted from older ones have a word before.
_ENHANCED = ("Enhanced CT Image Storage", "Enhanced MR Image Storage")
_GRAY = ("MONOCHROME1", "MONOCHROME2")
_PIXELS = ["SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"]
_SIZE = ["Rows", "Columns", "NumberOfFrames", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices"]
_PLACE = ["ImageOrientationPatient", "ImagePositionPatient", "InstanceNumber"]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Where the voxels of a series are."""

    shape: tuple[int, int, int]  # columns, rows, slices
    # (4, 4), from (column, row, slice) to mm in the patient: left, posterior, superior (LPS).
    affine: NDArray[np.float64]
    levels: NDArray[np.float64]  # (slices,) mm along the normal of the slices, ascending

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit vector across the slices, towards the last one."""
        across = np.cross(self.affine[:3, 0], self.affine[:3, 1])
        return np.asarray(across / np.linalg.norm(across))

    @property
    def gap(self) -> float:
        """Mm from slice to slice, along the normal."""
        return float(self.affine[:3, 2] @ self.normal)

    def slice_at(self, point: NDArray[np.float64]) -> int | None:
        """The slice that a point in mm is on, or None if it is on none."""
        away = np.abs(self.levels - point @ self.normal)
        nearest = int(away.argmin())
        return nearest if away[nearest] <= TOLERANCE * self.gap else None


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """What the header of a slice says."""

    path: Path
    number: int  # its InstanceNumber; 0 if it has none
    shape: tuple[int, int]  # rows, columns
    spacing: NDArray[np.float64]  # (2,) mm between rows and between columns
    directions: NDArray[np.float64]  # (2, 3) unit vectors along a row and down a column
    position: NDArray[np.float64]  # (3,) mm, the center of the first pixel
    thickness: float | None  # mm; None if unknown

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit vector across the slice."""
        return np.asarray(np.cross(*self.directions))

    @property
    def level(self) -> float:
        """Mm along the normal."""
        return float(self.position @ self.normal)


def read_series(paths: Sequence[Path]) -> tuple[NDArray[np.float32], Grid]:
    """The voxels of a series, (columns, rows, slices), and where they are; one file with all frames needs highdicom.

    Slices are ordered by their position along their common normal, whatever their files or numbers say. Intensities are
    rescaled by each slice's own slope and intercept, which gives HU for CT. Slices that make no volume are refused.
    """
    if _is_multiframe(paths):
        return _read_frames(paths[0])
    slices = ordered_slices(paths)
    return np.stack([read_pixels(part.path) for part in slices]).T, _grid(slices)


def read_series_grid(paths: Sequence[Path]) -> Grid:
    """Where the voxels of a series are; no pixel is read, unless one file holds all of its frames."""
    return _read_frames(paths[0])[1] if _is_multiframe(paths) else _grid(ordered_slices(paths))


def ordered_slices(paths: Sequence[Path], *, one_per_position: bool = False) -> list[Slice]:
    """The slices of a series, by their position along their common normal; no pixel is read.

    With `one_per_position`, of those at the same position only the one with the lowest InstanceNumber is kept.
    """
    slices = sorted(map(_read_slice, paths), key=lambda part: (round(part.level / _SAME_PLACE), part.number))
    first = slices[0]
    for part in slices[1:]:
        for what, here, there, tolerance in (
            ("rows and columns", np.array(first.shape), np.array(part.shape), 0.0),
            ("a pixel spacing", first.spacing, part.spacing, 1e-3),
            ("an orientation", first.directions, part.directions, 1e-3),
        ):
            if not np.allclose(here, there, rtol=0, atol=tolerance):
                raise DataError(
                    f"expected slices alike, found {what} of {here.round(4).tolist()} in {first.path.name} and "
                    f"{there.round(4).tolist()} in {part.path.name}",
                    "split the series",
                )
    if one_per_position:
        return [part for k, part in enumerate(slices) if not k or part.level - slices[k - 1].level > _SAME_PLACE]
    return slices


def as_tensor(voxels: NDArray[Any] | tuple[int, int, int], affine: NDArray[np.float64]) -> MetaTensor:
    """Voxels as a float32 MONAI tensor with one channel and an affine in RAS+, from one in LPS, both in mm.

    A shape alone gives a tensor on the meta device, which has no voxel.
    """
    if isinstance(voxels, tuple):
        values = torch.empty((1, *voxels), device="meta")
    else:
        values = torch.from_numpy(voxels.astype(np.float32, copy=False)[None])
    # DICOM counts mm to the left and the back, NIfTI and MONAI to the right and the front.
    ras = torch.from_numpy(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)
    return MetaTensor(values, affine=ras, meta={MetaKeys.SPACE: SpaceKeys.RAS.value})


def require_highdicom() -> Any:
    """The optional package highdicom, or a MissingDependencyError."""
    try:
        import highdicom
    except ImportError as error:
        problem = "DICOM segmentation objects and multi-frame images are read by highdicom, which is not installed"
        raise MissingDependencyError(problem, "run: pip install medsegdist[dicom]") from error
    return highdicom


def _is_multiframe(paths: Sequence[Path]) -> bool:
    if len(paths) != 1:
        return False
    header = _header_of(paths[0])
    enhanced: bool = getattr(header.get("SOPClassUID"), "name", "").endswith(_ENHANCED)
    return enhanced or int(header.get("NumberOfFrames") or 1) > 1


def _read_frames(path: Path) -> tuple[NDArray[np.float32], Grid]:
    """The voxels of an enhanced (multi-frame) image, as :func:`read_series` gives them."""
    imread = require_highdicom().imread
    with discreet(f"{path.name}: highdicom makes no volume of its frames", "export the series as one file a slice"):
        image = imread(path)
        groups = [*image.SharedFunctionalGroupsSequence, *image.PerFrameFunctionalGroupsSequence]
        rescaled = [item for group in groups for item in group.get("PixelValueTransformationSequence", ())]
        for keyword in ("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence") if rescaled else ():
            # highdicom would prefer what an enhanced image has no place for.
            image.pop(keyword, None)
        for item in rescaled or [image]:
            check_rescale(item, path.name)
        # By pydicom, which highdicom then takes: it would read bits that store nothing.
        _ = image.pixel_array
        # No modality transform in the file means that there is nothing to rescale. MONOCHROME1 is for display only.
        volume = image.get_volume(
            dtype=np.float32, apply_real_world_transform=False, apply_presentation_lut=False, rtol=TOLERANCE
        )
    # From (slice, row, column) to (column, row, slice).
    affine = np.asarray(volume.affine, dtype=np.float64)[:, [2, 1, 0, 3]]
    voxels = np.asarray(volume.array)
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    if normal @ affine[:3, 2] < 0:
        affine[:3, 3] += (len(voxels) - 1) * affine[:3, 2]
        affine[:3, 2] *= -1
        voxels = voxels[::-1].copy()
    levels = (affine[:3, 3] + np.outer(np.arange(len(voxels)), affine[:3, 2])) @ normal / np.linalg.norm(normal)
    return voxels.T, Grid(shape=voxels.T.shape, affine=affine, levels=levels)


def _read_slice(path: Path) -> Slice:
    header = _header_of(path)
    if (frames := int(header.get("NumberOfFrames") or 1)) > 1:
        raise DataError(f"{path.name}: expected one slice a file, found {frames} frames", "split them")
    with discreet(f"{path.name}: the position or size of its pixels cannot be read"):
        try:
            directions = _numbers(header.ImageOrientationPatient, 6).reshape(2, 3)
            lengths = np.linalg.norm(directions, axis=1)
            if not np.allclose(lengths, 1, atol=1e-2) or abs(directions[0] @ directions[1]) > 1e-2:
                raise ValueError("not two perpendicular unit vectors")
            thickness = header.get("SpacingBetweenSlices") or header.get("SliceThickness")
            return Slice(
                path=path,
                number=int(header.get("InstanceNumber") or 0),
                shape=(int(header.Rows), int(header.Columns)),
                spacing=_numbers(header.PixelSpacing, 2),
                directions=directions / lengths[:, None],
                position=_numbers(header.ImagePositionPatient, 3),
                thickness=abs(float(thickness)) if thickness else None,
            )
        except AttributeError as error:
            problem = f"{path.name}: expected a slice of a volume, but {error.name} is missing"
            raise DataError(problem, "leave it out") from None


def _header_of(path: Path) -> Dataset:
    try:
        header = read_header(path, [*_PIXELS, *_SIZE, *_PLACE])
    except DataError as error:
        raise DataError(f"{path.name}: {error.problem}", error.remedy) from None
    if header is None:
        raise DataError(f"{path.name}: the file is no DICOM file", "copy it again")
    with discreet(f"{path.name}: its header cannot be read"):
        # pydicom converts an element when it is first looked at, and would warn of it then.
        list(header)
        samples = int(header.get("SamplesPerPixel") or 1)
        if samples != 1 or header.get("PhotometricInterpretation", "MONOCHROME2") not in _GRAY:
            raise DataError(f"{path.name}: expected gray values, found colors", "leave it out")
        if "HighBit" in header and header.HighBit != header.BitsStored - 1:
            raise DataError(f"{path.name}: its pixels are not in the lowest bits (HighBit)", "export it again")
        counts = [int(header.Rows), int(header.Columns), int(header.get("NumberOfFrames") or 1)]
        stated = math.prod(counts) * int(header.get("BitsAllocated") or 1) // 8
        size = path.stat().st_size
        syntax = header.file_meta.get("TransferSyntaxUID")
        # No header is a reason to allocate what the file cannot hold.
        held = max(_LEAST_LIMIT, 100 * size) if syntax and (syntax.is_encapsulated or syntax.is_deflated) else size
        if min(counts) < 1 or stated > held:
            problem = f"{path.name}: expected {stated} bytes of pixels in a file of {size} bytes"
            raise DataError(problem, "copy it again")
    return header


def _numbers(values: Sequence[float] | None, count: int) -> NDArray[np.float64]:
    numbers = np.array(values or (), dtype=np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"not {count} numbers")
    return numbers


def _grid(slices: Sequence[Slice]) -> Grid:
    first, last = slices[0], slices[-1]
    levels = np.array([part.level for part in slices])
    if len(slices) == 1:
        if first.thickness is None:
            raise DataError(f"{first.path.name}: one slice that does not state its thickness", "add SliceThickness")
        step = first.normal * first.thickness
    else:
        _check_gaps(levels)
        step = (last.position - first.position) / (len(slices) - 1)
    # Slices of a tilted gantry are shifted evenly, which the affine says; anything else is no grid.
    places = first.position + np.outer(levels - levels[0], step) / (step @ first.normal)
    away = np.linalg.norm(np.array([part.position for part in slices]) - places, axis=1)
    if away.max() > TOLERANCE * first.spacing.min():
        worst = slices[int(away.argmax())]
        raise DataError(
            f"expected slices in a straight stack, found {worst.path.name} shifted sideways by {away.max():.3g} mm",
            "split the series",
        )
    affine = np.eye(4)
    # PixelSpacing is the distance of rows, then that of columns; a row runs across the columns.
    affine[:3, 0] = first.directions[0] * first.spacing[1]
    affine[:3, 1] = first.directions[1] * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return Grid(shape=(first.shape[1], first.shape[0], len(slices)), affine=affine, levels=levels)


def _check_gaps(levels: NDArray[np.float64]) -> None:
    steps = list(pairwise(levels.tolist()))
    doubled = sorted({f"{low:g}" for low, high in steps if high - low <= _SAME_PLACE})
    if doubled:
        problem = f"expected one slice at each position, found several at {listed(doubled)} mm"
        raise DataError(problem, "remove the copies, or split the phases of the series")
    usual = float(np.median(np.diff(levels)))
    odd = [f"{low:g} to {high:g}" for low, high in steps if abs(high - low - usual) > TOLERANCE * usual]
    if odd:
        problem = f"expected slices {usual:g} mm apart, found gaps from {listed(odd)} mm"
        raise DataError(problem, "restore the missing slices, or leave the series out")
