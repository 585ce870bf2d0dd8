"""What `medsegdist check` finds beyond what a dataset is refused for."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from medsegdist.data.check import check_dataset, check_study
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.layouts.dicom import DicomLayout
from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.layouts.lidc import LidcLayout
from medsegdist.data.layouts.phantom import PhantomLayout
from medsegdist.data.manifest import DatasetManifest, Preprocessing
from medsegdist.data.study import Study
from tests.data.making import (
    AFFINE,
    PREPROCESSING,
    SHAPE,
    labels,
    pictures_manifest,
    smooth,
    task_manifest,
    voxels,
    write_listing,
    write_picture,
    write_pictures,
    write_task,
    write_volume,
)
from tests.data.making_dicom import PATIENT_ID, PATIENT_NAME, rectangle, stack, structure_set, write, write_slices

DEPTHS = pytest.mark.parametrize("full", [False, True])


def study_of(*manifests, targets=("target",), **more):
    return Study(name="study", preprocessing=PREPROCESSING, datasets=manifests, targets=targets, **more)


def other_task(root):
    """A task whose images no other task has."""
    write_task(root)
    for k, path in enumerate(sorted((root / "imagesTr").iterdir())):
        write_volume(path, voxels(100 + k))
    return root


def copy_case(source, target, case):
    for folder in ("imagesTr", "labelsTr"):
        shutil.copy(source / folder / "p1_b.nii.gz", target / folder / f"{case}.nii.gz")


@DEPTHS
def test_an_image_in_target_and_source(tmp_path, full):
    one = task_manifest(write_task(tmp_path / "one"), name="target")
    two = task_manifest(other_task(tmp_path / "two"), name="source")
    copy_case(tmp_path / "one", tmp_path / "two", "p2_a")
    (problem,) = check_study(study_of(one, two), full=full)
    assert (problem.severity, problem.dataset, problem.case) == ("error", "target", "p1_b")
    assert str(problem) == (
        "case 'p1_b': 1 of 3 cases has the same image in the source 'source': 'p1_b' (there 'p2_a'); "
        "take them out of one of the two, group both under `same_images`, or say `shared_images: allow` in the study."
    )
    (problem,) = check_study(study_of(one, two, shared_images="allow"), full=full)
    assert problem.severity == "warning"
    assert problem.remedy == "the study allows it; mind that the ranking rewards the source for it"
    assert check_study(study_of(one, two, sources=("target", "source"), targets=("source",)), full=full) != []


@DEPTHS
def test_sources_may_share_images(tmp_path, full):
    target = task_manifest(write_task(tmp_path / "one"), name="target")
    sources = [task_manifest(other_task(tmp_path / "two"), name=name) for name in ("a", "b")]
    (problem,) = check_study(study_of(target, *sources), full=full)
    assert (problem.severity, problem.case, problem.cases) == ("warning", "", ("p1_a", "p1_b", "p2_a"))
    assert str(problem).startswith(
        "3 of 3 cases have the same image in 'b', which is a source, too: 'p1_a', 'p1_b', 'p2_a'; "
    )
    assert check_study(study_of(target, *sources, shared_images="allow"), full=full) == []


@DEPTHS
def test_a_case_twice_in_a_dataset(tmp_path, full):
    root = write_task(tmp_path)
    copy_case(root, root, "p2_a")
    (problem,) = check_dataset(task_manifest(root), PREPROCESSING, full=full).problems
    assert (problem.severity, problem.cases) == ("warning", ("p1_b", "p2_a"))
    assert str(problem) == (
        "case 'p1_b': its image is also that of 'p2_a'; keep one of them; or, if each has a mask of its own, "
        "join the masks."
    )


@DEPTHS
def test_a_patient_in_target_and_source(tmp_path, full):
    for name in ("p1_a", "p2_a", "p1_b", "p3_b"):
        seed = ["p1_a", "p2_a", "p1_b", "p3_b"].index(name)
        write_volume(tmp_path / "images" / f"{name}.nii.gz", voxels(seed))
        write_volume(tmp_path / "masks" / f"{name}.nii.gz", labels())

    def half(name, letter):
        layout = FolderLayout(
            root=tmp_path,
            images=f"images/*_{letter}.nii.gz",
            masks=f"masks/*_{letter}.nii.gz",
            patient_pattern=r"(p\d+)",
        )
        return DatasetManifest(name=name, modality="MR", layout=layout)

    (problem,) = check_study(study_of(half("target", "a"), half("source", "b")), full=full)
    assert problem.severity == "error"
    assert problem.problem == "1 of 2 cases has the same patient in the source 'source': 'p1'"


def test_patients_of_lidc_and_of_phantoms():
    levels = [
        DatasetManifest(name=f"LIDC {level}", modality="CT", layout=LidcLayout(malignancy=level)) for level in (1, 2)
    ]
    (problem,) = check_study(study_of(*levels, targets=("LIDC 1",)))
    assert problem.severity == "error"
    assert "the same patient in the source 'LIDC 2': 'LIDC-IDRI-" in problem.problem
    apart = [m.model_copy(update={"layout": m.layout.model_copy(update={"exclusive": "patient"})}) for m in levels]
    assert check_study(study_of(*apart, targets=("LIDC 1",))) == []
    liver, spleen, twin = (
        DatasetManifest(name=name, modality="CT", layout=PhantomLayout(organ=organ, patients=2))
        for name, organ in (("target", "liver"), ("spleen", "spleen"), ("twin", "liver"))
    )
    assert check_study(study_of(liver, spleen, *levels)) == []
    (problem,) = check_study(study_of(liver, twin))
    assert problem.problem.startswith("2 of 2 cases have the same patient in the source 'twin': 'liver_0001', ")


def test_patients_of_lidc_are_known_wherever_they_stand(tmp_path):
    """A level, a task made of another one, and their DICOM: public names mean the same patients in all of them."""
    level = DatasetManifest(name="level", modality="CT", layout=LidcLayout(malignancy=5, max_patients=1))
    case = level.layout.cases()[0]
    entries = json.loads((write_task(tmp_path / "task") / "dataset.json").read_text())["training"]
    entries[1]["patient_id"] = case.patient_id
    layout = DecathlonLayout(root=write_listing(tmp_path / "task", entries))
    task = DatasetManifest(name="target", modality="MR", layout=layout)
    drawn = dicom_manifest(tmp_path / "dicom", "drawn", "s1", patient=case.patient_id)
    for source, name in ((level, case.id), (drawn, "drawing")):
        (problem,) = check_study(study_of(task, source))
        assert (problem.severity, problem.case) == ("error", "p1_b")
        said = f"1 of 3 cases has the same patient in the source '{source.name}': 'p1_b' (there '{name}')"
        assert problem.problem == said
    other = dicom_manifest(tmp_path / "other", "other", "s2", patient=f"{case.patient_id}0")
    assert check_study(study_of(task, other)) == []


def dicom_manifest(root, name, series, patient=PATIENT_ID, seed=0):
    stored = np.random.default_rng(seed).integers(0, 2000, (4, 12, 10)).astype(np.int16)
    slices = stack(stored, series=series, patient=patient)
    write_slices(root, slices)
    write(root / "drawing.dcm", structure_set({"organ": [rectangle(2, 6, 1)]}, slices, patient=patient))
    return DatasetManifest(name=name, modality="CT", layout=DicomLayout(root=root, segmentation="rtstruct"))


@DEPTHS
def test_dicom_patients_and_series(tmp_path, full):
    target = dicom_manifest(tmp_path / "a", "target", "s1", seed=1)
    same_patient = dicom_manifest(tmp_path / "b", "source", "s2", seed=2)
    same_series = dicom_manifest(tmp_path / "c", "source", "s1", seed=1)
    unrelated = dicom_manifest(tmp_path / "d", "source", "s3", patient="MRN2", seed=3)
    assert check_study(study_of(target, unrelated), full=full) == []
    (problem,) = check_study(study_of(target, same_patient), full=full)
    assert problem.severity == "warning"
    assert problem.problem == (
        "1 of 1 case has maybe the same patient (equal PatientID) in the source 'source': 'drawing'"
    )
    (leak,) = check_study(study_of(target, same_series), full=full)
    assert leak.severity == "error"
    assert leak.problem == "1 of 1 case has the same image in the source 'source': 'drawing'"
    for text in (PATIENT_ID, PATIENT_NAME):
        assert text not in repr([problem, leak])


@DEPTHS
def test_a_spacing_that_is_an_outlier(tmp_path, full):
    root = write_task(tmp_path, tuple(f"p{k}_a" for k in range(6)))
    manifest = task_manifest(root)
    assert check_dataset(manifest, PREPROCESSING, full=full).problems == ()
    thick = AFFINE @ np.diag([1, 1, 5, 1])
    write_volume(root / "imagesTr" / "p3_a.nii.gz", voxels(3), thick)
    write_volume(root / "labelsTr" / "p3_a.nii.gz", labels(), thick)
    (problem,) = check_dataset(manifest, PREPROCESSING, full=full).problems
    assert problem.severity == "warning"
    assert str(problem) == (
        "case 'p3_a': the spacing is an outlier: 10 mm from feet to head where the dataset's median is 2 mm; "
        "check the header of the image, or leave the case out."
    )


def test_a_wrapped_dataset_is_one_warning_for_all_cases(tmp_path):
    root = write_pictures(tmp_path, ("a", "b", "c", "d", "e"))
    mask = np.zeros((64, 64), np.uint8)
    mask[20:30, 20:30] = 255
    for k, name in enumerate("abcde"):
        pixels = (smooth(-100, 300) + k) % 256 if name != "e" else smooth(0, 255)
        write_picture(root / "images" / f"{name}.png", pixels.astype(np.uint8))
        write_picture(root / "masks" / f"{name}.png", mask)
    (problem,) = check_dataset(pictures_manifest(root), PREPROCESSING).problems
    assert (problem.severity, problem.cases) == ("warning", ("a", "b", "c", "d"))
    assert problem.problem == (
        "4 of 5 cases, 'a', 'b', 'c' and 1 more: neighboring voxels leap from one end of the range to the other, "
        "as if intensities had overflowed"
    )


@pytest.mark.parametrize(
    ("high", "text", "remedy"),
    [
        # Not up to 255: over the whole range, voxels in any order are like wrapped ones.
        (200, "a CT with intensities from 0 to 255 only is not in HU", "state `window: [0, 255]`, or restore the HU"),
        (
            2000,
            "a CT without a value below 0 is hardly in HU, where air is -1000",
            "subtract the offset (often 1024), or state a `window`",
        ),
    ],
)
def test_a_ct_that_is_not_in_hounsfield_units(tmp_path, high, text, remedy):
    root = write_task(tmp_path)
    for k, name in enumerate(("p1_a", "p1_b", "p2_a")):
        write_volume(root / "imagesTr" / f"{name}.nii.gz", np.rint(voxels(k) * high / 479).astype(np.float32))
    windowed = Preprocessing(grid=(10, 12), min_pixels=1, ct_window=(-1000, 3000))
    (problem,) = check_dataset(task_manifest(root, modality="CT"), windowed).problems
    assert (problem.severity, problem.remedy) == ("warning", remedy)
    assert problem.problem == f"3 of 3 cases, 'p1_a', 'p1_b', 'p2_a': {text}"
    assert check_dataset(task_manifest(root, modality="CT", window=(0, high)), windowed).problems == ()
    assert check_dataset(task_manifest(root, modality="MR"), windowed).problems == ()


@pytest.mark.parametrize(
    ("modality", "window", "value", "shown"),
    [("CT", None, -1000, 0), ("CT", None, 400, 255), ("other", (0, 255), 0, 0), ("MR", None, 7, None)],
)
def test_an_image_of_one_intensity(tmp_path, modality, window, value, shown):
    """Whether or not the rule of intensities minds it: a fixed window does not, and percentiles do."""
    root = write_task(tmp_path)
    manifest = task_manifest(root, modality=modality, window=window)
    write_volume(root / "imagesTr" / "p1_b.nii.gz", np.full(SHAPE, value, np.int16))
    problems = [one for one in check_dataset(manifest, PREPROCESSING).problems if one.severity == "error"]
    said = "expected an image with contrast" if shown is None else f"the image is constant, {shown} everywhere"
    assert [(one.case, said in one.problem) for one in problems] == [("p1_b", True)]


def test_headers_alone_find_what_needs_no_voxel(tmp_path):
    root = write_task(tmp_path, tuple(f"p{k}_a" for k in range(4)))
    (root / "imagesTr" / "p0_a.nii.gz").unlink()
    (root / "labelsTr" / "p1_a.nii.gz").write_text("<html>")
    write_volume(root / "labelsTr" / "p2_a.nii.gz", labels()[..., :3])
    write_volume(root / "labelsTr" / "p3_a.nii.gz", labels(), AFFINE @ np.diag([1, 1, 2, 1]))
    quick = check_dataset(task_manifest(root), PREPROCESSING, full=False).problems
    assert quick == check_dataset(task_manifest(root), PREPROCESSING, full=True).problems
    assert [problem.case for problem in quick] == ["p0_a", "p1_a", "p2_a", "p3_a"]


def test_a_listing_that_cannot_be_read_hides_no_other_dataset(tmp_path):
    (tmp_path / "one").mkdir()
    one = task_manifest(tmp_path / "one", name="target")
    root = write_task(tmp_path / "two")
    (root / "imagesTr" / "p1_a.nii.gz").unlink()
    problems = check_study(study_of(one, task_manifest(root, name="source")))
    assert [(problem.dataset, problem.case) for problem in problems] == [("target", ""), ("source", "p1_a")]
    write_listing(tmp_path / "one", [{"image": "/a.nii.gz", "label": "b.nii.gz"}])
    assert "expected a path inside" in check_study(study_of(one, task_manifest(root, name="source")))[0].problem
