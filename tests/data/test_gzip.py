"""Compressed files come out the same, by isal or by gzip."""

from __future__ import annotations

import gzip
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.data.inflate import inflate


def inflated(content: bytes) -> tuple[str, object]:
    try:
        return "whole", inflate(content, 300)
    except (OSError, EOFError, zlib.error) as error:
        return type(error).__name__, str(error)


@given(st.binary(max_size=300), st.data())
def test_isal_inflates_what_gzip_does_and_refuses_what_gzip_refuses(voxels, data):
    content = bytearray(gzip.compress(voxels, mtime=0))
    kind = data.draw(st.sampled_from(["whole", "flipped", "cut", "longer"]))
    where = data.draw(st.integers(0, len(content) - 1))
    if kind == "flipped":
        content[where] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del content[where:]
    elif kind == "longer":
        content += data.draw(st.sampled_from([b"\0" * 5, b"junk", gzip.compress(b"more", mtime=0)]))
    with_isal = inflated(bytes(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "isal", None)
        assert inflated(bytes(content)) == with_isal
    if kind == "whole":
        assert with_isal == ("whole", voxels)
