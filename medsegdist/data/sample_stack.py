"""All samples of a case in one stack, checked as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from medsegdist.data.sample import Sample, check_intensities


@dataclass(frozen=True, slots=True, eq=False)
class SampleStack:
    """The samples of a case as its dataset's own pipeline makes them.

    Args:
        case_id: the case.
        patient_id: whom it shows.
        images: (n, *grid) float32.
        masks: (n, channels, *grid) bool.
        found: which label values the mask held before it was made binary; None if that was not noted.
    """

    case_id: str
    patient_id: str
    images: Tensor
    masks: Tensor
    found: Any

    @classmethod
    def of(cls, item: Mapping[Any, Any], found_labels: str) -> SampleStack:
        """The stack in an item.

        Args:
            item: with "image" and "label", "case_id" and "patient_id".
            found_labels: the entry that says what the mask held.
        """
        return cls(item["case_id"], item["patient_id"], item["image"], item["label"], item.get(found_labels))

    def checked(self, delta: float | None, *, classes: bool) -> list[Sample]:
        """The samples, each checked like any other.

        Args:
            delta: what segments will be neutralized by; must lie below the segments' intensities. None: not checked.
            classes: whether the channels of the masks are classes.

        Raises:
            DataError: an image is constant or not finite, or reaches down to delta in its segment.
        """
        if not len(self.images):
            return []
        flat = self.images.reshape(len(self.images), -1).numpy()
        low, high = flat.min(axis=1), flat.max(axis=1)
        # NaN and infinity show in the extremes. What is clearly good is passed at once; the rest is looked at closely.
        good = np.isfinite(low) & np.isfinite(high) & (low < high)
        if delta is not None:
            good &= low > delta
        for k in np.flatnonzero(~good).tolist():
            check_intensities(self.images[k], self.masks[k].any(0), delta)
        images, masks = self.images.numpy(), self.masks.numpy()
        return [
            Sample(self.case_id, self.patient_id, image, mask if classes else mask[0])
            for image, mask in zip(images, masks, strict=True)
        ]
