"""A look at a few cases of a dataset: the labels of their masks, their intensities and their sizes.

This module imports MONAI.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.orientations import io_orientation

from medsegdist.data.case import Case
from medsegdist.data.layouts.paths import is_picture
from medsegdist.data.native import ras_affine
from medsegdist.errors import DataError

_VOLUMES, _PICTURES = 4, 16
# Masks with more values are instances, or edges that JPEG blurred.
_MOST_VALUES = 64


@dataclass(frozen=True, slots=True)
class Looks:
    """What the first, the last and some cases between are like.

    Args:
        seen: how many were read.
        cases: how many there are.
        values: label values beside 0 that their masks hold, in order.
        counts: how many of the masks that were read hold each of them.
        low: their least intensity.
        high: their largest intensity.
        whole: whether all intensities are whole numbers.
        sizes: of each image read, (rows, columns) of a picture, (slices, rows, columns) of a volume, as they are
            compared: rows run to the patient's back, columns to the left.
        pictures: whether any image is a picture.
    """

    seen: int
    cases: int
    values: tuple[int, ...]
    counts: tuple[int, ...]
    low: float
    high: float
    whole: bool
    sizes: tuple[tuple[int, ...], ...]
    pictures: bool


def look_at(layout: Any, cases: Sequence[Case]) -> Looks:
    """What a few cases are like, spread evenly over the dataset.

    Args:
        layout: any layout.
        cases: all of its cases, at least one.

    Raises:
        DataError: none of them can be read (what is wrong with the first one is told), or masks hold no label values.
    """
    pictures = any(is_picture(case.image) for case in cases)
    count = min(len(cases), _PICTURES if pictures else _VOLUMES)
    places = np.unique(np.linspace(0, len(cases) - 1, count).round().astype(int))
    troubles = []
    counts: Counter[int] = Counter()
    lows, highs, whole, sizes = [], [], True, []
    for place in places:
        case = cases[place]
        try:
            item = layout.load(case.as_item())
        except DataError as error:
            troubles.append(_of_case(case, error, {"image": case.image, "label": case.label}))
            continue
        try:
            counts.update(_values(np.asarray(item["label"])))
        except DataError as error:
            troubles.append(_of_case(case, error, {"label": case.label}))
            continue
        image = np.asarray(item["image"])
        lows.append(float(np.nanmin(image)))
        highs.append(float(np.nanmax(image)))
        whole &= bool(np.array_equal(image, np.rint(image)))
        sizes.append(_size(item["image"]))
    if not sizes:
        raise troubles[0]
    values = tuple(sorted(counts))
    return Looks(
        seen=len(sizes),
        cases=len(cases),
        values=values,
        counts=tuple(counts[value] for value in values),
        low=min(lows),
        high=max(highs),
        whole=whole,
        sizes=tuple(sizes),
        pictures=pictures,
    )


def _of_case(case: Case, error: DataError, files: Mapping[str, Any]) -> DataError:
    """What is wrong, with the case and, unless it is said already or the layout names none, its files."""
    told = [f"{key} {file}" for key, file in files.items() if isinstance(file, str)]
    named = any(str(file) in str(error) for file in files.values())
    where = f" ({', '.join(told)})" if told and not named else ""
    return DataError(f"case '{case.id}'{where}: {error}")


def _values(mask: np.ndarray) -> set[int]:
    found = np.unique(mask)
    whole = np.rint(found)
    if not np.array_equal(found, whole):
        told = found[found != whole][0]
        raise DataError(f"expected a mask of whole numbers, found {told:g}; threshold it, and save it again.")
    if len(found) > _MOST_VALUES:
        raise DataError(
            f"expected a mask of at most {_MOST_VALUES} label values, found {len(found)}; if JPEG blurred its edges or "
            "it numbers instances, save it as PNG or NIfTI with one value for each label."
        )
    return {int(value) for value in whole} - {0}


def _size(image: Any) -> tuple[int, ...]:
    shape = tuple(int(size) for size in image.shape[1:])
    if len(shape) == 2:
        return shape
    axes = io_orientation(ras_affine(image))[:, 0]  # type: ignore[no-untyped-call]
    left, back, head = (shape[int(np.flatnonzero(axes == axis)[0])] for axis in range(3))
    return head, back, left
