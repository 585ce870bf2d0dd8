from __future__ import annotations

import hashlib
import json
import tempfile
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from medsegdist.data.collect import load_samples
from medsegdist.data.export import export_task
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.layouts.dicom import DicomLayout
from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.layouts.lidc import LidcLayout
from medsegdist.data.layouts.nnunet import NnunetLayout
from medsegdist.data.layouts.phantom import PhantomLayout
from medsegdist.data.manifest import DatasetManifest, Preprocessing, load_dataset
from tests.data.making import (
    AFFINE,
    PREPROCESSING,
    SHAPE,
    labels,
    pictures_manifest,
    real_hippocampus,
    task_manifest,
    voxels,
    write_picture,
    write_pictures,
    write_task,
    write_volume,
)
from tests.data.test_collect import assert_equal
from tests.data.test_dicom import write_case

VOLUMES = {"images": "images/*.nii.gz", "masks": "masks/*.nii.gz"}


def contents(folder: Path) -> dict[str, str]:
    """A digest of every file, hidden ones too."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read_back(task: Path, preprocessing: Preprocessing = PREPROCESSING):
    return load_samples(load_dataset(task / "dataset.yaml"), preprocessing)


def listing_of(task: Path) -> dict:
    return json.loads((task / "dataset.json").read_text())


def folder_manifest(root: Path, **more) -> DatasetManifest:
    return DatasetManifest(
        **{"name": "volumes", "modality": "MR", "layout": FolderLayout(root=root, **VOLUMES)} | more,
    )


# --- What is written is what was there -------------------------------------------------------------------------------

AXES = list(product(permutations(range(3)), product((1, -1), repeat=3)))
KINDS = {
    np.uint8: (0, 255),
    np.int16: (-2048, 3000),
    np.uint16: (0, 65535),
    np.int32: (-100_000, 100_000),
    np.float32: (-1000, 1000),
}


@st.composite
def stored_cases(draw):
    """A volume and its mask as somebody may have stored them: any axis order, and another one for the mask."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = np.array(draw(st.tuples(*[st.integers(1, 6)] * 3)))
    kind = draw(st.sampled_from(list(KINDS)))
    image = rng.uniform(*KINDS[kind], size).astype(kind)
    image.flat[0] = 2  # a copy of the mask would be refused
    label = (rng.random(size) < 0.4).astype(np.uint8) * draw(st.sampled_from([1, 4, 255]))
    label.flat[0] = max(label.max(), 1)
    affine = np.diag([*(draw(st.floats(0.25, 5)) for _ in range(3)), 1.0])
    affine[:3, 3] = rng.uniform(-200, 200, 3)
    angle = draw(st.sampled_from([0.0, 0.0, 0.3]))
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    image_file = nib.Nifti1Image(image, turn @ affine, dtype=kind)
    label_file = nib.Nifti1Image(label, turn @ affine)
    orders = [np.array(list(zip(*draw(st.sampled_from(AXES)), strict=True))) for _ in range(2)]
    return image_file.as_reoriented(orders[0]), label_file.as_reoriented(orders[1])


@settings(max_examples=40)
@given(st.lists(stored_cases(), min_size=1, max_size=3))
def test_volumes_keep_values_grid_spacing_and_orientation(cases):
    with tempfile.TemporaryDirectory() as folder:
        root, task = Path(folder) / "source", Path(folder) / "Task07_Random"
        for k, (image, label) in enumerate(cases):
            # The value that is foreground may differ from one example to the next, not from case to case.
            label = nib.Nifti1Image((np.asanyarray(label.dataobj) > 0).astype(np.uint8), label.affine)
            for part, file in (("images", image), ("masks", label)):
                (root / part).mkdir(parents=True, exist_ok=True)
                nib.save(file, root / part / f"c{k}.nii.gz")
        export_task(folder_manifest(root), task)
        for k, (image, label) in enumerate(cases):
            written = nib.load(task / "imagesTr" / f"c{k}.nii.gz")
            np.testing.assert_array_equal(np.asanyarray(written.dataobj), np.asanyarray(image.dataobj))
            np.testing.assert_allclose(written.affine, image.affine, rtol=1e-6, atol=1e-5)
            np.testing.assert_allclose(written.header.get_zooms(), image.header.get_zooms(), rtol=1e-6)
            mask = nib.load(task / "labelsTr" / f"c{k}.nii.gz")
            assert mask.get_data_dtype() == np.uint8
            np.testing.assert_array_equal(mask.affine, written.affine)
            # In one axis order of nibabel's, the two masks are the same.
            found, expected = (np.asanyarray(nib.as_closest_canonical(file).dataobj) for file in (mask, label))
            np.testing.assert_array_equal(found, expected > 0)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 255], np.uint8),
        ([-1, 255], np.int16),
        ([0, 256], np.int16),
        ([0, 40_000], np.uint16),
        ([-1, 40_000], np.float32),
        ([0, 0.5], np.float32),
        ([0, 70_000], np.float32),
        ([-40_000, 0], np.float32),
    ],
)
def test_whole_numbers_are_stored_as_the_smallest_integers_that_hold_them(tmp_path, values, kind):
    image = np.resize(np.array(values, np.float32), SHAPE)
    for part, array in (("images", image), ("masks", labels())):
        write_volume(tmp_path / "source" / part / "a.nii.gz", array)
    export_task(folder_manifest(tmp_path / "source"), tmp_path / "Task07_Kinds")
    written = nib.load(tmp_path / "Task07_Kinds" / "imagesTr" / "a.nii.gz")
    assert written.get_data_dtype() == kind
    assert (written.header["scl_slope"], written.header["scl_inter"]) in [
        (1, 0),
        (pytest.approx(np.nan, nan_ok=True),) * 2,
    ]
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), image)


def test_a_picture_reads_back_with_its_rows_and_columns(tmp_path):
    pixels = np.arange(70, dtype=np.uint8).reshape(10, 7) * 3
    mask = np.zeros((10, 7), np.uint8)
    mask[1, 2:6] = mask[1:9, 2] = 255
    write_picture(tmp_path / "images" / "a.png", pixels)
    write_picture(tmp_path / "masks" / "a.png", mask)
    manifest = pictures_manifest(tmp_path, window=(0, 255))
    task = tmp_path / "Task08_Pictures"
    export_task(manifest, task)
    for folder, expected in (("imagesTr", pixels), ("labelsTr", mask > 0)):
        file = nib.load(task / folder / "a.nii.gz")
        assert file.shape == (7, 10, 1)
        np.testing.assert_array_equal(np.asanyarray(file.dataobj)[:, :, 0].T, expected)
        # What other readers show: rows from the top, columns from the left, nothing turned or mirrored.
        volume = SimpleITK.ReadImage(str(task / folder / "a.nii.gz"))
        assert volume.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(volume)[0], expected)
    # At their own size nothing is resampled: the rows and columns that distances see are those of the picture.
    samples = read_back(task, Preprocessing(grid=(10, 7), min_pixels=1))
    np.testing.assert_allclose(samples.images[0], pixels, atol=1e-4)
    np.testing.assert_array_equal(samples.masks[0], mask > 0)
    assert listing_of(task)["provenance"]["spacing"] == "unknown; 1 mm stands for one pixel"


# --- Distances see the same samples ----------------------------------------------------------------------------------


def with_layout(manifest: DatasetManifest, **replaced) -> DatasetManifest:
    """The manifest of a layout that behaves in another way."""
    changed = type(manifest.layout).__name__, (type(manifest.layout),), replaced
    layout = type(*changed).model_construct(**dict(manifest.layout))
    return manifest.model_copy(update={"layout": layout})


def with_affines_of_nifti(manifest: DatasetManifest) -> DatasetManifest:
    """The same dataset, with its affines rounded to the 32 bits that NIfTI has for each number."""
    loader = manifest.layout.load

    def load(self, item, **_):
        read = loader(item)
        for key in ("image", "label"):
            read[key].affine = read[key].affine.float().double()
        return read

    return with_layout(manifest, load=load)


def colored_pictures(root: Path) -> DatasetManifest:
    rng = np.random.default_rng(3)
    for k in range(3):
        write_picture(root / "images" / f"s{k % 2}_{k}.png", rng.integers(0, 256, (10, 12, 3), dtype=np.uint8))
        mask = np.zeros((10, 12), np.uint8)
        mask[2 : 5 + k, 3:8] = 1
        write_picture(root / "masks" / f"s{k % 2}_{k}.png", mask)
    layout = FolderLayout(root=root, images="images/*.png", masks="masks/*.png", patient_pattern=r"^(s\d)_")
    return DatasetManifest(name="colored", modality="other", layout=layout)


def folder_of_volumes(root: Path) -> DatasetManifest:
    turned = AFFINE[:, [2, 0, 1, 3]].copy()
    turned[:3, 3] = 3, -7, 11
    for name in ("p1_a", "p1_b", "p2_a"):
        write_volume(root / "images" / f"{name}.nii.gz", voxels(len(name)).transpose(2, 0, 1), turned)
        write_volume(root / "masks" / f"{name}.nii.gz", labels().transpose(2, 0, 1), turned)
    layout = FolderLayout(root=root, patient_pattern=r"^(p\d)_", **VOLUMES)
    return DatasetManifest(name="volumes", modality="CT", window=(0, 500), layout=layout, license="CC0")


def four_channels(root: Path) -> DatasetManifest:
    write_task(root)
    for path in (root / "imagesTr").iterdir():
        write_volume(path, np.stack([voxels(k) for k in range(4)], axis=-1))
    return task_manifest(root, layout=DecathlonLayout(root=root, channel=2, patient_pattern=r"^(p\d+)_"))


def phantom(organ: str, **more) -> DatasetManifest:
    layout = PhantomLayout(organ=organ, patients=3, slices=3, size=(48, 40), **more)
    return DatasetManifest(
        name=organ, modality="MR" if organ == "prostate" else "CT", layout=layout, simulated="everything"
    )


def lidc(root: Path) -> DatasetManifest:
    layout = LidcLayout(malignancy=5, max_patients=1, exclusive="slice")
    return DatasetManifest(name="LIDC 5", modality="CT", layout=layout, simulated="intensities")


def folder_of_nrrd(root: Path) -> DatasetManifest:
    for name in ("a", "b"):
        for part, array in (("images", voxels(len(name))), ("masks", labels())):
            volume = SimpleITK.GetImageFromArray(array)
            volume.SetSpacing((2.0, 1.0, 1.0))
            volume.SetOrigin((-7, 12, 3))
            volume.SetDirection((0, 0, 1, 0, -1, 0, 1, 0, 0))
            (root / part).mkdir(parents=True, exist_ok=True)
            SimpleITK.WriteImage(volume, root / part / f"{name}.nrrd")
    layout = FolderLayout(root=root, images="images/*.nrrd", masks="masks/*.nrrd")
    return DatasetManifest(name="nrrd", modality="MR", layout=layout)


def nnunet(root: Path) -> DatasetManifest:
    for name in ("a", "b"):
        write_volume(root / "imagesTr" / f"{name}_0000.nii.gz", voxels(1))
        write_volume(root / "imagesTr" / f"{name}_0001.nii.gz", voxels(2))
        write_volume(root / "labelsTr" / f"{name}.nii.gz", labels(1, 2))
    listing = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "core": 1, "edema": 2},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(listing))
    return DatasetManifest(name="nnunet", modality="MR", layout=NnunetLayout(root=root, channel=1), foreground=(1, 2))


def dicom(root: Path) -> DatasetManifest:
    for name, patient in (("left", "p1"), ("right", "p1"), ("other", "p2")):
        write_case(root, name, patient)
    return DatasetManifest(name="dicom", modality="CT", layout=DicomLayout(root=root, segmentation="rtstruct"))


DATASETS = {
    "decathlon": lambda root: task_manifest(write_task(root)),
    "decathlon, one label of two": lambda root: task_manifest(write_task(root, values=(1, 2)), foreground=(2,)),
    "decathlon, both labels": lambda root: task_manifest(write_task(root, values=(1, 2)), foreground=(1, 2)),
    "decathlon, one channel of four": four_channels,
    "folder of volumes": folder_of_volumes,
    "folder of pictures": lambda root: pictures_manifest(write_pictures(root)),
    "folder of colored pictures": colored_pictures,
    "folder of NRRD": folder_of_nrrd,
    "nnunet, one channel of two": nnunet,
    "dicom": dicom,
    "phantom, slices": lambda root: phantom("tuberculoma"),
    "phantom, MR": lambda root: phantom("prostate"),
    "lidc": lidc,
}


@pytest.mark.parametrize("kind", DATASETS)
def test_samples_are_the_same_after_a_task(tmp_path, kind):
    manifest = DATASETS[kind](tmp_path / "source")
    task = tmp_path / "Task09_Copy"
    assert export_task(manifest, task).cases == len(manifest.layout.cases())
    several = [Preprocessing(grid=(60, 48), min_pixels=1, max_per_case=2)]
    if "pictures" not in kind:
        mm = (1.0, 1.5) if manifest.layout.kind not in ("phantom", "lidc") else (4.0, 5.0)
        several += [
            Preprocessing(grid=(96, 96), spacing=mm, min_pixels=1, intensity="zscore"),
            Preprocessing(dimensions=3, grid=(3, 60, 48), min_pixels=1),
        ]
    for preprocessing in several:
        original = manifest if preprocessing.spacing is None else with_affines_of_nifti(manifest)
        assert_equal(read_back(task, preprocessing), load_samples(original, preprocessing))
    # And a task of the task is the task, but for what it was made from.
    copy = tmp_path / "again" / "Task09_Copy"
    export_task(load_dataset(task / "dataset.yaml"), copy)
    first, second = contents(task), contents(copy)
    assert first.pop("dataset.json") != second.pop("dataset.json")
    assert first == second
    assert listing_of(copy)["training"] == listing_of(task)["training"]


def test_slices_of_drawn_volumes_come_last(tmp_path):
    """Phantoms come as (slices, rows, columns), for which no file is to blame; nnU-Net cuts along the last axis."""
    export_task(phantom("liver"), tmp_path / "Task09_Liver")
    for path in (tmp_path / "Task09_Liver").rglob("*.nii.gz"):
        file = nib.load(path)
        assert file.shape == (40, 48, 3)
        assert nib.aff2axcodes(file.affine) == ("L", "P", "S")


# --- Real data -------------------------------------------------------------------------------------------------------


@pytest.mark.realdata
@pytest.mark.parametrize("foreground", [(1,), (1, 2)])
def test_real_hippocampus_as_a_binary_task(tmp_path, data_root, foreground):
    manifest = real_hippocampus(data_root, tmp_path / "source", slice(3), foreground=foreground)
    task = tmp_path / "Task04_Hippocampus"
    export_task(manifest, task)
    for case in manifest.layout.cases():
        written, original = (nib.load(path) for path in (task / "imagesTr" / f"{case.id}.nii.gz", case.image))
        np.testing.assert_array_equal(
            np.asanyarray(written.dataobj), np.asanyarray(original.dataobj).astype(np.float32)
        )
        np.testing.assert_allclose(written.affine, original.affine, atol=1e-5)
    for preprocessing in (
        Preprocessing(grid=(48, 48)),
        Preprocessing(grid=(32, 48, 32), dimensions=3, spacing=(1, 1, 1)),
    ):
        assert_equal(read_back(task, preprocessing), load_samples(manifest, preprocessing))
