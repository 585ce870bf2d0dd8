"""Drawing LIDC-IDRI slices: real outlines, simulated HU.

This module imports MONAI: the layout imports it inside `loader()` only.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, multimode
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import Transform
from monai.utils.enums import MetaKeys, SpaceKeys
from numpy.typing import NDArray

from medsegdist.data.layouts.lidc_contours import Outline, Votes, consensus_masks, count_votes, read_outlines
from medsegdist.data.layouts.lidc_nodules import Nodule, read_nodules
from medsegdist.data.simulation.canvas import Canvas
from medsegdist.data.simulation.lesions import Calcification, NoduleLook, Structure, fill_outline
from medsegdist.data.simulation.randomness import generator
from medsegdist.data.simulation.scanner import AIR, scan_ct
from medsegdist.data.simulation.thorax import Pocket, Thorax

_SIZE = 512  # every scan of LIDC-IDRI has 512 rows and columns
_CALCIFICATIONS: dict[int, Calcification] = {
    1: "popcorn",
    2: "laminated",
    3: "solid",
    4: "non-central",
    5: "central",
    6: "absent",
}
_STRUCTURES: dict[int, Structure] = {1: "soft tissue", 2: "fluid", 3: "fat", 4: "air"}


class DrawLidc(Transform):
    """Draw the slices that a case of `LidcLayout` describes.

    Image and mask come as (1, slices, rows, columns) with an affine whose axes run to the head, the back and the
    patient's left: orientation to "SPL" changes nothing. The mask is the readers' own; the image is simulated.

    Args:
        consensus: fraction of a nodule's readers that a pixel of the mask needs.
        seed: drives all that is simulated.
    """

    def __init__(self, consensus: float, seed: int) -> None:
        self.consensus = consensus
        self.seed = seed

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with "image" and "label" drawn.

        Args:
            data: item with a layout's descriptions under "image" and "label"; its other entries are kept.
        """
        scan, slices = data["image"]["scan"], data["image"]["slices"]
        nodules = _nodules_by_scan()[scan]
        outlines = read_outlines(scan, [reader for nodule in nodules for reader in nodule.annotations])
        votes = {nodule.annotations: _votes_of(nodule, outlines) for nodule in nodules}
        labeled = [votes[tuple(annotations)] for annotations in data["label"]["nodules"]]
        masks = consensus_masks(labeled, data["label"]["slices"], (_SIZE, _SIZE), self.consensus)
        affine = _affine(nodules[0], slices[0])
        item = dict(data)
        item["image"] = _tensor(simulate(nodules, votes, slices, self.seed), affine)
        item["label"] = _tensor(masks.astype(np.float32), affine)
        return item


def simulate(
    nodules: Sequence[Nodule], votes: Mapping[tuple[int, ...], Votes], slices: Sequence[int], seed: int
) -> NDArray[np.float32]:
    """(slices, rows, columns) simulated HU of some slices of a scan.

    Args:
        nodules: all nodules of the scan.
        votes: the readers' votes for each, by its annotations.
        slices: which slices of the scan.
        seed: drives all that is simulated.
    """
    first = nodules[0]
    scan, pixel = first.scan_id, first.pixel_spacing
    pockets = {nodule: _pocket(nodule) for nodule in nodules}
    thorax = Thorax.draw(generator("lidc", scan, seed))
    # A scanner's field of view is set to the body, and hence tells its size.
    width = 0.46 * _SIZE * pixel - thorax.wall - thorax.fat
    width = min(max(width, 108.0), 160.0)
    thorax = replace(thorax, half_width=width, half_depth=width * thorax.half_depth / thorax.half_width)
    thorax = thorax.holding(list(pockets.values()))
    looks = {nodule: _look(nodule) for nodule in nodules}
    seeds = {nodule: int(generator("nodule", nodule.annotations[0], seed).integers(2**31)) for nodule in nodules}
    drawn = np.empty((len(slices), _SIZE, _SIZE), dtype=np.float32)
    for place, k in enumerate(slices):
        shown = [nodule for nodule in nodules if k in nodule.outlined_slices]
        canvas = Canvas((_SIZE, _SIZE), (pixel, pixel), AIR)
        # One texture for the scan, so that neighboring slices agree; the noise is each slice's own.
        thorax.paint(
            canvas,
            (k + 0.5) / first.slices,
            first.slice_spacing,
            generator("texture", scan, seed),
            [pockets[nodule] for nodule in shown],
        )
        for nodule in shown:
            value = looks[nodule].hounsfield(np.random.default_rng(seeds[nodule]), thorax.lung_hu)
            counted = votes[nodule.annotations]
            mask = counted.consensus(0.5)[k - counted.corner[0]]
            fill_outline(canvas, mask, counted.corner[1:], looks[nodule], value, seeds[nodule])
        drawn[place] = scan_ct(canvas, generator("noise", scan, k, seed), thorax.noise_hu)
    return drawn


@functools.cache
def _nodules_by_scan() -> dict[int, list[Nodule]]:
    by_scan: dict[int, list[Nodule]] = {}
    for nodule in read_nodules():
        by_scan.setdefault(nodule.scan_id, []).append(nodule)
    return by_scan


def _votes_of(nodule: Nodule, outlines: Sequence[Outline]) -> Votes:
    return count_votes([outline for outline in outlines if outline.annotation in nodule.annotations])


def _pocket(nodule: Nodule) -> Pocket:
    """The nodule's surroundings, as the simulated chest must leave room for them."""
    (first, *corner), (last, *far) = nodule.corner, nodule.far_corner
    middle = (_SIZE - 1) / 2
    y, x = (((a + b) / 2 - middle) * nodule.pixel_spacing for a, b in zip(corner, far, strict=True))
    size = max(b - a for a, b in zip(corner, far, strict=True)) * nodule.pixel_spacing
    return Pocket(x=x, y=y, radius=size / 2 + 3, level=((first + last) / 2 + 0.5) / nodule.slices)


def _look(nodule: Nodule) -> NoduleLook:
    # Where readers name different patterns, the rarer finding is the one that somebody saw: the lowest code.
    return NoduleLook(
        texture=fmean(nodule.texture),
        subtlety=fmean(nodule.subtlety),
        margin=fmean(nodule.margin),
        calcification=_CALCIFICATIONS[min(multimode(nodule.calcification))],
        # One annotation bears a 5, which the rating does not define.
        structure=_STRUCTURES.get(min(multimode(nodule.internal_structure)), "soft tissue"),
    )


def _affine(nodule: Nodule, first_slice: int) -> NDArray[np.float64]:
    """Index (slice, row, column) to RAS+ mm, the middle of the slice at x = y = 0."""
    pixel, middle = nodule.pixel_spacing, (_SIZE - 1) / 2
    affine = np.zeros((4, 4))
    affine[0, 2] = affine[1, 1] = -pixel
    affine[2, 0] = nodule.slice_spacing
    affine[:, 3] = (pixel * middle, pixel * middle, nodule.slice_spacing * first_slice, 1)
    return affine


def _tensor(voxels: NDArray[np.float32], affine: NDArray[np.float64]) -> MetaTensor:
    return MetaTensor(
        torch.from_numpy(voxels[None]), affine=torch.from_numpy(affine), meta={MetaKeys.SPACE: SpaceKeys.RAS.value}
    )
