"""`--workers` and `--dask`: the same table whoever computes it, and nothing left of an interrupted run."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from tests.processes import NEEDS_PROC, children_of, wait_for_end
from tests.test_cli import run
from tests.test_cli import study as study


def test_processes_side_by_side_give_the_same_distances(study, tmp_path):
    common = ("distances", study, "--method", "euclidean", "--method", "fake_classes", "--bootstrap", "3", "--cache")
    run(*common, tmp_path / "cache", "--out", tmp_path / "one", "--workers", "1", "--thumbnails")
    run(*common, tmp_path / "cache", "--out", tmp_path / "two", "--workers", "2", "--thumbnails")
    for name in ("distances.csv", "thumbnails.json", "report.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_distances(study, tmp_path):
    from distributed import LocalCluster

    common = ("rank", study, "--method", "gmm3d", "--bootstrap", "3", "--thumbnails", "--cache", tmp_path / "cache")
    run(*common, "--out", tmp_path / "here", "--workers", "1")
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=True, dashboard_address=":0") as cluster:
        run(*common, "--out", tmp_path / "there", "--dask", cluster.scheduler_address)
    for name in ("distances.csv", "thumbnails.json"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--dask", "tcp://127.0.0.1:9", "expected a Dask scheduler at tcp://127.0.0.1:9, found none"),
        ("--dask", "nonsense", "expected a Dask scheduler at nonsense, found none"),
        ("--workers", "0", "greater than or equal to 1"),
    ],
)
def test_resources_that_are_not_there_are_told_of(study, tmp_path, option, value, message):
    result = run("rank", study, "--method", "gmm2d", "--out", tmp_path / "out", option, value, status=2)
    assert message in result.stderr
    assert not (tmp_path / "out" / "distances.csv").exists()


def test_dask_that_is_not_installed_is_asked_for(study, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = run("rank", study, "--out", tmp_path / "out", "--dask", "tcp://nowhere:1", status=2)
    assert "run pip install 'medsegdist[dask]'" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.ci
@NEEDS_PROC
@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_comparison_leaves_the_samples_and_no_process(study, tmp_path):
    cache, out = tmp_path / "cache", tmp_path / "out"
    common = ("distances", str(study), "--cache", str(cache), "--out", str(out), "--workers", "2")
    code = "from medsegdist.cli import app; app()"
    command = subprocess.Popen(
        [sys.executable, "-c", code, *common, "--bootstrap", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while len(stored := sorted(cache.glob("[!.]*/*.npz"))) < 9:
            assert command.poll() is None, command.communicate()
            time.sleep(0.02)
        # The processes that read also compare.
        workers = children_of(command.pid)
        assert len(workers) >= 2
        os.killpg(command.pid, signal.SIGINT)  # as a terminal does
        _, said = command.communicate(timeout=60)
    finally:
        if command.poll() is None:
            os.killpg(command.pid, signal.SIGKILL)
    # On a busy machine, lines of what is being done come first.
    assert (command.returncode, said.splitlines()[-1].strip()) == (130, "Interrupted.")
    wait_for_end(workers)
    assert not (out / "distances.csv").exists()
    stamps = [path.stat().st_mtime_ns for path in stored]
    run(*common, "--method", "gmm2d")
    assert len(pd.read_csv(out / "distances.csv")) == 6
    assert [path.stat().st_mtime_ns for path in sorted(cache.glob("[!.]*/*.npz"))] == stamps
