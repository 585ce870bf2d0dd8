"""Cases that cannot be listed are problems of their own, and hide none of the others."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from medsegdist.data.check import check_dataset
from medsegdist.data.collect import load_samples
from medsegdist.data.layouts.datalist import DatalistLayout
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.layouts.listing import PartialListingError
from medsegdist.data.manifest import DatasetManifest
from medsegdist.errors import DataError
from tests.data.making import PREPROCESSING, labels, pictures_manifest, voxels, write_pictures, write_task, write_volume

DEPTHS = pytest.mark.parametrize("full", [False, True])


def manifest_of(layout):
    return DatasetManifest(name="tiny", modality="MR", layout=layout)


def found_in(manifest, *, full):
    problems = check_dataset(manifest, PREPROCESSING, full=full).problems
    assert {problem.severity for problem in problems} == {"error"}
    return [(problem.case, problem.problem, problem.remedy, problem.total) for problem in problems]


@DEPTHS
def test_unpaired_pictures_hide_no_damaged_one(tmp_path, full):
    write_pictures(tmp_path, ("a", "b", "c", "d", "e"))
    for gone in ("images/a", "masks/c", "masks/d"):
        (tmp_path / f"{gone}.png").unlink()
    (tmp_path / "images" / "e.png").write_bytes(b"no picture")
    *unpaired, damaged = found_in(pictures_manifest(tmp_path), full=full)
    assert unpaired == [
        ("c", "the image has no mask 'masks/*.png'", "add the mask, or move the image away", 5),
        ("d", "the image has no mask 'masks/*.png'", "add the mask, or move the image away", 5),
        ("a", "the mask has no image 'images/*.png'", "add the image, or move the mask away", 5),
    ]
    assert damaged[0] == "e"
    assert "the file cannot be read" in damaged[1]


@DEPTHS
@pytest.mark.parametrize(("key", "found"), [("images", (0, 2)), ("masks", (2, 0))])
def test_a_pattern_that_fits_no_file_is_told_once(tmp_path, full, key, found):
    write_pictures(tmp_path)
    manifest = pictures_manifest(tmp_path)
    layout = manifest.layout.model_copy(update={key: f"{key}/*.jpg"})
    (problem,) = check_dataset(manifest.model_copy(update={"layout": layout}), PREPROCESSING, full=full).problems
    assert str(problem) == (
        f"all cases: {tmp_path} holds {found[0]} files '{layout.images}' and {found[1]} files '{layout.masks}'; "
        "correct the pattern that fits no file, or add the files."
    )


@DEPTHS
def test_a_patient_pattern_that_misses_some(tmp_path, full):
    write_pictures(tmp_path, ("p1_a", "p2_a", "q"))
    (tmp_path / "masks" / "p2_a.png").unlink()
    manifest = pictures_manifest(tmp_path)
    layout = manifest.layout.model_copy(update={"patient_pattern": r"^(p\d)"})
    assert found_in(manifest.model_copy(update={"layout": layout}), full=full) == [
        ("p2_a", "the image has no mask 'masks/*.png'", "add the mask, or move the image away", 3),
        (
            "q",
            r"patient_pattern '^(p\d)' finds no patient in the case's name",
            "correct the pattern, or leave it out to make every case a patient of its own",
            3,
        ),
    ]


@DEPTHS
@pytest.mark.parametrize("kind", ["decathlon", "datalist"])
def test_entries_that_cannot_be_used(tmp_path, kind, full):
    write_task(tmp_path, ("a", "b", "c"))
    path = tmp_path / "dataset.json"
    content = json.loads(path.read_text())
    content["training"] += [content["training"][0], {"image": "./imagesTr/d.nii.gz"}]
    path.write_text(json.dumps(content))
    (tmp_path / "imagesTr" / "b.nii.gz").unlink()
    layout = (
        DecathlonLayout(root=tmp_path) if kind == "decathlon" else DatalistLayout(root=tmp_path, file="dataset.json")
    )
    entry, doubled, missing = found_in(manifest_of(layout), full=full)
    assert entry[0] == "entry 4"
    assert entry[2] == "correct the entry, or take it out of the list"
    assert doubled[:3] == ("a", "the image is listed more than once", "list each once")
    assert missing[0] == "b"
    assert "the file does not exist" in missing[1]
    with pytest.raises(PartialListingError, match=r"a: the image is listed more than once; list") as caught:
        layout.cases()
    assert [case.id for case in caught.value.listed] == ["a", "b", "c"]


def test_shapes_are_those_that_nibabel_shows(tmp_path):
    root = write_task(tmp_path)
    path = root / "labelsTr" / "p1_b.nii.gz"
    # The same mask with its first two axes stored in the other order is no other shape.
    image = nib.load(path)
    turned = nib.Nifti1Image(np.asarray(image.dataobj).swapaxes(0, 1), image.affine[:, [1, 0, 2, 3]])
    nib.save(turned, path)
    manifest = manifest_of(DecathlonLayout(root=root))
    assert check_dataset(manifest, PREPROCESSING).problems == ()
    # Turned without its affine it is.
    write_volume(path, labels().swapaxes(0, 1))
    for full in (False, True):
        (problem,) = check_dataset(manifest, PREPROCESSING, full=full).problems
        shapes = [nib.load(root / folder / "p1_b.nii.gz").shape for folder in ("imagesTr", "labelsTr")]
        assert f"expected the same shape, found {shapes[0]} and {shapes[1]}" in problem.problem
    # And so is one of equal numbers along other axes.
    write_volume(root / "imagesTr" / "p1_b.nii.gz", voxels(0).swapaxes(0, 1))
    nib.save(nib.Nifti1Image(labels().swapaxes(0, 1), image.affine[:, [1, 0, 2, 3]]), path)
    (problem,) = check_dataset(manifest, PREPROCESSING).problems
    assert "found (10, 12, 4) and (10, 12, 4), which lie along other axes of the patient" in problem.problem


def test_a_dataset_with_unlisted_cases_is_still_refused(tmp_path):
    write_pictures(tmp_path, ("a", "b", "c"))
    (tmp_path / "masks" / "a.png").unlink()
    with pytest.raises(DataError, match="a: the image has no mask"):
        load_samples(pictures_manifest(tmp_path), PREPROCESSING)
