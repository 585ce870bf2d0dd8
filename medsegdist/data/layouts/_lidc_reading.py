"""Reading LIDC-IDRI slices: real outlines on the real CT.

This module imports MONAI: the layout imports it inside `loader()` only.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import Transform
from monai.utils.enums import MetaKeys, SpaceKeys
from numpy.typing import NDArray

from medsegdist.data.dicom.series import ordered_slices
from medsegdist.data.dicom.slices import Slice, read_pixels
from medsegdist.data.layouts.lidc_contours import consensus_masks, count_votes, read_levels, read_outlines
from medsegdist.errors import DataError

_SAME_LEVEL = 0.05  # mm; slices of LIDC-IDRI are at least 0.45 mm apart


class ReadLidc(Transform):
    """Read the slices that a case of `LidcLayout` describes from the scan's CT series.

    Image and mask come as (1, slices, rows, columns) float32 with their affine (RAS+, mm): HU by each slice's slope
    and intercept, and the consensus of the readers' own outlines. Of two slices at one position the one with the lower
    InstanceNumber counts, as in pylidc.

    Args:
        consensus: fraction of a nodule's readers that a pixel of the mask needs.

    Raises:
        DataError: when called: the series is missing or damaged, or is not the one that was outlined.
    """

    def __init__(self, consensus: float) -> None:
        self.consensus = consensus

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with "image" and "label" read.

        Args:
            data: item with a layout's descriptions under "image" and "label"; its other entries are kept.
        """
        scan, chosen = data["image"]["scan"], data["image"]["slices"]
        slices, affine = _slices_of(data)
        image = np.stack([read_pixels(slices[k]) for k in chosen])
        groups = data["label"]["nodules"]
        outlines = read_outlines(scan, [reader for group in groups for reader in group])
        votes = [count_votes([outline for outline in outlines if outline.annotation in group]) for group in groups]
        masks = consensus_masks(votes, data["label"]["slices"], slices[0].shape, self.consensus)
        item = dict(data)
        item["image"] = _tensor(torch.from_numpy(image[None]), affine)
        item["label"] = _tensor(torch.from_numpy(masks.astype(np.float32)[None]), affine)
        return item

    def headers(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with "image" and "label" as tensors on the meta device: shape and affine, but no voxel.

        Args:
            data: as for calling it.

        Raises:
            DataError: the series is missing, its headers damaged, or it is not the one that was outlined.
        """
        slices, affine = _slices_of(data)
        volume = _tensor(torch.empty((1, len(data["image"]["slices"]), *slices[0].shape), device="meta"), affine)
        return {**data, "image": volume, "label": volume}


def _slices_of(data: Mapping[Hashable, Any]) -> tuple[list[Slice], NDArray[np.float64]]:
    """All slices of an item's series, and the affine of the chosen ones."""
    scan, chosen, files = (data["image"][key] for key in ("scan", "slices", "files"))
    if files is None:
        raise DataError("its CT series is not under `dicom_root`; run `medsegdist fetch lidc`, or leave it out.")
    slices = ordered_slices([Path(path) for path in files.paths], one_per_position=True)
    levels = read_levels(scan)
    _check_levels(slices, levels)
    return slices, _affine(slices[chosen[0]], float(np.median(np.diff(levels))))


def _check_levels(slices: Sequence[Slice], levels: NDArray[np.float64]) -> None:
    """The outlines count slices from the feet: one slice more or less, and they would lie on other ones."""
    found = np.array([part.level for part in slices])
    if len(found) != len(levels) or np.abs(found - levels).max() > _SAME_LEVEL:
        raise DataError(
            f"expected the {len(levels)} slices from {levels[0]:g} to {levels[-1]:g} mm that the readers outlined, "
            f"found {len(found)} from {found[0]:g} to {found[-1]:g} mm; download the series again."
        )


def _affine(first: Slice, spacing: float) -> NDArray[np.float64]:
    """Index (slice, row, column) to RAS+ mm."""
    affine = np.eye(4)
    affine[:3, 0] = first.normal * spacing
    affine[:3, 1] = first.directions[1] * first.spacing[0]
    affine[:3, 2] = first.directions[0] * first.spacing[1]
    affine[:3, 3] = first.position
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _tensor(voxels: torch.Tensor, affine: NDArray[np.float64]) -> MetaTensor:
    return MetaTensor(voxels, affine=torch.from_numpy(affine), meta={MetaKeys.SPACE: SpaceKeys.RAS.value})
