"""DICOM files that state too much, nest too deep, hold text for numbers, or inflate without end."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, EnhancedCTImageStorage

from medsegdist.data.check import check_dataset
from medsegdist.data.dicom.series import read_series
from medsegdist.data.layouts.dicom import DicomLayout
from medsegdist.data.manifest import DatasetManifest, Preprocessing
from medsegdist.errors import DataError, MedSegDistError
from tests.data.making_dicom import rectangle, segmentation, stack, stored_values, structure_set, write
from tests.public_reports import Report
from tests.public_reports.dicom import CODECS, encode, enhanced, image, stored_pixels

SECRET = "MUSTERMANN"
TEXT = SECRET + "^ERIKA"


def write_case(folder: Path, kind: str = "rtstruct") -> tuple[list[Path], Path]:
    """Four slices and what was drawn on them."""
    slices = stack(stored_values((4, 12, 10)))
    paths = [write(folder / "ct" / f"{k}.dcm", one) for k, one in enumerate(slices)]
    drawn = np.zeros((4, 12, 10, 1), dtype=bool)
    drawn[1:3, 2:8, 2:8] = True
    if kind == "seg":
        pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    drawing = structure_set({"it": [rectangle(1.6, 7.4, k) for k in (1, 2)]}, slices) if kind == "rtstruct" else None
    return paths, write(folder / "drawn.dcm", drawing or segmentation(slices, drawn, ["it"]))


def messages(root: Path, kind: str = "rtstruct", *, refused: bool = True) -> list[str]:
    """What is said of a folder by everything that reads it; errors that are not the library's own are not caught."""
    layout = DicomLayout(root=root, segmentation=kind)
    manifest = DatasetManifest(name="hostile", modality="CT", layout=layout)
    said = []
    for full in (False, True):
        problems = check_dataset(manifest, Preprocessing(grid=(12, 10), min_pixels=1), full=full).problems
        said += [f"{one.case}: {one.problem}; {one.remedy}" for one in problems if one.severity == "error"]
        assert said or not refused
    for read in (DicomLayout.recognize, lambda root: load(layout), lambda root: load(layout, header_only=True)):
        try:
            said.append(repr(read(root)))
        except MedSegDistError as error:
            said.append(str(error))
    return said


def load(layout: DicomLayout, **options: bool) -> list[object]:
    return [type(layout.load(case.as_item(), **options)) for case in layout.cases()]


def check_huge(folder: Path, *, changes: dict[str, int]) -> None:
    """What a header states is compared with the file, before anything is allocated."""
    for k, codec in enumerate(CODECS):
        path = encode(folder / f"{k}.dcm", image(stored_pixels(16, True)), codec)
        content = dcmread(path)
        for keyword, value in changes.items():
            setattr(content, keyword, value)
        content.save_as(path)
        size = path.stat().st_size
        with pytest.raises(DataError, match=rf"{k}\.dcm: expected \d+ bytes of pixels in a file of {size} bytes"):
            read_series([path])


def check_huge_case(folder: Path) -> None:
    """The other cases are read."""
    paths, _ = write_case(folder / "a")
    for path in paths:
        content = dcmread(path)
        content.Rows = content.Columns = 65535
        write(path, content)
    slices = stack(stored_values((4, 12, 10)), series="other")
    for k, one in enumerate(slices):
        write(folder / "b" / f"{k}.dcm", one)
    write(folder / "b" / "drawn.dcm", structure_set({"it": [rectangle(1.6, 7.4, 1)]}, slices))
    manifest = DatasetManifest(name="hostile", modality="CT", layout=DicomLayout(root=folder, segmentation="rtstruct"))
    for full in (False, True):
        problems = check_dataset(manifest, Preprocessing(grid=(12, 10), min_pixels=1), full=full).problems
        assert [one.case for one in problems if one.severity == "error"] == ["a__drawn"]
        assert "expected 8589672450 bytes of pixels in a file of" in str(problems[0])


def check_huge_enhanced(folder: Path) -> None:
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    content = enhanced(np.stack([stored_pixels(12, True)] * 3), (1, 1, 1), "MONOCHROME2", EnhancedCTImageStorage)
    for k, changes in enumerate(
        ({"NumberOfFrames": 2**31 - 1}, {"Rows": 65535, "Columns": 65535}, {"NumberOfFrames": -3}, {"Rows": 0})
    ):
        changed = dcmread(write(folder / f"{k}.dcm", content))
        for keyword, value in changes.items():
            setattr(changed, keyword, value)
        with pytest.raises(DataError, match=rf"{k}\.dcm: expected -?\d+ bytes of pixels in a file of \d+ bytes"):
            read_series([write(folder / f"{k}.dcm", changed)])


def check_huge_segmentation(folder: Path) -> None:
    _, path = write_case(folder, "seg")
    for changes in ({"Rows": 65535, "Columns": 65535}, {"NumberOfFrames": 2**31 - 1}, {"NumberOfFrames": TEXT}):
        content = dcmread(path)
        with disable_value_validation():
            for keyword, value in changes.items():
                content.add_new(keyword, "US" if isinstance(value, int) and value < 65536 else "LO", str(value))
                content[keyword].value = value if content[keyword].VR == "US" else str(value)
            write(folder / "drawn.dcm", content)
        assert_discreet(messages(folder, "seg"))


def assert_discreet(said: list[str]) -> None:
    assert not [text for text in said if SECRET in text or "ERIKA" in text or "Traceback" in text]


def nested(depth: int, tag: int, defined: bool) -> bytes:
    """A sequence in a sequence in a sequence, in explicit little endian."""
    name, item = struct.pack("<HH", tag >> 16, tag & 0xFFFF), struct.pack("<HH", 0xFFFE, 0xE000)
    if not defined:
        return (name + b"SQ\0\0\xff\xff\xff\xff" + item + b"\xff\xff\xff\xff") * depth
    parts: list[bytes] = []
    length = 0
    for _ in range(depth):
        parts += [item + struct.pack("<I", length), name + b"SQ\0\0" + struct.pack("<I", length + 8)]
        length += 20
    return b"".join(reversed(parts))


def insert(path: Path, tag: int, element: bytes) -> None:
    """Puts an element in the place of one, or where it belongs."""
    content = dcmread(path)
    before, after = Dataset(), Dataset()
    before.file_meta = content.file_meta
    for one in content:
        if one.tag != tag:
            (before if one.tag < tag else after)[one.tag] = one
    write(path, before)
    head = path.read_bytes()
    after.file_meta = content.file_meta
    write(path, after)
    tail = path.read_bytes()
    start = 132 + 12 + int(dcmread(path).file_meta.FileMetaInformationGroupLength)
    path.write_bytes(head + element + tail[start:])


def check_nested(folder: Path, *, depth: int, keyword: str, defined: bool, kind: str = "rtstruct") -> None:
    paths, drawing = write_case(folder, kind)
    for target in (paths[0], drawing):
        whole = target.read_bytes()
        tag = int(Tag(keyword)) if keyword else 0x00091001
        insert(target, tag, nested(depth, tag, defined))
        # A sequence that nobody asks for may be passed over, and then all is read.
        assert_discreet(messages(folder, kind, refused=False))
        target.write_bytes(whole)


TEXTS = (
    *("NumberOfFrames", "SamplesPerPixel", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PhotometricInterpretation", "InstanceNumber", "SliceThickness", "PixelSpacing"),
    *("ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "SpacingBetweenSlices"),
    *("SOPClassUID", "ModalityLUTSequence", "PixelData"),
)


def check_text(folder: Path, *, keyword: str) -> None:
    """Text where a number belongs, as text and as the VR of the number, is not repeated."""
    paths, _ = write_case(folder)
    whole = paths[0].read_bytes()
    for vr in ("LO", "IS", "DS", "CS", "UT"):
        with disable_value_validation():
            content = dcmread(paths[0])
            content.pop(keyword, None)
            content.add_new(keyword, "LO", TEXT)
            write(paths[0], content)
        data = paths[0].read_bytes()
        tag = int(Tag(keyword))
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        size = struct.pack("<H", len(TEXT))
        long = head + b"UT\0\0" + struct.pack("<I", len(TEXT))
        assert head + b"LO" + size in data
        paths[0].write_bytes(data.replace(head + b"LO" + size, long if vr == "UT" else head + vr.encode() + size))
        layout = DicomLayout(root=folder, segmentation="rtstruct")
        said = []
        for read in (partial(load, layout), partial(load, layout, header_only=True), partial(read_series, paths[:1])):
            try:
                read()
            except MedSegDistError as error:
                said.append(str(error))
        assert_discreet(said)
        paths[0].write_bytes(whole)


def check_contour_text(folder: Path) -> None:
    _, path = write_case(folder)
    for keyword in ("ContourGeometricType", "ContourData", "NumberOfContourPoints"):
        content = dcmread(path)
        with disable_value_validation():
            item = content.ROIContourSequence[0].ContourSequence[0]
            del item[keyword]
            item.add_new(keyword, "LO", TEXT)
            write(folder / "drawn.dcm", content)
            if keyword != "NumberOfContourPoints":
                assert_discreet(messages(folder))
        write_case(folder)


def check_modality_text(folder: Path) -> None:
    paths, _ = write_case(folder)
    for path in paths:
        content = dcmread(path)
        content.Modality = "MUSTERMANN"
        write(path, content)
    found = DicomLayout.recognize(folder)
    assert found is not None
    assert_discreet([repr(found)])
    assert found.modality == "other"


def check_bomb(folder: Path) -> None:
    """128 MB of zeros in 130 KB."""
    content = image(stored_pixels(16, True))
    path = encode(folder / "a.dcm", content, DeflatedExplicitVRLittleEndian)
    data = path.read_bytes()
    start = 132 + 12 + int(dcmread(path).file_meta.FileMetaInformationGroupLength)
    plain = zlib.decompress(data[start:], -zlib.MAX_WBITS)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = deflater.compress(plain + b"\x09\x00\x01\x10OB\0\0" + struct.pack("<I", 1 << 27))
    packed += b"".join(deflater.compress(bytes(1 << 24)) for _ in range(8)) + deflater.flush()
    path.write_bytes(data[:start] + packed)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match=r"a\.dcm: the file inflates to more than an image takes; export it without"):
        read_series([path])


def check_pipe(folder: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    write_case(folder)
    os.mkfifo(folder / "ct" / "pipe.dcm")
    assert len(load(DicomLayout(root=folder, segmentation="rtstruct"))) == 1
    assert DicomLayout.recognize(folder) is not None


def _rows() -> Iterator[Report]:
    def row(address: str, case: str, right: str, check: Callable[..., None], **options: object) -> Report:
        return Report(address, f"DICOM: {case}", right, partial(check, **options))

    yield row("", "65535 rows and columns", "refused", check_huge, changes={"Rows": 65535, "Columns": 65535})
    yield row("", "65535 rows", "refused", check_huge, changes={"Rows": 65535, "Columns": 65534})
    yield row("", "no rows", "refused", check_huge, changes={"Rows": 0})
    yield row("", "a case of 65535 rows and columns", "a problem of this case", check_huge_case)
    yield row("", "an enhanced image of too many frames or pixels", "refused", check_huge_enhanced)
    yield row("", "a segmentation of too many frames or pixels", "refused", check_huge_segmentation)
    for depth in (1000, 30_000):
        for defined in (True, False):
            for keyword in ("", "ReferencedSeriesSequence", "ROIContourSequence", "ModalityLUTSequence"):
                what = (
                    f"{depth} sequences of {'known' if defined else 'unknown'} length in {keyword or 'a private one'}"
                )
                yield row("pydicom/pydicom#2330", what, "refused or passed over", check_nested,
                          depth=depth, keyword=keyword, defined=defined)  # fmt: skip
    yield row("pydicom/pydicom#2330", "sequences in a segmentation", "refused", check_nested,
              depth=1000, keyword="SegmentSequence", defined=True, kind="seg")  # fmt: skip
    for keyword in TEXTS:
        yield row("", f"text in {keyword}", "not repeated", check_text, keyword=keyword)
    yield row("", "text in contours", "not repeated", check_contour_text)
    yield row("", "text as the modality", "not repeated", check_modality_text)
    yield row("", "128 MB deflated to 130 KB", "refused", check_bomb)
    yield row("", "a pipe among the slices", "passed over", check_pipe)


REPORTS = list(_rows())
