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

from medsegdist.data.collect import collect, load_samples
from medsegdist.data.export import export_task
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.manifest import DatasetManifest
from medsegdist.errors import DataError
from tests.data.making import (
    AFFINE,
    PREPROCESSING,
    SHAPE,
    labels,
    pictures_manifest,
    task_manifest,
    voxels,
    write_picture,
    write_pictures,
    write_task,
    write_volume,
)
from tests.data.test_export import contents, listing_of, read_back, with_layout


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


def stacked(item, *, images=1, labels=1):
    return {
        **item,
        "image": torch.cat([item["image"] * (k + 1) for k in range(images)]),
        "label": torch.cat([item["label"]] * labels),
    }


def with_channels(manifest: DatasetManifest, images: int = 1, labels: int = 1) -> DatasetManifest:
    loader = manifest.layout.load
    return with_layout(manifest, load=lambda self, item, **_: stacked(loader(item), images=images, labels=labels))


@pytest.mark.parametrize("channels", [1, 3])
def test_nnunet_can_convert_the_task(tmp_path, channels):
    """What nnUNetv2_convert_MSD_dataset does with a folder, step by step."""
    manifest = with_channels(task_manifest(write_task(tmp_path / "source")), channels)
    task = tmp_path / "Task101_Tiny"
    export_task(manifest, task, label="organ")
    number, name = task.name.split("_")
    assert (int(number[4:]), name) == (101, "Tiny")
    assert all((task / folder).is_dir() for folder in ("imagesTr", "labelsTr", "imagesTs"))
    listing = listing_of(task)
    assert {name: int(value) for value, name in listing["labels"].items()} == {"background": 0, "organ": 1}
    assert listing["modality"] == {str(k): "MRI" for k in range(channels)}
    assert listing["test"] == []
    assert listing["tensorImageSize"] == ("3D" if channels == 1 else "4D")
    for k, path in enumerate(sorted((task / "imagesTr").iterdir())):
        image, label = (SimpleITK.ReadImage(str(task / folder / path.name)) for folder in ("imagesTr", "labelsTr"))
        assert image.GetDimension() == (3 if channels == 1 else 4)
        array = np.atleast_2d(SimpleITK.GetArrayFromImage(image)).reshape(channels, *SHAPE[::-1])
        for channel in range(channels):
            np.testing.assert_array_equal(array[channel], (channel + 1) * voxels(k).T)
        assert image.GetSize()[:3] == label.GetSize()
        assert image.GetSpacing()[:3] == label.GetSpacing()
        assert image.GetOrigin()[:3] == label.GetOrigin()
        size = image.GetDimension()
        assert np.reshape(image.GetDirection(), (size, size))[:3, :3].ravel().tolist() == list(label.GetDirection())
    if channels > 1:
        chosen = DatasetManifest(name="second", modality="MR", layout=DecathlonLayout(root=task, channel=1))
        second = load_samples(chosen, PREPROCESSING)
        assert torch.equal(second.masks, read_back(task).masks)


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


def test_a_mask_of_several_channels_is_refused(tmp_path):
    manifest = with_channels(task_manifest(write_task(tmp_path / "source")), labels=2)
    with pytest.raises(
        DataError,
        match="3 of 3 cases, 'p1_a', 'p1_b', 'p2_a': expected a mask of one channel, found 2; put the labels into one",
    ):
        export_task(manifest, tmp_path / "Task07_Two")


def test_images_of_different_channels_are_refused(tmp_path):
    manifest = task_manifest(write_task(tmp_path / "source"))
    loader = manifest.layout.load

    def load(self, item, **_):
        return stacked(loader(item), images=1 + (item["case_id"] == "p1_b"))

    uneven = with_layout(manifest, load=load)
    message = r"all cases: expected as many channels in every image, found 1 \(case 'p1_a'\), 2 \(case 'p1_b'\); choose"
    with pytest.raises(DataError, match=message):
        export_task(uneven, tmp_path / "Task07_Uneven")


def test_an_image_too_long_for_nifti_is_refused(tmp_path):
    root = write_pictures(tmp_path / "source", names=("a",))
    for folder in ("images", "masks"):
        write_picture(root / folder / "a.png", np.eye(2, 32768, dtype=np.uint8) * (255 if folder == "masks" else 200))
    message = r"case 'a': expected at most 32767 pixels along each axis, .* found \(2, 32768\); crop or split the image"
    with pytest.raises(DataError, match=message):
        export_task(pictures_manifest(root), tmp_path / "Task07_Long")


def test_a_volume_in_lps_is_written_in_ras(tmp_path):
    """A loader may give LPS affines and say so, as MONAI's ITK reader does."""
    manifest = task_manifest(write_task(tmp_path / "source"))
    loader = manifest.layout.load

    def load(self, item, **_):
        read = loader(item)
        for key in ("image", "label"):
            read[key].affine = torch.diag(torch.tensor([-1.0, -1, 1, 1], dtype=torch.float64)) @ read[key].affine
            read[key].meta["space"] = "LPS"
        return read

    export_task(manifest, tmp_path / "Task07_Ras")
    export_task(with_layout(manifest, load=load), tmp_path / "Task08_Lps")
    files = [contents(tmp_path / name) for name in ("Task07_Ras", "Task08_Lps")]
    assert files[0] == files[1]
