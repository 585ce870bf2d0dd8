"""Masks in DICOM: contours of RTSTRUCT and fractions of SEG."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from medsegdist.data.dicom.drawings import read_structure_set
from medsegdist.data.dicom.series import Grid, read_series
from medsegdist.errors import DataError
from tests.data.making_dicom import GAP, segmentation, slice_of, stack, structure_set, write
from tests.public_reports import Report

SPACING, ORIGIN = 0.9765625, -249.51171875


def grid_of(shape: tuple[int, int, int], *, origin: float = ORIGIN, affine: np.ndarray | None = None) -> Grid:
    if affine is None:
        affine = np.diag([SPACING, SPACING, GAP, 1.0])
        affine[:3, 3] = origin
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    levels = (affine[:3, 3] + np.outer(np.arange(shape[2]), affine[:3, 2])) @ normal / np.linalg.norm(normal)
    return Grid(shape, affine, levels)


def read_outlines(
    folder: Path,
    outlines: Sequence[Sequence[tuple[float, float]]],
    grid: Grid,
    warned: bool = False,
    form: str = ".12g",
    **options: str,
) -> np.ndarray:
    """The mask of (column, row) outlines on slice 1, which must warn or not."""
    points = [np.array([[*point, 1.0, 1.0] for point in outline]) @ grid.affine.T[:, :3] for outline in outlines]
    content = structure_set({"it": points}, stack(np.zeros((3, 4, 4), np.int16)), options.pop("kind", "CLOSED_PLANAR"))
    for item, one in zip(content.ROIContourSequence[0].ContourSequence, points, strict=True):
        item.ContourData = [f"{value:{form}}" for value in one.ravel()]
    with warnings.catch_warnings():
        # pydicom's, of long contours.
        warnings.simplefilter("ignore")
        path = write(folder / "rt.dcm", content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mask = read_structure_set(path, 1, grid, **options)
    texts = [str(one.message) for one in caught]
    expected = f"{path}: contours overlap or are drawn twice on 1 slice; look at them there"
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


def check_rounded_through_centers(folder: Path, *, decimals: int, spacings: Sequence[float], turned: bool) -> None:
    """A square, the same with a point every 0.7 voxels, a diamond and a ring."""
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0] if turned else np.eye(3)
    corners = np.array(box(4, 4, 14, 14), dtype=float)
    steps = np.arange(0, 1, 0.07)[:, None]
    dense = np.concatenate([a + steps * (b - a) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)])
    diamond = [(14, 4), (24, 14), (14, 24), (4, 14)]
    for spacing in spacings:
        for origin in ((-249.51171875, -100.123, 30.0), (-10.0, -20.0, 30.0)):
            affine = np.eye(4)
            affine[:3, :3] = np.linalg.det(turn) * turn @ np.diag([spacing, spacing, 4.0])
            affine[:3, 3] = origin
            for outlines, right in (([corners], 121), ([dense], 121), ([diamond], 221),
                                    ([box(5, 5, 25, 25), box(10, 10, 20, 20)], 21**2 - 9**2)):  # fmt: skip
                for form in (f".{decimals}f", ".12g"):
                    grid = grid_of(FRAME, affine=affine)
                    assert read_outlines(folder, outlines, grid, form=form).sum() == right, (spacing, origin, form)


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
    _outlines("the same contour twice", 100, TEN, TEN),
    _outlines("the same contour three times", 100, TEN, TEN, TEN),
    _outlines("a contour and its reverse", 100, TEN, TEN[::-1]),
    _outlines("a contour that starts at another corner", 100, TEN, TEN[2:] + TEN[:2]),
    _outlines("a contour twice, 0.01 mm apart", 100, TEN, moved(TEN, 0.01 / SPACING)),
    _outlines("a contour and one 0.01 mm within it", 100, TEN, box(4.51, 4.51, 14.49, 14.49)),
    _outlines("a contour twice, with other points", 100, TEN, [p for a, b in zip(TEN, TEN[1:] + TEN[:1], strict=True)
                                                               for p in (a, ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2))]),
    _outlines("a contour through centers twice, 0.01 voxels apart", 121, box(4, 4, 14, 14), box(4.01, 4, 14.01, 14)),
    _outlines("a contour whose points are listed twice", 100, TEN + TEN),
    _outlines("a contour that goes round twice and back to its first point", 100, TEN + TEN + TEN[:1]),
    _outlines("a contour that goes round twice, one point doubled", 100, TEN + TEN[:2] + TEN[1:]),
    _outlines("a contour that goes round three times", 100, TEN * 3, warned=False),
    _outlines("a contour that goes round twice, with its edges", 121, TEN + TEN + TEN[:1], contour_edges="include"),
    _outlines("a contour that goes round twice, through centers", 121, box(4, 4, 14, 14) * 2 + [(4, 4)]),
    _outlines("a contour whose end overlaps its beginning", 100, TEN + TEN[:2] + [(14.5, 9.5), (4.5, 9.5)]),
    _outlines("a contour drawn forth and back next to another one", 4, TEN + TEN[:1] + TEN[:0:-1],
              box(20.5, 20.5, 22.5, 22.5)),
    _outlines("a contour through centers drawn forth and back", 40, box(4, 4, 14, 14) * 1 + [(4, 4)]
              + box(4, 4, 14, 14)[:0:-1]),
    _outlines("a line through centers drawn forth and back", 14, [(4, 4), (12, 4), (12, 9), (12, 4)], warned=False),
    _outlines("a figure of eight", 2 * 25, [(4.5, 4.5), (9.5, 4.5), (9.5, 14.5), (14.5, 14.5), (14.5, 9.5), (4.5, 9.5)],
              warned=False),
    _outlines("a hole that goes round twice", 100 - 64, TEN, box(5.5, 5.5, 13.5, 13.5) * 2),
    _outlines("a hole in a contour that goes round twice", 100 - 16, TEN * 2, box(7.5, 7.5, 11.5, 11.5)),
    _outlines("a hole by a keyhole", 100 - 16, [(4.5, 4.5), (14.5, 4.5), (14.5, 14.5), (4.5, 14.5), (4.5, 9.2),
              (7.5, 9.2), (7.5, 11.5), (11.5, 11.5), (11.5, 7.5), (7.5, 7.5), (7.5, 9.2), (4.5, 9.2)], warned=False),
    _outlines("a contour that winds twice, 0.01 voxels apart", 100, TEN + moved(TEN, 0.01)),
    *(
        _outlines(f"a contour and one {by} voxels within it", 100, TEN, box(4.5 + by, 4.5 + by, 14.5 - by, 14.5 - by))
        for by in (0.1, 0.2, 0.45)
    ),
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
    *(
        _report(
            "", f"RTSTRUCT: outlines through voxel centers in whole {unit} mm, {'oblique' if turned else 'axial'}",
            "the voxels that they mean", check_rounded_through_centers,
            decimals=decimals, spacings=spacings, turned=turned,
        )
        for unit, decimals, spacings in (
            (0.01, 2, (0.5, 0.98, 3.0)), (0.1, 1, (0.5, 0.7, 0.98, 1.5, 3.0)), (1, 0, (2.0, 3.0)),
        )
        for turned in (False, True)
        if decimals or not turned
    ),
    Report("", "RTSTRUCT: a ring through voxel centers", "the ring", check_mask_through_centers),
    Report("", "RTSTRUCT: a contour of 5,000 points", "its disc", check_long_contour),
    Report("", "SEG on coarser pixels", "refused", check_off_grid_segmentation),
    Report("", "SEG with fractions that equal the threshold", "they count", check_fraction_limits),
]  # fmt: skip
