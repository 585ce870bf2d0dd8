"""Masks that are pictures: JPEG, soft edges, palettes, transparency, and what `init` and `check` say of them."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from medsegdist.data.check import check_dataset
from medsegdist.data.collect import load_samples
from medsegdist.data.inspect import inspect
from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.manifest import DatasetManifest, Preprocessing
from medsegdist.data.pictures import read_picture
from medsegdist.data.proposal import propose
from medsegdist.errors import DataError
from tests.public_reports import Report

# 300 pixels of an image of 48 x 64.
BOX = np.zeros((48, 64), dtype=np.uint8)
BOX[10:25, 10:30] = 1
ROUND = (np.hypot(*(np.mgrid[:48, :64] - np.array([[[23.5]], [[30.5]]]))) < 13.75).astype(np.uint8)
WHITE = np.full_like(BOX, 255)
AS_IT_IS = Preprocessing(grid=BOX.shape, min_pixels=1)


def _labels_of(tmp_path: Path, picture: Image.Image, suffix: str = ".png", **options: Any) -> NDArray[np.float32]:
    picture.save(tmp_path / f"mask{suffix}", **options)
    return np.asarray(read_picture(tmp_path / f"mask{suffix}", None)[0])


def _is_box(labels: NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(labels != 0, BOX == 1)
    assert len(np.unique(labels)) == 2


def _refused(message: str, read: Callable[[], object]) -> None:
    with pytest.raises(DataError, match=message):
        read()


def _with_alpha(gray: NDArray[np.uint8], alpha: NDArray[np.uint8], *, color: bool) -> Image.Image:
    return Image.fromarray(np.stack([gray, gray, gray, alpha] if color else [gray, alpha], axis=-1))


def _shape_in_alpha(tmp_path: Path) -> None:
    black = np.zeros_like(BOX)
    for color in (True, False):
        for gray in (WHITE, black, WHITE // 2):
            for alpha in (BOX * 255, 255 - BOX * 255, BOX * 100 + 50):
                picture = _with_alpha(gray, alpha, color=color)
                _refused("alpha channel", lambda picture=picture: _labels_of(tmp_path, picture))  # type: ignore[misc]
    gray = Image.fromarray(BOX * 255)
    _refused("alpha channel", lambda: _labels_of(tmp_path, gray, transparency=255))
    _refused("alpha channel", lambda: _labels_of(tmp_path, gray.convert("1"), transparency=1))
    _refused("alpha channel", lambda: _labels_of(tmp_path, gray.convert("RGB"), transparency=(255, 255, 255)))
    palette = _in_palette(BOX, [0, 0, 0, 255, 255, 255])
    _refused("alpha channel", lambda: _labels_of(tmp_path, palette, transparency=1))
    _refused("alpha channel", lambda: _labels_of(tmp_path, palette, transparency=bytes([128, 255])))
    deep = Image.fromarray(BOX.astype(np.uint16) * 65535)
    _refused("alpha channel", lambda: _labels_of(tmp_path, deep, transparency=65535))


def _alpha_that_says_nothing_new(tmp_path: Path) -> None:
    for color in (True, False):
        for alpha in (WHITE, WHITE // 2, WHITE * 0, BOX * 255):
            _is_box(_labels_of(tmp_path, _with_alpha(BOX * 255, alpha, color=color)))
            _is_box(_labels_of(tmp_path, _with_alpha(BOX * 255, alpha, color=color), ".tif"))
    _is_box(_labels_of(tmp_path, Image.fromarray(BOX * 255), transparency=0))
    _is_box(_labels_of(tmp_path, _in_palette(BOX, [0, 0, 0, 255, 255, 255]), transparency=0))


def _in_palette(indices: NDArray[np.uint8], colors: list[int]) -> Image.Image:
    picture = Image.fromarray(indices)
    picture.putpalette(colors)
    return picture


def _both_orders(tmp_path: Path) -> None:
    black_first, white_first = [0, 0, 0, 255, 255, 255], [255, 255, 255, 0, 0, 0]
    all_grays = [value for value in range(256) for _ in range(3)]
    pictures = [
        _in_palette(BOX, black_first),
        _in_palette(1 - BOX, white_first),
        _in_palette(BOX, black_first + [0] * 762),
        _in_palette(1 - BOX, white_first + [7] * 762),
        _in_palette(BOX * 255, all_grays),
        _in_palette((1 - BOX) * 255, all_grays[::-1]),
        Image.fromarray(BOX * 255).convert("RGB").quantize(2),
        Image.fromarray(BOX * 255).quantize(2),
        Image.fromarray(BOX * 255),
    ]
    for suffix in (".png", ".tif", ".bmp"):
        folder = tmp_path / suffix[1:]
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True)
        for k, picture in enumerate(pictures):
            Image.fromarray(BOX * 40 + 3 * k + np.arange(64, dtype=np.uint8)).save(folder / "images" / f"{k}{suffix}")
            picture.save(folder / "masks" / f"{k}{suffix}")
        if suffix == ".bmp":
            _refused("expected one bit .* found 8", lambda: load_samples(_pictures(tmp_path / "bmp", ".bmp"), AS_IT_IS))
            (folder / "masks" / "0.bmp").unlink()
            (folder / "images" / "0.bmp").unlink()
        samples = load_samples(_pictures(folder, suffix), AS_IT_IS)
        assert (samples.masks.numpy() == (BOX == 1)).all()


def _palettes_in_colors(tmp_path: Path) -> None:
    red, green = [255, 0, 0], [0, 255, 0]
    three = BOX * 2
    three[0, 0] = 1
    fixed = [0, 0, 0, *red, *green, *range(3, 256), *range(256), *range(250)]
    voc = [0, 0, 0, 128, 0, 0, 0, 128, 0]
    for picture in (_in_palette(three, fixed), _in_palette(three, voc)):
        np.testing.assert_array_equal(_labels_of(tmp_path, picture), three)
    _is_box(_labels_of(tmp_path, _in_palette(BOX, [0, 0, 0, *red])))
    for indices, colors in (
        (1 - BOX, [*red, 0, 0, 0]),
        (three, [0, 0, 0, *red, *green]),
        (three, [0, 0, 0, *green, *red]),
        (three, [*red, *green, 0, 0, 0]),
    ):
        picture = _in_palette(indices, colors)
        _refused("palette in gray", lambda picture=picture: _labels_of(tmp_path, picture))  # type: ignore[misc]


def _palettes_of_any_colors_in_use(tmp_path: Path) -> None:
    """A palette is read by index or by color whatever colors a picture uses."""
    voc = [
        sum((k >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3)) for k in range(256) for channel in range(3)
    ]
    ade = [0, 0, 0, 120, 120, 120, 180, 120, 120, *range(1, 256), *range(1, 256), *range(1, 250)]
    few = [0, 0, 0, 120, 120, 120, 180, 120, 120]
    for colors, label, right in ((voc, 7, 7), (ade, 1, 1), (few, 1, 120)):
        indices = BOX * label
        np.testing.assert_array_equal(_labels_of(tmp_path, _in_palette(indices, colors)), BOX * right)
        indices[0, 0] = 2
        read = lambda indices=indices, colors=colors: _labels_of(tmp_path, _in_palette(indices, colors))  # noqa: E731
        if right == label:
            np.testing.assert_array_equal(read(), indices)
        else:
            _refused("palette in gray", read)


def _white_of_one_bit(tmp_path: Path) -> None:
    """255 in an image, as of 2, 4 and 8 bits; a mask's label 1."""
    for suffix in (".png", ".tif", ".bmp"):
        for mode in ("1", "L"):
            Image.fromarray(BOX * 255).convert(mode).save(tmp_path / f"a{suffix}")
            np.testing.assert_array_equal(read_picture(tmp_path / f"a{suffix}", "luminance")[0], BOX * 255)
            labels = read_picture(tmp_path / f"a{suffix}", None)[0]
            np.testing.assert_array_equal(labels, BOX * (1 if mode == "1" else 255))


def _pictures(root: Path, suffix: str, **options: Any) -> DatasetManifest:
    layout = FolderLayout(root=root, images=f"images/*{suffix}", masks=f"masks/*{suffix}")
    return DatasetManifest(name="pictures", modality="other", layout=layout, **options)


def _write(root: Path, masks: list[Image.Image], suffix: str, **options: Any) -> Path:
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for k, mask in enumerate(masks):
        ramp = Image.fromarray(np.tile(np.arange(0, 128, 2, dtype=np.uint8) + k, (48, 1)))
        ramp.save(root / "images" / f"{k}{suffix}")
        mask.save(root / "masks" / f"{k}{suffix}", **options)
    return root


def _proposed(root: Path) -> tuple[float | None, tuple[int, ...] | None, str]:
    (one,) = propose(inspect(str(root)))
    return one.threshold, one.foreground, one.reasons.get("mask_threshold", "")


def _masks_of_jpeg(tmp_path: Path) -> None:
    true = int(ROUND.sum())
    for quality in (50, 75, 95, 100):
        for mode in ("L", "RGB"):
            masks = [Image.fromarray(np.roll(ROUND, k, axis=1) * 255).convert(mode) for k in range(3)]
            root = _write(tmp_path / f"{quality}{mode}", masks, ".jpg", quality=quality)
            threshold, foreground, reason = _proposed(root)
            assert (threshold, foreground) == (128, None)
            assert reason.startswith("half of 8 bits: edges are soft, as of JPEG")
            manifest = _pictures(root, ".jpg", mask_threshold=threshold)
            sizes = load_samples(manifest, AS_IT_IS).masks.flatten(1).sum(1)
            assert all(abs(size - true) <= 0.01 * true for size in sizes.tolist()), (quality, mode, sizes)
            assert [one for one in check_dataset(manifest, AS_IT_IS).problems if "mask" in one.problem] == []


def _soft_edges(tmp_path: Path) -> None:
    true = int(ROUND.sum())
    fine = np.hypot(*((np.mgrid[:192, :256] + 0.5) / 4 - np.array([[[24]], [[31]]]))) < 13.75
    soft = {
        "smoothed": gaussian_filter(ROUND * 255.0, 1),
        "antialiased": fine.reshape(48, 4, 64, 4).mean(axis=(1, 3)) * 255,
        "deep": gaussian_filter(ROUND * 65535.0, 1),
    }
    for full in (100, 200, 4095):
        soft[str(full)] = gaussian_filter(ROUND * float(full), 1)
    proposed = {"deep": 32768, "100": 50, "200": 100, "4095": 2048}
    for name, mask in soft.items():
        kind = np.uint16 if mask.max() > 255 else np.uint8
        root = _write(tmp_path / name, [Image.fromarray(np.rint(mask).astype(kind))] * 2, ".png")
        threshold, foreground, _ = _proposed(root)
        assert (threshold, foreground) == (proposed.get(name, 128), None), name
        samples = load_samples(_pictures(root, ".png", mask_threshold=threshold), AS_IT_IS)
        assert abs(int(samples.masks[0].sum()) - true) <= 0.02 * true, name


def _labels_are_no_soft_edges(tmp_path: Path) -> None:
    labels = np.zeros_like(BOX)
    for k, value in enumerate((40, 80, 120, 160, 200, 255)):
        labels[4:40, 10 * k : 10 * k + 8] = value
    threshold, foreground, _ = _proposed(_write(tmp_path / "six", [Image.fromarray(labels)] * 2, ".png"))
    assert (threshold, foreground) == (None, (40, 80, 120, 160, 200, 255))
    thin = np.zeros_like(BOX)
    thin[4:40] = 1 + np.arange(64) // 2
    threshold, foreground, _ = _proposed(_write(tmp_path / "thin", [Image.fromarray(thin)] * 2, ".png"))
    assert (threshold, foreground) == (None, tuple(range(1, 33)))
    for value in (1, 128, 255):
        threshold, foreground, _ = _proposed(_write(tmp_path / f"{value}", [Image.fromarray(BOX * value)] * 2, ".png"))
        assert (threshold, foreground) == (None, (value,))


def _check_warns(tmp_path: Path) -> None:
    root = _write(tmp_path / "jpeg", [Image.fromarray(ROUND * 255)] * 2, ".jpg")
    everywhere = _write(tmp_path / "everywhere", [Image.fromarray(WHITE)] * 2, ".png")
    for full in (True, False):
        problems = check_dataset(_pictures(root, ".jpg", foreground=[255]), AS_IT_IS, full=full).problems
        (found,) = [one for one in problems if "does not name" in one.problem]
        assert found.severity == "warning"
        assert "`mask_threshold` (128 for 8 bits)" in found.remedy
        for options in ({"foreground": [255]}, {}, {"mask_threshold": 128}, {"classes": {"a": [255]}}):
            problems = check_dataset(_pictures(everywhere, ".png", **options), AS_IT_IS, full=full).problems
            (found,) = [one for one in problems if "foreground everywhere" in one.problem]
            assert found.severity == "warning"


RAMP = np.add.outer(3 * np.arange(48), np.arange(64)).astype(np.uint8)


def _intensities(tmp_path: Path, picture: Image.Image, suffix: str = ".png", **options: Any) -> NDArray[np.float32]:
    picture.save(tmp_path / f"image{suffix}", **options)
    return np.asarray(read_picture(tmp_path / f"image{suffix}", "luminance")[0])


def _images_with_alpha(tmp_path: Path) -> None:
    cut_out = RAMP * BOX
    for color in (True, False):
        for gray, alpha in ((RAMP, WHITE), (RAMP, WHITE // 2), (cut_out, BOX * 255), (cut_out, BOX * 100)):
            found = _intensities(tmp_path, _with_alpha(gray, alpha, color=color))
            np.testing.assert_allclose(found, gray, atol=1e-4)
        for gray, alpha in ((RAMP, BOX * 255), (RAMP, 255 - BOX * 100), (WHITE - cut_out, BOX * 255)):
            picture = _with_alpha(gray, alpha, color=color)
            _refused("transparent to be black", lambda picture=picture: _intensities(tmp_path, picture))  # type: ignore[misc]
    _refused("transparent to be black", lambda: _intensities(tmp_path, Image.fromarray(RAMP), transparency=9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clear = _in_palette(BOX, [0, 0, 0, 255, 255, 255])
        np.testing.assert_allclose(_intensities(tmp_path, clear, transparency=bytes([0, 255])), BOX * 255, atol=1e-4)


def _tiff(tmp_path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    return tmp_path / "a.tif"


def _tags(path: Path, *tags: int) -> list[tuple[int, ...]]:
    with tifffile.TiffFile(path) as file:
        return [file.pages[0].tags[tag].value for tag in tags]


def _odd_tiff(tmp_path: Path) -> None:
    extra: dict[str, Any] = {"extrasamples": ["unspecified"], "planarconfig": "contig"}
    dark = np.zeros((3, 256), dtype=np.uint16)
    dark[:, 1] = 200
    large = BOX.astype(np.uint32) * 3_000_000_000
    deep = RAMP.astype(np.uint16)
    planes: dict[str, Any] = {"photometric": "minisblack", "extrasamples": ["unassalpha"], "planarconfig": "separate"}
    for message, pixels, options in (
        ("other samples or colors", np.dstack([WHITE, BOX]), extra | {"photometric": "minisblack"}),
        ("other samples or colors", np.dstack([WHITE] * 3 + [BOX]), extra | {"photometric": "rgb"}),
        ("other samples or colors", BOX, {"photometric": "palette", "colormap": dark}),
        ("pixels below 2147483648", large, {"photometric": "minisblack"}),
        ("8 bits per color, found 16", np.stack([deep] * 3), {"photometric": "rgb", "planarconfig": "separate"}),
        ("other samples or colors", np.stack([WHITE, BOX]), planes | {"compression": "zlib"}),
        ("or a damaged one; save the picture as PNG", np.stack([deep, deep]), planes),
    ):
        path = _tiff(tmp_path, pixels, **options)
        for color in (None, "luminance"):
            _refused(message, lambda path=path, color=color: read_picture(path, color))  # type: ignore[misc]
    gray = Image.fromarray(RAMP)
    lab = Image.merge("LAB", [gray] * 3)
    _refused("other samples or colors", lambda: _intensities(tmp_path, lab, ".tif"))
    found = _intensities(tmp_path, gray.convert("RGB").convert("YCbCr"), ".tif")
    np.testing.assert_allclose(found, RAMP, atol=2)
    for turn in range(1, 9):
        path = _tiff(tmp_path, RAMP, photometric="minisblack", extratags=[(274, "H", 1, turn, True)])
        assert read_picture(path, None).shape == read_picture(path, None, header_only=True).shape


def _every_type_of_tiff(tmp_path: Path) -> None:
    for kind in ("u1", "u2", "i2", "i4", "f4"):
        pixels = RAMP.astype(kind) * np.array(0.5 if kind == "f4" else 1, kind) - np.array(9 * (kind[0] != "u"), kind)
        for order, packed, tile in product("<>", (None, "zlib"), (None, (16, 16))):
            options = {"byteorder": order, "compression": packed, "tile": tile}
            path = _tiff(tmp_path, pixels, photometric="minisblack", **options)
            np.testing.assert_array_equal(read_picture(path, None)[0], pixels, err_msg=f"{kind} {options}")


def _damaged_tiff(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 2, BOX.shape, dtype=np.uint8)
    path = _tiff(tmp_path, pixels, photometric="minisblack", compression="zlib")
    content = bytearray(path.read_bytes())
    (start,), (length,) = _tags(path, 273, 279)
    for place in range(start + 10, start + length, 9):
        content[place] ^= 0x55
        path.write_bytes(content)
        _refused("the file cannot be read", lambda: read_picture(path, None))
        content[place] ^= 0x55
    path = _tiff(tmp_path, pixels, photometric="minisblack", rowsperstrip=24)
    (starts,) = _tags(path, 273)
    path.write_bytes(path.read_bytes().replace(struct.pack("<2I", *starts), struct.pack("<2I", starts[0], 0)))
    _refused("a TIFF file that leaves parts of it out", lambda: read_picture(path, None))


def _stacks_of_one_page(tmp_path: Path) -> None:
    stack = np.stack([RAMP] * 3)
    gray: dict[str, Any] = {"photometric": "minisblack"}
    path = _tiff(tmp_path, stack, volumetric=True, tile=(16, 16, 16), **gray)
    _refused("expected one picture, found 3 pages", lambda: read_picture(path, None))
    _tiff(tmp_path, RAMP, description="ImageJ=1.53t\nimages=3\nunit=mm\n", metadata=None, **gray)
    _refused("expected one picture, found 3 pages", lambda: read_picture(path, None))
    _tiff(tmp_path, RAMP, description="ImageJ=1.53t\nimages=1\nunit=mm\n", metadata=None, **gray)
    np.testing.assert_array_equal(read_picture(path, None)[0], RAMP)


def _bmp_with_transparency(tmp_path: Path) -> None:
    shades = np.where(BOX[::-1], 0xFFFF, 0x7FFF).astype("<u2").tobytes()
    for alpha in (0x8000, 0):
        sizes = struct.pack("<IiiHHIIiiII", 56, 64, 48, 1, 16, 3, len(shades), 0, 0, 0, 0)
        header = struct.pack("<IHHI", 70 + len(shades), 0, 0, 70) + sizes
        masks = struct.pack("<4I", 0x7C00, 0x3E0, 0x1F, alpha)
        (tmp_path / "a.bmp").write_bytes(b"BM" + header + masks + shades)
        if alpha:
            _refused("expected a BMP file without transparency", lambda: read_picture(tmp_path / "a.bmp", None))
        else:
            np.testing.assert_array_equal(read_picture(tmp_path / "a.bmp", None)[0], WHITE)


def _image_that_is_its_mask(tmp_path: Path) -> None:
    root = _write(tmp_path, [Image.fromarray(BOX)], ".png")
    (root / "images" / "0.png").unlink()
    (root / "images" / "0.png").symlink_to(root / "masks" / "0.png")
    _refused("an image and its mask, found one file as both", lambda: load_samples(_pictures(root, ".png"), AS_IT_IS))


REPORTS = [
    Report("", "images with transparency", "read where it hides black alone, else refused", _images_with_alpha),
    Report("", "samples and colors of TIFF that Pillow passes over", "refused; sizes as read", _odd_tiff),
    Report("", "numbers of every type in TIFF, in both orders of bytes", "as stored", _every_type_of_tiff),
    Report("", "TIFF whose deflated pixels are damaged, or parts left out", "refused", _damaged_tiff),
    Report("", "TIFF with a stack in one page", "refused", _stacks_of_one_page),
    Report("", "BMP of 16 bits with transparency", "refused", _bmp_with_transparency),
    Report("", "image that is a link to its mask", "refused", _image_that_is_its_mask),
    Report("CompVis/taming-transformers#8", "mask whose shape is in its alpha channel", "refused", _shape_in_alpha),
    Report("", "mask in gray with constant or agreeing alpha", "300 pixels", _alpha_that_says_nothing_new),
    Report("", "palettes in gray of both orders in one folder", "300 pixels in each", _both_orders),
    Report("", "palettes of which some colors are gray", "one rule for a palette", _palettes_of_any_colors_in_use),
    Report("", "images of one bit", "0 and 255", _white_of_one_bit),
    Report("", "masks in palettes of colors", "labels of a fixed palette, else refused", _palettes_in_colors),
    Report(
        "arahusky/Tensorflow-Segmentation#11",
        "masks that are JPEG",
        "their pixels to 1 %, cut at 128",
        _masks_of_jpeg,
    ),
    Report("mantasu/glasses-detector#23", "masks with soft edges", "a threshold is proposed", _soft_edges),
    Report("", "labels with large values", "labels are proposed, no threshold", _labels_are_no_soft_edges),
    Report("", "values that nothing names, masks that are full", "check warns", _check_warns),
]
