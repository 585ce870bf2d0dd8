"""Simulated patients: organs and lesions drawn from a seed, with no file and no download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from medsegdist.data.case import Case

Organ = Literal["lung_tumor", "tuberculoma", "liver", "spleen", "prostate"]


class PhantomLayout(BaseModel):
    """Simulated patients with one segmented organ or lesion each; masks and intensities are simulated.

    - "lung_tumor": CT of the chest in HU; an irregular mass of 2 to 7 cm in a lung.
    - "tuberculoma": CT of the chest; a smooth, dense, often calcified nodule of 1 to 4 cm in an upper lobe.
    - "liver", "spleen": CT of the upper abdomen after contrast.
    - "prostate": T2-weighted MR of the pelvis in arbitrary units; the whole gland.

    A patient does not depend on the other options: `patients: 30` adds ten to `patients: 20`.

    Args:
        organ: what is segmented.
        patients: how many.
        slices: axial slices of each patient.
        size: rows and columns.
        spacing_mm: between slices, rows and columns. None spreads the slices evenly over the middle four fifths of
            the organ, and sets the pixel so that the field of view is that of the examination (the body for CT, some
            36 cm; 16 cm for the prostate). Otherwise slices are that far apart around the organ's middle, and
            those beyond a small lesion have an empty mask.
        seed: of all random choices.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["phantom"] = "phantom"
    organ: Organ
    patients: Annotated[int, Field(ge=1, le=9999)] = 20
    slices: Annotated[int, Field(ge=1, le=500)] = 5
    size: tuple[Annotated[int, Field(ge=32, le=2048)], Annotated[int, Field(ge=32, le=2048)]] = (256, 256)
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def simulates(self) -> str:
        """What is simulated."""
        return "everything"

    def cases(self) -> list[Case]:
        """One case for each patient; nothing is drawn yet."""
        ids = [f"{self.organ}_{number:04d}" for number in range(1, self.patients + 1)]
        return [Case(id=name, patient_id=name, image=number, label=number) for number, name in enumerate(ids, start=1)]

    def load(
        self, item: Mapping[Any, Any], *, header_only: bool = False, keys: Sequence[str] = ("image", "label")
    ) -> dict[Any, Any]:
        """An item with "image" and "label" drawn: (1, slices, rows, columns) float32, HU or MR units and 0/1."""
        from medsegdist.data.dicom.series import as_tensor
        from medsegdist.data.phantom import axial_affine, draw_patient

        image, mask, spacing = draw_patient(
            self.organ, item["image"], self.slices, self.size, self.spacing_mm, self.seed
        )
        affine = axial_affine(spacing, self.size)
        return {**item, "image": as_tensor(image, affine), "label": as_tensor(mask.astype(np.float32), affine)}
