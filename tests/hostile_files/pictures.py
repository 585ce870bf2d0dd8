"""Pictures that are something else, or too large."""

from __future__ import annotations

import io
import struct
import subprocess
import zlib
from pathlib import Path
from unittest.mock import patch

import pytest
from PIL import Image

from medsegdist.data.pictures import read_picture
from medsegdist.errors import DataError
from tests.public_reports import Report

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


def _refused(path: Path, message: str) -> None:
    for color in ("luminance", None):
        for header_only in (False, True):
            with pytest.raises(DataError, match=message):
                read_picture(path, color, header_only=header_only)  # type: ignore[arg-type]


def _other_formats(tmp_path: Path) -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n"
    contents = {"eps": eps, "dos-eps": struct.pack("<I6I2x", 0xC6D3D0C5, 32, len(eps), 0, 0, 0, 0)[:30] + b"\0\0" + eps}
    for kind in ("GIF", "PPM", "TGA", "ICO", "PCX", "SGI"):
        stream = io.BytesIO()
        Image.new("L", (20, 20), 255).save(stream, kind)
        contents[kind] = stream.getvalue()
    contents["xbm"] = b"#define a_width 8\n#define a_height 1\nstatic char a_bits[] = {\n0xff };\n"
    with patch.object(subprocess, "check_call", side_effect=AssertionError("a program was started")):
        for name, content in contents.items():
            for suffix in SUFFIXES:
                path = tmp_path / f"{name}{suffix}"
                path.write_bytes(content)
                _refused(path, "no picture that is PNG, JPEG, BMP, TIFF")


def _contents_decide(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "BMP", "TIFF"):
        for suffix in SUFFIXES:
            Image.new("L", (9, 7), 255).save(tmp_path / f"a{suffix}", kind)
            assert read_picture(tmp_path / f"a{suffix}", "luminance").shape == (1, 7, 9)


def _too_many_pixels(tmp_path: Path) -> None:
    for name, size in (("long", (2**26 + 1, 1)), ("13000", (13000, 13000)), ("20000", (20000, 20000))):
        header = struct.pack(">IIBBBBB", *size, 1, 0, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 2000)), (b"IEND", b"")]
        packed = [
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        ]
        path = tmp_path / f"{name}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
        _refused(
            path, "expected at most 67108864 pixels, found too large a picture .*; scale the picture and its mask down"
        )
    bitmap = tmp_path / "large.bmp"
    info = struct.pack("<IiiHHIIiiII", 40, 30000, 30000, 1, 8, 0, 0, 0, 0, 0, 0)
    bitmap.write_bytes(b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + info + bytes(2048))
    _refused(bitmap, "expected at most 67108864 pixels")


REPORTS = [
    Report("", "EPS and other formats with the ending of a picture", "refused, and no program started", _other_formats),
    Report("", "PNG, JPEG, BMP or TIFF with the ending of another one", "read", _contents_decide),
    Report("", "pictures that claim too many pixels", "refused before they are decoded", _too_many_pixels),
]
