"""DICOM: intensities of every kind of stored pixels, and contours that are doubled, overlap or pass through centers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from medsegdist.data.dicom.drawings import read_structure_set
from medsegdist.data.dicom.series import Grid, read_series
from medsegdist.errors import DataError
from tests.data.making_dicom import GAP, new_file, segmentation, slice_of, stack, structure_set, uid, write
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


SPACING, ORIGIN = 0.9765625, -249.51171875


def grid_of(shape: tuple[int, int, int], *, origin: float = ORIGIN, affine: np.ndarray | None = None) -> Grid:
    if affine is None:
        affine = np.diag([SPACING, SPACING, GAP, 1.0])
        affine[:3, 3] = origin
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    levels = (affine[:3, 3] + np.outer(np.arange(shape[2]), affine[:3, 2])) @ normal / np.linalg.norm(normal)
    return Grid(shape, affine, levels)


def read_outlines(
    folder: Path, outlines: Sequence[Sequence[tuple[float, float]]], grid: Grid, warned: bool = False, **options: str
) -> np.ndarray:
    """The mask of (column, row) outlines on slice 1, which must warn or not."""
    points = [np.array([[*point, 1.0, 1.0] for point in outline]) @ grid.affine.T[:, :3] for outline in outlines]
    content = structure_set({"it": points}, stack(np.zeros((3, 4, 4), np.int16)), options.pop("kind", "CLOSED_PLANAR"))
    for item, one in zip(content.ROIContourSequence[0].ContourSequence, points, strict=True):
        item.ContourData = [f"{value:.12g}" for value in one.ravel()]
    with warnings.catch_warnings():
        # pydicom's, of long contours.
        warnings.simplefilter("ignore")
        path = write(folder / "rt.dcm", content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mask = read_structure_set(path, 1, grid, **options)
    texts = [str(one.message) for one in caught]
    expected = "rt.dcm: contours overlap or are drawn twice on 1 slice; look at them there"
    assert texts == ([expected] if warned else [])
    assert not mask[..., [0, 2]].any()
    return mask[..., 1]


def box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


TEN = box(4.5, 4.5, 14.5, 14.5)
FRAME = (40, 36, 3)


def check_outlines(folder: Path, *outlines: Sequence[tuple[float, float]], right: int, warned: bool, **options) -> None:
    for k, order in enumerate((outlines, outlines[::-1])):
        mask = read_outlines(folder / str(k), order, grid_of(FRAME), warned, **options)
        assert mask.sum() == right


def moved(outline: Sequence[tuple[float, float]], x: float, y: float = 0.0) -> list[tuple[float, float]]:
    return [(column + x, row + y) for column, row in outline]


def check_through_centers(folder: Path, *, origin: float) -> None:
    for size, right in ((11, 121), (7, 49), (21, 441), (1, 1)):
        for low in (0, 3, 14):
            mask = read_outlines(folder, [box(low, low, low + size - 1, low + size - 1)], grid_of(FRAME, origin=origin))
            assert mask.sum() == right
            assert mask[low : low + size, low : low + size].all()


def check_through_centers_oblique(folder: Path) -> None:
    """Directions as headers round them, to six digits."""
    for angle in (0.1, 0.7, 2.0):
        along = np.round([np.cos(angle), np.sin(angle), 0], 6)
        down = np.round([-np.sin(angle) * 0.6, np.cos(angle) * 0.6, 0.8], 6)
        slices = [
            slice_of(np.zeros((300, 300)), ORIGIN + GAP * k * np.cross(along, down), number=k + 1,
                     orientation=(*along, *down), spacing=(SPACING, SPACING))
            for k in range(3)
        ]  # fmt: skip
        _, grid = read_series([write(folder / f"{k}.dcm", one) for k, one in enumerate(slices)])
        exact = np.eye(4)
        exact[:3, 0], exact[:3, 1] = along * SPACING, down * SPACING
        exact[:3, 2], exact[:3, 3] = GAP * np.cross(along, down), ORIGIN
        written = Grid(grid.shape, exact, grid.levels)
        path = write(folder / "rt", structure_set({"it": []}, slices))
        content = dcmread(path)
        points = np.array([[*p, 1, 1] for p in box(260, 270, 280, 290)]) @ written.affine.T[:, :3]
        content.ROIContourSequence[0].ContourSequence = (
            structure_set({"it": [points]}, slices).ROIContourSequence[0].ContourSequence
        )
        mask = read_structure_set(write(path, content), 1, grid)
        assert mask.sum() == 441


def check_mask_through_centers(folder: Path) -> None:
    """Outlines through the centers of border voxels, of holes as well, give back the mask that they were made of."""
    y, x = np.mgrid[: FRAME[0], : FRAME[1]]
    away = np.hypot(x - 17, y - 19)
    mask = (away <= 14) & (away >= 6)
    corners = [
        [(19 + 14 * np.sin(t), 17 + 14 * np.cos(t)) for t in np.linspace(0, 2 * np.pi, 720, endpoint=False)],
        [(19 + 6 * np.sin(t), 17 + 6 * np.cos(t)) for t in np.linspace(0, 2 * np.pi, 720, endpoint=False)],
    ]
    # A voxel in the direction of an axis is on either circle.
    found = read_outlines(folder, corners, grid_of(FRAME))
    np.testing.assert_array_equal(found, mask)
    square = read_outlines(folder, [box(5, 5, 25, 25), box(10, 10, 20, 20)], grid_of(FRAME))
    assert square.sum() == 21**2 - 9**2
    keyhole = [(5, 5), (25, 5), (25, 25), (5, 25), (5, 15), (10, 15), (10, 20), (20, 20), (20, 10), (10, 10), (10, 15),
               (5, 15)]  # fmt: skip
    np.testing.assert_array_equal(read_outlines(folder, [keyhole], grid_of(FRAME)), square)


def check_long_contour(folder: Path) -> None:
    """More than 64 kB of coordinates, which explicit transfer syntaxes cannot hold as decimal strings."""
    angles = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    outline = [(19 + 14.2 * np.sin(one), 17 + 14.2 * np.cos(one)) for one in angles]
    mask = read_outlines(folder, [outline], grid_of(FRAME))
    y, x = np.mgrid[: FRAME[0], : FRAME[1]]
    np.testing.assert_array_equal(mask, np.hypot(x - 17, y - 19) <= 14.2)


def check_off_grid_segmentation(folder: Path) -> None:
    """Drawn on every second slice of twice the pixels: refused, not read at wrong places."""
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    from medsegdist.data.dicom.drawings import read_segmentation

    fine = [slice_of(np.zeros((8, 8)), (0, 0, GAP * k), number=k + 1, spacing=(0.5, 0.5)) for k in range(3)]
    _, grid = read_series([write(folder / f"{k}.dcm", one) for k, one in enumerate(fine)])
    coarse = [slice_of(np.zeros((4, 4)), (0.25, 0.25, GAP * k), number=k + 1, spacing=(1, 1)) for k in range(3)]
    drawn = np.ones((3, 4, 4), dtype=np.uint8)
    path = write(folder / "seg", segmentation(coarse, drawn, ["it"]))
    with pytest.raises(DataError, match=r"expected frames on the pixels of the images, .*; resample the segmentation"):
        read_segmentation(path, 1, grid)


def check_fraction_limits(folder: Path) -> None:
    """A fraction that equals the threshold counts, though 0.07 * 100 is a little more than 7."""
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    from medsegdist.data.dicom.drawings import read_segmentation

    slices = [slice_of(np.zeros((2, 50)), (0, 0, GAP * k), number=k + 1) for k in range(2)]
    _, grid = read_series([write(folder / f"{k}.dcm", one) for k, one in enumerate(slices)])
    fractions = np.broadcast_to(np.arange(100).reshape(2, 50) / 100, (2, 2, 50)).astype(np.float32)
    content = segmentation(slices, fractions[..., None], ["it"], "FRACTIONAL")
    content.MaximumFractionalValue = 100
    content.PixelData = (fractions * 100).round().astype(np.uint8)[:, :, :].tobytes()
    path = write(folder / "seg", content)
    if content.NumberOfFrames == 2:
        for percent in (7, 14, 28, 29, 55, 57, 58):
            assert read_segmentation(path, 1, grid, percent / 100).sum() == 2 * (100 - percent)


def _report(address: str, case: str, right: str, check: Callable[..., None], **options) -> Report:
    return Report(address, case, right, partial(check, **options) if options else check)


def _outlines(case: str, right: int, *outlines, warned: bool = True, address: str = "", **options) -> Report:
    check = lambda folder: check_outlines(folder, *outlines, right=right, warned=warned, **options)  # noqa: E731
    return Report(address, f"RTSTRUCT: {case}", f"{right} voxels", check)


PLUS = (box(4.5, 14.5, 34.5, 24.5), box(14.5, 4.5, 24.5, 34.5))

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
    _outlines("the same contour twice", 100, TEN, TEN),
    _outlines("the same contour three times", 100, TEN, TEN, TEN),
    _outlines("a contour and its reverse", 100, TEN, TEN[::-1]),
    _outlines("a contour that starts at another corner", 100, TEN, TEN[2:] + TEN[:2]),
    _outlines("a contour twice, 0.01 mm apart", 100, TEN, moved(TEN, 0.01 / SPACING)),
    _outlines("a contour and one 0.01 mm within it", 100, TEN, box(4.51, 4.51, 14.49, 14.49)),
    _outlines("a contour twice, with other points", 100, TEN, [p for a, b in zip(TEN, TEN[1:] + TEN[:1], strict=True)
                                                               for p in (a, ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2))]),
    _outlines("a contour through centers twice, 0.01 voxels apart", 121, box(4, 4, 14, 14), box(4.01, 4, 14.01, 14)),
    _outlines("a contour twice, 0.3 voxels apart", 100, TEN, moved(TEN, 0.3)),
    _outlines("a contour twice with its edges", 121, TEN, TEN, contour_edges="include"),
    _outlines("a contour twice as exclusive or", 100, TEN, TEN, kind="CLOSEDPLANAR_XOR"),
    _outlines("a ring whose contours are doubled", 100 - 16, TEN, TEN, box(7.5, 7.5, 11.5, 11.5),
              box(7.5, 7.5, 11.5, 11.5)),
    _outlines("contours that overlap", 160, TEN, moved(TEN, 6)),
    _outlines("contours that overlap, as exclusive or", 120, TEN, moved(TEN, 6), kind="CLOSEDPLANAR_XOR"),
    _outlines("contours that cross", 500, *PLUS),
    _outlines("a hole in what two contours share", 160 - 4, TEN, moved(TEN, 6), box(11.5, 7.5, 13.5, 9.5)),
    _outlines("an island in a hole", 20**2 - 14**2 + 9, box(2.5, 2.5, 22.5, 22.5), box(5.5, 5.5, 19.5, 19.5),
              box(9.5, 9.5, 12.5, 12.5), warned=False, address="Sikerdebaard/dcmrtstruct2nii#37"),
    _outlines("a hole that touches the outline", 100 - 9, TEN, box(4.5, 7.5, 7.5, 10.5), warned=False,
              address="pyplati/platipy#244"),
    _outlines("a hole smaller than a voxel", 100, TEN, box(9.2, 9.2, 9.6, 9.6), warned=False,
              address="open-vv/vv#117"),
    _outlines("two contours apart", 104, TEN, box(20.5, 20.5, 22.5, 22.5), warned=False),
    *(
        _report(
            "qurit/rt-utils#141", f"RTSTRUCT: squares through voxel centers at {origin}", "1, 49, 121, 441 voxels",
            check_through_centers, origin=origin,
        )
        for origin in (ORIGIN, 0.0, -0.1, 1 / 3, -512.123456, 1e4)
    ),
    Report("pyplati/platipy#165", "RTSTRUCT: squares through voxel centers of an oblique series", "441 voxels",
           check_through_centers_oblique),
    Report("", "RTSTRUCT: a ring through voxel centers", "the ring", check_mask_through_centers),
    Report("", "RTSTRUCT: a contour of 5,000 points", "its disc", check_long_contour),
    Report("", "SEG on coarser pixels", "refused", check_off_grid_segmentation),
    Report("", "SEG with fractions that equal the threshold", "they count", check_fraction_limits),
]  # fmt: skip
