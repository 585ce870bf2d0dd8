"""What the commands say of a study that is wrong, and of a place that cannot be written to."""

from __future__ import annotations

import json

import pytest
import yaml

from medsegdist.data.collect import load_samples
from medsegdist.data.study import load_study
from tests.test_cli import change, run
from tests.test_cli import study as study


@pytest.mark.parametrize("command", ["rank", "distances", "transfer"])
def test_a_root_that_is_not_there_is_told_with_its_dataset_and_file(study, tmp_path, command):
    (tmp_path / "near").rename(tmp_path / "elsewhere")
    said = run(command, study, "--out", tmp_path / "out", status=2).stderr
    assert f"dataset 'near': the folder {tmp_path / 'near'} does not exist; set `root` to where the dataset is." in said
    assert f"`root` is in {study}, or in the dataset's own file that it names." in said


@pytest.mark.parametrize("command", ["check", "rank", "distances"])
def test_methods_of_a_study_that_do_not_exist_are_told_with_their_place(study, tmp_path, command):
    change(study, methods=["gmm3", "nope", "gmm2d"])
    more = () if command == "check" else ("--out", tmp_path / "out")
    said = run(command, study, *more, status=2).stderr
    assert f"Error: {study}: methods: expected a method among euclidean, gmm2d, gmm3d" in said
    first, second = said.splitlines()
    assert first.endswith("found 'gmm3'; did you mean 'gmm3d'?")
    assert second.startswith(f"{study}: methods: ")
    assert second.endswith("found 'nope'.")


def test_check_says_equal_problems_once_and_in_json_for_every_case(study, tmp_path):
    for k in range(3):
        (tmp_path / "near" / "masks" / f"case{k}.nii.gz").write_bytes(b"")
    shown = run("check", study, status=1).stdout
    assert "3 of 3 cases, 'case0', 'case1', 'case2': label " in shown
    assert "Errors: 1, warnings: 0, in headers and first masks of 3 datasets." in shown
    found = json.loads(run("check", study, "--json", status=1).stdout)
    assert [(problem["case"], problem["total"]) for problem in found] == [(f"case{k}", 3) for k in range(3)]


def test_a_window_that_no_intensity_lies_in_is_one_warning(study):
    content = yaml.safe_load(study.read_text())
    content["datasets"][1]["window"] = [5000, 6000]
    study.write_text(yaml.safe_dump(content))
    *errors, found = json.loads(run("check", study, "--full", "--json", status=1).stdout)
    assert {error["problem"] for error in errors} == {"the image is constant, 0 everywhere"}
    assert found["severity"] == "warning"
    assert found["cases"] == ["case0", "case1", "case2"]
    text = "3 of 3 cases, 'case0', 'case1', 'case2': the window from 5000 to 6000 makes one gray of the image, whose "
    assert found["problem"].startswith(text)
    assert found["remedy"] == "correct the window"


FOLDERS = [
    ["demo"],
    ["rank", "gone.yaml"],
    ["distances", "gone.yaml"],
    ["transfer", "gone.yaml"],
    ["transfer", "gone.yaml", "--dry-run"],
    ["agreement", "gone.csv", "gone.csv"],
    ["paper"],
    ["cards", "make", "gone.yaml"],
    ["cards", "rank", "gone.json", "--target", "gone"],
    ["prepare", "gone.yaml"],
]
FILES = [["init", "--target", "gone"], ["report", "."]]


@pytest.mark.parametrize("arguments", [*FOLDERS, *FILES], ids=" ".join)
def test_an_output_that_cannot_be_written_is_told_first(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "file"
    file.write_text("kept")
    said = run(*arguments, "--out", file / "sub", status=2).stderr
    assert said == f"Error: {file / 'sub'} cannot be written ({file}: Not a directory); choose another place for it.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "kept"


@pytest.mark.parametrize("arguments", [["rank", "gone.yaml"], ["cards", "make", "gone.yaml"]])
def test_a_folder_that_takes_no_files_is_told(tmp_path, monkeypatch, arguments):
    def refused(**_):
        raise PermissionError(13, "Permission denied", str(tmp_path / "tmpabc"))

    monkeypatch.setattr("medsegdist.files.tempfile.TemporaryFile", refused)
    out = tmp_path / "new" / "out"
    said = run(*arguments, "--out", out, status=2).stderr
    assert f"{out} cannot be written ({tmp_path}: Permission denied); choose another place for it." in said
    assert not list(tmp_path.iterdir())


def test_rank_says_which_earlier_methods_it_replaces(study, tmp_path):
    plain = ("--out", tmp_path / "out", "--bootstrap", 0, "--no-report")
    assert "replaced" not in run("rank", study, "--method", "gmm2d", "--method", "euclidean", *plain).stderr
    said = run("rank", study, "--method", "gmm2d", *plain).stderr
    assert f"{tmp_path / 'out' / 'distances.csv'} will be replaced, and holds no more euclidean; " in said
    assert "replaced" not in run("rank", study, "--method", "gmm2d", *plain).stderr


def test_the_path_of_a_study_is_as_good_as_the_study(study):
    one, other = load_samples(str(study)), load_samples(load_study(study))
    assert [samples.name for samples in one] == [samples.name for samples in other]
