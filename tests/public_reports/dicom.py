"""DICOM: intensities of every kind of stored pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from medsegdist.data.dicom.series import read_series
from medsegdist.errors import DataError
from tests.data.making_dicom import GAP, new_file, slice_of, uid, write
from tests.public_reports import Report

SLOPE, INTERCEPT = 2.0, -1000.0
NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
CODECS = (*NATIVE, RLELossless, JPEGLSLossless, "JPEG", "JPEG2000")


def stored_pixels(bits: int, signed: bool) -> np.ndarray:
    """(12, 10) of the whole range of a type, its ends among them."""
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    return np.linspace(low, high, 120).round().astype(np.int64).reshape(12, 10)


def image(pixels: np.ndarray, bits: int = 16, signed: bool = True, photometric: str = "MONOCHROME2") -> Dataset:
    content = slice_of(pixels, (0.0, 0.0, 0.0), rescale=(SLOPE, INTERCEPT))
    content.BitsAllocated = 8 if bits <= 8 else 16
    content.BitsStored, content.HighBit, content.PixelRepresentation = bits, bits - 1, int(signed)
    content.PhotometricInterpretation = photometric
    kind = f"{'i' if signed else 'u'}{content.BitsAllocated // 8}"
    content.PixelData = pixels.astype(f"<{kind}").tobytes()
    content["PixelData"].VR = "OW" if bits > 8 else "OB"
    return content


def encode(path: Path, content: Dataset, codec: UID | str) -> Path:
    """Writes an image of explicit little endian in another transfer syntax, a UID or one of ITK's compressors."""
    if not isinstance(codec, UID):
        kind = f"{'i' if content.PixelRepresentation else 'u'}{content.BitsAllocated // 8}"
        pixels = np.frombuffer(content.PixelData, f"<{kind}").reshape(content.Rows, content.Columns)
        writer = SimpleITK.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetUseCompression(True)
        writer.SetCompressor(codec)
        writer.SetFileName(str(path))
        writer.Execute(SimpleITK.GetImageFromArray(pixels))
        compressed = dcmread(path)
        content.file_meta.TransferSyntaxUID = compressed.file_meta.TransferSyntaxUID
        content["PixelData"] = compressed["PixelData"]
        for keyword in ("BitsStored", "HighBit"):
            setattr(content, keyword, compressed[keyword].value)
    elif codec == RLELossless:
        content.compress(codec, encoding_plugin="pydicom")
    elif codec == JPEGLSLossless:
        pytest.importorskip("jpeg_ls", reason="the extra `dicom` is not installed")
        content.compress(codec, encoding_plugin="pyjpegls")
    else:
        if codec == ExplicitVRBigEndian and content.BitsAllocated == 16:
            content.PixelData = np.frombuffer(content.PixelData, "<u2").astype(">u2").tobytes()
        content.file_meta.TransferSyntaxUID = codec
        content._read_charset, content._read_implicit, content._read_little = None, None, None
    return write(path, content)


def check_intensities(folder: Path, *, codec: UID | str, photometric: str) -> None:
    for bits in (8, 12, 16) if isinstance(codec, UID) else (8, 16):
        for signed in (False, True):
            pixels = stored_pixels(bits, signed)
            path = encode(folder / f"{bits}{signed}.dcm", image(pixels, bits, signed, photometric), codec)
            found, _ = read_series([path])
            np.testing.assert_array_equal(found[..., 0].T, pixels * SLOPE + INTERCEPT)


def check_jp2(folder: Path) -> None:
    """JPEG 2000 as a file in the frame, where the standard wants its codestream alone."""
    for kind, photometric in product((np.uint8, np.uint16), ("MONOCHROME1", "MONOCHROME2")):
        pixels = np.arange(48 * 64).reshape(48, 64).astype(kind)
        frame = BytesIO()
        Image.fromarray(pixels).save(frame, "JPEG2000")
        content = image(pixels, 8 * pixels.itemsize, False, photometric)
        content.file_meta.TransferSyntaxUID = JPEG2000Lossless
        content.PixelData = encapsulate([frame.getvalue()])
        content["PixelData"].is_undefined_length = True
        found, _ = read_series([write(folder / f"{photometric}{pixels.itemsize}.dcm", content)])
        np.testing.assert_array_equal(found[..., 0].T, pixels * SLOPE + INTERCEPT)


def check_high_bit(folder: Path) -> None:
    """12 bits in the upper part of 16, as old scanners wrote them."""
    pixels = stored_pixels(12, False)
    content = image(pixels, 12, False)
    content.PixelData, content.HighBit = (pixels << 4).astype("<u2").tobytes(), 15
    with pytest.raises(DataError, match=r"a\.dcm: its pixels are not in the lowest bits \(HighBit\); export it again"):
        read_series([write(folder / "a.dcm", content)])


def check_unused_bits(folder: Path) -> None:
    """An overlay in the upper 4 of 16 bits is none of the 12 that are stored."""
    for signed in (False, True):
        pixels = stored_pixels(12, signed)
        content = image(pixels, 12, signed)
        content.PixelData = ((pixels & 0xFFF) | 0x5000).astype("<u2").tobytes()
        found, _ = read_series([write(folder / f"{signed}.dcm", content)])
        np.testing.assert_array_equal(found[..., 0].T, pixels * SLOPE + INTERCEPT)


def check_absent_rescale(folder: Path) -> None:
    pixels = stored_pixels(16, True)
    for k, (slope, intercept) in enumerate([(None, "5"), ("2", None), (None, None), ("", "7"), ("2", "")]):
        content = image(pixels)
        for keyword, value in (("RescaleSlope", slope), ("RescaleIntercept", intercept)):
            if value is None:
                del content[keyword]
            else:
                setattr(content, keyword, value or None)
        found, _ = read_series([write(folder / f"{k}.dcm", content)])
        np.testing.assert_array_equal(found[..., 0].T, pixels * float(slope or 1) + float(intercept or 0))


def check_slope_of_0(folder: Path) -> None:
    content = image(stored_pixels(16, True))
    content.RescaleSlope = "0"
    with pytest.raises(DataError, match=r"a\.dcm: its slope is 0, or its slope or intercept is no finite number"):
        read_series([write(folder / "a.dcm", content)])


def check_padding(folder: Path) -> None:
    """Padding is a stored value as any other; what a window cuts off is the preprocessing's."""
    pixels = stored_pixels(12, True)
    content = image(pixels, 12, True)
    content.PixelPaddingValue = -2048
    found, _ = read_series([write(folder / "a.dcm", content)])
    assert found.min() == -2048 * SLOPE + INTERCEPT


def check_palette(folder: Path) -> None:
    content = image(stored_pixels(8, False), 8, False, "PALETTE COLOR")
    with pytest.raises(DataError, match=r"a\.dcm: expected gray values, found colors; leave it out"):
        read_series([write(folder / "a.dcm", content)])


def enhanced(stored: np.ndarray, slopes: Sequence[float], photometric: str, sop_class: str) -> Dataset:
    """An enhanced image of (frames, rows, columns) whose frames have slopes of their own."""
    content = new_file(sop_class, uid("enhanced", sop_class), "CT", uid("enhanced"))
    content.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "NONE"]
    content.NumberOfFrames, content.Rows, content.Columns = stored.shape
    content.SamplesPerPixel, content.PhotometricInterpretation = 1, photometric
    content.BitsAllocated = content.BitsStored = 16
    content.HighBit, content.PixelRepresentation = 15, 1
    content.PixelData = stored.astype("<i2").tobytes()
    content["PixelData"].VR = "OW"
    orientation, measures, shared = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness, measures.SpacingBetweenSlices = [0.5, 0.8], GAP, GAP
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Items([orientation]), Items([measures])
    content.SharedFunctionalGroupsSequence = Items([shared])
    content.PerFrameFunctionalGroupsSequence = Items()
    for k, slope in enumerate(slopes):
        frame, position, values = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, GAP * k]
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slope, -1000 + k, "HU"
        frame.PlanePositionSequence = Items([position])
        frame.PixelValueTransformationSequence = Items([values])
        content.PerFrameFunctionalGroupsSequence.append(frame)
    return content


def check_enhanced(folder: Path, *, photometric: str, sop_class: str, frames: int = 3) -> None:
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    stored = np.stack([stored_pixels(12, True) + k for k in range(frames)])
    slopes = [1.0, 0.5, 3.0][:frames]
    found, grid = read_series([write(folder / "a.dcm", enhanced(stored, slopes, photometric, sop_class))])
    expected = stored * np.array(slopes)[:, None, None] - 1000 + np.arange(frames)[:, None, None]
    np.testing.assert_array_equal(found, expected.T)
    assert grid.gap == pytest.approx(GAP)


def check_enhanced_bits(folder: Path) -> None:
    """12 bits of 16: signs that are not extended, and an overlay in the upper bits."""
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    for signed, above in product((False, True), (0, 0x5000)):
        stored = np.stack([stored_pixels(12, signed)] * 2)
        content = enhanced((stored & 0xFFF) | above, [1.0, 2.0], "MONOCHROME1", EnhancedCTImageStorage)
        content.BitsStored, content.HighBit, content.PixelRepresentation = 12, 11, int(signed)
        found, _ = read_series([write(folder / f"{signed}{above}.dcm", content)])
        expected = stored * np.array([1, 2])[:, None, None] - 1000 + np.arange(2)[:, None, None]
        np.testing.assert_array_equal(found, expected.T)
        content.HighBit = 15
        with pytest.raises(DataError, match=r"a\.dcm: its pixels are not in the lowest bits \(HighBit\)"):
            read_series([write(folder / "a.dcm", content)])


def check_enhanced_rescale(folder: Path) -> None:
    """The frames' own slopes and intercepts, whatever the top of the file says; a slope of 0 is none."""
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    stored = np.stack([stored_pixels(12, True)] * 2)
    content = enhanced(stored, [3.0, 0.5], "MONOCHROME2", EnhancedMRImageStorage)
    content.RescaleSlope, content.RescaleIntercept = "7", "1"
    found, _ = read_series([write(folder / "a.dcm", content)])
    np.testing.assert_array_equal(found, (stored * [[[3]], [[0.5]]] + [[[-1000]], [[-999]]]).T)
    content.PerFrameFunctionalGroupsSequence[1].PixelValueTransformationSequence[0].RescaleSlope = "0"
    with pytest.raises(DataError, match=r"a\.dcm: its slope is 0, or its slope or intercept is no finite number"):
        read_series([write(folder / "a.dcm", content)])


INDICES = np.tile([[0, 1, 2], [3, 0, 1]], (16, 16))


def with_table(values: Sequence[int], first: int, bits: int, vr: str = "US", signed: bool = False) -> Dataset:
    content = image(INDICES, 16, signed)
    del content.RescaleSlope, content.RescaleIntercept
    table = Dataset()
    table.add_new("LUTDescriptor", "SS" if signed else "US", [len(values), first, bits])
    table.ModalityLUTType = "HU"
    packed = np.array(values, "<u2").tobytes()
    table.add_new("LUTData", vr, packed if vr == "OW" else list(values))
    content.ModalityLUTSequence = Items([table])
    return content


def check_table(folder: Path, *, vr: str, bits: int, codec: UID | str) -> None:
    values = [5, 40, 300, 200]
    for signed, first, expected in ((False, 0, [0, 1, 2, 3]), (False, 1, [0, 0, 1, 2]), (True, -1, [1, 2, 3, 3])):
        path = encode(folder / f"{signed}{first}.dcm", with_table(values, first, bits, vr, signed), codec)
        found, _ = read_series([path])
        mapped = [values[k] for k in expected]
        np.testing.assert_array_equal(found[..., 0].T, np.array(mapped)[INDICES])


def check_negative_table(folder: Path) -> None:
    path = write(folder / "a.dcm", with_table([64536, 0, 40, 60], 0, 16))
    with pytest.raises(DataError, match=r"a\.dcm: expected HU, found values up to 64536 by its ModalityLUTSequence"):
        read_series([path])


def _report(address: str, case: str, right: str, check: Callable[..., None], **options) -> Report:
    return Report(address, case, right, partial(check, **options) if options else check)


REPORTS = [
    *(
        _report(
            "scifio/scifio#311", f"{photometric} in {codec.name if isinstance(codec, UID) else codec}",
            "slope * stored + intercept", check_intensities, codec=codec, photometric=photometric,
        )
        for photometric in ("MONOCHROME1", "MONOCHROME2")
        for codec in CODECS
    ),
    *(
        _report(
            "pydicom/pydicom#2353", f"{photometric} in an enhanced {kind} of {frames} frames with slopes of their own",
            "slope * stored + intercept", check_enhanced, photometric=photometric, sop_class=sop_class, frames=frames,
        )
        for photometric in ("MONOCHROME1", "MONOCHROME2")
        for kind, sop_class in (("CT", EnhancedCTImageStorage), ("MR", EnhancedMRImageStorage))
        for frames in (3, 1)
    ),
    Report("", "enhanced images with 12 bits of 16", "slope * stored + intercept", check_enhanced_bits),
    Report("", "enhanced images with a second slope, or one of 0", "the frames' own, else refused",
           check_enhanced_rescale),
    Report("", "JPEG 2000 wrapped as JP2", "slope * stored + intercept", check_jp2),
    Report("", "12 bits in the upper part of 16", "refused", check_high_bit),
    Report("", "an overlay in unused bits", "slope * stored + intercept", check_unused_bits),
    Report("", "slope or intercept absent or empty", "1 and 0", check_absent_rescale),
    Report("", "a slope of 0", "refused", check_slope_of_0),
    Report("", "a padding value", "slope * stored + intercept", check_padding),
    Report("", "a palette of colors", "refused", check_palette),
    *(
        _report(
            "Enet4/dicom-rs#242", f"ModalityLUTSequence of {bits} bits as {vr} in {name}", "the table's values",
            check_table, vr=vr, bits=bits, codec=codec,
        )
        for vr, bits in (("US", 16), ("OW", 16), ("US", 12))
        for name, codec in ((*((one.name, one) for one in NATIVE if vr == "US" or one != ExplicitVRBigEndian),
                             ("JPEG 2000", "JPEG2000")))
    ),
    Report("", "a table of HU with a negative number", "refused", check_negative_table),
]  # fmt: skip
