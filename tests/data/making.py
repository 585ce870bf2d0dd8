"""Tiny datasets on disk, and what can be wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.manifest import DatasetManifest, Preprocessing

SHAPE = (12, 10, 4)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])
"""LPS: the first axis runs to the patient's left, the second one to the back, the third one up."""

PREPROCESSING = Preprocessing(grid=(10, 12), min_pixels=1)


def voxels(seed: int) -> np.ndarray:
    """SHAPE float32 intensities, all different."""
    return np.random.default_rng(seed).permutation(np.prod(SHAPE)).reshape(SHAPE).astype(np.float32)


def labels(*values: int) -> np.ndarray:
    """SHAPE label map with a 3 x 3 block of each value on slices 1 and 2."""
    label = np.zeros(SHAPE, dtype=np.uint8)
    for k, value in enumerate(values or (1,)):
        label[4 * k : 4 * k + 3, 2:5, 1:3] = value
    return label


def smooth(low: float, high: float, size: int = 64) -> np.ndarray:
    """(size, size) float32 whole numbers from low to high: hills with a little noise."""
    axes = np.mgrid[:size, :size] / size
    hills = np.sin(9 * axes[0]) * np.cos(7 * axes[1])
    noise = np.random.default_rng(0).normal(0, 0.01, hills.shape)
    scaled = (hills + noise - hills.min()) / np.ptp(hills)
    return np.rint(low + (high - low) * scaled).astype(np.float32)


def write_volume(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def write_picture(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    (picture if mode is None else picture.convert(mode)).save(path)
    return path


def write_listing(root: Path, training: Any, **more: Any) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps({"name": "tiny", "training": training, **more}))
    return root


def write_task(root: Path, names: tuple[str, ...] = ("p1_a", "p1_b", "p2_a"), values: tuple[int, ...] = (1,)) -> Path:
    """A Decathlon task of one good case for each name; returns its folder."""
    for k, name in enumerate(names):
        write_volume(root / "imagesTr" / f"{name}.nii.gz", voxels(k))
        write_volume(root / "labelsTr" / f"{name}.nii.gz", labels(*values))
    entries = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names]
    return write_listing(root, entries, test=["./imagesTs/unlabeled.nii.gz"])


def task_manifest(root: Path, **more: Any) -> DatasetManifest:
    layout = DecathlonLayout(root=root, patient_pattern=r"^(p\d+)_")
    return DatasetManifest(**{"name": "tiny", "modality": "MR", "layout": layout, **more})


def real_hippocampus(data_root: Path, root: Path, chosen: slice, **more: Any) -> DatasetManifest:
    """Links to some cases of the real task, each a patient of its own, as a dataset."""
    source = data_root / "Task04_Hippocampus"
    names = sorted(path.name for path in (source / "imagesTr").iterdir())[chosen]
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
        for name in names:
            (root / folder / name).symlink_to(source / folder / name)
    write_listing(root, [{"image": f"imagesTr/{name}", "label": f"labelsTr/{name}"} for name in names])
    return task_manifest(root, **{"name": "hippocampus", "layout": DecathlonLayout(root=root), **more})


def write_pictures(root: Path, names: tuple[str, ...] = ("a", "b")) -> Path:
    for k, name in enumerate(names):
        rng = np.random.default_rng(k)
        write_picture(root / "images" / f"{name}.png", rng.integers(0, 256, (10, 12), dtype=np.uint8))
        mask = np.zeros((10, 12), dtype=np.uint8)
        mask[2:6, 3:5] = 255
        write_picture(root / "masks" / f"{name}.png", mask)
    return root


def pictures_manifest(root: Path, **more: Any) -> DatasetManifest:
    layout = FolderLayout(root=root, images="images/*.png", masks="masks/*.png")
    return DatasetManifest(**{"name": "pictures", "modality": "other", "layout": layout, **more})
