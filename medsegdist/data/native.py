"""Pairs of image and mask on the image's own grid, checked as for any study.

This module imports MONAI.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import nibabel as nib
import torch
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import orientation_ras_lps
from monai.transforms.spatial.array import Orientation
from monai.transforms.transform import Transform
from monai.utils.enums import MetaKeys, SpaceKeys


class OnOwnGrid(Transform):
    """Give back the image as it was read, and its binary mask on the same voxels.

    A mask file may store its axes in another order than the image's; here it follows the image.

    Args:
        prepare: from an item as it was read to one whose image and mask have common axes and whose mask is binary;
            it raises where the two do not belong together.
    """

    def __init__(self, prepare: Callable[[Any], Any]) -> None:
        self.prepare = prepare

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with "image" (channels, *spatial) untouched, and "label" (channels, *spatial) uint8 of 0 and 1.

        Args:
            data: item as a layout loads it.
        """
        image, mask = data["image"], self.prepare(data)["label"]
        if image.ndim == 4:
            axes = nib.orientations.aff2axcodes(ras_affine(image))  # type: ignore[no-untyped-call]
            # labels=None: directions follow the tensor's own "space"; the codes are those of RAS.
            mask = Orientation(axcodes="".join(axes), labels=None)(mask)
        return {**data, "label": mask.as_subclass(torch.Tensor)}


def ras_affine(volume: MetaTensor) -> Any:
    """(4, 4) float64: from voxel indices to mm in RAS+, which NIfTI demands.

    Args:
        volume: (channels, x, y, z) with an affine in the space that its metadata names.
    """
    affine = volume.affine.double().cpu().numpy()
    return orientation_ras_lps(affine) if volume.meta.get(MetaKeys.SPACE) == SpaceKeys.LPS else affine
