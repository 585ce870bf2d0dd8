"""One phantom in every format and axis order gives the same samples: position means the same in every dataset."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from monai.data import MetaTensor

from medsegdist.data.collect import load_samples
from medsegdist.data.layouts.dicom import DicomLayout
from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.layouts.listing import Case
from medsegdist.data.manifest import DatasetManifest, Preprocessing
from tests.data.making_dicom import segmentation, slice_of, write, write_slices

SHAPE = (7, 11, 9)
"""Slices from the feet up, rows to the back, columns to the patient's left."""
SPACING = (2.5, 1.25, 0.75)
ORIGIN_LPS = (-20.0, 30.0, -40.0)
IMAGE = np.random.default_rng(0).permutation(np.prod(SHAPE)).reshape(SHAPE).astype(np.int16)
MASK = np.zeros(SHAPE, dtype=np.uint8)
# Nothing that a flip, a turn or a transposition leaves as it is.
MASK[1:3, 2:9, 1:3] = MASK[2:6, 2:4, 1:7] = MASK[2, 5, 3:5] = 1

CODES = ["".join(letters) for axes in permutations(("RL", "AP", "IS")) for letters in product(*axes)]
"""All 48: the directions that the axes of a file may run to."""

PREPROCESSINGS = {
    "slices as they are": {"grid": SHAPE[1:]},
    "slices resized": {"grid": (8, 16)},
    "slices on a coarser spacing": {"grid": (9, 6), "spacing": (1.5, 1.5)},
    "slices on a finer spacing": {"grid": (30, 21), "spacing": (0.5, 0.5)},
    "volumes as they are": {"grid": SHAPE, "dimensions": 3},
    "volumes resized": {"grid": (10, 8, 12), "dimensions": 3},
    "volumes on a coarser spacing": {"grid": (6, 6, 6), "dimensions": 3, "spacing": (3, 2, 1)},
    "volumes on a finer spacing": {"grid": (20, 16, 12), "dimensions": 3, "spacing": (1, 1, 0.5)},
}


def index_to_lps(spacing=SPACING) -> np.ndarray:
    """(4, 4) from (slice, row, column) to mm."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing
    affine[:, 3] = (*ORIGIN_LPS, 1)
    return affine


def nifti(array: np.ndarray, code: str, spacing=SPACING) -> nib.Nifti1Image:
    """The array as a file whose axes run as `code` says, by nibabel's own reorientation."""
    image = nib.Nifti1Image(array, np.diag([-1, -1, 1, 1]) @ index_to_lps(spacing))
    change = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt(("S", "P", "L")), nib.orientations.axcodes2ornt(tuple(code))
    )
    turned = image.as_reoriented(change)
    assert nib.aff2axcodes(turned.affine) == tuple(code)
    return turned


def itk(array: np.ndarray, code: str, spacing=SPACING) -> sitk.Image:
    """The array as an image whose axes run as `code` says, by ITK's own reorientation."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    image.SetOrigin(ORIGIN_LPS)
    turned = sitk.DICOMOrient(image, code)
    assert sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(turned.GetDirection()) == code
    return turned


def write_all(root, ending, spacing=SPACING, codes=CODES):
    """A case for each of the orders; the mask is stored in another order than its image."""
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for code in codes:
        for folder, array, own in (("images", IMAGE, code), ("masks", MASK, CODES[(CODES.index(code) + 17) % 48])):
            path = root / folder / f"{code}{ending}"
            if ending.startswith(".nii"):
                nib.save(nifti(array, own, spacing), path)
            else:
                sitk.WriteImage(itk(array, own, spacing), str(path))
    return FolderLayout(root=root, images=f"images/*{ending}", masks=f"masks/*{ending}")


class ArrayLayout:
    """The phantom as pylidc gives a scan: (row, column, slice), in no file at all."""

    def cases(self) -> list[Case]:
        return [Case(id="scan", patient_id="scan", image=IMAGE, label=MASK)]

    def load(self, item: Any, **_: Any) -> Any:
        affine = np.diag([-1, -1, 1, 1]) @ index_to_lps()[:, [1, 2, 0, 3]]
        return {
            **item,
            **{
                key: MetaTensor(
                    torch.from_numpy(np.moveaxis(item[key], 0, -1)[None].astype(np.float32)),
                    affine=torch.from_numpy(affine),
                )
                for key in ("image", "label")
            },
        }


def write_dicom(root):
    pytest.importorskip("highdicom")
    x, y, z = ORIGIN_LPS
    slices = [
        slice_of(pixels, (x, y, z + SPACING[0] * k), number=k + 1, spacing=SPACING[1:], rescale=(1, 0))
        for k, pixels in enumerate(IMAGE)
    ]
    for one in slices:
        one.SliceThickness = str(SPACING[0])
    write_slices(root / "series", slices)
    write(root / "drawn.dcm", segmentation(slices, MASK[..., None], ["phantom"]))
    return DicomLayout(root=root, segmentation="seg")


def samples_of(layout, options, modality="CT"):
    # Not validated: ArrayLayout is no layout of manifests.
    manifest = DatasetManifest.model_construct(
        name="phantom", modality=modality, layout=layout, foreground=None, window=None
    )
    preprocessing = Preprocessing(**{"intensity": "hounsfield", "min_pixels": 1, "max_samples": 10**6} | options)
    return load_samples(manifest, preprocessing)


def assert_same(samples, expected, name):
    assert torch.equal(samples.masks, expected.masks)
    # Sums of an interpolation come in the order of the memory: the last of 24 bits may differ.
    tolerance = 0 if "as they are" in name else 1e-6
    torch.testing.assert_close(samples.images, expected.images, rtol=tolerance, atol=0)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The phantom in every format."""
    return {ending: write_all(tmp_path_factory.mktemp("files"), ending) for ending in (".nii.gz", ".nrrd", ".mha")}


@pytest.fixture(scope="module")
def expected():
    """The samples of the phantom in the order of its arrays, by each preprocessing."""
    return {name: samples_of(ArrayLayout(), options) for name, options in PREPROCESSINGS.items()}


def test_the_array_itself(expected):
    volumes = expected["volumes as they are"]
    np.testing.assert_array_equal(volumes.images[0], IMAGE)
    np.testing.assert_array_equal(volumes.masks[0], MASK.astype(bool))
    slices = expected["slices as they are"]
    shown = [k for k in range(SHAPE[0]) if MASK[k].any()]
    np.testing.assert_array_equal(slices.images, IMAGE[shown])
    np.testing.assert_array_equal(slices.masks, MASK[shown].astype(bool))


@pytest.mark.parametrize(
    ("ending", "name"),
    [
        *((".nii.gz", name) for name in PREPROCESSINGS),
        *product((".nrrd", ".mha"), ("slices on a coarser spacing", "volumes as they are")),
    ],
)
def test_all_48_orders_in_files_give_the_samples_of_the_array(written, expected, ending, name):
    samples = samples_of(written[ending], PREPROCESSINGS[name])
    of_phantom = expected[name]
    assert len(samples) == 48 * len(of_phantom)
    for code in CODES:
        own = samples.take([k for k, case in enumerate(samples.case_ids) if case == code])
        assert_same(own, of_phantom, name)


@pytest.mark.parametrize("intensity", ["window", "zscore"])
def test_intensity_rules_do_not_see_the_order_either(written, intensity):
    options = {"grid": (10, 8, 12), "dimensions": 3, "intensity": intensity}
    whole = samples_of(ArrayLayout(), options, modality="MR").images
    samples = samples_of(written[".nrrd"], options, modality="MR")
    torch.testing.assert_close(samples.images, whole.expand(48, *whole.shape[1:]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PREPROCESSINGS)
def test_a_dicom_series_gives_the_samples_of_the_array(tmp_path, expected, name):
    samples = samples_of(write_dicom(tmp_path), PREPROCESSINGS[name])
    assert_same(samples, expected[name], name)


@pytest.mark.parametrize("name", [name for name, options in PREPROCESSINGS.items() if "spacing" in options])
def test_spacings_that_headers_round_move_nothing(tmp_path, name):
    """NIfTI keeps 0.7 mm in 32 bits, NRRD as text: a difference in the eighth digit must stay there."""
    rounded = (2.6, 1.1, 0.7)
    roots = [tmp_path / ending[1:] for ending in (".nii", ".nrrd")]
    for root in roots:
        root.mkdir()
    codes = CODES[::7]
    one, other = (samples_of(write_all(root, f".{root.name}", rounded, codes), PREPROCESSINGS[name]) for root in roots)
    assert torch.equal(one.masks, other.masks)
    torch.testing.assert_close(one.images, other.images, rtol=1e-5, atol=1e-2)
    in_turn = one.masks.reshape(len(codes), -1, *one.grid)
    assert bool((in_turn == in_turn[:1]).all())
