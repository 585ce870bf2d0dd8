"""Multi-frame images: enhanced CT, MR and PET, which keep all slices in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsegdist.data.dicom._highdicom import require_highdicom
from medsegdist.data.dicom.grid import TOLERANCE, Grid
from medsegdist.data.dicom.headers import discreet
from medsegdist.errors import DataError


def read_frames(path: Path) -> tuple[NDArray[np.float32], Grid]:
    """The voxels of a multi-frame image, as :func:`read_series` gives them.

    Args:
        path: an enhanced (multi-frame) CT, MR or PET image.

    Raises:
        DataError: the file cannot be read, or its frames make no volume.
        MissingDependencyError: highdicom is not installed.
    """
    imread = require_highdicom().imread
    with discreet():
        try:
            # No modality transform in the file means that there is nothing to rescale.
            volume = imread(path).get_volume(dtype=np.float32, apply_real_world_transform=False, rtol=TOLERANCE)
        # Whatever highdicom stumbles over; its message might quote the header.
        except Exception as error:  # noqa: BLE001
            raise DataError(
                f"{path.name}: highdicom makes no volume of its frames ({type(error).__name__}); "
                "export the series as one file a slice."
            ) from None
    # From (slice, row, column) to (column, row, slice).
    affine = np.asarray(volume.affine, dtype=np.float64)[:, [2, 1, 0, 3]]
    voxels = np.asarray(volume.array)
    across = np.cross(affine[:3, 0], affine[:3, 1])
    if across @ affine[:3, 2] < 0:
        affine[:3, 3] += (len(voxels) - 1) * affine[:3, 2]
        affine[:3, 2] *= -1
        voxels = voxels[::-1].copy()
    normal = across / np.linalg.norm(across)
    levels = (affine[:3, 3] + np.outer(np.arange(len(voxels)), affine[:3, 2])) @ normal
    return voxels.T, Grid(shape=voxels.T.shape, affine=affine, levels=levels)
