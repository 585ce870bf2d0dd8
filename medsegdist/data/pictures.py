"""Reading 2D images as MONAI tensors: intensities of an image, and of a mask the labels that a person sees.

This module imports MONAI: layouts import it inside `load` only.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from medsegdist.data.inflate import inflate
from medsegdist.data.layouts.paths import Color
from medsegdist.data.problems import check_present, damaged_file
from medsegdist.errors import DataError

# Pillow raises all of these of a broken picture.
_BROKEN: tuple[type[Exception], ...] = (ValueError, TypeError, LookupError, ArithmeticError, SyntaxError)
_BROKEN += (OSError, EOFError, struct.error, zlib.error)
# By content, whatever a file is called: Pillow would start Ghostscript for one that is EPS.
_PICTURES = ("PNG", "JPEG", "BMP", "TIFF")
# 8192 x 8192, more than any camera, X-ray or fundus has; reading takes up to 29 bytes for each.
_MOST_PIXELS = 2**26
# ITU-R BT.601, the weights that Pillow and most viewers use.
_COLOR_WEIGHTS = {"luminance": (0.299, 0.587, 0.114), "red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}
# Tags of TIFF and EXIF, and the orientations whose rows are stored as columns.
_COLUMNS, _ROWS, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANES = 256, 257, 258, 259, 262, 277, 284
_COLORS, _SAMPLE_FORMAT, _DESCRIPTION, _DEPTH = 320, 339, 270, 32997
# Where the strips or tiles of a TIFF file are, and how many bytes each has; and the numbers of deflate.
_PARTS, _DEFLATED = ((273, 279), (324, 325)), (8, 32946)
_ODD_TIFF = "expected gray values, RGB or a palette of 16 bits, found a TIFF file of other samples or colors"
_AS_PNG = "save the picture as PNG, in gray or RGB"
_ORIENTATION, _ON_THEIR_SIDE = 0x0112, (5, 6, 7, 8)


def read_picture(path: Path, color: Color | None, *, header_only: bool = False) -> MetaTensor:
    """A 2D image as a (1, rows, columns) float32 tensor, row 0 on top, as a viewer shows it.

    Without a color it is a mask, whose labels are its grays, or the indices of a palette in colors whose first one is
    black. With `header_only` the tensor is on the meta device.
    """
    check_present(path)
    try:
        # From memory and not by name: Pillow maps an uncompressed TIFF file, and garbles a rotated one.
        content = b"" if header_only else path.read_bytes()
        source = path if header_only else io.BytesIO(content)
        with warnings.catch_warnings():
            # Of a large picture; what is too large is refused below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(source, formats=_PICTURES)
        with opened as picture:
            tags = getattr(picture, "tag_v2", {})
            # ImageJ and tifffile may write all planes of a stack as one page.
            planes = re.findall(r"^images=(\d{1,9})$", str(tags.get(_DESCRIPTION, "")), re.MULTILINE)
            pages = max(getattr(picture, "n_frames", 1), tags.get(_DEPTH, 1), *map(int, planes))
            if pages != 1:
                remedy = "save each page as a file of its own, or a volume as NIfTI"
                raise DataError(f"expected one picture, found {pages} pages", remedy)
            if picture.width * picture.height > _MOST_PIXELS:
                raise Image.DecompressionBombError(f"{picture.width} x {picture.height}")
            _check_pixels(picture, tags, is_mask=color is None)
            unsigned_32 = picture.mode == "I" and tags.get(_SAMPLE_FORMAT, (1,))[0] == 1
            if header_only:
                # Of TIFF, Pillow has turned the size by itself.
                size = (tags.get(_ROWS, picture.height), tags.get(_COLUMNS, picture.width))
                size = size[::-1] if picture.getexif().get(_ORIENTATION, 1) in _ON_THEIR_SIDE else size
                return MetaTensor(torch.empty((1, *size), device="meta"))
            _prepare_tiff(picture, tags, content)
            # Cameras store pictures lying on their side, with a note which way is up; masks are drawn on what is shown.
            picture.load()
            if unsigned_32 and np.asarray(picture).min() < 0:
                raise DataError("expected pixels below 2147483648, found larger ones", "save the picture with 16 bits")
            shown = ImageOps.exif_transpose(picture)
            pixels = _labels(shown) if color is None else _intensities(shown, color)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        problem = f"expected at most {_MOST_PIXELS} pixels, found too large a picture ({error})"
        raise DataError(problem, "scale the picture and its mask down, or cut both into tiles") from error
    except UnidentifiedImageError as error:
        with path.open("rb") as file:
            if file.read(2) in (b"II", b"MM"):
                raise DataError(f"{_ODD_TIFF}, or a damaged one", _AS_PNG) from error
        raise damaged_file(UnidentifiedImageError(f"no picture that is {', '.join(_PICTURES)}")) from error
    except _BROKEN as error:
        raise damaged_file(error) from error
    return MetaTensor(torch.from_numpy(pixels[None]))


def _check_pixels(picture: Image.Image, tags: Mapping[int, Any], is_mask: bool) -> None:
    """Refuse pixels that Pillow would read as other numbers than are stored or shown."""
    stored = " ".join(str(tile) for tile in getattr(picture, "tile", ()))
    if len(picture.getbands()) > 1 and (";16" in stored or max(tags.get(_BITS, (8,))) > 8):
        raise DataError("expected 8 bits per color, found 16", "save the picture in gray, or with 8 bits")
    if picture.format == "BMP":
        file: Any = picture.fp  # type: ignore[attr-defined]
        file.seek(14)
        header = file.read(56)
        size, bits, compression, alpha = struct.unpack("<I10xHI32xI", header)
        # In headers of OS/2, which are shorter.
        bits = header[10] if size == 12 else bits
        # Pillow takes two colors for one bit, and reads pixels of 8 bits as if they were that.
        if picture.mode == "1" and bits != 1:
            raise DataError(f"expected one bit for a pixel of two colors in BMP, found {bits}", "save it as PNG")
        # Of 16 bits for a pixel it passes over the one that is transparency.
        if size >= 56 and compression == 3 and alpha and picture.mode == "RGB":
            raise DataError("expected a BMP file without transparency, found one of 16 bits with it", "save it as PNG")
    if "transparency" in picture.info and (";2" in stored or ";4" in stored) and picture.mode == "L":
        raise DataError("expected 8 bits for a gray with transparency, found fewer", "save it without transparency")
    # Pillow passes over samples that are neither colors nor transparency, and over the lower bits of a palette.
    passed_over = tags.get(_SAMPLES, 1) > len(picture.getbands()) or max(tags.get(_COLORS, (256,))) < 256
    # Of gray and transparency in planes, over the latter.
    passed_over |= picture.mode == "LA" and tags.get(_PLANES) == 2
    if passed_over or picture.mode in ("LAB", "La", "PA"):
        raise DataError(_ODD_TIFF, _AS_PNG)
    if tags.get(_SAMPLE_FORMAT, (1,))[0] == 2 and picture.mode == "L":
        raise DataError("expected pixels from 0 to 255, found 8 bits with a sign", "save the picture with 16 bits")
    # Pillow inverts some of these and not others; and whether a mask's 1 or its black is meant, is not known.
    if tags.get(_PHOTOMETRIC, 1) == 0 and (is_mask or picture.mode not in ("1", "L")):
        raise DataError("expected 0 to be black, found a TIFF file in which 0 is white", "save it with 0 as black")


def _prepare_tiff(picture: Any, tags: Mapping[int, Any], content: bytes) -> None:
    """Keep Pillow from reading damaged parts of a TIFF file, parts that are left out, or bytes in the wrong order."""
    for starts, lengths in ((tags[where], tags.get(how_long, ())) for where, how_long in _PARTS if where in tags):
        if 0 in starts:
            raise DataError("expected a whole picture, found a TIFF file that leaves parts of it out", "save it as PNG")
        # libtiff stops after the last pixel, before the checksum.
        for start, length in zip(starts, lengths, strict=False) if tags.get(_COMPRESSION) in _DEFLATED else ():
            inflate(content[start : start + length], 8 * _MOST_PIXELS)
    # libtiff gives numbers in the order of the machine, and Pillow turns those of some types a second time.
    if [tile.codec_name for tile in picture.tile] == ["libtiff"]:
        (tile,) = picture.tile
        picture.tile = [tile._replace(args=(re.sub("B(?=[SF]$)", "N", tile.args[0]), *tile.args[1:]))]


def _intensities(picture: Image.Image, color: Color) -> NDArray[np.float32]:
    """One channel of an image, which transparency may hide where it is black already."""
    alpha = _transparency(picture, np.asarray(picture))
    picture.info.pop("transparency", None)
    # Of one bit, too, white is 255.
    shown = {"1": "L", "CMYK": "RGB", "P": "RGB", "YCbCr": "RGB"}.get(picture.mode)
    plain = picture.convert(shown) if shown else picture
    pixels = _one_channel(np.asarray(plain).astype(np.float32), color)
    if alpha is not None and alpha.min() < alpha.max() and pixels[alpha < alpha.max()].any():
        problem = "expected what is transparent to be black, found pixels that transparency hides or dims"
        raise DataError(problem, "save the image without transparency, as it is to be seen")
    return pixels


def _one_channel(pixels: NDArray[np.float32], color: Color | None) -> NDArray[np.float32]:
    if pixels.ndim == 2:
        return pixels
    # The last of 2 or 4 channels is transparency.
    bands = pixels[..., : pixels.shape[-1] - 1] if pixels.shape[-1] in (2, 4) else pixels
    if bands.shape[-1] > 1 and color is not None:
        return bands @ np.asarray(_COLOR_WEIGHTS[color], dtype=np.float32)
    if not (bands == bands[..., :1]).all():
        raise DataError("expected a mask of one channel, found colors", "save the mask as a gray picture")
    return np.ascontiguousarray(bands[..., 0])


def _labels(picture: Image.Image) -> NDArray[np.float32]:
    """The labels of a mask: what a person sees, which neither a palette's order nor transparency may change."""
    values = np.asarray(picture.convert("RGB") if picture.mode == "CMYK" else picture)
    shown = values
    if picture.mode == "P":
        palette = np.array(picture.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
        if values.max() >= len(palette):
            raise DataError(f"expected a palette of {values.max() + 1} colors, found {len(palette)}", "save it again")
        # Programs that choose the colors of each picture leave their order to chance; a list of all 256 is a fixed one.
        # TIFF fills up with black.
        colors = palette[: np.flatnonzero(palette.sum(axis=1)).max(initial=0) + 1]
        fixed = not palette[0].any() and (len(colors) in (2, 256) or _is_voc(colors))
        # By all colors and not by those in use, so that all masks of a dataset are read alike.
        by_index = fixed and not _in_gray(colors)
        if not by_index and not _in_gray(palette[values]):
            problem = "expected a palette in gray, or one of 2 or 256 colors that begins with black, found another one"
            raise DataError(problem, "save the mask in gray, with one value for each label")
        shown = values if by_index else palette[values][..., 0]
    labels = _one_channel(shown.astype(np.float32), None)
    alpha = _transparency(picture, values)
    # Where transparency agrees with the labels, as of a segment on nothing, it says nothing new.
    if alpha is not None and alpha.min() < alpha.max() and not np.array_equal(alpha, alpha.max() * (labels != 0)):
        problem = "expected a mask in gray, found a shape in its alpha channel (transparency)"
        raise DataError(problem, "save the mask without transparency, with 0 as background")
    return labels


def _transparency(picture: Image.Image, values: NDArray[Any]) -> NDArray[Any] | None:
    """(rows, columns) how opaque the pixels `values` are; None if the picture has no transparency."""
    if picture.mode in ("LA", "RGBA"):
        return np.asarray(values[..., -1])
    clear = picture.info.get("transparency")
    if clear is None:
        return None
    if isinstance(clear, bytes):
        return np.asarray(np.array([*clear, *[255] * (256 - len(clear))], dtype=np.uint8)[values])
    # Of one bit, Pillow gives 0 or 255 here and no more than truth as the pixel.
    clear = bool(clear) if picture.mode == "1" else clear
    return np.asarray((values != np.asarray(clear)).reshape(*values.shape[:2], -1).any(axis=-1))


def _in_gray(colors: NDArray[np.uint8]) -> bool:
    return bool((colors == colors[..., :1]).all())


def _is_voc(palette: NDArray[np.uint8]) -> bool:
    """Whether these are the first colors of Pascal VOC, in which labelme and others write label k as color k."""
    k = np.arange(len(palette))[:, None]
    bits = [((k >> (3 * place + np.arange(3))) & 1) << (7 - place) for place in range(8)]
    return np.array_equal(palette, sum(bits))
