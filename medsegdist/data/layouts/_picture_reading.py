"""Reading a picture as a viewer shows it, as a MONAI tensor.

This module imports MONAI: layouts import it inside `loader()` only.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from PIL import Image, ImageOps, UnidentifiedImageError

from medsegdist.data.layouts._paths import Color, check_present, damaged
from medsegdist.errors import DataError

# ITU-R BT.601, the weights that Pillow and most viewers use.
_COLOR_WEIGHTS: dict[str, tuple[float, float, float]] = {
    "luminance": (0.299, 0.587, 0.114),
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
}
# Tags of TIFF.
_PHOTOMETRIC, _SAMPLE_FORMAT = 262, 339
# A tag of EXIF, and its values for pictures whose rows are stored as columns.
_ORIENTATION, _ON_THEIR_SIDE = 0x0112, (5, 6, 7, 8)
# A picture that claims more pixels than any memory holds is refused by Pillow with an error of its own.
_UNREADABLE = (OSError, EOFError, ValueError, Image.DecompressionBombError)


def read_picture(path: Path, color: Color | None) -> MetaTensor:
    """A picture as a (1, rows, columns) float32 tensor, row 0 on top.

    Args:
        path: a PNG, JPEG, BMP or TIFF file.
        color: how RGB becomes one channel; None for masks, where a palette's indices are the labels and colors are
            an error unless they are gray.

    Raises:
        DataError: the file is missing, damaged or no picture, has several pages, or is a mask in colors.
    """
    check_present(path)
    try:
        # From memory and not by name: Pillow maps an uncompressed TIFF file, and garbles it if it lies on its side.
        with Image.open(io.BytesIO(path.read_bytes())) as picture:
            pages = getattr(picture, "n_frames", 1)
            if pages == 1:
                _check_pixels(picture, is_mask=color is None)
            # Cameras store pictures lying on their side, with a note which way is up; masks are drawn on what is shown.
            picture.load()
            shown = ImageOps.exif_transpose(picture)
            if shown.mode == "CMYK" or (shown.mode == "P" and color is not None):
                shown = shown.convert("RGB")
            pixels = np.array(shown).astype(np.float32)
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise damaged(UnidentifiedImageError("no picture of a kind that Pillow reads")) from error
    except _UNREADABLE as error:
        raise damaged(error) from error
    if pages != 1:
        raise _several(pages)
    return MetaTensor(torch.from_numpy(_one_channel(pixels, color)[None]))


def read_picture_header(path: Path, is_mask: bool) -> MetaTensor:
    """What :func:`read_picture` would give, without a pixel: a (1, rows, columns) tensor on the meta device.

    Args:
        path: as for `read_picture`.
        is_mask: whether it is a mask, whose numbers must be what is stored.

    Raises:
        DataError: the file is missing, no picture, has several pages, or has pixels that would not be read rightly.
    """
    check_present(path)
    try:
        with Image.open(path) as picture:
            pages = getattr(picture, "n_frames", 1)
            if pages == 1:
                _check_pixels(picture, is_mask=is_mask)
            columns, rows = picture.size
            if picture.getexif().get(_ORIENTATION, 1) in _ON_THEIR_SIDE:
                columns, rows = rows, columns
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise damaged(UnidentifiedImageError("no picture of a kind that Pillow reads")) from error
    except _UNREADABLE as error:
        raise damaged(error) from error
    if pages != 1:
        raise _several(pages)
    return MetaTensor(torch.empty((1, rows, columns), device="meta"))


def _several(pages: int) -> DataError:
    return DataError(
        f"expected one picture, found {pages} pages; save each page as a file of its own, or a volume as NIfTI."
    )


def _check_pixels(picture: Image.Image, is_mask: bool) -> None:
    """Refuse pixels that Pillow would read as other numbers than are stored or shown."""
    stored = " ".join(str(tile) for tile in getattr(picture, "tile", ()))
    if len(picture.getbands()) > 1 and ";16" in stored:
        raise DataError("expected 8 bits per color, found 16; save the picture in gray, or with 8 bits.")
    tags = getattr(picture, "tag_v2", {})
    if tags.get(_SAMPLE_FORMAT, (1,))[0] == 2 and picture.mode == "L":
        raise DataError("expected pixels from 0 to 255, found 8 bits with a sign; save the picture with 16 bits.")
    # Pillow inverts some of these and not others; and whether a mask's 1 or its black is meant, nobody can tell.
    if tags.get(_PHOTOMETRIC, 1) == 0 and (is_mask or picture.mode not in ("1", "L")):
        raise DataError("expected 0 to be black, found a TIFF file in which 0 is white; save it with 0 as black.")


def _one_channel(pixels: np.ndarray, color: Color | None) -> np.ndarray:
    if pixels.ndim == 2:
        return pixels
    # The last of 2 or 4 channels is transparency.
    bands = pixels[..., : pixels.shape[-1] - 1] if pixels.shape[-1] in (2, 4) else pixels
    if bands.shape[-1] == 1:
        return np.ascontiguousarray(bands[..., 0])
    if color is None:
        if not (bands == bands[..., :1]).all():
            raise DataError("expected a mask of one channel, found colors; save the mask as a gray picture.")
        return np.ascontiguousarray(bands[..., 0])
    return bands @ np.asarray(_COLOR_WEIGHTS[color], dtype=np.float32)
