"""What `medsegdist check` measures: spacings, intensities, headers, and whether two images are one."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.data.check import looks_wrapped, spacing_of, spacing_outliers
from medsegdist.data.leakage import CaseFacts, file_marks, voxel_mark
from medsegdist.data.readers import read_volume
from tests.data.making import smooth, voxels


def facts(spacings):
    return [CaseFacts(str(k), spacing=(1.0, 1.0, float(value))) for k, value in enumerate(spacings)]


@pytest.mark.parametrize(
    ("spacings", "outliers"),
    [
        ([1, 1, 1, 9], []),
        ([1, 1, 1, 1, 9], ["4"]),
        ([1, 1, 1, 1, 1.4], []),
        ([1.25] * 10 + [2.5] * 10, []),
        ([0.6, 1.25, 1.25, 2, 2.5, 2.5, 3, 5], []),
        ([5] * 9 + [0.005], ["9"]),
        ([], []),
    ],
)
def test_which_spacings_are_outliers(spacings, outliers):
    assert [problem.case for problem in spacing_outliers("set", facts(spacings))] == outliers


@given(st.lists(st.floats(0.1, 10), min_size=5, max_size=30), st.floats(0.01, 100))
def test_spacing_outliers_do_not_hang_on_the_unit_and_are_few(spacings, unit):
    found = spacing_outliers("set", facts(spacings))
    scaled = [replace(case, spacing=tuple(unit * value for value in case.spacing)) for case in facts(spacings)]
    assert [problem.case for problem in spacing_outliers("set", scaled)] == [problem.case for problem in found]
    assert len(found) <= len(spacings) / 2


def test_spacing_follows_the_patient_and_not_the_file():
    affine = np.array([[0, 0, 3.0, 5], [1, 0, 0, 5], [0, -2, 0, 5], [0, 0, 0, 1]])
    assert spacing_of(affine) == (3, 1, 2)
    assert spacing_of(np.zeros((4, 4))) is None
    assert spacing_of(np.full((4, 4), np.nan)) is None


@pytest.mark.parametrize("modulus", [256, 65536])
@pytest.mark.parametrize("offset", [0, -1024])
def test_intensities_that_ran_over_the_end_of_their_type(modulus, offset):
    image = smooth(-modulus / 2, modulus)
    assert looks_wrapped(image % modulus + offset)
    assert looks_wrapped((image % modulus + offset)[None])
    assert not looks_wrapped(np.clip(image, 0, modulus - 1)), "clipped"
    assert not looks_wrapped(smooth(0, modulus - 1)), "whole range"
    assert not looks_wrapped(smooth(0, 255).astype(np.uint8)), "8-bit integers, whose differences wrap themselves"
    assert not looks_wrapped(image), "more than the type holds"
    assert not looks_wrapped(image % modulus + np.float32(0.25)), "fractions"
    assert not looks_wrapped((image % modulus)[:20, :20]), "too few pixels to tell"


def volume_forms(folder):
    affine = np.array([[0, 0, 3.0, 5], [1, 0, 0, -5], [0, -2, 0.1, 5], [0, 0, 0, 1]])
    array = voxels(0)
    nib.save(nib.Nifti1Image(array, affine), folder / "a.nii")
    nib.save(nib.Nifti1Image(array[..., 0], affine), folder / "flat.nii.gz")
    nib.save(nib.Nifti2Image(array[..., None], affine), folder / "b.nii.gz")
    nib.save(nib.Nifti1Image(np.stack([array] * 3, -1), affine), folder / "c.nii.gz")
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((0.5, 2, 3))
    image.SetOrigin((1, 2, 3))
    for name in ("d.nrrd", "e.mha", "f.mhd"):
        SimpleITK.WriteImage(image, str(folder / name))
    SimpleITK.WriteImage(image[:, :, 0], str(folder / "g.nrrd"))
    vectors = SimpleITK.GetImageFromArray(np.stack([array] * 3, -1), isVector=True)
    SimpleITK.WriteImage(vectors, str(folder / "h.mha"))


def test_headers_say_what_reading_gives(tmp_path):
    volume_forms(tmp_path)
    for path in sorted(tmp_path.glob("*.[nm]*")):
        channel = 1 if path.name[0] in "ch" else None
        read, header = read_volume(path, channel), read_volume(path, channel, header_only=True)
        assert header.shape == read.shape, path.name
        np.testing.assert_array_equal(header.affine, read.affine)
        assert header.device.type == "meta"


def test_files_are_told_apart_by_all_of_their_bytes(tmp_path):
    noise = np.random.default_rng(0).bytes(300_000)
    contents = {"a": noise, "b": noise, "c": noise[:-1] + b"?", "d": noise[:-1], "e": b"?" + noise[1:]}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "f").symlink_to(tmp_path / "a")
    paths = [str(tmp_path / name) for name in "abcdefg"]
    marks = [file_marks(paths)[path] for path in paths]
    assert marks[0] == marks[1] == marks[5]
    assert len(set(marks)) == 5


def test_blank_images_are_not_the_same_image():
    assert voxel_mark(np.full((4, 5), 3.0, np.float32), None) == ""
    image = smooth(0, 9)
    assert voxel_mark(image, None) != voxel_mark(image + 1, None)
    assert voxel_mark(image, None) != voxel_mark(image.reshape(32, 128), None)
    # A picture's columns run to the left and its rows to the back, which for NIfTI's axes is backwards.
    slice_of_volume = image.T[:, :, None]
    assert voxel_mark(image, None) == voxel_mark(slice_of_volume, np.diag([-1.0, -1.0, 5.0, 1.0]))
