"""Intensities that no scanner gives: run over the end of their type, or a CT that is not in Hounsfield units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medsegdist.data.checks.facts import CaseFacts
from medsegdist.data.grouping import gathered
from medsegdist.data.manifest import DatasetManifest, Preprocessing
from medsegdist.data.problems import Problem

# Of the pairs of neighbors in an image as a scanner or an editor left it, at most 0.13% leap over 7/8 of the range
# (1,594 real CT, X-ray, ultrasound, endoscopy, fundus and microscopy pictures, 260 MR volumes). Of real CT and MR
# reduced modulo 256, 0.4% to 5% do, and of simulated CT 0.25%; 4 of 205 hippocampus volumes, whose values had reached
# 600,000 and more, stay below the limit.
_LEAPS = 0.002
_FEWEST_PAIRS = 1000
_TYPES = (1 << 8, 1 << 16)


def looks_wrapped(image: NDArray[np.number]) -> bool:
    """Whether intensities seem to have run over the end of an 8 or 16 bit type, so that 256 became 0, or -1 65535.

    Where a smooth image crosses the end of the type, neighbors leap from one end of the range to the other. Their
    share among all pairs of neighbors is what is measured. Pairs with the least or the largest intensity are not
    counted: an image that was clipped leaps between these two, and nowhere else.

    Args:
        image: (*spatial) intensities of any real type; fractions are never wrapped.
    """
    low, high = float(image.min()), float(image.max())
    modulus = next((size for size in _TYPES if size * 7 / 8 <= high - low < size), None)
    if modulus is None:
        return False
    leaps = pairs = 0
    # By slabs, so that no second volume is in memory.
    for k in range(len(image)):
        # As floats: the difference of two 8-bit integers would run over the end of their type itself.
        slab = image[k : k + 2].astype(np.float32)
        if not np.array_equal(slab[0], np.rint(slab[0])):
            return False
        here = slab[:1]
        for axis in range(image.ndim):
            values = np.moveaxis(slab if axis == 0 else here, axis, 0)
            before, after = values[:-1], values[1:]
            pairs += before.size
            far = np.abs(after - before) >= modulus * 7 / 8
            if far.any():
                ends = np.stack([before[far], after[far]])
                leaps += int(((ends > low) & (ends < high)).all(axis=0).sum())
    return pairs >= _FEWEST_PAIRS and leaps >= _LEAPS * pairs


def suspicious_intensities(manifest: DatasetManifest, cases: Sequence[CaseFacts]) -> list[Problem]:
    """Warnings of intensities that look wrong, each for all cases that have it.

    Args:
        manifest: which dataset; a CT is taken to be in HU unless it has a `window`.
        cases: those that were read.
    """
    read = [(case.case, case.voxels) for case in cases if case.voxels is not None]
    in_hu = manifest.modality == "CT" and manifest.window is None
    wrapped = [name for name, voxels in read if voxels.wrapped]
    rest = [(name, voxels) for name, voxels in read if in_hu and not voxels.wrapped and voxels.low >= 0]
    gray = [name for name, voxels in rest if voxels.high <= 255]
    shifted = [name for name, voxels in rest if voxels.high > 255]
    return [
        *gathered(
            manifest.name,
            wrapped,
            len(read),
            "neighboring voxels leap from one end of the range to the other, as if intensities had run over the end "
            "of their type",
            "write the image again, in a type that holds all of its values",
        ),
        *gathered(
            manifest.name,
            gray,
            len(read),
            "a CT with intensities from 0 to 255 only is not in HU",
            "state `window: [0, 255]`, or restore the HU",
        ),
        *gathered(
            manifest.name,
            shifted,
            len(read),
            "a CT without a value below 0 is hardly in HU, where air is -1000",
            "subtract the offset (often 1024), or state a `window`",
        ),
    ]


def outside_the_window(
    manifest: DatasetManifest, preprocessing: Preprocessing, cases: Sequence[CaseFacts]
) -> list[Problem]:
    """A warning of images that become one gray, as all of their intensities lie on one side of the window.

    Args:
        manifest: which dataset.
        preprocessing: how the study prepares it.
        cases: those that were read.
    """
    window = manifest.window or (preprocessing.ct_window if manifest.modality == "CT" else None)
    if preprocessing.intensity != "window" or window is None:
        return []
    read = [(case.case, case.voxels) for case in cases if case.voxels is not None]
    low, high = window
    outside = [(name, voxels) for name, voxels in read if voxels.high <= low or voxels.low >= high]
    if not outside:
        return []
    least, largest = min(voxels.low for _, voxels in outside), max(voxels.high for _, voxels in outside)
    return gathered(
        manifest.name,
        [name for name, _ in outside],
        len(read),
        f"the window from {low:g} to {high:g} makes one gray of the image, whose intensities lie outside "
        f"(from {least:g} to {largest:g})",
        "correct the window",
    )


def empty_masks(dataset: str, cases: Sequence[CaseFacts]) -> list[Problem]:
    """A warning of masks without foreground, which give no sample; none if all are empty, as that is an error.

    Args:
        dataset: its name.
        cases: those that were read.
    """
    read = [(case.case, case.voxels.empty) for case in cases if case.voxels is not None]
    empty = [name for name, is_empty in read if is_empty]
    if len(empty) == len(read):
        return []
    text, remedy = "the mask is empty", "check the mask; the case gives no sample"
    return gathered(dataset, empty, len(read), text, remedy)
