"""Reading one image and its mask from files, as MONAI tensors.

This module imports MONAI: layouts import it inside `loader()` only.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import Transform
from monai.utils.misc import ImageMetaKey
from nibabel.orientations import io_orientation

from medsegdist.data.layouts._paths import PICTURE_SUFFIXES, VOLUME_SUFFIXES, Color
from medsegdist.data.layouts._picture_reading import read_picture, read_picture_header
from medsegdist.data.layouts._volume_reading import read_volume, read_volume_header
from medsegdist.errors import DataError


class ReadFiles(Transform):
    """Read the image and the mask of an item from files: volumes (NIfTI, NRRD, MHA) or pictures (PNG, JPEG, BMP, TIFF).

    Volumes come as (1, x, y, z) with their affine (RAS+, mm); pictures as (1, rows, columns), row 0 on top as a
    viewer shows it. The values are those in the file, as float32 or, in volumes, the small integers that it stores.

    Args:
        channel: which image of a multi-channel (4D) volume, from 0; None where volumes have no channels.
        color: how an RGB picture becomes one channel: the luminance (ITU-R BT.601) or one of its colors.

    Raises:
        DataError: when called: a file is missing, damaged or of another kind than expected. All problems of the
            item are in one message.
    """

    def __init__(self, channel: int | None = None, color: Color = "luminance") -> None:
        self.channel = channel
        self.color: Color = color

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with "image" and "label" read.

        Args:
            data: item with paths under "image" and "label"; its other entries are kept.
        """
        return _read_both(data, self._image, self._mask)

    def headers(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with "image" and "label" as tensors on the meta device: shape and affine, but no voxel.

        Args:
            data: as for calling it.

        Raises:
            DataError: a file is missing, its header is damaged, or it is of another kind than expected.
        """
        return _read_both(data, self._image_header, self._mask_header)

    def mask(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with "label" read and "image" left as it is, to look at masks alone.

        Args:
            data: as for calling it.

        Raises:
            DataError: the file of the mask is missing, damaged or of another kind than expected.
        """
        path = Path(data["label"])
        try:
            return {**data, "label": self._mask(path)}
        except DataError as error:
            raise DataError(f"label {path}: {error}") from error

    def _image(self, path: Path) -> MetaTensor:
        if _is_volume(path):
            return read_volume(path, self.channel)
        return read_picture(path, self.color)

    def _mask(self, path: Path) -> MetaTensor:
        return read_volume(path, is_mask=True) if _is_volume(path) else read_picture(path, None)

    def _image_header(self, path: Path) -> MetaTensor:
        if _is_volume(path):
            return read_volume_header(path, self.channel)
        return read_picture_header(path, is_mask=False)

    def _mask_header(self, path: Path) -> MetaTensor:
        return read_volume_header(path, is_mask=True) if _is_volume(path) else read_picture_header(path, is_mask=True)


def _read_both(
    data: Mapping[Hashable, Any], read_image: Callable[[Path], MetaTensor], read_mask: Callable[[Path], MetaTensor]
) -> dict[Hashable, Any]:
    item = dict(data)
    if Path(item["image"]) == Path(item["label"]):
        raise DataError(f"expected an image and its mask, found one file as both, {item['image']}; correct the list.")
    problems = []
    for key, read in (("image", read_image), ("label", read_mask)):
        path = Path(item[key])
        try:
            item[key] = read(path)
            item[key].meta[ImageMetaKey.FILENAME_OR_OBJ] = str(path)
        except DataError as error:
            problems.append(f"{key} {path}: {error}")
    if problems:
        raise DataError(" | ".join(problem.rstrip(".") for problem in problems) + ".")
    _check_same_shape(item["image"], item["label"])
    return item


def _check_same_shape(image: MetaTensor, label: MetaTensor) -> None:
    """Refuse two files that hold different grids, in the shapes that their own readers show.

    Files that merely store their axes in another order agree.
    """
    shapes = tuple(image.shape[1:]), tuple(label.shape[1:])
    if shapes[0] == shapes[1] and (len(shapes[0]) != 3 or torch.equal(image.affine, label.affine)):
        return
    if sorted(shapes[0]) == sorted(shapes[1]) and len(shapes[0]) == 3:
        along = [_along_patient(shape, one.affine) for shape, one in zip(shapes, (image, label), strict=True)]
        # An affine without axes is refused where volumes are oriented.
        if None in along or along[0] == along[1]:
            return
    lying = ", which lie along other axes of the patient" if shapes[0] == shapes[1] else ""
    raise DataError(
        f"'image' and 'label': expected the same shape, found {shapes[0]} and {shapes[1]}{lying}; "
        "pair each image with the mask that was drawn on it."
    )


def _along_patient(shape: tuple[int, ...], affine: torch.Tensor) -> tuple[int, ...] | None:
    """Voxels along the patient's axes; None if the affine tells of none."""
    matrix = affine.numpy()
    if not np.isfinite(matrix).all() or not abs(np.linalg.det(matrix[:3, :3])) > 0:
        return None
    axes = io_orientation(matrix)[:, 0].tolist()  # type: ignore[no-untyped-call]
    return tuple(shape[axes.index(axis)] for axis in range(3))


def _is_volume(path: Path) -> bool:
    if path.name.lower().endswith(VOLUME_SUFFIXES):
        return True
    if path.name.lower().endswith(PICTURE_SUFFIXES):
        return False
    raise DataError(f"expected a file ending in {', '.join((*VOLUME_SUFFIXES, *PICTURE_SUFFIXES))}; convert it.")
