"""Volumes whose headers lead elsewhere, claim more than is there, or stand for more than any memory holds."""

from __future__ import annotations

import gzip
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medsegdist.data.itk import detached_data
from medsegdist.data.readers import read_volume
from medsegdist.errors import DataError
from tests.data.making import SHAPE, write_volume
from tests.data.test_headers import RAW, meta, nrrd
from tests.public_reports import Report

SECRET = b"root:x:0:0:secret\n" * 100
OUTSIDE = r"expected voxels inside the folder of the header, found a path that leaves it; save the volume as one"
SEVERAL = r"expected voxels in one file, found a list or pattern of files; save the volume as one"
DIMENSIONS = r"expected 2 to 4 dimensions, found fewer or more; save it as a 3D volume"
MIB = 1 << 20


def refused(folder: Path, name: str, content: bytes, message: str, *, peak: int = 8 * MIB) -> None:
    """The file is refused in these words, without a word of its own, by the header alone, and in little memory."""
    (folder / "in").mkdir()
    for secret in (folder / "secret", folder / "in" / "LIST"):
        secret.write_bytes(SECRET)
    path = folder / "in" / name
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataError, match=message) as caught:
        read_volume(path)
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert highest < peak
    assert "secret" not in str(caught.value)
    assert detached_data(path) in (None, folder / "in" / "absent.raw")


def leading(*lines: str, name: str = "a.mha") -> tuple[str, bytes]:
    return name, meta(last="".join(f"{line}\n" for line in lines))


def linked(*lines: str) -> tuple[str, bytes]:
    return "a.nrrd", nrrd(("encoding", "".join(f"{line}\n" for line in lines) + "encoding"))


def row(case: str, file: tuple[str, bytes], message: str, **options: int) -> Report:
    return Report("", case, "refused", lambda folder: refused(folder, *file, message, **options))


PATHS = {
    "an absolute path": "/etc/passwd",
    "a path upwards": "../secret",
    "a path down and upwards": "sub/../../secret",
    "a path of Windows": "C:\\secret",
    "a path of Windows upwards": "..\\secret",
    "a path of a network": "\\\\host\\share\\secret",
    "a drive": "C:secret",
    "an absolute path in the middle of the line": "   /etc/passwd",
}
LEADS = [
    *(row(f".mha with {what}", leading(f"ElementDataFile = {path}"), OUTSIDE) for what, path in PATHS.items()),
    *(
        row(f".mhd with {what}", leading(f"ElementDataFile = {path}", name="a.mhd"), OUTSIDE)
        for what, path in PATHS.items()
    ),
    *(row(f".nrrd with {what}", linked(f"data file: {path}"), OUTSIDE) for what, path in PATHS.items()),
    row(".mha with a colon", leading("ElementDataFile : /etc/passwd"), OUTSIDE),
    row(".mha without blanks", leading("ElementDataFile=../secret"), OUTSIDE),
    row(".mha with a tab", leading("\tElementDataFile\t=\t../secret"), OUTSIDE),
    row(".mha with CRLF", ("a.mha", meta(end="\r\n", last="ElementDataFile = ../secret\n")), OUTSIDE),
    row(".mha with the key twice", leading("ElementDataFile = ../secret", "ElementDataFile = LOCAL"), OUTSIDE),
    row(".mha with the key in another case", leading("elementdatafile = ../secret"), "names no ElementDataFile"),
    row(".mha with a comment of the key", leading("Comment = ElementDataFile = LOCAL"), "names no ElementDataFile"),
    row(
        ".mha with a lone carriage return",
        leading("Comment = x\rElementDataFile = ../secret", "ElementDataFile = LOCAL"),
        "found other control",
    ),
    row(".mha with a zero byte in a path", leading("ElementDataFile = ../secret\0.raw"), "found other control"),
    row(".nrrd with datafile", linked("datafile: ../secret"), OUTSIDE),
    row(".nrrd with capitals", linked("DATA FILE: ../secret"), OUTSIDE),
    row(".nrrd with blanks", linked("data  file :  ../secret"), OUTSIDE),
    row(
        ".nrrd with the key twice", linked("data file: a.raw", "datafile: ../secret"), "the header says something twice"
    ),
    row(".nrrd with a lone carriage return", linked("content: x\rdata file: ../secret"), "found other control"),
    row(".nrrd with a lone carriage return in a comment", linked("# x\rdata file: ../secret"), "found other control"),
    row(".nrrd with a lone carriage return in a note", linked("a:=b\rdata file: ../secret"), "found other control"),
    row(".nrrd with CRLF", ("a.nrrd", nrrd(("encoding", "data file: ../secret\nencoding"), end="\r\n")), OUTSIDE),
    row(
        ".nrrd with its end in CRLF",
        ("a.nrrd", nrrd(("encoding", "data file: ../secret\nencoding")).replace(b"\n\n", b"\r\n\r\n")),
        OUTSIDE,
    ),
    row(".nrrd with LIST", linked("data file: LIST"), SEVERAL),
    row(".nrrd with LIST of 2D files", linked("data file: LIST 2"), SEVERAL),
    row(".nrrd with list", linked("data file: list"), SEVERAL),
    row(".nrrd with a pattern", linked("data file: ../s%04d.raw 1 4 1"), SEVERAL),
    row(".nrrd with no name", linked("data file:"), SEVERAL),
    row(".mhd with LIST", leading("ElementDataFile = LIST", "../secret", name="a.mhd"), SEVERAL),
    row(".mhd with LIST of dimensions", leading("ElementDataFile = LIST 2D", "../secret", name="a.mhd"), SEVERAL),
    row(".mhd with a pattern", leading("ElementDataFile = ../s%03d.raw 1 4 1", name="a.mhd"), SEVERAL),
    row(
        ".mhd with a file that is not there",
        leading("ElementDataFile = absent.raw", name="a.mhd"),
        "which the header names, does not exist",
    ),
]


def dimensions(number: str) -> tuple[str, bytes]:
    sizes = " ".join(["2"] * int(number)) if number.isascii() and number.isdigit() and len(number) < 6 else "2 2"
    return "a.mha", meta(("NDims = 3", f"NDims = {number}"), ("DimSize = 12 10 4", f"DimSize = {sizes}"))


HUGE = [
    *(
        row(f".mha of {number} dimensions", dimensions(number), DIMENSIONS)
        for number in ("0", "1", "5", "11", "10000", "-3", "99999999")
    ),
    *(
        row(
            f".mha of {number[:12]} dimensions",
            dimensions(number),
            "a whole number of the header is missing or is none",
        )
        for number in ("3.0", "3 4", "", "0x3", "9" * 5000, "\u0663")
    ),
    row(".nrrd of 1 dimension", ("a.nrrd", nrrd(("dimension: 3", "dimension: 1"))), DIMENSIONS),
    row(".nrrd of 16 dimensions", ("a.nrrd", nrrd(("dimension: 3", "dimension: 16"))), DIMENSIONS),
    row(".nrrd of 10000 dimensions", ("a.nrrd", nrrd(("dimension: 3", "dimension: 10000"))), DIMENSIONS),
    row(
        ".mha with sizes of another number", ("a.mha", meta(("12 10 4", "12 10 4 2"))), "3 sizes of at least 1 expected"
    ),
    row(".mha with a size of 0", ("a.mha", meta(("12 10 4", "12 0 4"))), "3 sizes of at least 1 expected"),
    row(".mha with a negative size", ("a.mha", meta(("12 10 4", "12 -10 -4"))), "3 sizes of at least 1 expected"),
    row(
        ".mha that claims 1 GB",
        ("a.mha", meta(("12 10 4", "1000 1000 500"))),
        "1000000000 bytes of voxels expected, 960",
    ),
    row(
        ".mha that claims 10^27 voxels",
        ("a.mha", meta(("12 10 4", "999999999 999999999 999999999"))),
        "at most 2147483648 voxels",
    ),
    row(
        ".mha with channels beyond the bytes",
        ("a.mha", meta(("NDims", "ElementNumberOfChannels = 60000\nNDims"))),
        "57600000 bytes",
    ),
    row(
        ".mha with a billion channels",
        ("a.mha", meta(("NDims", "ElementNumberOfChannels = 999999999\nNDims"))),
        "or it has no chan",
    ),
    row(
        ".nrrd that claims 4 GB",
        ("a.nrrd", nrrd(("12 10 4", "2000 1000 1000"))),
        "4000000000 bytes of voxels expected, 960 found",
    ),
    row(
        ".nrrd of gzip that claims 4 GB",
        ("a.nrrd", nrrd(("12 10 4", "2000 1000 1000"), ("raw", "gzip"), data=gzip.compress(RAW))),
        "4000000000 bytes of voxels expected, 960 found",
    ),
    row(
        ".nrrd of text that claims 4 GB",
        ("a.nrrd", nrrd(("12 10 4", "2000 1000 1000"), ("raw", "text"), data=b"1 2 3")),
        "the type or encoding of the voxels is not known",
    ),
    row(
        ".nrrd with bytes to skip beyond its end",
        ("a.nrrd", nrrd(("type", "byte skip: 999999999\ntype"))),
        "found some to be skipped",
    ),
    row(
        ".nrrd with a header without end",
        ("a.nrrd", b"NRRD0004\n" + b"# x\n" * 10**6),
        "the header has no end",
        peak=40 * MIB,
    ),
    row(
        ".mha with a header without end",
        ("a.mha", b"Comment = x\n" * 10**6),
        "the header names no ElementDataFile",
        peak=40 * MIB,
    ),
    row(".mha of one line", ("a.mha", b"x" * 10**7), "the header names no ElementDataFile", peak=40 * MIB),
]

ZEROS = bytes(64 * MIB)
DEFLATED = ("CompressedData = False", "CompressedData = True")


def nifti_bomb(folder: Path) -> None:
    """A header of 1,920 bytes of voxels, and 64 MiB behind it."""
    write_volume(folder / "plain.nii", np.zeros(SHAPE, np.float32))
    path = folder / "a.nii.gz"
    path.write_bytes(gzip.compress((folder / "plain.nii").read_bytes() + ZEROS))
    inflates_little(path, r"bytes expected, more found")


def nifti_that_claims_much(folder: Path) -> None:
    header = nib.load(write_volume(folder / "plain.nii", np.zeros(SHAPE, np.float32))).header
    header.set_data_shape((1000, 1000, 500))
    path = folder / "a.nii.gz"
    header["vox_offset"] = 352
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4) + RAW))
    inflates_little(path, r"2000000000 bytes of voxels expected, \d+ found")


def nifti_beyond_all(folder: Path, *, second: bool) -> None:
    """More voxels than are read in any case; of NIfTI-2, more than 64 bits count."""
    kind = nib.Nifti2Image if second else nib.Nifti1Image
    nib.save(kind(np.zeros(SHAPE, np.float32), np.eye(4)), folder / "plain.nii")
    raw = bytearray((folder / "plain.nii").read_bytes())
    if second:
        raw[16:48] = struct.pack("<4q", 3, *[2**40] * 3)
    else:
        raw[40:56] = struct.pack("<8h", 7, *[32767] * 7)
    for name, content in (("a.nii", bytes(raw)), ("a.nii.gz", gzip.compress(bytes(raw)))):
        (folder / name).write_bytes(content)
        inflates_little(folder / name, r"at most 2147483648 voxels expected, found more")


def inflates_little(path: Path, message: str) -> None:
    tracemalloc.start()
    with pytest.raises(DataError, match=message):
        read_volume(path)
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert highest < 16 * MIB


def sparse(folder: Path) -> None:
    """6 GiB of nothing behind a small volume take no memory, and are refused where the header states what there is."""
    for name in ("a.nii", "b.nii.gz", "c.mha", "d.nrrd"):
        path = folder / name
        if name in ("c.mha", "d.nrrd"):
            path.write_bytes(meta() if name == "c.mha" else nrrd())
        else:
            write_volume(path, np.ones(SHAPE, np.float32))
        os.truncate(path, 6 << 30)
        tracemalloc.start()
        if name in ("c.mha", "d.nrrd"):
            with pytest.raises(DataError, match="960 bytes of voxels expected, 6442"):
                read_volume(path)
        else:
            assert read_volume(path).any()
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
        tracemalloc.stop()


def long_extension(folder: Path) -> None:
    """An extension of NIfTI that claims 2 GB, and one that claims less than nothing."""
    write_volume(folder / "plain.nii", np.ones(SHAPE, np.float32))
    raw = bytearray((folder / "plain.nii").read_bytes())
    for size in (2**31 - 16, -16, 0):
        raw[348:356] = struct.pack("<4bi", 1, 0, 0, 0, size)
        (folder / "a.nii").write_bytes(raw)
        assert (read_volume(folder / "a.nii", header_only=True).shape) == (1, *SHAPE)


BOMBS = [
    Report("", ".nii.gz that inflates to far more than its header states", "refused", nifti_bomb),
    Report("", ".nii.gz whose header states far more than it holds", "refused", nifti_that_claims_much),
    Report("", ".nii of 32767^7 voxels", "refused", lambda folder: nifti_beyond_all(folder, second=False)),
    Report("", ".nii of 2^120 voxels", "refused", lambda folder: nifti_beyond_all(folder, second=True)),
    Report("", "volumes in sparse files of 6 GiB", "little memory", sparse),
    Report("", "extensions of any size", "passed over", long_extension),
    Report(
        "",
        ".mha of zlib that inflates to far more than its header states",
        "refused",
        lambda folder: refused(
            folder, "a.mha", meta(DEFLATED, data=zlib.compress(ZEROS)), "960 bytes expected, more found"
        ),
    ),
    Report(
        "",
        ".mha of gzip that inflates to far more than its header states",
        "refused",
        lambda folder: refused(
            folder, "a.mha", meta(DEFLATED, data=gzip.compress(ZEROS)), "960 bytes expected, more found"
        ),
    ),
    Report(
        "",
        ".nrrd of gzip that inflates to far more than its header states",
        "refused",
        lambda folder: refused(
            folder, "a.nrrd", nrrd(("raw", "gzip"), data=gzip.compress(ZEROS)), "960 bytes expected, more found"
        ),
    ),
    Report(
        "",
        ".nrrd of many gzip files one after another",
        "refused",
        lambda folder: refused(
            folder, "a.nrrd", nrrd(("raw", "gz"), data=gzip.compress(RAW[:8]) * 1000), "960 bytes expected, more"
        ),
    ),
]

REPORTS = [*LEADS, *HUGE, *BOMBS]
