"""Folders of pictures and volumes: how files pair up, and what the pixels of PNG and TIFF mean."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tifffile
from PIL import Image

from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.layouts.listing import Case
from medsegdist.data.readers import read_picture
from medsegdist.errors import DataError
from tests.data.making import write_picture, write_pictures

# An F: no flip, rotation or transposition of it is itself.
LETTER = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]], dtype=np.uint8) * 255
COLORS = np.random.default_rng(0).integers(0, 256, (5, 3, 3), dtype=np.uint8)


def png_layout(root, **options):
    return FolderLayout(root=root, **{"images": "images/*.png", "masks": "masks/*.png"} | options)


def read(root, pixels, mask=LETTER, mode=None, mask_mode=None, **options):
    write_picture(root / "images" / "a.png", pixels, mode)
    write_picture(root / "masks" / "a.png", mask, mask_mode)
    layout = png_layout(root, **options)
    (case,) = layout.cases()
    return layout.load(case.as_item())


def test_files_are_paired_by_the_part_at_the_star(tmp_path):
    for name in ("s2_10", "s1_9", "s1_10"):
        write_picture(tmp_path / "scans" / f"ct_{name}.png", LETTER)
        write_picture(tmp_path / "truth" / f"{name}_mask.bmp", LETTER)
    layout = png_layout(tmp_path, images="scans/ct_*.png", masks="truth/*_mask.bmp", patient_pattern=r"^(s\d)_")
    assert layout.cases() == [
        Case(
            id=name,
            patient_id=name[:2],
            image=str(tmp_path / "scans" / f"ct_{name}.png"),
            label=str(tmp_path / "truth" / f"{name}_mask.bmp"),
        )
        for name in ("s1_10", "s1_9", "s2_10")
    ]


def test_brackets_in_names_are_no_wildcards(tmp_path):
    write_pictures(tmp_path / "[x]?")
    layout = png_layout(tmp_path, images="[x]?/images/*.png", masks="[x]?/masks/*.png")
    assert [case.id for case in layout.cases()] == ["a", "b"]


def test_names_that_are_no_utf_8_are_refused(tmp_path):
    """As they come out of an old archive; a cache or a report could not be written with them."""
    write_pictures(tmp_path)
    for folder in ("images", "masks"):
        (tmp_path / folder / "a.png").rename(tmp_path / folder / os.fsdecode(b"\xe4.png"))
    with pytest.raises(DataError, match=r"expected names in UTF-8, found '\\udce4'; rename these files"):
        png_layout(tmp_path).cases()


def test_hidden_files_are_passed_over(tmp_path):
    write_pictures(tmp_path)
    (tmp_path / "images" / "._a.png").write_bytes(b"left by a Mac")
    assert [case.id for case in png_layout(tmp_path).cases()] == ["a", "b"]


def test_missing_and_empty_folder(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist; set `root`"):
        png_layout(tmp_path / "nowhere").cases()
    with pytest.raises(DataError, match=r"holds 0 files 'images/\*\.png' and 0 files 'masks/\*\.png'; correct"):
        png_layout(tmp_path).cases()


def test_row_0_is_on_top_and_column_0_on_the_left(tmp_path):
    item = read(tmp_path, 255 - LETTER)
    np.testing.assert_array_equal(item["image"], 255 - LETTER[None])
    np.testing.assert_array_equal(item["label"], LETTER[None])
    assert item["image"].dtype.is_floating_point


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_picture_stored_on_its_side_is_read_as_it_is_shown(tmp_path, suffix):
    write_picture(tmp_path / "masks" / "a.png", LETTER)
    exif = Image.Exif()
    # To be turned clockwise by a quarter.
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    Image.fromarray(np.rot90(LETTER).copy()).save(tmp_path / "images" / f"a{suffix}", exif=exif)
    layout = png_layout(tmp_path, images=f"images/*{suffix}")
    np.testing.assert_array_equal(layout.load(layout.cases()[0].as_item())["image"][0], LETTER)


@pytest.mark.parametrize(("color", "band"), [("red", 0), ("green", 1), ("blue", 2)])
def test_one_color_of_rgb(tmp_path, color, band):
    np.testing.assert_array_equal(read(tmp_path, COLORS, color=color)["image"][0], COLORS[..., band])


def test_luminance_is_pillows_to_its_rounding(tmp_path):
    expected = np.asarray(Image.fromarray(COLORS).convert("L"), dtype=np.float32)
    # Pillow truncates to whole numbers.
    np.testing.assert_allclose(read(tmp_path, COLORS)["image"][0], expected, atol=1.0)


def test_sixteen_bits_and_one_bit_are_kept(tmp_path):
    deep = LETTER.astype(np.uint16) * 257
    item = read(tmp_path, deep, mask_mode="1")
    np.testing.assert_array_equal(item["image"][0], deep)
    np.testing.assert_array_equal(item["label"][0], LETTER // 255)


def test_a_palette_of_all_colors_is_labels_in_a_mask_and_colors_in_an_image(tmp_path):
    indices = np.arange(15, dtype=np.uint8).reshape(5, 3) % 4
    palette = [0, 0, 0, *range(3, 3 * 256)]
    palette = [value % 256 for value in palette]
    shown = {"images": indices[::-1], "masks": indices}
    for folder, values in shown.items():
        picture = Image.fromarray(values)
        picture.putpalette(palette)
        (tmp_path / folder).mkdir()
        picture.save(tmp_path / folder / "a.png")
    layout = png_layout(tmp_path, color="red")
    item = layout.load(layout.cases()[0].as_item())
    np.testing.assert_array_equal(item["label"][0], indices)
    np.testing.assert_array_equal(item["image"][0], np.array(palette[::3])[shown["images"]])


def test_a_mask_in_colors_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"label .*a\.png: expected a mask of one channel, found colors; save"):
        read(tmp_path, LETTER, COLORS)


def test_a_folder_in_the_place_of_a_file_and_an_unknown_ending_are_refused(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(DataError, match=r"a\.png: the file is a folder.*b\.dcm: expected a file ending in \.nii\.gz"):
        png_layout(tmp_path).load({"image": tmp_path / "a.png", "label": tmp_path / "b.dcm"})


@pytest.mark.realdata
def test_real_pictures(data_root):
    layout = png_layout(data_root / "msd_liver_ct2d", patient_pattern=r"^liver_(\d+)_")
    cases = layout.cases()
    assert len(cases) == 623
    assert len({case.patient_id for case in cases}) == 122
    item = layout.load(cases[0].as_item())
    with Image.open(cases[0].image) as picture:
        np.testing.assert_array_equal(item["image"][0], np.asarray(picture))


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
