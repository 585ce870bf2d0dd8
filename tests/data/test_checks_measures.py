"""What `medsegdist check` measures of headers, intensities and bytes, and how it joins problems that read alike."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch
from hypothesis import given
from hypothesis import strategies as st
from medsegdist.transforms.geometry import along_patient
from monai.data import MetaTensor

from medsegdist.data.check import looks_wrapped, spacing_outliers
from medsegdist.data.leakage import CaseFacts, file_marks, voxel_mark
from medsegdist.data.problems import Problem, merge_similar
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
    assert along_patient((1, 2, 3), affine) == (3, 1, 2)
    assert along_patient((1, 2, 3), np.zeros((4, 4))) is None
    assert along_patient((1, 2, 3), np.full((4, 4), np.nan)) is None


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


def test_noise_and_equalized_contrast_are_not_taken_for_overflow():
    noise = np.random.default_rng(0).integers(0, 256, (128, 128))
    assert not looks_wrapped(noise)
    ranks = (smooth(0, 255) + np.random.default_rng(1).normal(0, 60, smooth(0, 255).shape)).ravel().argsort().argsort()
    assert not looks_wrapped((ranks * 256 // ranks.size).reshape(smooth(0, 255).shape))


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
    assert voxel_mark(MetaTensor(torch.full((1, 4, 5), 3.0))) == ""
    image = MetaTensor(torch.from_numpy(smooth(0, 9))[None])
    assert voxel_mark(image) != voxel_mark(image + 1)
    assert voxel_mark(image) != voxel_mark(image.reshape(1, 32, 128))
    # A picture's columns run to the left and its rows to the back, which for NIfTI's axes is backwards.
    slice_of_volume = MetaTensor(image.as_tensor()[0].T[None, :, :, None], affine=np.diag([-1.0, -1.0, 5.0, 1.0]))
    assert voxel_mark(image) == voxel_mark(slice_of_volume)


TEXTS = st.sampled_from(["too large", "found 3 of 4", "found 5 of 6", "the mask is empty"])
PROBLEMS = st.lists(
    st.builds(
        Problem,
        dataset=st.sampled_from("AB"),
        case=st.sampled_from(["", "a", "b", "c", "d1"]),
        problem=TEXTS,
        remedy=st.sampled_from(["mend it", "leave it out"]),
        severity=st.sampled_from(["error", "warning"]),
    ),
    max_size=12,
)


def case(name, problem, remedy="mend it", **more):
    return Problem("A", name, problem, remedy, **more)


@given(PROBLEMS)
def test_no_case_is_lost_and_no_problem_of_another_dataset_or_severity_is_joined(problems):
    found = merge_similar(problems)
    said = [(one.dataset, one.severity, name) for one in found for name in (one.cases or (one.case,))]
    assert {*said} == {(one.dataset, one.severity, one.case) for one in problems}
    assert len(found) <= len(problems)
    assert merge_similar(found) == found


def test_equal_problems_are_counted_and_the_first_cases_named():
    problems = [case(f"c{k}", "too large", total=30) for k in range(20)]
    (one,) = merge_similar(problems)
    assert str(one) == "20 of 30 cases, 'c0', 'c1', 'c2' and 17 more: too large; mend it."
    assert one.cases == tuple(f"c{k}" for k in range(20))
    assert merge_similar(problems[:1]) == problems[:1]


def test_files_of_the_cases_become_a_pattern():
    problems = [case(name, f"image /data/{name}/ct_{name}.nii.gz: the file is empty") for name in ("p1", "p2")]
    (one,) = merge_similar(problems)
    assert one.problem == "2 of 2 cases, 'p1', 'p2': image /data/*/ct_*.nii.gz: the file is empty"


def test_other_numbers_are_those_of_the_first_case():
    (one,) = merge_similar([case(name, f"found shape ({k}, 4)") for k, name in enumerate("ab")])
    assert one.problem == "2 of 2 cases, 'a', 'b': found shape (0, 4) (so of 'a'; the others alike)"


@pytest.mark.parametrize(
    "other",
    [
        case("b", "too small"),
        case("b", "too large", "leave it out"),
        case("b", "too large", severity="warning"),
        Problem("B", "b", "too large", "mend it"),
        case("", "too large"),
    ],
)
def test_what_differs_stays_apart(other):
    problems = [case("a", "too large"), other]
    assert merge_similar(problems) == problems


def test_a_name_within_a_word_is_no_name():
    """A case called 'a' does not make 'a mask' the same as 'b mask'."""
    assert len(merge_similar([case("a", "cat"), case("b", "cbt")])) == 2


def test_cases_that_are_called_by_numbers():
    assert len(merge_similar([case(str(k), "found shape (1, 4, 5)") for k in range(12)])) == 1
