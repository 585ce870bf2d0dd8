"""A place that cannot be written to is told before anything is read, by every command and in the same words."""

from __future__ import annotations

import pytest

from tests.test_cli import run

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
