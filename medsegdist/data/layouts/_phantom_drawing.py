"""Drawing simulated patients as MONAI tensors.

This module imports MONAI: the layout imports it inside `loader()` only.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import Transform
from monai.utils.enums import MetaKeys, SpaceKeys

from medsegdist.data.layouts.phantom import Organ
from medsegdist.data.simulation.patients import Examination, Stack, examine_abdomen, examine_chest, examine_pelvis


class DrawPhantom(Transform):
    """Draw the patient whose number a case of `PhantomLayout` holds.

    Image and mask come as (1, slices, rows, columns) with an affine whose axes run to the head, the back and the
    patient's left. Both are simulated.

    Args:
        organ: what is segmented.
        slices: of each patient.
        size: rows and columns.
        spacing_mm: between slices, rows and columns; None lets the examination choose.
        seed: drives everything.
    """

    def __init__(
        self,
        organ: Organ,
        slices: int,
        size: tuple[int, int],
        spacing_mm: tuple[float, float, float] | None,
        seed: int,
    ) -> None:
        self.organ = organ
        self.stack = Stack(slices, size, spacing_mm)
        self.seed = seed

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with "image" and "label" drawn.

        Args:
            data: item with a patient's number under "image"; entries other than "image" and "label" are kept.
        """
        examination = self._examine(data["image"])
        affine = _affine(examination)
        item = dict(data)
        for key, voxels in (("image", examination.image), ("label", examination.mask.astype(np.float32))):
            item[key] = MetaTensor(
                torch.from_numpy(voxels[None]), affine=affine, meta={MetaKeys.SPACE: SpaceKeys.RAS.value}
            )
        return item

    def _examine(self, number: int) -> Examination:
        match self.organ:
            case "lung_tumor" | "tuberculoma":
                return examine_chest(self.organ, number, self.seed, self.stack)
            case "liver" | "spleen":
                return examine_abdomen(self.organ, number, self.seed, self.stack)
            case "prostate":
                return examine_pelvis(number, self.seed, self.stack)


def _affine(examination: Examination) -> torch.Tensor:
    """Index (slice, row, column) to RAS+ mm, the middle of the lowest slice at the origin."""
    step, row, column = examination.spacing_mm
    rows, columns = examination.mask.shape[1:]
    affine = torch.zeros((4, 4), dtype=torch.float64)
    affine[0, 2], affine[1, 1], affine[2, 0] = -column, -row, step
    affine[:, 3] = torch.tensor([column * (columns - 1) / 2, row * (rows - 1) / 2, 0.0, 1.0], dtype=torch.float64)
    return affine
