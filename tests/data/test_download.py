"""Downloads: what arrives is whole and verified, what does not is one clear line, and nothing comes unasked."""

from __future__ import annotations

import hashlib
import logging
import sys
import tarfile
from types import SimpleNamespace

import pytest
from monai.apps.datasets import DecathlonDataset
from typer.testing import CliRunner

from medsegdist.cli import app
from medsegdist.data.download import decathlon_tasks, fetch_decathlon, fetch_lidc, lidc_scans
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.errors import DataError, ManifestError, MissingDependencyError
from tests.data.making import write_task

TASK = "Task09_Spleen"


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A tiny task where MONAI looks for the real one."""
    write_task(tmp_path / "origin" / TASK)
    path = tmp_path / "origin" / f"{TASK}.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(tmp_path / "origin" / TASK, TASK)
    offer(monkeypatch, path)
    return path


def offer(monkeypatch, path):
    monkeypatch.setitem(DecathlonDataset.resource, TASK, path.as_uri())
    monkeypatch.setitem(DecathlonDataset.md5, TASK, hashlib.md5(path.read_bytes()).hexdigest())


@pytest.fixture
def offline(monkeypatch):
    def no_network(*arguments, **options):
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", no_network)


def test_a_task_arrives_whole_and_can_be_read(archive, tmp_path, capsys):
    out = tmp_path / "deep" / "data"
    assert fetch_decathlon(TASK, out) == out / TASK
    assert len(DecathlonLayout(root=out / TASK).cases()) == 3
    assert [path.name for path in out.iterdir()] == [TASK]
    assert capsys.readouterr().out == ""
    assert logging.getLogger("monai.apps").level == logging.INFO


def test_what_is_there_already_is_not_touched(archive, tmp_path):
    (tmp_path / TASK).mkdir()
    (tmp_path / TASK / "mine").write_text("kept")
    with pytest.raises(FileExistsError, match="expected a new or empty directory; delete it or choose another"):
        fetch_decathlon(TASK, tmp_path)
    assert (tmp_path / TASK / "mine").read_text() == "kept"


def test_a_damaged_archive_leaves_nothing(archive, tmp_path):
    archive.write_bytes(archive.read_bytes()[:-600])
    with pytest.raises(DataError, match=rf"{TASK} cannot be downloaded from file:.* hash check .*; check the network"):
        fetch_decathlon(TASK, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_archive_that_reaches_outside_is_refused(tmp_path, monkeypatch):
    path, evil = tmp_path / f"{TASK}.tar", tmp_path / "evil"
    evil.write_text("evil")
    with tarfile.open(path, "w") as tar:
        tar.add(evil, "../../outside")
    offer(monkeypatch, path)
    with pytest.raises(DataError, match=rf"{TASK}: the archive cannot be unpacked \(Unsafe path"):
        fetch_decathlon(TASK, tmp_path / "out")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["Task09_Spleen.tar", "evil", "out"]


def test_an_unknown_task_names_the_known_ones(tmp_path):
    with pytest.raises(ManifestError, match=r"among Task01_BrainTumour, .*, Task10_Colon, found 'Task11_Lung'"):
        fetch_decathlon("Task11_Lung", tmp_path)
    assert len(decathlon_tasks()) == 10


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "500"})


def test_offline_is_one_clear_line(offline, tmp_path):
    result = run("fetch", "decathlon", TASK, "--out", tmp_path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert f"{TASK} cannot be downloaded from https://" in result.stderr
    assert "Name or service not known" in result.stderr
    assert "; check the network connection, or unpack it in" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_where_the_task_is(archive, tmp_path):
    result = run("fetch", "decathlon", TASK, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert result.stdout == f"The task is in {tmp_path / 'out' / TASK}\n"


def test_lidc_scans_are_those_of_the_annotations():
    scans = lidc_scans()
    assert len(scans) == 1018
    assert len({scan.series for scan in scans}) == 1018
    assert [scan.patient_id for scan in scans] == sorted(scan.patient_id for scan in scans)
    (one,) = lidc_scans(["LIDC-IDRI-0078"])
    assert one.series == "1.3.6.1.4.1.14519.5.2.1.6279.6001.303494235102183795724852353824"
    assert one.slices == 87
    with pytest.raises(ManifestError, match="expected patients such as 'LIDC-IDRI-0001', found no 'LIDC-1'"):
        lidc_scans(["LIDC-1"])


class Idc:
    """Stands for idc_index: writes empty files for the first `good` of the series that are asked for."""

    def __init__(self, good=None, error=None):
        self.asked, self.good, self.error = [], good, error
        self.IDCClient = lambda: SimpleNamespace(download_from_selection=self.download)

    def download(self, directory, *, seriesInstanceUID, dirTemplate, show_progress_bar):  # noqa: N803
        from pathlib import Path

        self.asked.append(seriesInstanceUID)
        if self.error:
            raise self.error
        for scan in lidc_scans():
            if scan.series in seriesInstanceUID[: self.good]:
                names = {"PatientID": scan.patient_id, "StudyInstanceUID": scan.study, "SeriesInstanceUID": scan.series}
                folder = Path(directory, *(names[part.removeprefix("%")] for part in dirTemplate.split("/")))
                folder.mkdir(parents=True, exist_ok=True)
                for k in range(scan.slices):
                    (folder / f"{k}.dcm").touch()


PATIENTS = ["LIDC-IDRI-0078", "LIDC-IDRI-0069"]


def test_only_series_that_are_missing_are_downloaded(tmp_path, monkeypatch):
    idc = Idc()
    monkeypatch.setitem(sys.modules, "idc_index", idc)
    scans = lidc_scans(PATIENTS)
    assert fetch_lidc(tmp_path, PATIENTS) == scans
    assert all(scan.is_complete(tmp_path) for scan in scans)
    assert fetch_lidc(tmp_path, PATIENTS) == []
    (scans[1].folder(tmp_path) / "3.dcm").unlink()
    assert fetch_lidc(tmp_path, PATIENTS) == [scans[1]]
    assert idc.asked == [[scan.series for scan in scans], [scans[1].series]]


def test_series_that_did_not_arrive_are_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "idc_index", Idc(good=1))
    with pytest.raises(DataError, match="1 of 2 series did not arrive, the first is that of LIDC-IDRI-0078; check"):
        fetch_lidc(tmp_path, PATIENTS)
    assert lidc_scans(PATIENTS)[0].is_complete(tmp_path)


def test_a_failing_download_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "idc_index", Idc(error=RuntimeError("no such\nhost")))
    result = run("fetch", "lidc", "--patient", "LIDC-IDRI-0078", "--out", tmp_path)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert "LIDC-IDRI cannot be downloaded from the Imaging Data Commons (no such host); check" in result.stderr


def test_without_idc_index_the_command_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "idc_index", None)
    with pytest.raises(MissingDependencyError, match=r"not installed; run: pip install medsegdist\[download\]"):
        fetch_lidc(tmp_path, PATIENTS)
    result = run("fetch", "lidc", "--out", tmp_path)
    assert result.exit_code == 2
    assert "pip install medsegdist[download]" in result.stderr


def test_the_command_counts_what_was_downloaded(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "idc_index", Idc())
    result = run("fetch", "lidc", "--patient", "LIDC-IDRI-0078", "--out", tmp_path)
    assert result.stdout.startswith("1 series downloaded; all that were asked for are in")
