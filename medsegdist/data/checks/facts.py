"""What is noted of every case while a dataset is read, so that cases and datasets can be compared afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from medsegdist.data.manifest import DatasetManifest


@dataclass(frozen=True, slots=True)
class Voxels:
    """What the voxels of a case are like.

    Args:
        low: the least intensity.
        high: the largest intensity.
        wrapped: whether the intensities look as if they had run over the end of their type.
        empty: whether the mask has no foreground.
    """

    low: float
    high: float
    wrapped: bool
    empty: bool


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What is known of a case that could be read.

    Args:
        case: its id.
        image: the same text for the same image, whatever the dataset; empty if unknown.
        file: the file of the image, to be compared with others; empty if there is none, or its voxels were compared.
        spacing: (3,) mm between voxels to the patient's left, back and head; None for pictures, or if unknown.
        voxels: what its voxels are like; None if they were not read.
    """

    case: str
    image: str = ""
    file: str = ""
    spacing: tuple[float, float, float] | None = None
    voxels: Voxels | None = None


@dataclass(frozen=True, slots=True)
class Patients:
    """Whom the cases of a dataset show, in words that other datasets use as well; never shown to anybody.

    Args:
        sure: case -> patient, in words that mean the same patient wherever they stand.
        likely: case -> patient, in words that another patient elsewhere may have, too.
    """

    sure: dict[str, str]
    likely: dict[str, str]


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What is known of a dataset.

    Args:
        manifest: which dataset.
        cases: those that could be read, in their order.
        patients: whom all of its cases show.
    """

    manifest: DatasetManifest
    cases: tuple[CaseFacts, ...]
    patients: Patients


def spacing_of(affine: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """Mm between voxels along the patient's axes, however the file orders its own.

    Args:
        affine: (4, 4), from voxels to mm.

    Returns:
        To the left, the back and the head; None if the affine is singular or not finite.
    """
    if not np.isfinite(affine).all() or not abs(np.linalg.det(affine[:3, :3])) > 0:
        return None
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    axes = io_orientation(affine)[:, 0]  # type: ignore[no-untyped-call]
    left, back, head = (float(lengths[np.flatnonzero(axes == axis)[0]]) for axis in range(3))
    return left, back, head
