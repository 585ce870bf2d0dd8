"""One labeled image of a dataset, before anything of it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Case:
    """One image with its mask, named but not read.

    Args:
        id: name of the case, unique within its dataset.
        patient_id: whom the image shows; splits and resampling never cut a patient.
        image: what the layout loads the image from: the path of a file, or a layout's own description.
        label: the same for the mask.
    """

    id: str
    patient_id: str
    image: Any
    label: Any

    def as_item(self) -> dict[Any, Any]:
        """The case as an item of a MONAI datalist: image, label, case_id, patient_id."""
        return {"image": self.image, "label": self.label, "case_id": self.id, "patient_id": self.patient_id}
