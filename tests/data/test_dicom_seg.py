"""Segmentation objects against their NRRD twins and against what highdicom wrote."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pydicom
import pytest
import SimpleITK

from medsegdist.data.dicom.drawings import read_segmentation
from medsegdist.data.dicom.series import read_series
from medsegdist.data.layouts.dicom import DicomLayout
from medsegdist.errors import DataError, MissingDependencyError
from tests.data.making_dicom import segmentation, slice_of, stack, stored_values, write, write_slices

SHAPE = (5, 12, 10)
"""Slices, rows, columns."""
SLICES = stack(stored_values(SHAPE))


def masks(count=2):
    """(slices, rows, columns, count) bool: overlapping boxes; no segment is on every slice."""
    drawn = np.zeros((*SHAPE, count), dtype=bool)
    for k in range(count):
        drawn[1 + k : 3 + k, 2 + k : 8, 3 : 8 - k, k] = True
    return drawn


def needs_highdicom():
    return pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")


@pytest.fixture
def root(tmp_path):
    needs_highdicom()
    write_slices(tmp_path / "ct", SLICES)
    return tmp_path


def layout_of(root, **options):
    return DicomLayout(root=root, segmentation="seg", **options)


def label_of(root, **options):
    layout = layout_of(root, **options)
    (case,) = layout.cases()
    return np.asarray(layout.load(case.as_item())["label"][0])


@pytest.mark.parametrize(("segment", "place"), [(1, 0), (2, 1), ("liver", 0), ("tumor", 1)])
def test_overlapping_segments_by_number_and_label(root, segment, place):
    write(root / "seg.dcm", segmentation(SLICES, masks(), ["liver", "tumor"]))
    np.testing.assert_array_equal(label_of(root, segment=segment), masks()[..., place].T)


def test_each_label_of_a_label_map(root):
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[1:3, 2:8, 3:8] = 1
    labels[2:4, 4:9, 5:9] = 2
    write(root / "seg.dcm", segmentation(SLICES, labels, ["liver", "tumor"], kind="LABELMAP"))
    for number in (1, 2):
        np.testing.assert_array_equal(label_of(root, segment=number), (labels == number).T)


def test_several_frames_of_a_segment_at_one_place_are_united(root):
    content = pydicom.dcmread(write(root / "seg.dcm", segmentation(SLICES, masks(), ["liver", "tumor"])))
    for frame in content.PerFrameFunctionalGroupsSequence:
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 1
    np.testing.assert_array_equal(read_on(root, content), masks().any(axis=-1).T)


def test_fractions_are_refused_unless_a_threshold_is_chosen(root):
    fractions = np.where(masks(1), 0.0, 0.0).astype(np.float32)
    fractions[1:3, 2:8, 3:8, 0] = 0.25
    fractions[1:3, 4:6, 3:8, 0] = 0.75
    write(root / "seg.dcm", segmentation(SLICES, fractions, ["liver"], kind="FRACTIONAL"))
    with pytest.raises(DataError, match=r"seg\.dcm: expected a mask of yes and no, found a FRACTIONAL .*; choose a"):
        label_of(root)
    for threshold in (0.1, 0.5, 0.9):
        np.testing.assert_array_equal(
            label_of(root, fractional_threshold=threshold), (fractions[..., 0] >= threshold).T
        )


def test_the_only_segment_needs_no_name_and_several_do(root):
    write(root / "seg.dcm", segmentation(SLICES, masks(), ["liver", "tumor"]))
    with pytest.raises(DataError, match=r"one segment, found 1 'liver', 2 'tumor' in seg\.dcm; choose one by"):
        label_of(root)
    with pytest.raises(DataError, match=r"one segment 3, found 1 'liver', 2 'tumor' in seg\.dcm; correct `segment`"):
        label_of(root, segment=3)


def read_on(root, content, **options):
    """The segmentation on the voxels of the series, however it refers to it."""
    _, grid = read_series(sorted((root / "ct").iterdir()))
    return read_segmentation(write(root / "seg.dcm", content), 1, grid, **options)


def test_frames_of_a_part_of_the_slice(root):
    part = [
        slice_of(one.pixel_array[3:9, 2:9], np.add(one.ImagePositionPatient, [1.6, 1.5, 0]), number=k + 1)
        for k, one in enumerate(SLICES)
    ]
    drawn = np.zeros((5, 6, 7), dtype=np.uint8)
    drawn[2, 1:4, 0:3] = 1
    expected = np.zeros(SHAPE, dtype=bool)
    expected[2, 4:7, 2:5] = True
    np.testing.assert_array_equal(read_on(root, segmentation(part, drawn, ["liver"])), expected.T)


@pytest.mark.parametrize(
    ("shift", "options", "what"),
    [
        ((0.0, 0.0, 1.0), {}, "slices"),
        ((0.0, 0.0, 25.0), {}, "slices"),
        ((0.3, 0.0, 0.0), {}, "pixels"),
        ((-8.0, 0.0, 0.0), {}, "pixels"),
        ((0.0, 0.0, 0.0), {"spacing": (0.5, 0.7)}, "pixels"),
        ((0.0, 0.0, 0.0), {"orientation": (0, 1, 0, 1, 0, 0)}, "pixels"),
    ],
)
def test_frames_elsewhere_are_refused(root, shift, options, what):
    elsewhere = [
        slice_of(one.pixel_array, np.array(one.ImagePositionPatient) + shift, number=k + 1, **options)
        for k, one in enumerate(SLICES)
    ]
    with pytest.raises(DataError, match=f"expected frames on the {what} of the images, found one at .*; resample the"):
        read_on(root, segmentation(elsewhere, masks(1), ["liver"]))


@pytest.mark.parametrize(
    ("keyword", "message"),
    [
        ("PlanePositionSequence", r"highdicom cannot read it \(\w+\); export it again"),
        ("SegmentIdentificationSequence", r"highdicom cannot read it \(\w+\); export it again"),
        ("PlaneOrientationSequence", r"expected an orientation for every frame, .* \(PlaneOrientationSequence\);"),
        ("PixelMeasuresSequence", r"expected a pixel size for every frame, .* \(PixelMeasuresSequence\); export"),
    ],
)
def test_frames_that_lack_something_are_refused(root, keyword, message):
    path = write(root / "seg.dcm", segmentation(SLICES, masks(1), ["liver"]))
    content = pydicom.dcmread(path)
    for groups in (*content.PerFrameFunctionalGroupsSequence, *content.SharedFunctionalGroupsSequence):
        groups.pop(keyword, None)
    with pytest.raises(DataError, match=message):
        read_on(root, content)


def test_another_frame_of_reference_is_refused(root):
    content = segmentation(SLICES, masks(), ["liver", "tumor"])
    content.FrameOfReferenceUID = "1.2.3"
    write(root / "seg.dcm", content)
    with pytest.raises(DataError, match=r"seg\.dcm: expected the frame of reference of the images, found another one"):
        label_of(root, segment=1)


def test_a_segmentation_cut_short_is_refused(root):
    path = write(root / "seg.dcm", segmentation(SLICES, masks(1), ["liver"]))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"seg\.dcm: .*export it again"):
        label_of(root)


def test_without_highdicom_the_loader_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(MissingDependencyError, match=r"not installed; run: pip install medsegdist\[dicom\]"):
        layout_of(tmp_path).load({"image": None, "label": None})


def copied(data_root, folder, *files):
    needs_highdicom()
    for k, file in enumerate(files):
        shutil.copy(data_root / file, folder / f"{k}_{file.rpartition('/')[2]}")
    return folder


CT = [f"dicom_dcmqi/ct-3slice/{k:02d}.dcm" for k in (1, 2, 3)]
SMALL_CT = [f"dicom_dcmqi/24x38x3/image/IMG000{k}.dcm" for k in (1, 2, 3)]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("images", "seg", "segment", "nrrd", "value", "voxels"),
    [
        (CT, "liver.dcm", "Liver", "liver_seg.nrrd", 1, 107098),
        (CT, "partial_overlaps.dcm", "GREEN", "partial_overlaps-1.nrrd", 1, 9602),
        (CT, "partial_overlaps.dcm", 2, "partial_overlaps-2.nrrd", 2, 11888),
        (CT, "partial_overlaps.dcm", "PURPLE", "partial_overlaps-3.nrrd", 3, 10743),
        (CT, "partial_overlaps.dcm", "LIGHT_BLUE", "partial_overlaps-1.nrrd", 4, 6693),
        (CT, "partial_overlaps.dcm", 5, "partial_overlaps-1.nrrd", 5, 4713),
        (SMALL_CT, "sparse-labelmap-noppv.dcm", None, "sparse_labelmap_noppv_seg.nrrd", 1, 630),
        (SMALL_CT, "sparse-labelmap-ppv5.dcm", None, "sparse_labelmap_ppv5_seg.nrrd", 1, 630),
        (SMALL_CT, "24x38x3/seg/label.seg", None, "24x38x3/nrrd/label.nrrd", 1, 315),
    ],
)
def test_real_segmentations_are_their_nrrd_twins(tmp_path, data_root, images, seg, segment, nrrd, value, voxels):
    label = label_of(copied(data_root, tmp_path, *images, f"dicom_dcmqi/{seg}"), segment=segment)
    twin = SimpleITK.ReadImage(str(data_root / "dicom_dcmqi" / nrrd))
    expected = value == SimpleITK.GetArrayFromImage(twin).T
    assert expected.sum() == voxels
    np.testing.assert_array_equal(label, expected)


@pytest.mark.realdata
def test_real_segmentation_lies_where_its_twin_lies(tmp_path, data_root):
    layout = layout_of(copied(data_root, tmp_path, *CT, "dicom_dcmqi/liver.dcm"))
    item = layout.load(layout.cases()[0].as_item())
    twin = SimpleITK.ReadImage(str(data_root / "dicom_dcmqi" / "liver_seg.nrrd"))
    for index in ((0, 0, 0), (511, 0, 2), (100, 200, 1)):
        x, y, z = twin.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(np.asarray(item["label"].affine) @ [*index, 1.0], [-x, -y, z, 1], atol=1e-3)
    # HU of a liver without contrast agent.
    assert 40 <= float(item["image"][item["label"] == 1].median()) <= 75


HIGHDICOM = [f"dicom_highdicom/pydicom_77654033_CT2/{name}" for name in ("17136", "17166", "17196")]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("seg", "segment", "threshold"),
    [
        ("binary", None, None),
        ("binary_fractional", None, 0.5),
        ("true_fractional", None, 0.2),
        ("true_fractional", None, 0.5),
    ],
)
def test_real_segmentations_are_what_highdicom_reads(tmp_path, data_root, seg, segment, threshold):
    highdicom = needs_highdicom()
    file = f"dicom_highdicom/seg_image_ct_{seg}.dcm"
    label = label_of(copied(data_root, tmp_path, *HIGHDICOM, file), segment=segment, fractional_threshold=threshold)
    volume = highdicom.seg.segread(data_root / file).get_volume(segment_numbers=[1])
    frames = volume.array[..., 0] >= (threshold or 1)
    # highdicom may count slices downward.
    expected = frames if volume.affine[2, 0] > 0 else frames[::-1]
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(label, expected.T)


@pytest.mark.realdata
def test_real_fractions_and_gaps_are_refused(tmp_path, data_root):
    fractional = "dicom_highdicom/seg_image_ct_true_fractional.dcm"
    with pytest.raises(DataError, match="found a FRACTIONAL segmentation; choose a `fractional_threshold`"):
        label_of(copied(data_root, tmp_path, *HIGHDICOM, fractional))
    copied(data_root, tmp_path, "dicom_highdicom/pydicom_77654033_CT2/17106")
    (tmp_path / "0_17106").rename(tmp_path / "far")
    with pytest.raises(DataError, match=r"slices 1\.25 mm apart, found gaps from -99\.48 to 103\.02 mm"):
        label_of(tmp_path, fractional_threshold=0.5)


@pytest.mark.realdata
def test_real_overlapping_segment_reaches_beyond_the_images(tmp_path, data_root):
    """It has frames at -99.48 mm, where the slice is left out here: nothing of a mask is dropped in silence."""
    copied(data_root, tmp_path, *HIGHDICOM, "dicom_highdicom/seg_image_ct_binary_overlap.dcm")
    with pytest.raises(DataError, match=r"expected frames on the slices of the images, found one at .* -99\.48"):
        label_of(tmp_path, segment=1)


@pytest.mark.realdata
def test_real_single_frame(tmp_path, data_root):
    copied(data_root, tmp_path, "dicom_highdicom/ct_image.dcm", "dicom_highdicom/seg_image_ct_binary_single_frame.dcm")
    label = label_of(tmp_path)
    frames = pydicom.dcmread(data_root / "dicom_highdicom" / "seg_image_ct_binary_single_frame.dcm").pixel_array
    assert 0 < frames.sum() < frames.size
    np.testing.assert_array_equal(label[..., 0].T, frames.reshape(128, 128))
