"""A case as the bytes of its two files in a task, made in whatever process; none of it touches a disk."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsegdist.data.case import Case
from medsegdist.data.case_reading import FOUND_LABELS, ItemDataset
from medsegdist.data.nifti_pair import nifti_pair, write_nifti
from medsegdist.data.problems import Problem, is_machine_trouble, problem_of, root_cause
from medsegdist.errors import ManifestError


@dataclass(frozen=True, slots=True, eq=False)
class PackedCase:
    """What one case becomes.

    Args:
        image: content of the image's .nii.gz.
        label: content of the mask's .nii.gz.
        found: the label values that its mask held, as LabelTally takes them.
        voxels: how many of the foreground.
        channels: of the image.
        picture: whether it was a 2D picture.
        sheared: whether its axes are not at right angles.
    """

    image: bytes
    label: bytes
    found: list[float]
    voxels: int
    channels: int
    picture: bool
    sheared: bool


@dataclass(frozen=True, slots=True, eq=False)
class PackCase:
    """A function from the place of a case to its bytes, or to what is wrong with it.

    Args:
        dataset: made by :func:`~medsegdist.data.dataset.native_dataset` of these cases.
        cases: which cases.
        name: the dataset's name.
    """

    dataset: ItemDataset
    cases: tuple[Case, ...]
    name: str

    def __call__(self, index: int) -> PackedCase | Problem | Exception:
        """Read and compress one case.

        Args:
            index: which case.

        Returns:
            Its bytes; a problem if it cannot be used; an exception if the writing as a whole must end.
        """
        try:
            return self._packed(index)
        # Any transform may fail in any way, and one bad case must not hide the others.
        except Exception as error:  # noqa: BLE001
            cause = root_cause(error)
            if isinstance(cause, ManifestError) or is_machine_trouble(cause):
                return cause if isinstance(cause, Exception) else error
            return problem_of(cause, self.name, self.cases[index].id)

    def _packed(self, index: int) -> PackedCase:
        item = self.dataset[index]
        source = self.cases[index].image
        drawn = not (isinstance(source, (str, os.PathLike)) and Path(source).is_file())
        pair = nifti_pair(item, drawn=drawn)
        return PackedCase(
            image=_compressed(pair.image, pair.affine),
            label=_compressed(pair.label, pair.affine),
            found=np.atleast_1d(np.asarray(item[FOUND_LABELS])).astype(float).tolist(),
            voxels=int(pair.label.sum(dtype=int)),
            channels=pair.channels,
            picture=pair.picture,
            sheared=pair.sheared,
        )


def _compressed(voxels: NDArray[Any], affine: NDArray[np.float64]) -> bytes:
    file = io.BytesIO()
    write_nifti(file, voxels, affine)
    return file.getvalue()
