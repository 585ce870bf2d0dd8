"""Structure sets: filled areas against closed forms, holes, and contours that do not fit."""

from __future__ import annotations

import shutil
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from pydicom.config import disable_value_validation

from medsegdist.data.dicom.drawings import read_structure_set
from medsegdist.data.dicom.series import read_series
from medsegdist.data.layouts.dicom import DicomLayout
from medsegdist.data.problems import DoubtfulFileWarning
from medsegdist.errors import DataError
from tests.data.making_dicom import (
    GAP,
    ORIGIN,
    SPACING,
    contour,
    rectangle,
    slice_of,
    stack,
    stored_values,
    structure_set,
    write,
    write_slices,
)

SHAPE = (40, 30, 3)
"""Columns, rows, slices."""
SLICES = stack(stored_values(SHAPE[::-1]))
MAY_BE_WHOLE = pytest.mark.filterwarnings(
    "ignore:.*go by steps of 1 mm:UserWarning", "ignore:.*contours overlap or are drawn twice:UserWarning"
)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    return read_series(write_slices(tmp_path_factory.mktemp("series"), SLICES))[1]


def fill(folder, grid, contours, **options):
    path = write(folder / "rt.dcm", structure_set({"other": [rectangle(1, 3, 0)], "it": contours}, SLICES, **options))
    return read_structure_set(path, 2, grid)


@MAY_BE_WHOLE
@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0.1, 38.9), st.floats(0.1, 28.9)), min_size=3, max_size=9, unique=True),
    st.integers(0, 2),
)
def test_polygons_are_those_of_matplotlib(tmp_path_factory, grid, pixels, level):
    mask = fill(tmp_path_factory.mktemp("rt"), grid, [contour(pixels, level)])
    centers = np.stack(np.mgrid[: SHAPE[0], : SHAPE[1]], axis=-1).reshape(-1, 2).astype(float)
    # Outlines are taken to a thousandth of a voxel.
    pixels = np.round(pixels, 3).tolist()
    # Points on or by the outline, where rounding decides, are left out; the files hold eight digits.
    clear = distance_to(pixels, centers) > 1e-4
    turns = winding(pixels, centers)
    np.testing.assert_array_equal(mask[..., level].ravel()[clear], turns[clear] != 0)
    # What is gone round twice is outside for matplotlib.
    clear &= abs(turns) < 2
    inside = Outline([*pixels, pixels[0]], closed=True).contains_points(centers)
    np.testing.assert_array_equal(mask[..., level].ravel()[clear], inside[clear])


@MAY_BE_WHOLE
@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(1, 38), st.floats(1, 28)), min_size=3, max_size=9, unique=True),
    st.integers(0, 3),
)
def test_rounded_coordinates_decide_near_the_outline_only(tmp_path_factory, grid, pixels, decimals):
    points = np.round(contour(pixels, 2), decimals)
    mask = fill(tmp_path_factory.mktemp("rt"), grid, [points])[..., 2]
    centers = np.argwhere(np.ones(SHAPE[:2])).astype(float)
    # Each of two axes by the rounding of the file, and then by that of the reader.
    clear = distance_to(pixels, centers) > 2 * np.hypot(*(0.5 * 10.0**-decimals / np.array(SPACING))) + 0.003
    expected = winding(pixels, centers) != 0
    np.testing.assert_array_equal(mask.ravel()[clear], expected[clear])


@pytest.mark.parametrize(("radius", "least", "most"), [(2.5, 0.15, 0.35), (6, 0.03, 0.15)])
def test_whole_millimeters_on_smaller_pixels_are_read_as_written_with_a_warning(tmp_path, grid, radius, least, most):
    """By up to so much of the exact area the mask of a disk is off, and no further from its edge than is said."""
    turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = np.column_stack([np.cos(turns), np.sin(turns)]) * radius / np.flip(SPACING)
    off = []
    for middle in np.random.default_rng(0).uniform((19, 14), (21, 16), (12, 2)):
        points = contour(circle + middle, 2)
        exact = fill(tmp_path, grid, [points])[..., 2]
        with pytest.warns(DoubtfulFileWarning) as warned:
            rounded = fill(tmp_path, grid, [np.round(points)])[..., 2]
        off.append(abs(rounded.sum() / exact.sum() - 1))
        away = np.hypot(*((np.argwhere(rounded != exact) - middle) * np.flip(SPACING)).T) - radius
        assert np.abs(away).max() < 0.71 + 0.02
    assert least < max(off) < most
    said = "the coordinates of ROI 2 go by steps of 1 mm on pixels of 0.8 x 0.5 mm; if they were rounded, its outline"
    assert [str(one.message) for one in warned] == [
        f"{tmp_path / 'rt.dcm'}: {said} is off by up to 0.71 mm; export it with more decimals"
    ]


@pytest.mark.parametrize(
    ("spacing", "shift", "warned"),
    [
        ((2.0, 2.0), 0, False),
        ((1.9, 2.5), 0, True),
        ((1.0, 1.0), 0, False),
        ((1.0, 1.0), 0.2, True),
        ((0.5, 0.5), 0, True),
    ],
)
@pytest.mark.parametrize("form", [".0f", ".3f"])
def test_which_whole_millimeters_may_be_rounded(tmp_path, spacing, shift, warned, form):
    """None on pixels of 2 mm, nor where pixels are 1 mm apart and an outline runs through their centers."""
    slices = stack(stored_values(SHAPE[::-1]), spacing=spacing)
    for one in slices:
        one.ImagePositionPatient[0] += shift
        one.ImagePositionPatient[1] += shift
    _, coarse = read_series(write_slices(tmp_path / "ct", slices))
    outline = [(-8, -18), (-4, -17), (2, -16), (4, -12), (1, -9), (-3, -7), (-6, -10)]
    content = structure_set({"it": [np.array([(*point, ORIGIN[2]) for point in outline])]}, slices)
    (item,) = content.ROIContourSequence[0].ContourSequence
    item.ContourData = [f"{value:{form}}" for value in item.ContourData]
    with pytest.warns(DoubtfulFileWarning, match="go by steps of 1 mm") if warned else nullcontext():
        assert read_structure_set(write(tmp_path / "rt.dcm", content), 1, coarse).any()


def edges(pixels):
    points = np.array(pixels, dtype=float)
    return list(zip(points, np.roll(points, -1, axis=0), strict=True))


def winding(points, centers):
    """How often the outline goes round each center."""
    counts = np.zeros(len(centers), dtype=int)
    for (x0, y0), (x1, y1) in edges(points):
        spans = (y0 <= centers[:, 1]) != (y1 <= centers[:, 1])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            x = x0 + (centers[:, 1] - y0) * (x1 - x0) / (y1 - y0)
        counts += (spans & (x > centers[:, 0])) * (1 if y1 > y0 else -1)
    return counts


def distance_to(pixels, centers):
    away = np.full(len(centers), np.inf)
    for start, end in edges(pixels):
        along = end - start
        where = np.clip((centers - start) @ along / max(along @ along, 1e-30), 0, 1)
        away = np.minimum(away, np.linalg.norm(centers - start - where[:, None] * along, axis=1))
    return away


def test_an_oblique_series_is_filled_alike(tmp_path):
    orthogonal, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    row, column, normal = (orthogonal * np.linalg.det(orthogonal)).T
    stored = stored_values(SHAPE[::-1])
    slices = [
        slice_of(one, ORIGIN + GAP * k * normal, number=k + 1, orientation=(*row, *column))
        for k, one in enumerate(stored)
    ]
    _, oblique = read_series(write_slices(tmp_path / "ct", slices))
    corners = np.array([(4.6, 9.5), (12.4, 9.5), (12.4, 20.4), (4.6, 20.4)])
    points = ORIGIN + GAP * normal + SPACING[1] * corners[:, :1] * row + SPACING[0] * corners[:, 1:] * column
    mask = fill(tmp_path, oblique, [points])
    expected = np.zeros(SHAPE, dtype=bool)
    expected[5:13, 10:21, 1] = True
    np.testing.assert_array_equal(mask, expected)


def test_points_and_lines_have_no_inside(tmp_path, grid):
    mask = fill(tmp_path, grid, [contour([(4, 4)], 0), contour([(4, 4), (9, 9)], 0), rectangle(2.5, 5.5, 1)])
    assert mask.sum() == 9


@pytest.mark.parametrize("kind", ["OPEN_PLANAR", "POINT", "OPEN_NONPLANAR"])
def test_open_contours_are_refused(tmp_path, grid, kind):
    with pytest.raises(DataError, match=f"expected closed contours, found the type {kind}; choose an ROI"):
        fill(tmp_path, grid, [rectangle(1, 5, 0)], kind=kind)


def test_a_contour_between_slices_or_across_them_is_refused(tmp_path, grid):
    between = rectangle(1, 5, 0) + np.array([0, 0, 0.3 * GAP])
    across = rectangle(1, 5, 0) + np.array([[0, 0, 0], [0, 0, GAP], [0, 0, GAP], [0, 0, 0]])
    beyond = rectangle(1, 5, 3)
    for points, found in ((between, "30.75 to 30.75"), (across, "30 to 32.5"), (beyond, "37.5 to 37.5")):
        with pytest.raises(DataError, match=f"each contour on one slice, found one from {found} mm where slices are"):
            fill(tmp_path, grid, [points])


def test_a_contour_that_leaves_the_images_is_refused(tmp_path, grid):
    for far in ((60, 5), (5, 60), (-2, 5), (5, -2)):
        with pytest.raises(DataError, match="a contour at 30 mm leaves the images; pair the structure set with"):
            fill(tmp_path, grid, [contour([(5, 5), far, (9, 9)], 0)])
    # Up to the edge of the outermost voxels they are within.
    assert fill(tmp_path, grid, [contour([(-0.4, -0.4), (3.4, -0.4), (3.4, 3.4)], 0)]).any()


def test_coordinates_must_be_finite(tmp_path, grid):
    said = "a contour holds NaN or infinite coordinates; export the file again"
    with disable_value_validation(), pytest.raises(DataError, match=said):
        fill(tmp_path, grid, [np.array([[0, 0, 30], [np.inf, 0, 30], [0, 5, 30]])])


def test_damaged_coordinates_are_refused(tmp_path, grid):
    with pytest.raises(DataError, match=r"the contours cannot be read \(ValueError\); export the file again"):
        fill(tmp_path, grid, [np.array([0.0, 0.0, 30.0, 5.0])])


def test_with_its_edges_a_square_is_what_its_corners_span(tmp_path, grid):
    """Of a hole, too, the outline belongs to the region."""
    contours = [rectangle(2.4, 22.6, 1), rectangle(5.6, 19.4, 1)]
    path = write(tmp_path / "rt.dcm", structure_set({"it": contours}, SLICES))
    mask = read_structure_set(path, 1, grid, "include")
    expected = np.zeros(SHAPE, dtype=bool)
    expected[2:24, 2:24, 1] = True
    expected[7:19, 7:19, 1] = False
    np.testing.assert_array_equal(mask, expected)


@MAY_BE_WHOLE
@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(-0.49, 39.49), st.floats(-0.49, 29.49)), min_size=1, max_size=9, unique=True))
def test_edges_add_to_what_centers_give_and_reach_no_further_than_a_voxel(tmp_path_factory, grid, pixels):
    path = write(tmp_path_factory.mktemp("rt") / "rt.dcm", structure_set({"it": [contour(pixels, 1)]}, SLICES))
    wide = read_structure_set(path, 1, grid, "include")[..., 1]
    # Points count to a thousandth of a voxel: 2.5004 is 2.5, which is rounded to 2.
    corners = np.minimum(np.round(np.round(pixels, 3)), np.array(SHAPE[:2]) - 1)
    assert all(wide[int(row), int(column)] for row, column in np.abs(corners))
    near = distance_to(pixels, np.argwhere(wide).astype(float)) <= 1.5
    inside = winding(pixels, np.argwhere(wide).astype(float)) != 0
    assert (near | inside).all()


def real_case(folder, data_root, name, **options):
    for file in ("ct_1.dcm", "ct_2.dcm", name):
        shutil.copy(data_root / "dicom_rtutils" / "mock_data" / file, folder)
    layout = DicomLayout(root=folder, segmentation="rtstruct", roi="ROI-1", **options)
    (case,) = layout.cases()
    return layout.load(case.as_item())


@MAY_BE_WHOLE
@pytest.mark.realdata
def test_real_structure_set(tmp_path, data_root):
    """A square of 24 mm with an octagonal hole, by pixel centers, and with its edges, as rt-utils counts by OpenCV."""
    wide = np.asarray(real_case(tmp_path, data_root, "rt.dcm", contour_edges="include")["label"][0]) > 0
    assert wide.sum() == 1660
    centers = np.asarray(real_case(tmp_path, data_root, "rt.dcm", contour_edges="exclude")["label"][0]) > 0
    assert centers[..., 1].sum() == 0
    assert not (centers & ~wide).any()
    # 49.15 pixels wide, of which 49 centers lie within; the hole is 15 mm wide with corners of 1 mm cut off.
    assert centers.sum() == pytest.approx((24**2 - 15**2 + 1) / 0.488281**2, rel=0.05)
    assert centers.sum() == 1443


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["invalid_reference_rt.dcm", "non_existent_reference_rt.dcm"])
def test_real_contours_on_slices_that_are_not_there(tmp_path, data_root, name):
    with pytest.raises(DataError, match=f"{name}: expected each contour on one slice, found one from 70 to 70 mm"):
        real_case(tmp_path, data_root, name)


@pytest.mark.realdata
def test_real_references_that_do_not_resolve(tmp_path, data_root):
    shutil.copy(data_root / "dicom_rtutils" / "pydicom_rtstruct.dcm", tmp_path)
    shutil.copy(data_root / "dicom_rtutils" / "mock_data" / "ct_1.dcm", tmp_path)
    layout = DicomLayout(root=tmp_path, segmentation="rtstruct")
    with pytest.raises(DataError, match=r"pydicom_rtstruct\.dcm: the images that it refers to are not in the folder"):
        layout.load(layout.cases()[0].as_item())
