"""What `rank` and `distances` leave for a report and `medsegdist report`."""

import json
import re

import pandas as pd

from medsegdist.report.record import StudyRecord
from tests.test_cli import run
from tests.test_cli import study as study


def test_a_run_leaves_a_report_and_what_it_is_made_of(study, tmp_path):
    out = tmp_path / "out"
    result = run("rank", study, "--method", "gmm2d", "--out", out)
    assert f"Report: {out / 'report.html'}" in result.stderr
    assert "Report" not in result.stdout
    record = StudyRecord.load(out / "study.json")
    assert (record.name, record.targets, [one.name for one in record.methods]) == ("tiny", ("target",), ["gmm2d"])
    assert [(one.name, one.patients) for one in record.datasets] == [("target", 3), ("near", 3), ("far", 3)]
    assert all(len(dataset.mixture.weights) == 1 for dataset in record.datasets)
    page = (out / "report.html").read_text()
    assert "Recommended: near" in page
    # From the folder alone the same page is written again, here or elsewhere.
    shown = run("report", out, "--out", tmp_path / "again.html").stdout
    assert f"Report: {tmp_path / 'again.html'}" in shown
    assert (tmp_path / "again.html").read_text() == page


def test_no_report_is_written_where_none_is_wanted_and_no_old_one_stays(study, tmp_path):
    out = tmp_path / "out"
    for command in ("rank", "distances"):
        (tmp_path / "out").mkdir(exist_ok=True)
        (out / "report.html").write_text("of other distances")
        result = run(command, study, "--method", "euclidean", "--no-report", "--out", out)
        assert "Report" not in result.stderr
        assert not (out / "report.html").exists()
        assert StudyRecord.load(out / "study.json").datasets[0].mixture is None


def test_a_run_that_is_cut_off_leaves_nothing_of_an_earlier_one(study, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run("rank", study, "--method", "euclidean", "--out", out)

    def full(self, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(StudyRecord, "save", full)
    result = run("rank", study, "--method", "gmm2d", "--out", out, status=2)
    assert "No space left on device" in result.stderr
    assert {path.name for path in out.iterdir()} == {
        "samples",
        "distances.csv",
        "comparisons.csv",
        "recommendation.csv",
    }
    assert set(pd.read_csv(out / "distances.csv")["method"]) == {"gmm2d"}


def test_pictures_are_there_only_where_they_are_asked_for(study, tmp_path):
    out = tmp_path / "out"
    common = ("rank", study, "--method", "euclidean", "--method", "gmm2d", "--out", out)
    run(*common, "--thumbnails")
    content = json.loads((out / "thumbnails.json").read_text())
    assert {(one["source"], one["target"]) for one in content["matched"]} == {("near", "target")}
    assert sorted(method for one in content["matched"] for method in one["methods"]) == ["euclidean", "gmm2d"]
    page = (out / "report.html").read_text()
    assert page.count("<img ") == 2 * sum(len(one["pairs"]) for one in content["matched"]) > 0
    assert "images of patients</a>: pass it on only to whom the images may go." in page
    for text in (page, json.dumps([{**one, "pairs": None} for one in content["matched"]])):
        assert not re.search(r"\bcase[0-2]\b", text)
    distances = (out / "distances.csv").read_bytes()
    run(*common)
    assert not (out / "thumbnails.json").exists()
    page = (out / "report.html").read_text()
    assert "<img " not in page
    assert "This page holds no image and names no case and no patient." in page
    assert (out / "distances.csv").read_bytes() == distances
