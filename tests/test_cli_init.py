"""`medsegdist init`: from folders to a study that `check` and `rank` take as it is."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from medsegdist.data.study import load_study
from tests.data.making import write_picture, write_pictures, write_task
from tests.test_cli import run, write_dataset


@pytest.fixture
def folders(tmp_path):
    """The folders of a target, of a source like it, and of one that lies elsewhere."""
    centers = {"target": (8, 8), "near": (9, 8), "far": (16, 13)}
    for seed, (name, center) in enumerate(centers.items()):
        write_dataset(tmp_path / f"{name}_ct", center, seed=seed)
    return [tmp_path / f"{name}_ct" for name in centers]


def init(target, *sources, out, more=(), status=0):
    named = [argument for source in sources for argument in ("--source", source)]
    return run("init", "--target", target, *named, "--out", out, *more, status=status)


def test_the_study_is_checked_and_ranked_as_it_is(folders, tmp_path):
    study = tmp_path / "study.yaml"
    said = init(*folders, out=study).stdout
    assert "target ct (target): pairs of images/*.nii.gz and masks/*.nii.gz" in said
    assert "modality CT: by the folder's name, target_ct" in said
    assert f"medsegdist rank {study}" in said
    assert "No problem found" in run("check", study, "--full").stdout
    run("rank", study, "--method", "gmm2d", "--out", tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "distances.csv")
    assert list(table.sort_values("distance")["source"]) == ["near ct", "far ct"]


def test_pictures_and_volumes_in_one_study(folders, tmp_path):
    pictures = write_pictures(tmp_path / "slices_ct", ("p1_1", "p1_2", "p2_1"))
    study = tmp_path / "study.yaml"
    init(folders[0], pictures, out=study)
    assert load_study(study).dataset("slices ct").window == (0, 255)
    assert "No problem found" in run("check", study, "--full").stdout
    result = init(folders[0], pictures, out=study, more=("--force", "--dimensions", 3), status=2)
    assert "expected volumes for --dimensions 3, found pictures in slices ct; leave --dimensions out" in result.stderr


def test_volumes_in_3d(folders, tmp_path):
    study = tmp_path / "study.yaml"
    init(*folders, out=study, more=("--dimensions", 3, "--modality", "MR"))
    assert load_study(study).preprocessing.grid == (16, 32, 32)
    assert {dataset.modality for dataset in load_study(study).datasets} == {"MR"}
    assert "No problem found" in run("check", study, "--full").stdout


def test_labels_of_one_folder_are_datasets_of_their_own(tmp_path):
    task, study = write_task(tmp_path / "Task01_Both", values=(1, 2)), tmp_path / "study.yaml"
    init(task, out=study, more=("--foreground", "1", "--foreground", "2"))
    content = load_study(study)
    assert [dataset.foreground for dataset in content.datasets] == [(1,), (2,)]
    assert (content.targets, content.sources, content.shared_images) == (("tiny 1",), ("tiny 2",), "allow")
    run("check", study, "--full")
    result = init(task, out=tmp_path / "other.yaml", status=2)
    assert "expected a target and a source, found one dataset, tiny; name another folder by --source" in result.stderr
    assert not (tmp_path / "other.yaml").exists()


def test_nothing_is_overwritten_but_by_force(folders, tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text("mine")
    result = init(*folders, out=study, status=2)
    assert f"{study} exists already; choose another --out, or replace it by --force" in result.stderr
    assert study.read_text() == "mine"
    init(*folders, out=study, more=("--force",))
    assert len(load_study(study).datasets) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "nowhere"], "nowhere does not exist; name the folder that holds the images and their masks"),
        (["--source", "target_ct"], "Missing option '--target'"),
        (["--target", "target_ct", "--source", "empty"], "no layout was recognized. Looked for:"),
        (["--target", "target_ct", "--source", "./target_ct"], "expected each folder once, found './target_ct' twice"),
        (["--target", "target_ct", "--modality", "mr"], "'mr' is not one of 'CT', 'MR', 'other'"),
        (["--target", "${NO_SUCH}/a"], "${NO_SUCH}/a: the environment variable NO_SUCH is not set"),
        (["--target", "target_ct", "--source", "near_ct", "--foreground", "2"], "expected several labels to choose"),
    ],
)
def test_what_cannot_be_used_is_told_and_nothing_is_written(folders, tmp_path, monkeypatch, arguments, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert message in run("init", *arguments, status=2).stderr
    assert sorted(tmp_path.iterdir()) == before


def test_folders_that_cannot_be_used_are_told_all_at_once_each_with_its_file(folders, tmp_path):
    unlike, many = (write_pictures(tmp_path / name, ("example",)) for name in ("unlike", "many"))
    write_picture(unlike / "masks" / "example.png", np.ones((4, 4), dtype=np.uint8))
    write_picture(many / "masks" / "example.png", np.arange(120, dtype=np.uint8).reshape(10, 12))
    said = init(folders[0], unlike, many, out=tmp_path / "study.yaml", status=2).stderr.replace("\n", "")
    pair = f"(image {unlike / 'images' / 'example.png'}, label {unlike / 'masks' / 'example.png'})"
    assert f"{unlike}: case 'example' {pair}: 'image' and 'label': expected the same shape, found" in said
    assert "pair each image with the mask that was drawn on it, or leave this folder out." in said
    held = (
        f"{many}: case 'example' (label {many / 'masks' / 'example.png'}): expected a mask of at most 64 label values"
    )
    assert held in said
    assert "describe the dataset by hand with `mask_threshold`, or leave this folder out." in said
    assert not (tmp_path / "study.yaml").exists()


@pytest.mark.parametrize(
    ("length", "name"),
    [(1, "sources for Both A and Both B"), (40, "sources for 2 targets")],
)
def test_a_study_of_several_targets_names_all_of_them_or_none(folders, tmp_path, length, name):
    task = write_task(tmp_path / "Task01_Both", values=(1, 2))
    listing = json.loads((task / "dataset.json").read_text())
    labels = {"0": "background", "1": "A" * length, "2": "B" * length}
    (task / "dataset.json").write_text(json.dumps({**listing, "name": "Both", "labels": labels}))
    init(task, folders[0], out=tmp_path / "study.yaml", more=("--foreground", "each"))
    assert load_study(tmp_path / "study.yaml").name == name


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "modality", "window"),
    [
        ("msd_liver_ct2d", "CT", (0, 255)),
        ("chaos_liver_ct2d", "CT", (0, 255)),
        ("montgomery_lung_cxr2d", "other", (0, 255)),
        ("nerve_us2d", "other", (0, 255)),
        ("kvasir_polyp2d_train256", "other", (0, 255)),
        ("sct_spinalcord_mr3d", "MR", None),
        ("pyradiomics_nrrd", "other", None),
        ("dicom_dcmqi", "CT", None),
    ],
)
def test_every_kind_of_real_folder_goes_into_a_study(data_root, tmp_path, name, modality, window):
    study = tmp_path / "study.yaml"
    init(data_root / "la2018_heart_mr3d", data_root / name, out=study)
    found = load_study(study).datasets[1]
    assert (found.modality, found.window) == (modality, window)


@pytest.mark.parametrize(("held", "said"), [(8, "1 is in all"), (1, "1 is in 1")])
def test_foreground_that_was_seen_says_in_how_many_of_the_masks_looked_at(tmp_path, held, said):
    """Of ten volumes four are looked at, the first one among them."""
    for folder in ("a", "b"):
        write_dataset(tmp_path / folder, (8, 8), cases=10)
    for k in range(held, 10):
        path = tmp_path / "a" / "masks" / f"case{k}.nii.gz"
        if held == 1:
            nib.save(nib.Nifti1Image(np.zeros((24, 20, 6), np.uint8), np.diag([-1.0, -1, 2, 1])), path)
    shown = init(tmp_path / "a", tmp_path / "b", out=tmp_path / "study.yaml").stdout
    assert f"foreground [1]: looked at 4 of 10 masks: {said}" in shown


def test_a_folder_with_files_that_have_no_partner_becomes_a_study_that_check_explains(tmp_path):
    for folder in ("a", "b"):
        write_pictures(tmp_path / folder, ("p1", "p2", "p3"))
    (tmp_path / "a" / "masks" / "p2.png").unlink()
    study = tmp_path / "study.yaml"
    shown = init(tmp_path / "a", tmp_path / "b", out=study).stdout
    remark = (
        "2 cases can be used; `medsegdist check` names what cannot, such as p2: the image has no mask 'masks/*.png'"
    )
    assert remark in shown
    assert f"# {remark}" in study.read_text()
    found = json.loads(run("check", study, "--json", status=1).stdout)
    assert [problem["case"] for problem in found if problem["severity"] == "error" and "mask" in problem["remedy"]] == [
        "p2"
    ]
