"""Where a volume lies: affines of NIfTI headers, and axes halfway between two of the patient's."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
from medsegdist.transforms import CheckSameSpaced, OrientAxiald
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from medsegdist.data.export import export_task
from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.manifest import DatasetManifest
from tests.public_reports import Report

VOXELS = np.random.default_rng(0).integers(-900, 900, (12, 10, 8)).astype(np.int16)
# 300 voxels that no flip or rotation brings to themselves.
SEGMENT = np.zeros(VOXELS.shape, dtype=np.uint8)
SEGMENT[1:11, 1:7, 1:6] = 1
VOXELS[SEGMENT == 1] = 1000
ROTATED = Rotation.from_euler("xyz", [25, -10, 160], degrees=True).as_matrix() @ np.diag([0.703125, 0.703125, 2.5])


def _affine(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions, (-80.5, 40.25, -300)
    return affine


def _write(
    root: Path,
    affine: NDArray[np.float64],
    of_mask: NDArray[np.float64] | None = None,
    edit: dict[str, Callable[[nib.Nifti1Image], None]] | None = None,
    axes: tuple[int, int, int] = (0, 1, 2),
) -> DatasetManifest:
    """A dataset of one case; the mask's file may have its axes in another order, and `edit` changes headers."""
    for folder, voxels, placed in (
        ("images", VOXELS, affine),
        ("masks", SEGMENT, affine if of_mask is None else of_mask),
    ):
        order = axes if folder == "masks" else (0, 1, 2)
        image = nib.Nifti1Image(voxels.transpose(order), placed[:, [*order, 3]])
        image.header.set_xyzt_units("mm")
        if edit and folder in edit:
            edit[folder](image)
        (root / folder).mkdir(parents=True)
        nib.save(image, root / folder / "a.nii.gz")
    layout = FolderLayout(root=root, images="images/*.nii.gz", masks="masks/*.nii.gz")
    return DatasetManifest(name="one", modality="MR", layout=layout)


def _read(manifest: DatasetManifest) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Image, mask and the image's affine, brought to slices, rows and columns."""
    item = manifest.layout.load(manifest.cases()[0].as_item())
    item = CheckSameSpaced("image")(OrientAxiald(("image", "label"))(item))
    return np.asarray(item["image"][0]), np.asarray(item["label"][0]), np.asarray(item["image"].affine)


def _only_sform(code: int, pixdim: tuple[float, ...], unit: int) -> Callable[[nib.Nifti1Image], None]:
    def edit(image: nib.Nifti1Image) -> None:
        image.set_sform(image.affine, code)
        image.set_qform(None, 0)
        image.header["pixdim"][1:4] = pixdim
        image.header["xyzt_units"] = unit

    return edit


def _placed_by_its_sform(tmp_path: Path) -> None:
    expected = _read(_write(tmp_path / "plain", _affine(ROTATED)))
    pixdims = [
        (0.7031, 0.7031, 2.5),
        (1, 1, 1),
        (0, 0, 0),
        (0.000703125, 0.000703125, 0.0025),
        (-0.703125, 0.703125, 2.5),
    ]
    folders = [("images",), ("masks",), ("images", "masks")]
    for k, (code, pixdim, unit, edited) in enumerate(product((1, 2, 4), pixdims, (0, 2, 10), folders)):
        edit = dict.fromkeys(edited, _only_sform(code, pixdim, unit))
        found = _read(_write(tmp_path / str(k), _affine(ROTATED), edit=edit))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4, err_msg=f"{code}, {pixdim}, {unit}, {edited}")


def _turns() -> dict[str, NDArray[np.float64]]:
    angles = {
        f"{angle} about {axis}": Rotation.from_euler(axis, angle, degrees=True).as_matrix()
        for angle in (45, 135, 225, -45)
        for axis in "xyz"
    }
    angles["twice 45"] = Rotation.from_euler("xz", [45, 45], degrees=True).as_matrix()
    angles["all axes alike"] = np.array([[2, -1, 2], [2, 2, -1], [-1, 2, 2]]) / 3
    angles["45 and mirrored"] = np.diag([-1, 1, 1]) @ angles["45 about z"]
    return angles


def _prepared_label_is_on_the_object(tmp_path: Path) -> None:
    for k, ((turn, matrix), voxel) in enumerate(product(_turns().items(), [(1, 1, 1), (0.8, 0.8, 3), (1, 2, 3)])):
        manifest = _write(tmp_path / str(k), _affine(matrix @ np.diag(voxel)))
        task = export_task(manifest, tmp_path / f"Task{k % 90 + 10}_n{k}").directory
        (case,) = json.loads((task / "dataset.json").read_text())["training"]
        image, label = (nib.load(task / case[key]) for key in ("image", "label"))
        assert image.shape == label.shape == VOXELS.shape, turn
        np.testing.assert_array_equal(image.affine, label.affine)
        found = np.asarray(label.dataobj) == 1
        assert found.sum() == 300, turn
        assert (np.asarray(image.dataobj)[found] == 1000).all(), turn


def _near_affines_agree(tmp_path: Path) -> None:
    for k, ((turn, matrix), axis, angle) in enumerate(product(_turns().items(), "xyz", (1e-7, -1e-7, 1e-5))):
        off = Rotation.from_euler(axis, angle).as_matrix()
        voxel = np.diag([0.8, 0.8, 3])
        image, label, _ = _read(_write(tmp_path / str(k), _affine(matrix @ voxel), _affine(off @ matrix @ voxel)))
        assert label.sum() == 300, turn
        assert (image[label == 1] == 1000).all(), turn


def _order_of_axes_makes_no_difference(tmp_path: Path) -> None:
    for k, ((turn, matrix), axes) in enumerate(product(_turns().items(), permutations(range(3)))):
        manifest = _write(tmp_path / str(k), _affine(matrix @ np.diag([0.8, 0.8, 3])), axes=axes)
        image, label, _ = _read(manifest)
        assert image.shape == label.shape, turn
        assert (image[label == 1] == 1000).all(), turn


def _back_to_the_file(tmp_path: Path) -> None:
    orient = OrientAxiald(("image", "label"))
    for k, (turn, matrix) in enumerate(_turns().items()):
        manifest = _write(tmp_path / str(k), _affine(matrix @ np.diag([0.8, 0.8, 3])))
        item = manifest.layout.load(manifest.cases()[0].as_item())
        back = orient.inverse(orient(item))
        np.testing.assert_array_equal(back["image"][0], VOXELS, err_msg=turn)
        np.testing.assert_allclose(back["image"].affine, item["image"].affine, atol=1e-9, err_msg=turn)


REPORTS = [
    Report(
        "pboutinaud/SHiVAi#26",
        "sform alone is valid, and the header's voxel size is rounded, 1, 0, negative or in meters",
        "the sform's place, of image and of mask",
        _placed_by_its_sform,
    ),
    Report("", "prepare of axes at 45 degrees", "300 voxels on the object", _prepared_label_is_on_the_object),
    Report("", "image and mask turned by 1e-7 rad at 45 degrees", "read, 300 voxels", _near_affines_agree),
    Report(
        "", "mask with its axes in another order at 45 degrees", "on the object", _order_of_axes_makes_no_difference
    ),
    Report("", "inverse of the orientation at 45 degrees", "the volume of the file", _back_to_the_file),
]
