"""The DICOM layout: which drawing belongs to which series, what is refused, and what is never said."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pydicom
import pytest
import yaml
from pydantic import ValidationError

from medsegdist.data.check import check_dataset
from medsegdist.data.collect import load_samples
from medsegdist.data.inspect import inspect
from medsegdist.data.layouts.dicom import DicomLayout
from medsegdist.data.manifest import DatasetManifest, Preprocessing
from medsegdist.data.problems import DoubtfulCasesWarning
from medsegdist.data.study import Study
from medsegdist.distance.table import compare_all
from medsegdist.errors import DataError
from medsegdist.report.describe import describe_dataset
from tests.data.making_dicom import (
    PATIENT_ID,
    rectangle,
    stack,
    stored_values,
    structure_set,
    uid,
    write,
    write_slices,
)
from tests.test_cli import run

STORED = stored_values((4, 12, 10))
BOX = np.zeros((4, 12, 10), dtype=bool)
BOX[1:3, 2:8, 2:8] = True


def write_case(root, name, patient=PATIENT_ID, regions=("liver",)):
    """A series and a structure set with a box in each region, in a folder of its own."""
    slices = stack(STORED, series=name, patient=patient)
    write_slices(root / name / "ct", slices)
    drawn = structure_set({region: [rectangle(1.6, 7.4, k) for k in (1, 2)] for region in regions}, slices)
    drawn.PatientID = patient
    return write(root / name / "rt.dcm", drawn)


def layout_of(root, **options):
    return DicomLayout(root=root, **{"segmentation": "rtstruct"} | options)


def manifest_of(root, **options):
    return DatasetManifest(name="tiny", modality="CT", layout=layout_of(root, **options))


PREPROCESSING = Preprocessing(grid=(12, 10), min_pixels=1)


def test_cases_are_drawings_with_their_series(tmp_path):
    for name in ("b", "a"):
        write_case(tmp_path, name)
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / ".hidden.dcm").write_bytes(b"left by a Mac")
    layout = layout_of(tmp_path)
    cases = layout.cases()
    assert [case.id for case in cases] == ["a__rt", "b__rt"]
    for case, name in zip(cases, ("a", "b"), strict=True):
        assert case.label.path == str(tmp_path / name / "rt.dcm")
        assert list(case.image) == sorted(str(path) for path in (tmp_path / name / "ct").iterdir())
    item = layout.load(cases[0].as_item())
    np.testing.assert_array_equal(item["image"][0], STORED.T.astype(np.float32) - 1024)
    np.testing.assert_array_equal(item["label"][0], BOX.T)
    np.testing.assert_array_equal(item["image"].affine, item["label"].affine)


@pytest.mark.parametrize("frame", ["frame", "another", "invented", None])
def test_a_drawing_in_another_frame_of_reference_is_refused(tmp_path, frame):
    path = write_case(tmp_path, "a", regions=("liver", "spleen"))
    content = pydicom.dcmread(path)
    for region, name in zip(content.StructureSetROISequence, (frame, "another"), strict=True):
        if name:
            region.ReferencedFrameOfReferenceUID = uid(name, uid("a"))
    if frame == "invented":
        # As rt-utils writes it.
        content.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = uid(frame, uid("a"))
    write(path, content)
    layout = layout_of(tmp_path, roi="liver")
    item = layout.cases()[0].as_item()
    for header_only in (False, True):
        if frame == "another":
            with pytest.raises(
                DataError, match=r"rt\.dcm: expected the frame of reference of the images, found another"
            ):
                layout.load(item, header_only=header_only)
        else:
            assert layout.load(item, header_only=header_only)["label"].shape == (1, 10, 12, 4)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_check_lists_rounded_and_overlapping_contours(tmp_path, workers):
    """Those of the first mask without reading every voxel, those of all masks otherwise."""
    for name in ("a", "b", "c"):
        path = write_case(tmp_path, name)
        drawn = pydicom.dcmread(path)
        contours = drawn.ROIContourSequence[0].ContourSequence
        if name != "b":
            outline = [(-9, -19), (-7, -20), (-5, -18), (-4, -17), (-6, -15), (-8, -16)]
            contours[0].ContourData = [value for point in outline for value in (*point, 32.5)]
            contours[0].NumberOfContourPoints = len(outline)
            del contours[1]
        else:
            contours.append(contours[0])
        write(path, drawn)
    steps = "the coordinates of ROI 1 go by steps of 1 mm on pixels of 0.8 x 0.5 mm; if they were rounded, its outline"
    said = {
        "b__rt": "contours overlap or are drawn twice on 1 slice; look at them there",
        **dict.fromkeys(("a__rt", "c__rt"), f"{steps} is off by up to 0.71 mm; export it with more decimals"),
    }
    manifest = manifest_of(tmp_path)
    for full, cases in ((False, ["a__rt"]), (True, ["a__rt", "b__rt", "c__rt"])):
        found = check_dataset(manifest, PREPROCESSING, full=full, workers=workers).problems
        found = [one for one in found if one.problem.startswith(("contours", "the coordinates"))]
        assert [(one.case, one.severity) for one in found] == [(case, "warning") for case in cases]
        assert all(str(one) == f"case '{one.case}': {said[one.case]}." for one in found)
    # From the cache, too.
    for _ in range(2):
        with pytest.warns(DoubtfulCasesWarning) as warned:
            samples = load_samples(manifest, PREPROCESSING, workers=workers, cache=tmp_path / "cache")
        assert [str(one.message) for one in warned] == [
            f"dataset '{manifest.name}': 2 of 3 cases, 'a__rt', 'c__rt': {said['a__rt']}.",
            f"dataset '{manifest.name}': case 'b__rt': {said['b__rt']}.",
        ]
        assert samples.case_summary.doubtful == 3


def test_a_ranking_says_each_time_whose_files_leave_something_open(tmp_path):
    for place, name in (("near", "a"), ("near", "b"), ("far", "c"), ("far", "d")):
        path = write_case(tmp_path / place, name)
        if name == "b":
            drawn = pydicom.dcmread(path)
            drawn.ROIContourSequence[0].ContourSequence.append(drawn.ROIContourSequence[0].ContourSequence[0])
            write(path, drawn)
    layouts = {name: {"kind": "dicom", "root": name, "segmentation": "rtstruct"} for name in ("near", "far")}
    datasets = [{"name": name, "modality": "CT", "layout": layout} for name, layout in layouts.items()]
    study = {
        "name": "two",
        "targets": ["far"],
        "preprocessing": {"grid": [12, 10], "min_pixels": 1},
        "datasets": datasets,
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study | {"shared_images": "allow"}))
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            result = run("rank", tmp_path / "study.yaml", "--out", tmp_path / "out", "--method", "dice", "--json")
        said = (
            "Warning: dataset 'near': case 'b__rt': contours overlap or are drawn twice on 1 slice; look at them there."
        )
        assert said in result.stderr
        against = json.loads(result.stdout)["targets"]["far"]["against"]
        assert any(one.startswith("Files of 1 of 2 of near leave something open") for one in against)


def test_one_patient_is_one_patient_and_nobody_knows_who(tmp_path):
    write_case(tmp_path, "a", patient="Q17")
    write_case(tmp_path, "b", patient="")
    write_case(tmp_path, "c", patient="Q17")
    write_case(tmp_path, "d", patient="")
    assert [case.patient_id for case in layout_of(tmp_path).cases()] == [
        *("patient of a__rt", "b__rt", "patient of a__rt", "d__rt")
    ]
    by_folder = layout_of(tmp_path, patient_pattern=r"^([a-z])__").cases()
    assert [case.patient_id for case in by_folder] == ["a", "b", "c", "d"]


def test_links_that_lead_in_circles_come_to_an_end(tmp_path):
    write_case(tmp_path, "a")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (case,) = layout_of(tmp_path).cases()
    assert (case.id, len(case.image)) == ("a__rt", 4)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a" / "self")
    (tmp_path / "a" / "gone.dcm").symlink_to(tmp_path / "nowhere")
    said = "the link leads to no file; restore the file, or remove the link"
    with pytest.raises(DataError, match=rf"2 problems .*:\n  2 of 3 cases, 'a/gone\.dcm', 'a/self': {said}"):
        layout_of(tmp_path).cases()


def test_references_by_instance_where_the_series_is_not_named(tmp_path):
    path = write_case(tmp_path, "a")
    drawn = pydicom.dcmread(path)
    images = drawn.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    for contour in drawn.ROIContourSequence[0].ContourSequence:
        contour.ContourImageSequence = [images.ContourImageSequence[0]]
    del drawn.ReferencedFrameOfReferenceSequence
    write(path, drawn)
    layout = layout_of(tmp_path)
    np.testing.assert_array_equal(layout.load(layout.cases()[0].as_item())["label"][0], BOX.T)


def test_the_drawing_that_has_the_region_counts(tmp_path):
    write_case(tmp_path, "a", regions=("spleen",))
    slices = stack(STORED, series="a")
    write(tmp_path / "a" / "other.dcm", structure_set({"liver": [rectangle(0.6, 2.4, 0)]}, slices))
    (case,) = layout_of(tmp_path, roi="liver").cases()
    assert case.id == "a__other"
    assert layout_of(tmp_path).load(case.as_item())["label"].sum() == 4


def load(layout):
    return [layout.load(case.as_item()) for case in layout.cases()]


def test_an_absent_region_and_a_choice_of_several_are_told(tmp_path):
    write_case(tmp_path, "a", regions=("liver", "spleen"))
    with pytest.raises(DataError, match=r"one roi, found 1 'liver', 2 'spleen' in rt\.dcm; choose one by `roi`"):
        load(layout_of(tmp_path))
    with pytest.raises(DataError, match=r"one roi 'lung', found 1 'liver', 2 'spleen' in rt\.dcm; correct `roi`"):
        load(layout_of(tmp_path, roi="lung"))
    assert load(layout_of(tmp_path, roi="spleen"))[0]["label"].sum() == BOX.sum()
    write_case(tmp_path, "b", regions=("L\u00e9sion", "spleen"))
    assert load(layout_of(tmp_path / "b", roi="Le\u0301sion"))[0]["label"].sum() == BOX.sum()
    shutil.rmtree(tmp_path / "b")
    write(tmp_path / "a" / "again.dcm", structure_set({"liver": []}, stack(STORED, series="a")))
    with pytest.raises(DataError, match=r"choose one by `roi`, or keep one of the files"):
        load(layout_of(tmp_path))
    with pytest.raises(DataError, match=r"found 1 'liver' in again\.dcm and .* in rt\.dcm; keep one of them"):
        load(layout_of(tmp_path, roi="liver"))


def test_images_that_are_not_there_are_told_by_the_case(tmp_path):
    write_case(tmp_path, "a")
    write_case(tmp_path, "b")
    shutil.rmtree(tmp_path / "b" / "ct")
    (problem,) = check_dataset(manifest_of(tmp_path), PREPROCESSING).problems
    assert problem.case == "b__rt"
    assert problem.problem == "rt.dcm: the images that it refers to are not in the folder"
    assert problem.remedy == "add their series, or leave the case out"


def test_a_drawing_that_names_no_images(tmp_path):
    path = write_case(tmp_path, "a")
    drawn = pydicom.dcmread(path)
    del drawn.ReferencedFrameOfReferenceSequence
    write(path, drawn)
    with pytest.raises(DataError, match=r"rt\.dcm: it names no images; export it with references to them"):
        load(layout_of(tmp_path))


def test_a_drawing_on_two_series_is_refused(tmp_path):
    path = write_case(tmp_path, "a")
    write_slices(tmp_path / "second", stack(STORED, series="second"))
    drawn = pydicom.dcmread(path)
    study = drawn.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    more = pydicom.Dataset()
    more.SeriesInstanceUID = uid("second")
    study.RTReferencedSeriesSequence.append(more)
    write(path, drawn)
    with pytest.raises(DataError, match=r"expected a drawing on one image series, found one on 2; keep the series"):
        load(layout_of(tmp_path))


def test_a_folder_without_drawings(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist; set `root`"):
        layout_of(tmp_path / "nowhere").cases()
    with pytest.raises(DataError, match="holds 0 DICOM series but no RTSTRUCT; correct `root`"):
        layout_of(tmp_path).cases()
    write_slices(tmp_path, stack(STORED))
    with pytest.raises(DataError, match="holds 1 DICOM series but no SEG; correct `root` or `segmentation`"):
        layout_of(tmp_path, segmentation="seg").cases()


@pytest.mark.parametrize("content", [b"", b"no DICOM", b"\0" * 200])
def test_files_that_only_look_like_dicom_are_all_listed(tmp_path, content):
    write_case(tmp_path, "a")
    for name in ("x.dcm", "y.DCM"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"2 problems with .*\n  2 of 3 cases, 'x\.dcm', 'y\.DCM': the file .*; copy"):
        layout_of(tmp_path).cases()


@pytest.mark.parametrize("full", [False, True])
def test_a_file_that_cannot_be_read_hides_no_case(tmp_path, full):
    for name in "ab":
        write_case(tmp_path, name)
    (tmp_path / "x.dcm").write_bytes(b"no DICOM")
    problems = check_dataset(manifest_of(tmp_path), PREPROCESSING, full=full).problems
    assert [one.case for one in problems if one.severity == "error"] == ["x.dcm"]
    found = inspect(str(tmp_path))
    assert found.statistics.cases == 2
    assert any(
        "2 cases can be used; `medsegdist check` names what cannot, such as x.dcm: " in one for one in found.remarks
    )


def test_regions_without_numbers_are_told(tmp_path):
    path = write_case(tmp_path, "a")
    drawn = pydicom.dcmread(path)
    del drawn.StructureSetROISequence[0].ROINumber
    write(path, drawn)
    with pytest.raises(DataError, match=r"1 problem with .*:\n  a/rt\.dcm: its segments have no numbers; export"):
        layout_of(tmp_path).cases()


def test_a_file_that_may_not_be_read_is_the_machines_trouble(tmp_path, monkeypatch):
    write_case(tmp_path, "a")

    def denied(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pydicom.dcmread", denied)
    with pytest.raises(PermissionError, match="Permission denied"):
        layout_of(tmp_path).cases()


def test_names_that_would_fall_together_are_refused(tmp_path):
    path = write_case(tmp_path, "a")
    write_case(tmp_path, "b").rename(path.with_suffix(""))
    with pytest.raises(DataError, match="several drawings would be called a__rt; rename the files"):
        layout_of(tmp_path).cases()


@pytest.mark.parametrize(
    "options",
    [
        {"segmentation": "rtstruct", "segment": 1},
        {"segmentation": "rtstruct", "fractional_threshold": 0.5},
        {"segmentation": "seg", "roi": "liver"},
        {"segmentation": "seg", "contour_edges": "include"},
    ],
)
def test_options_of_the_other_kind_are_refused(tmp_path, options):
    with pytest.raises(ValidationError, match=r"`(roi|segment|contour_edges)`.* for '"):
        DicomLayout(root=tmp_path, **options)


@pytest.mark.parametrize(
    ("ids", "options", "known"),
    [(("Q1", "Q2"), {}, True), (("", ""), {}, False), (("", ""), {"patient_pattern": "^([a-z])__"}, True)],
)
def test_patients_of_one_case_each_are_known_if_headers_or_a_pattern_name_them(tmp_path, ids, options, known):
    for name, patient in zip("ab", ids, strict=True):
        write_case(tmp_path, name, patient=patient)
    manifest = manifest_of(tmp_path, **options)
    other = manifest.model_copy(update={"name": "other"})
    study = Study(name="study", preprocessing=PREPROCESSING, datasets=[manifest, other], targets=["tiny"])
    samples = load_samples(study)
    table = compare_all(samples, ["euclidean"])
    assert describe_dataset(study, samples[0], table).patients_known is known
