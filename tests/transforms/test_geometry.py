from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from medsegdist.transforms import ForegroundSlices, OrientAxial, OrientAxiald
from monai.data import MetaTensor, PydicomReader
from monai.transforms import Compose, LoadImage
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

STORED_ORDERS = [(axes, flips) for axes in permutations(range(3)) for flips in product((1, -1), repeat=3)]


def stored(volume: np.ndarray, affine: np.ndarray, axes: tuple, flips: tuple) -> tuple[np.ndarray, np.ndarray]:
    """The same volume with its axes permuted and flipped, and the affine that says so."""
    array = volume.transpose(axes)
    to_canonical = np.zeros((4, 4))
    to_canonical[3, 3] = 1
    for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
        to_canonical[old, new] = flip
        to_canonical[old, 3] = 0 if flip == 1 else volume.shape[old] - 1
    index = tuple(slice(None, None, flip) for flip in flips)
    return np.ascontiguousarray(array[index]), affine @ to_canonical


@pytest.mark.parametrize(("axes", "flips"), STORED_ORDERS)
def test_a_nifti_in_any_of_48_orders_gives_identical_slices(tmp_path, axial_volume, axial_affine, axes, flips):
    load = LoadImage(image_only=True, ensure_channel_first=True)
    oriented = {}
    for name, volume in zip(("image", "label"), axial_volume, strict=True):
        array, affine = stored(volume, axial_affine, axes, flips)
        nib.save(nib.Nifti1Image(array, affine), tmp_path / f"{name}.nii.gz")
        oriented[name] = OrientAxial()(load(tmp_path / f"{name}.nii.gz"))
        np.testing.assert_array_equal(oriented[name][0], volume)
        np.testing.assert_allclose(oriented[name].affine, axial_affine, atol=1e-5)
    slices = ForegroundSlices()(oriented["label"], oriented["label"]).unbind(1)
    assert len(slices) == 3
    for mask in slices:  # the upright of the L is on the viewer's left, its foot at the bottom, pointing right
        np.testing.assert_array_equal(mask[0], axial_volume[1][2])


@pytest.mark.parametrize("feet_first", [False, True])
def test_a_dicom_series_gives_its_own_rows_and_columns(tmp_path, axial_volume, axial_affine, feet_first):
    """Rows and columns of an axial DICOM slice are the rows and columns here: what a viewer shows."""
    image = axial_volume[0]
    write_series(tmp_path, image, axial_affine, reverse=feet_first)
    loaded = LoadImage(reader=PydicomReader(), image_only=True, ensure_channel_first=True)(tmp_path)
    oriented = OrientAxial()(loaded)
    np.testing.assert_array_equal(oriented[0], image)
    np.testing.assert_allclose(oriented.affine, axial_affine, atol=1e-5)


def write_series(folder: Path, volume: np.ndarray, affine: np.ndarray, reverse: bool) -> None:
    """An axial CT series: columns run to the patient's left, rows to posterior, as in a scanner's default."""
    series, frame = generate_uid(), generate_uid()
    for index, pixels in enumerate(volume):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.SeriesInstanceUID, data.FrameOfReferenceUID, data.Modality = series, frame, "CT"
        data.InstanceNumber = len(volume) - index if reverse else index + 1
        world = affine @ [index, 0, 0, 1]
        data.ImagePositionPatient = [-world[0], -world[1], world[2]]  # DICOM is LPS
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.PixelSpacing = [-affine[1, 1], -affine[0, 2]]
        data.SliceThickness = data.SpacingBetweenSlices = affine[2, 0]
        data.Rows, data.Columns = pixels.shape
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.RescaleSlope, data.RescaleIntercept = 1, 0
        data.PixelData = pixels.astype("<i2").tobytes()
        pydicom.dcmwrite(folder / f"{data.InstanceNumber}.dcm", data, enforce_file_format=True)


def test_a_tensor_in_lps_space_is_read_as_such(axial_volume, axial_affine):
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ axial_affine
    array, affine = stored(axial_volume[0], lps, (2, 0, 1), (-1, 1, -1))
    volume = MetaTensor(torch.from_numpy(array[None]), affine=torch.from_numpy(affine), meta={"space": "LPS"})
    np.testing.assert_array_equal(OrientAxial()(volume)[0], axial_volume[0])


def test_an_oblique_volume_goes_to_its_nearest_axes(axial_volume, axial_affine):
    angle = np.deg2rad(20)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    array, affine = stored(axial_volume[0], tilt @ axial_affine, (1, 2, 0), (1, -1, -1))
    volume = MetaTensor(torch.from_numpy(array[None]), affine=torch.from_numpy(affine))
    np.testing.assert_array_equal(OrientAxial()(volume)[0], axial_volume[0])


def test_compose_undoes_it_and_the_input_is_kept(axial_volume, axial_affine):
    array, affine = stored(axial_volume[0], axial_affine, (2, 1, 0), (-1, -1, 1))
    volume = MetaTensor(torch.from_numpy(array[None]), affine=torch.from_numpy(affine))
    pipeline = Compose([OrientAxiald("image")])
    result = pipeline({"image": volume})
    assert result["image"].shape == (1, 5, 7, 9)
    np.testing.assert_array_equal(volume[0], array)
    np.testing.assert_array_equal(volume.affine, affine)
    restored = pipeline.inverse(result)["image"]
    np.testing.assert_array_equal(restored[0], array)
    np.testing.assert_allclose(restored.affine, affine, atol=1e-9)


def test_an_image_passes_both_ways_as_it_is(kind, make):
    image = make(np.arange(6.0).reshape(1, 2, 3), kind)
    assert OrientAxial()(image) is image
    assert OrientAxial().inverse(image) is image
    assert Compose([OrientAxiald("image")], lazy=True)({"image": image})["image"] is image


@pytest.mark.parametrize("array", [np.ones((1, 2, 3, 4)), torch.ones(1, 2, 3, 4)])
def test_a_volume_without_affine_is_refused(array):
    with pytest.raises(ValueError, match=r"expected a MetaTensor, whose affine .* found \w+ of shape \(1, 2, 3, 4\)"):
        OrientAxial()(array)


@pytest.mark.parametrize("entry", [0.0, np.nan])
def test_a_singular_affine_is_refused(entry):
    affine = torch.diag(torch.tensor([1.0, entry, 1.0, 1.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="the affine of the volume is singular or not finite"):
        OrientAxial()(MetaTensor(torch.ones(1, 2, 3, 4), affine=affine))
