"""What `medsegdist check` says of real data: no false alarm, and the one image that is really there twice."""

from __future__ import annotations

import shutil

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medsegdist.data.check import check_dataset, check_study, looks_wrapped
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.layouts.dicom import DicomLayout
from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.manifest import DatasetManifest, Preprocessing
from medsegdist.data.study import load_study

pytestmark = pytest.mark.realdata

PREPROCESSING = Preprocessing(grid=(64, 64), min_pixels=1, max_per_case=2)
DEPTHS = pytest.mark.parametrize("full", [False, True])
CT_PICTURES = [
    "msd_liver_ct2d",
    "chaos_liver_ct2d",
    "msd_spleen_ct2d",
    "msd_lungtumor_ct2d",
    "kits19_kidneytumor_ct2d",
]
OTHER_PICTURES = [
    "montgomery_lung_cxr2d",
    "nerve_us2d",
    "kvasir_polyp2d_train256",
    "cvc_clinicdb_polyp2d",
    "drive_vessel2d",
    "dsb2018_nuclei_fluo2d",
]


def pictures(data_root, name, part="*"):
    layout = FolderLayout(root=data_root / name, images=f"images/{part}.png", masks=f"masks/{part}.png")
    in_ct = name in CT_PICTURES
    window = (0, 255) if in_ct else None
    modality = "CT" if in_ct else "other"
    return DatasetManifest(name=name, modality=modality, window=window, layout=layout, foreground=(255,))


def volumes(data_root, name):
    layout = {
        "Task04_Hippocampus": DecathlonLayout(root=data_root / "Task04_Hippocampus"),
        "la2018_heart_mr3d": DecathlonLayout(root=data_root / "la2018_heart_mr3d"),
        "pyradiomics_nrrd": FolderLayout(
            root=data_root / "pyradiomics_nrrd", images="*_image.nrrd", masks="*_label.nrrd"
        ),
        "sct_spinalcord_mr3d": FolderLayout(
            root=data_root / "sct_spinalcord_mr3d", images="images/*.nii.gz", masks="labels/*.nii.gz"
        ),
    }[name]
    foreground = (1, 2) if name == "Task04_Hippocampus" else None
    return DatasetManifest(name=name, modality="MR", layout=layout, foreground=foreground)


# A part of the larger sets, by the last digit of their names: reading all of them takes half a minute.
PARTS = {"msd_liver_ct2d": "*5", "montgomery_lung_cxr2d": "*1_0", "nerve_us2d": "*5", "kits19_kidneytumor_ct2d": "*0"}


@DEPTHS
@pytest.mark.parametrize("name", [*CT_PICTURES, *OTHER_PICTURES])
def test_nothing_is_wrong_with_real_pictures(data_root, name, full):
    manifest = pictures(data_root, name, PARTS.get(name, "*") if full else "*")
    assert manifest.layout.cases()
    assert check_dataset(manifest, PREPROCESSING, full=full).problems == ()


@DEPTHS
@pytest.mark.parametrize("name", ["Task04_Hippocampus", "la2018_heart_mr3d", "pyradiomics_nrrd"])
def test_nothing_is_wrong_with_real_volumes(data_root, name, full):
    assert check_dataset(volumes(data_root, name), PREPROCESSING, full=full).problems == ()


@DEPTHS
def test_one_real_image_with_two_masks(data_root, full):
    (problem,) = check_dataset(volumes(data_root, "sct_spinalcord_mr3d"), PREPROCESSING, full=full).problems
    assert (problem.severity, problem.cases) == ("warning", ("t2s", "t2sgm"))


@DEPTHS
def test_real_dicom(tmp_path, data_root, full):
    for path in (data_root / "dicom_rtutils" / "mock_data").iterdir():
        if path.name.startswith("ct_") or path.name == "rt.dcm":
            shutil.copy(path, tmp_path)
    layout = DicomLayout(root=tmp_path, segmentation="rtstruct", roi="ROI-1")
    manifest = DatasetManifest(name="rt", modality="CT", layout=layout)
    problems = check_dataset(manifest, PREPROCESSING, full=full).problems
    assert [problem for problem in problems if problem.severity == "error"] == []


@pytest.mark.parametrize("organ", ["liver", "spleen"])
def test_a_real_ct_is_in_hounsfield_units(tmp_path, data_root, organ):
    example = data_root / "totalsegmentator_example"
    for folder, source in (("images", "example_ct.nii.gz"), ("masks", f"example_seg_full/{organ}.nii.gz")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ct.nii.gz").symlink_to(example / source)
    layout = FolderLayout(root=tmp_path, images="images/*.nii.gz", masks="masks/*.nii.gz")
    assert check_dataset(DatasetManifest(name=organ, modality="CT", layout=layout), PREPROCESSING).problems == ()


@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_real_volumes_study_says_which_sources_hold_the_targets_images(project_root, data_root, full):
    study = load_study(project_root / "data_manifests" / "real_volumes.yaml")
    study = study.model_copy(update={"datasets": study.datasets[:4]})
    problems = check_study(study, full=full)
    assert [(p.severity, p.dataset, len(p.cases)) for p in problems] == [("warning", "hippocampus anterior", 260)] * 2
    refused = check_study(study.model_copy(update={"shared_images": "refuse"}))
    assert [problem.severity for problem in refused] == ["error", "error", "warning"]


def test_a_real_ct_that_was_cast_to_8_or_16_bits(data_root):
    ct = np.asarray(nib.load(data_root / "totalsegmentator_example" / "example_ct.nii.gz").dataobj).astype(np.int32)
    for view in (ct, ct[:, :, 40:41], ct[:, 50:51]):
        for dtype in (np.uint8, np.int8, np.uint16):
            assert looks_wrapped(view.astype(dtype).astype(np.float32))
        assert not looks_wrapped(view.astype(np.float32))
        assert not looks_wrapped(np.clip(view, 0, 255).astype(np.float32))
        assert not looks_wrapped(np.rint(np.clip((view + 160) / 400 * 255, 0, 255)).astype(np.float32))


def test_a_real_mr_that_was_cast_to_8_bits(data_root):
    for path in sorted((data_root / "la2018_heart_mr3d" / "imagesTr").glob("*.nii.gz")):
        heart = np.rint(np.asarray(nib.load(path).dataobj)).astype(np.int32)
        assert looks_wrapped(heart.astype(np.uint8).astype(np.float32)), path.name
        assert not looks_wrapped(np.rint(heart * (255 / heart.max())).astype(np.float32)), path.name


def test_a_real_picture_saved_in_another_format_is_the_same_image(tmp_path, data_root):
    source = data_root / "chaos_liver_ct2d"
    names = sorted(path.stem for path in (source / "images").iterdir())[:4]
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for name in names:
            shutil.copy(source / folder / f"{name}.png", tmp_path / folder)
        with Image.open(source / folder / f"{names[0]}.png") as picture:
            picture.save(tmp_path / folder / "copy.png", compress_level=0)
    layout = FolderLayout(root=tmp_path, images="images/*.png", masks="masks/*.png")
    manifest = DatasetManifest(name="liver", modality="CT", window=(0, 255), layout=layout)
    assert check_dataset(manifest, PREPROCESSING, full=False).problems == ()
    (problem,) = check_dataset(manifest, PREPROCESSING).problems
    assert set(problem.cases) == {names[0], "copy"}
