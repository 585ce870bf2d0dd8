"""Compressed voxels, inflated no further than to the size that a header states."""

from __future__ import annotations

import gzip
import io
import zlib
from contextlib import suppress

_LARGEST_RATIO = 1032  # deflate makes no byte to more than so many, so that a file cannot hold more


def inflate(content: bytes, most: int) -> bytes:
    """All of a gzip file or zlib stream, at most so many bytes and its checksum compared; by isal, twice as fast."""
    is_gzip = content.startswith(b"\x1f\x8b")
    end = min(most, _LARGEST_RATIO * len(content)) + 1
    # Not installed, or damaged: the words are the same with isal and without.
    with suppress(Exception):
        from isal import isal_zlib

        stream = isal_zlib.decompressobj(31 if is_gzip else 15)
        found = stream.decompress(content, end)
        if stream.eof and not stream.unused_data and len(found) <= most:
            return found
    if is_gzip:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            found = file.read(end)
    else:
        plain = zlib.decompressobj()
        found = plain.decompress(content, end)
        if not plain.eof and len(found) <= most:
            raise EOFError("the compressed voxels end too early")
    if len(found) > most:
        raise ValueError(f"{most} bytes expected, more found")
    return found
