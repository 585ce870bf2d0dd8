"""A written task in the hands of MONAI, nnU-Net and ITK, and what such readers could not take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from monai.apps.datasets import DecathlonDataset
from monai.data.decathlon_datalist import load_decathlon_datalist
from monai.transforms import LoadImage

from medsegdist.data.collect import collect
from medsegdist.data.export import export_task
from medsegdist.errors import DataError
from tests.data.making import (
    AFFINE,
    labels,
    pictures_manifest,
    task_manifest,
    voxels,
    write_picture,
    write_pictures,
    write_task,
    write_volume,
)
from tests.data.test_export import listing_of


def test_monai_reads_the_task(tmp_path):
    task = tmp_path / "Task09_Spleen"
    manifest = task_manifest(write_task(tmp_path / "source"), description="Three of them", license="CC0")
    export_task(manifest, task, label="spleen")
    dataset = DecathlonDataset(tmp_path, "Task09_Spleen", "training", download=False, val_frac=0.0, progress=False)
    assert len(dataset) == 3
    found = {str(item["patient_id"]): item for item in dataset}
    np.testing.assert_array_equal(found["p2"]["image"], voxels(2))
    np.testing.assert_array_equal(found["p2"]["label"], labels())
    np.testing.assert_array_equal(found["p2"]["image"].affine, AFFINE)
    properties = dataset.get_properties(
        ["name", "description", "licence", "modality", "labels", "numTraining", "numTest", "tensorImageSize"]
    )
    assert properties == {
        "name": "tiny",
        "description": "Three of them",
        "licence": "CC0",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "spleen"},
        "numTraining": 3,
        "numTest": 0,
        "tensorImageSize": "3D",
    }
    datalist = load_decathlon_datalist(task / "dataset.json", is_segmentation=True)
    assert [entry["patient_id"] for entry in datalist] == ["p1", "p1", "p2"]
    assert [Path(entry["image"]) for entry in datalist] == sorted((task / "imagesTr").iterdir())
    read = LoadImage(ensure_channel_first=True)
    samples = collect(
        [{**entry, **{key: read(entry[key]) for key in ("image", "label")}} for entry in datalist], name="t"
    )
    assert torch.equal(samples.images, torch.stack([torch.from_numpy(voxels(k)) for k in range(3)]))
    assert samples.patients == ("p1", "p2")


def test_nnunet_can_convert_the_task(tmp_path):
    """What nnUNetv2_convert_MSD_dataset does with a folder, step by step."""
    task = tmp_path / "Task101_Tiny"
    export_task(task_manifest(write_task(tmp_path / "source")), task, label="organ")
    number, name = task.name.split("_")
    assert (int(number[4:]), name) == (101, "Tiny")
    assert all((task / folder).is_dir() for folder in ("imagesTr", "labelsTr", "imagesTs"))
    listing = listing_of(task)
    assert {name: int(value) for value, name in listing["labels"].items()} == {"background": 0, "organ": 1}
    assert (listing["modality"], listing["test"], listing["tensorImageSize"]) == ({"0": "MRI"}, [], "3D")
    for k, path in enumerate(sorted((task / "imagesTr").iterdir())):
        image, label = (SimpleITK.ReadImage(str(task / folder / path.name)) for folder in ("imagesTr", "labelsTr"))
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), voxels(k).T)
        for fact in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(image, fact)() == getattr(label, fact)()


@pytest.mark.parametrize("shear", [0, 1e-6, 1e-5, 1e-3, 0.02, 0.7])
def test_what_is_said_of_tilted_axes_is_what_itk_does(tmp_path, shear):
    """The axes of a CT with a tilted gantry: MONAI reads them back, ITK refuses them, and the task says so."""
    root, task = write_task(tmp_path / "source"), tmp_path / "Task09_Tilted"
    tilted = AFFINE.copy()
    tilted[1, 2] = shear * tilted[2, 2]
    for folder, array in (("imagesTr", voxels(1)), ("labelsTr", labels())):
        write_volume(root / folder / "p1_b.nii.gz", array, tilted)
    done = export_task(task_manifest(root), task)
    refused = []
    for path in sorted((task / "imagesTr").iterdir()):
        try:
            SimpleITK.ReadImage(str(path))
        except RuntimeError:
            refused.append(path.name.removesuffix(".nii.gz"))
    assert refused == list(done.sheared) == listing_of(task)["provenance"].get("not_at_right_angles", [])
    assert refused == (["p1_b"] if shear > 1e-4 else [])
    read = LoadImage()(task / "imagesTr" / "p1_b.nii.gz")
    np.testing.assert_array_equal(read, voxels(1))
    np.testing.assert_allclose(read.affine, tilted, atol=1e-6)


def test_an_image_too_long_for_nifti_is_refused(tmp_path):
    root = write_pictures(tmp_path / "source", names=("a",))
    for folder in ("images", "masks"):
        write_picture(root / folder / "a.png", np.eye(2, 32768, dtype=np.uint8) * (255 if folder == "masks" else 200))
    message = r"case 'a': expected at most 32767 pixels along each axis, .* found \(2, 32768\); crop or split the image"
    with pytest.raises(DataError, match=message):
        export_task(pictures_manifest(root), tmp_path / "Task07_Long")
