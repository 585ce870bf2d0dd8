"""Cases on the image's own grid, checked as for any study, and their arrays as NIfTI stores them.

This module imports MONAI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import orientation_ras_lps
from monai.transforms.compose import Compose
from monai.transforms.spatial.array import Orientation
from monai.utils.enums import MetaKeys, SpaceKeys
from numpy.typing import NDArray

from medsegdist.data.case import Case
from medsegdist.data.case_statistics import RecordLabels
from medsegdist.data.manifest import DatasetManifest
from medsegdist.errors import DataError
from medsegdist.transforms import BinarizeLabeld, CheckFinited, CheckSameSpaced, OrientAxiald

# The size of an axis is a 16-bit number in NIfTI-1.
_LONGEST_AXIS = 32767
# A row runs to the patient's left and a column to the back, as in an axial slice on a screen.
_PICTURE_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])


def native_reader(manifest: DatasetManifest) -> Callable[[Case], dict[str, Any]]:
    """A function that reads a case on its image's own grid, with every check that a study makes of a pair.

    Returns:
        From a case to its "image" (channels, *spatial) as the layout reads it, "label" (1, *spatial) of 0 and 1 on the
        image's voxels, "case_id", "patient_id", and "found_labels" for LabelStatistics.
    """
    read = Compose([manifest.layout.load, RecordLabels(manifest.foreground)])
    prepare = Compose(
        [
            OrientAxiald(("image", "label")),
            CheckSameSpaced("image", reference_key="label"),
            CheckFinited("image"),
            BinarizeLabeld("label", manifest.foreground),
        ]
    )

    def read_case(case: Case) -> dict[str, Any]:
        item: Any = read(case.as_item())
        prepared: Any = prepare(item)
        mask = prepared["label"]
        if item["image"].ndim == 4:
            # A mask file may order its axes in another way than the image's; here it follows the image.
            axes = nib.orientations.aff2axcodes(ras_affine(item["image"]))  # type: ignore[no-untyped-call]
            # labels=None: directions follow the tensor's own "space"; the codes are those of RAS.
            mask = Orientation(axcodes="".join(axes), labels=None)(mask)
        return {**item, "label": mask}

    return read_case


def ras_affine(volume: MetaTensor) -> Any:
    """(4, 4) float64: from voxel indices to mm in RAS+, which NIfTI demands."""
    affine = volume.affine.double().cpu().numpy()
    return orientation_ras_lps(affine) if volume.meta.get(MetaKeys.SPACE) == SpaceKeys.LPS else affine


def nifti_arrays(item: Mapping[str, Any], *, drawn: bool) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]:
    """The arrays of a case; intensities, grid and orientation are the image's own.

    A 2D image becomes a volume of one slice, columns first, that every reader shows as the image.

    Args:
        item: what a :func:`native_reader` gives.
        drawn: the image was in no file, so that the order of its axes is nobody's choice. Slices then go last, where
            nnU-Net expects them.

    Returns:
        The image (x, y, z), or (x, y, z, channels) of several channels: uint8, int16 or uint16 if that holds every
        value, else float32; the mask (x, y, z), uint8 of 0 and 1; and the affine (4, 4), voxel indices to mm in RAS+.

    Raises:
        DataError: the mask has several channels, or an axis is too long for NIfTI.
    """
    image, label = (item[key].as_subclass(torch.Tensor).cpu().numpy() for key in ("image", "label"))
    if len(label) != 1:
        raise DataError(f"expected a mask of one channel, found {len(label)}; put the labels into one channel.")
    if max(image.shape[1:]) > _LONGEST_AXIS:
        raise DataError(
            f"expected at most {_LONGEST_AXIS} pixels along each axis, which is what NIfTI can hold, "
            f"found {image.shape[1:]}; crop or split the image."
        )
    if image.ndim == 3:
        image, label = (array.swapaxes(1, 2)[..., None] for array in (image, label))
        affine = _PICTURE_AFFINE
    else:
        affine = ras_affine(item["image"])
        axes = nib.orientations.aff2axcodes(affine)  # type: ignore[no-untyped-call]
        if drawn and axes[0] in "SI":
            image, label = (array.transpose(0, 3, 2, 1) for array in (image, label))
            affine = affine[:, [2, 1, 0, 3]]
    values = np.moveaxis(image, 0, -1)
    return _narrowest(values[..., 0] if values.shape[-1] == 1 else values), label[0].astype(np.uint8), affine


def _narrowest(values: NDArray[Any]) -> NDArray[Any]:
    """The same values as the smallest integers that hold them all, or as float32."""
    low, high = values.min(), values.max()
    for kind in (np.uint8, np.int16, np.uint16):
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            whole = values.astype(kind)
            if np.array_equal(whole, values):
                return whole
            break
    return values.astype(np.float32, copy=False)
