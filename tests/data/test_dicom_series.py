"""Image series: intensities and geometry against closed forms, and every way in which slices make no volume."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pydicom
import pytest
from medsegdist.transforms import OrientAxial
from monai.transforms import LoadImage

from medsegdist.data.dicom.series import as_tensor, ordered_slices, read_series
from medsegdist.errors import DataError, MissingDependencyError
from tests.data.making_dicom import (
    GAP,
    ORIGIN,
    PATIENT_ID,
    PATIENT_NAME,
    SPACING,
    slice_of,
    stack,
    stored_values,
    write,
    write_slices,
)

STORED = stored_values()


def test_hounsfield_units_in_the_order_of_the_positions(tmp_path):
    voxels, grid = read_series(write_slices(tmp_path, stack(STORED)))
    np.testing.assert_array_equal(voxels, STORED.T.astype(np.float32) - 1024)
    assert grid.shape == (5, 6, 4)
    expected = np.diag([SPACING[1], SPACING[0], GAP, 1.0])
    expected[:3, 3] = ORIGIN
    np.testing.assert_allclose(grid.affine, expected, atol=1e-12)
    np.testing.assert_allclose(grid.levels, ORIGIN[2] + GAP * np.arange(4))


def test_every_slice_has_its_own_slope(tmp_path):
    slopes = (1.0, 0.25, 3.5, 2.0)
    slices = [
        slice_of(one, (0, 0, k), number=k, rescale=(slope, -k - 0.5))
        for k, (one, slope) in enumerate(zip(STORED, slopes, strict=True))
    ]
    voxels, _ = read_series(write_slices(tmp_path, slices))
    expected = STORED * np.array(slopes)[:, None, None] - np.arange(4)[:, None, None] - 0.5
    np.testing.assert_allclose(voxels, expected.T, rtol=1e-6)


def rotation(seed):
    orthogonal, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return orthogonal * np.linalg.det(orthogonal)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("upward", [True, False])
def test_any_orientation(tmp_path, seed, upward):
    row, column, normal = rotation(seed).T
    order = 1 if upward else -1
    places = [np.array(ORIGIN) + order * GAP * k * normal for k in range(4)]
    slices = [
        slice_of(one, place, number=k, orientation=(*row, *column))
        for k, (one, place) in enumerate(zip(STORED, places, strict=True))
    ]
    voxels, grid = read_series(write_slices(tmp_path, slices))
    np.testing.assert_array_equal(voxels, STORED[::order].T.astype(np.float32) - 1024)
    # Where the affine puts voxels is where the headers put them.
    for k in range(4):
        here = grid.affine @ [2, 3, k if upward else 3 - k, 1]
        np.testing.assert_allclose(here[:3], places[k] + 2 * SPACING[1] * row + 3 * SPACING[0] * column, atol=1e-5)


def test_a_tilted_gantry_is_in_the_affine(tmp_path):
    places = [(ORIGIN[0], ORIGIN[1] + 0.7 * k, ORIGIN[2] + GAP * k) for k in range(4)]
    slices = [slice_of(one, place, number=k) for k, (one, place) in enumerate(zip(STORED, places, strict=True))]
    _, grid = read_series(write_slices(tmp_path, slices))
    np.testing.assert_allclose(grid.affine[:3, 2], [0, 0.7, GAP], atol=1e-9)
    assert grid.gap == pytest.approx(GAP)


def test_monai_reads_the_same_volume(tmp_path):
    write_slices(tmp_path, stack(STORED))
    voxels, grid = read_series(sorted(tmp_path.iterdir()))
    seen = OrientAxial()(as_tensor(voxels, grid.affine))
    theirs = OrientAxial()(LoadImage(reader="PydicomReader", ensure_channel_first=True)(str(tmp_path)))
    np.testing.assert_array_equal(seen, theirs)
    np.testing.assert_allclose(seen.affine, theirs.affine, atol=1e-6)


def test_one_slice_is_as_thick_as_it_says(tmp_path):
    voxels, grid = read_series(write_slices(tmp_path, stack(STORED)[:1]))
    assert voxels.shape == (5, 6, 1)
    assert grid.gap == pytest.approx(GAP)
    alone = stack(STORED)[0]
    alone.SliceThickness = None
    with pytest.raises(DataError, match=r"a\.dcm: one slice that does not state its thickness; add SliceThickness"):
        read_series([write(tmp_path / "a.dcm", alone)])


def test_rounded_positions_are_no_gaps(tmp_path):
    places = [round(0.6247 * k, 2) for k in range(4)]
    slices = [slice_of(one, (0, 0, z), number=k) for k, (one, z) in enumerate(zip(STORED, places, strict=True))]
    assert read_series(write_slices(tmp_path, slices))[1].gap == pytest.approx(0.6247, abs=5e-3)


def test_a_missing_slice_is_named_by_its_neighbors(tmp_path):
    slices = stack(stored_values((6, 6, 5)))
    del slices[3]
    with pytest.raises(DataError, match=r"slices 2\.5 mm apart, found gaps from 35 to 40 mm; restore the missing"):
        read_series(write_slices(tmp_path, slices))


def test_a_doubled_slice_is_named_by_its_position(tmp_path):
    slices = [*stack(STORED), slice_of(STORED[0], (*ORIGIN[:2], ORIGIN[2] + GAP), number=9)]
    paths = write_slices(tmp_path, slices)
    with pytest.raises(DataError, match=r"one slice at each position, found several at 32\.5 mm; remove the copies"):
        read_series(paths)
    assert [part.number for part in ordered_slices(paths)] == [1, 2, 9, 3, 4]
    assert [part.number for part in ordered_slices(paths, one_per_position=True)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"Rows": 5, "Columns": 6}, "rows and columns"),
        ({"PixelSpacing": ["0.6", "0.8"]}, "a pixel spacing"),
        ({"ImageOrientationPatient": ["0", "1", "0", "-1", "0", "0"]}, "an orientation"),
    ],
)
def test_slices_of_two_kinds_are_refused(tmp_path, change, what):
    slices = stack(STORED)
    for keyword, value in change.items():
        setattr(slices[2], keyword, value)
    paths = [write(tmp_path / f"{k}.dcm", one) for k, one in enumerate(slices)]
    with pytest.raises(DataError, match=f"slices alike, found {what} of .* in 0.dcm and .* in 2.dcm; split the series"):
        read_series(paths)


def test_a_slice_shifted_sideways_is_refused(tmp_path):
    slices = stack(STORED)
    slices[1].ImagePositionPatient[0] = "-8"
    paths = [write(tmp_path / f"{k}.dcm", one) for k, one in enumerate(slices)]
    with pytest.raises(DataError, match=r"straight stack, found 1\.dcm shifted sideways by 2 mm; split the series"):
        read_series(paths)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"ImagePositionPatient": None},
            r"the position or size of its pixels cannot be read \(ValueError\); export it again",
        ),
        ({"PixelSpacing": ["0.5"]}, "the position or size of its pixels cannot be read"),
        ({"ImageOrientationPatient": ["1", "0", "0", "1", "0", "0"]}, "the position or size of its pixels cannot"),
        ({"ImagePositionPatient": ...}, "expected a slice of a volume, but ImagePositionPatient is missing; leave it"),
        ({"SamplesPerPixel": 3}, "expected gray values, found colors; leave it out"),
        ({"NumberOfFrames": "2"}, "expected one slice a file, found 2 frames; split them"),
    ],
)
def test_what_is_no_slice_is_refused_without_a_word_of_the_patient(tmp_path, change, message):
    slices = stack(STORED)
    for keyword, value in change.items():
        if value is ...:
            del slices[0][keyword]
        else:
            setattr(slices[0], keyword, value)
    paths = [write(tmp_path / f"{k}.dcm", one) for k, one in enumerate(slices)]
    with pytest.raises(DataError, match=f"0.dcm: {message}") as caught:
        read_series(paths)
    assert PATIENT_ID not in str(caught.value)
    assert PATIENT_NAME not in str(caught.value)


def test_damaged_files_are_refused(tmp_path):
    paths = write_slices(tmp_path, stack(STORED))
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"000\.x: the pixels cannot be read \(\w+\); copy the file again"):
        read_series(paths)
    paths[0].write_bytes(b"no DICOM at all")
    with pytest.raises(DataError, match=r"000\.x: the file is no DICOM file; copy it again"):
        read_series(paths)


def test_odd_headers_are_read_in_silence(tmp_path):
    # pydicom would quote them in a warning, which pytest turns into an error here.
    with pydicom.config.disable_value_validation():
        slices = stack(STORED)
        for one in slices:
            one.PixelSpacing = ["0.50000000000000000000000", "0.80000000000000000000000"]
        paths = write_slices(tmp_path, slices)
    assert read_series(paths)[1].shape == (5, 6, 4)


def test_a_multi_frame_image_asks_for_highdicom(tmp_path, monkeypatch):
    frames = stack(STORED)[0]
    frames.NumberOfFrames = "4"
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    with pytest.raises(MissingDependencyError, match=r"highdicom, which is not installed; run: pip install medsegdist"):
        read_series([write(tmp_path / "a.dcm", frames)])


def test_a_multi_frame_image_without_places_is_refused(tmp_path):
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    frames = stack(STORED)[0]
    frames.NumberOfFrames = "4"
    frames.PixelData = STORED.astype("<i2").tobytes()
    with pytest.raises(DataError, match=r"a\.dcm: highdicom makes no volume of its frames \(\w+\); export the series"):
        read_series([write(tmp_path / "a.dcm", frames)])


@pytest.mark.realdata
def test_real_multi_frame_image_is_its_slices(data_root):
    pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    folder = data_root / "dicom_dcmqi" / "24x38x3"
    voxels, grid = read_series(sorted((folder / "image").iterdir()))
    frames, frame_grid = read_series([folder / "multiframe" / "mf.dcm"])
    np.testing.assert_array_equal(frames, voxels)
    assert voxels.std() > 0
    np.testing.assert_allclose(frame_grid.affine, grid.affine, atol=1e-4)
    np.testing.assert_allclose(frame_grid.levels, grid.levels, atol=1e-4)


@pytest.mark.realdata
def test_real_compressed_series_against_the_nifti_made_from_it(data_root):
    """JPEG 2000 slices without UIDs, whose mask somebody else's converter placed."""
    folder = data_root / "totalsegmentator_example"
    paths = sorted((folder / "example_ct_dicom").iterdir())
    voxels, grid = read_series(paths)
    image = OrientAxial()(as_tensor(voxels, grid.affine))
    twin = nib.load(folder / "example_seg_dicom.nii.gz")
    from medsegdist.data.readers import read_volume

    mask = OrientAxial()(read_volume(folder / "example_seg_dicom.nii.gz"))
    assert image.shape == mask.shape == (1, 20, 512, 512)
    np.testing.assert_allclose(image.affine, mask.affine, atol=1e-3)
    assert twin.header.get_zooms() == pytest.approx((SPACING_OF_SERIES, SPACING_OF_SERIES, 2.0))
    # Liver (label 5) in a portal phase; the whole image has a different mean by far.
    liver = image[mask == 5]
    assert len(liver) > 10_000
    assert 60 < float(liver.median()) < 140
    middle = pydicom.dcmread(paths[0])
    expected = middle.pixel_array * float(middle.RescaleSlope) + float(middle.RescaleIntercept)
    np.testing.assert_array_equal(voxels[..., -1].T, expected)


SPACING_OF_SERIES = 0.9765625


@pytest.mark.realdata
def test_real_oblique_series(data_root):
    folder = data_root / "dicom_rtutils" / "oriented_data"
    paths = [folder / f"{k}.dcm" for k in (2, 0, 1)]
    voxels, grid = read_series(paths)
    assert voxels.shape == (100, 50, 3)
    for k in range(3):
        content = pydicom.dcmread(folder / f"{k}.dcm")
        np.testing.assert_allclose((grid.affine @ [0, 0, k, 1])[:3], content.ImagePositionPatient, atol=1e-4)
        np.testing.assert_allclose(voxels[..., k].T, content.pixel_array * 0.001, atol=1e-5)
    assert np.linalg.norm(grid.affine[:3, 0]) == pytest.approx(2.5)
    assert np.linalg.norm(grid.affine[:3, 1]) == pytest.approx(3.5)
