"""TIFF, in which a number may mean many things."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from medsegdist.data.readers import read_picture
from medsegdist.errors import DataError


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.int16, np.int32, np.float32])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_of_every_depth(tmp_path, dtype, compression):
    low, high = {"u": (0, 255 if dtype == np.uint8 else 65535), "i": (-9999, 9999), "f": (-9, 9)}[np.dtype(dtype).kind]
    pixels = np.random.default_rng(0).uniform(low, high, (12, 10)).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, byteorder=">" if dtype == ">u2" else "<", compression=compression)
    for color in (None, "luminance"):
        np.testing.assert_array_equal(read_picture(path, color)[0], pixels)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_tiff_in_colors(tmp_path, planar):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif", "green")[0], pixels[..., 1])


MASK = np.eye(6, dtype=bool)


@pytest.mark.parametrize("pixels", [MASK, MASK.astype(np.uint8), MASK.astype(np.uint16)])
def test_a_tiff_mask_in_which_0_is_white_is_refused(tmp_path, pixels):
    """tifffile and scikit-image save a bool array so. Pillow inverts it, others do not: foreground or background?"""
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=None if pixels.dtype == bool else "miniswhite")
    with pytest.raises(DataError, match="expected 0 to be black, found a TIFF file in which 0 is white; save"):
        read_picture(tmp_path / "a.tif", None)


def test_a_tiff_image_in_which_0_is_white_is_read_as_it_is_shown(tmp_path):
    pixels = np.arange(30, dtype=np.uint8).reshape(5, 6)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif", "luminance")[0], 255 - pixels)
    tifffile.imwrite(tmp_path / "b.tif", pixels.astype(np.uint16), photometric="miniswhite")
    with pytest.raises(DataError, match="expected 0 to be black"):  # Pillow would show it inverted.
        read_picture(tmp_path / "b.tif", "luminance")


def test_pixels_that_would_lose_bits_are_refused(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
    with pytest.raises(DataError, match="expected 8 bits per color, found 16; save the picture in gray"):
        read_picture(tmp_path / "a.tif", "luminance")
    tifffile.imwrite(tmp_path / "b.tif", np.full((5, 7), -3, np.int8))
    with pytest.raises(DataError, match="expected pixels from 0 to 255, found 8 bits with a sign; save"):
        read_picture(tmp_path / "b.tif", "luminance")


def test_a_stack_of_pages_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5, 6), np.uint8), photometric="minisblack")
    with pytest.raises(DataError, match=r"expected one picture, found 4 pages; .* or a volume as NIfTI"):
        read_picture(tmp_path / "a.tif", None)


def test_print_colors_are_colors(tmp_path):
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[..., 0] = 255  # full cyan: no red, all green
    tifffile.imwrite(tmp_path / "a.tif", ink, photometric="separated")
    red, green = (float(read_picture(tmp_path / "a.tif", color).mean()) for color in ("red", "green"))
    assert red < 10
    assert green > 200
