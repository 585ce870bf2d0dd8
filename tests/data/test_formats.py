"""Volumes besides NIfTI: NRRD and MetaImage."""

from __future__ import annotations

import itertools
import os

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch

from medsegdist.data.collect import collect, load_samples
from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.manifest import DatasetManifest, Preprocessing, make_dataset
from medsegdist.data.prepared_case import source_stamp
from medsegdist.data.readers import read_volume
from medsegdist.errors import DataError
from tests.data.making import SHAPE, voxels

SPACING = (0.5, 1.25, 2.5)
ORIGIN = (10.0, -20.0, 30.0)
ITK_ENDINGS = (".nrrd", ".mha", ".mhd")
# Which way the axes of the file run, as columns in (left, posterior, superior).
IDENTITY = (1, 0, 0, 0, 1, 0, 0, 0, 1)
TURNED = (0, 0, -1, -1, 0, 0, 0, 1, 0)
TILTED = (1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8)


def itk_image(array=None, direction=IDENTITY, vector=False):
    """The (x, y, z) array as an ITK image."""
    array = voxels(0) if array is None else array
    spatial = array.transpose(2, 1, 0, *range(3, array.ndim))
    image = sitk.GetImageFromArray(np.ascontiguousarray(spatial), isVector=vector)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection(direction)
    return image


def write_itk(path, image=None, compressed=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(itk_image() if image is None else image, str(path), compressed)
    return path


@pytest.mark.parametrize("direction", [IDENTITY, TURNED, TILTED])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("ending", ITK_ENDINGS)
def test_volumes_agree_with_itk_on_every_voxel_and_its_place(tmp_path, ending, compressed, direction):
    image = itk_image(direction=direction)
    volume = read_volume(write_itk(tmp_path / f"a{ending}", image, compressed))
    assert volume.shape == (1, *SHAPE)
    assert volume.dtype == torch.float32
    np.testing.assert_array_equal(volume[0], voxels(0))
    for index in itertools.product((0, 11), (0, 9), (0, 3)):
        left, posterior, superior = image.TransformIndexToPhysicalPoint(index)
        place = volume.affine.numpy() @ [*index, 1]
        np.testing.assert_allclose(place[:3], [-left, -posterior, superior], atol=1e-9)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("ending", ITK_ENDINGS)
def test_every_number_type(tmp_path, ending, dtype):
    array = (voxels(0) / 4 - (0 if np.dtype(dtype).kind == "u" else 60)).astype(dtype)
    np.testing.assert_array_equal(read_volume(write_itk(tmp_path / f"a{ending}", itk_image(array)))[0], array)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_four_dimensions_are_channels(tmp_path, ending):
    several = np.stack([voxels(0), voxels(1)])
    image = sitk.GetImageFromArray(several.transpose(0, 3, 2, 1).copy(), isVector=False)
    image.SetSpacing((*SPACING, 1.0))
    chosen = read_volume(write_itk(tmp_path / f"a{ending}", image), 1)
    np.testing.assert_array_equal(chosen[0], voxels(1))
    if ending == ".mha":  # ITK's writer of NRRD forgets the spacing.
        np.testing.assert_allclose(chosen.affine, np.diag([-0.5, -1.25, 2.5, 1]))


@pytest.mark.parametrize("colors", [False, True])
@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_two_dimensions_are_one_slice(tmp_path, ending, colors):
    flat = voxels(0)[:, :, 0]
    stored = np.stack([flat, flat + 1], axis=-1) if colors else flat
    image = sitk.GetImageFromArray(stored.swapaxes(0, 1).copy(), isVector=colors)
    image.SetSpacing(SPACING[:2])
    volume = read_volume(write_itk(tmp_path / f"a{ending}", image), 1 if colors else None)
    np.testing.assert_array_equal(volume[0, :, :, 0], flat + colors)
    np.testing.assert_allclose(volume.affine, np.diag([-0.5, -1.25, 1, 1]))


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".mhd"])
def test_a_damaged_byte_of_compressed_voxels_is_noticed(tmp_path, ending):
    """ITK itself reads a damaged MetaImage as other numbers, and says so on stderr only."""
    path = write_itk(tmp_path / f"a{ending}", compressed=True)
    data = max(tmp_path.iterdir(), key=lambda file: file.stat().st_size)
    content = bytearray(data.read_bytes())
    content[-100] ^= 0xFF
    data.write_bytes(content)
    with pytest.raises(DataError, match=r"the file cannot be read \("):
        read_volume(path)


def test_detached_voxels(tmp_path):
    path = write_itk(tmp_path / "a.mhd")
    before = source_stamp(str(path))
    assert source_stamp(str(path)) == before
    os.utime(tmp_path / "a.raw", ns=(0, 1))
    assert source_stamp(str(path)) != before, "a cache must see that the voxels changed"
    (tmp_path / "a.raw").unlink()
    with pytest.raises(
        DataError,
        match="the file with the voxels, which the header names, does not exist; copy it to the folder of the header",
    ):
        read_volume(path)


def test_detached_voxels_of_nrrd(tmp_path):
    path = write_itk(tmp_path / "a.nrrd")
    header, _, data = path.read_bytes().partition(b"\n\n")
    path.write_bytes(header + b"\ndata file: ./a.raw\n")
    (tmp_path / "a.raw").write_bytes(data)
    np.testing.assert_array_equal(read_volume(path)[0], voxels(0))


def folder_manifest(root, ending, **more):
    layout = FolderLayout(root=root, images=f"images/*{ending}", masks=f"masks/*{ending}")
    return DatasetManifest(**{"name": "tiny", "modality": "MR", "layout": layout, **more})


REAL_NRRD = [
    ("brain1_image", "brain1_label", {1: 4137}),
    ("brain2_image", "brain2_label", {1: 453}),
    ("breast1_image", "breast1_label", {1: 143}),
    ("prostate_phantom_subvolume", "prostate_phantom_subvolume-label", {1: 168, 7: 170, 8: 2997, 9: 9088}),
]


@pytest.mark.realdata
@pytest.mark.parametrize(("image", "label", "counts"), REAL_NRRD)
def test_real_nrrd_keeps_every_voxel_on_its_own_spacing(data_root, image, label, counts):
    folder = data_root / "pyradiomics_nrrd"
    volume, mask = read_volume(folder / f"{image}.nrrd"), read_volume(folder / f"{label}.nrrd")
    values, numbers = np.unique(mask[mask > 0], return_counts=True)
    assert dict(zip(values.astype(int).tolist(), numbers.tolist(), strict=True)) == counts
    np.testing.assert_allclose(volume.affine, mask.affine, atol=1e-9)
    header = sitk.ReadImage(str(folder / f"{image}.nrrd"))
    assert volume.shape[1:] == header.GetSize()
    np.testing.assert_allclose(volume.pixdim, header.GetSpacing())
    layout = FolderLayout(root=folder, images=f"{image[:4]}*{image[5:]}.nrrd", masks=f"{label[:4]}*{label[5:]}.nrrd")
    manifest = DatasetManifest(name=image, modality="MR", layout=layout, foreground=tuple(counts))
    own = {"grid": header.GetSize()[::-1], "spacing": header.GetSpacing()[::-1]}
    whole = Preprocessing(dimensions=3, **own, min_pixels=1)
    dataset = make_dataset(manifest, whole)
    (entry,) = (entry for entry in dataset.data if entry["case_id"] == image[4])
    samples = collect([dataset.transform(entry)], name=image)
    assert int(samples.masks.sum()) == sum(counts.values())


CORDS = {
    **{"mt0": 502, "mt1": 520, "t1": 5437, "t2": 4275, "t2fakelesion": 7335, "t2s": 2885},
    **{"t2sgm": 519, "t2suncroppedgm": 697},
}
"""Voxels of each mask, counted by nibabel."""


@pytest.mark.realdata
def test_real_spinal_cords_of_very_flat_voxels(data_root):
    layout = FolderLayout(root=data_root / "sct_spinalcord_mr3d", images="images/*.nii.gz", masks="labels/*.nii.gz")
    cases = layout.cases()
    assert len(cases) == 8
    manifest = DatasetManifest(name="cord", modality="MR", layout=layout)
    spacing = (0.5, 0.5)
    samples = load_samples(manifest, Preprocessing(grid=(200, 200), spacing=spacing, min_pixels=1, max_samples=10**6))
    loader = layout.load
    for case in cases:
        label = loader(case.as_item())["label"]
        assert int(label.sum()) == CORDS[case.id]
        # Axes of the file that lie in the axial plane: the two that are not nearest to superior.
        directions = np.abs(label.affine.numpy()[:3, :3])
        depth = int(directions[2].argmax())
        area = float(label.sum()) * np.prod(np.delete(np.linalg.norm(directions, axis=0), depth))
        mine = [k for k, name in enumerate(samples.case_ids) if name == case.id]
        # Half-pixel cells of few pixels in all: a tenth is their rounding, an axis mixed up is a factor of ten.
        assert float(samples.masks[mine].sum()) * 0.25 == pytest.approx(area, rel=0.1)


@pytest.mark.realdata
@pytest.mark.parametrize("organ", ["liver", "spleen"])
def test_a_real_ct_and_its_organs(tmp_path, data_root, organ):
    example = data_root / "totalsegmentator_example"
    sources = {"images": example / "example_ct.nii.gz", "masks": example / "example_seg_full" / f"{organ}.nii.gz"}
    for folder, source in sources.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ct.nii.gz").symlink_to(source)
    manifest = folder_manifest(tmp_path, ".nii.gz", modality="CT")
    preprocessing = Preprocessing(
        dimensions=3, grid=(130, 130, 130), spacing=(3, 3, 3), intensity="hounsfield", min_pixels=1
    )
    samples = load_samples(manifest, preprocessing)
    assert int(samples.masks.sum()) == int((nib.load(sources["masks"]).get_fdata() > 0.5).sum())
    assert 0 < float(samples.images[samples.masks].median()) < 200, "soft tissue, in HU"
    # A patient's liver lies on the right, where columns are low, and the spleen on the left.
    body = samples.images[0] > -300
    columns = torch.arange(130.0)
    side = (samples.masks[0].sum((0, 1)) * columns).sum() / samples.masks.sum()
    middle = (body.sum((0, 1)) * columns).sum() / body.sum()
    assert (side < middle) == (organ == "liver")
