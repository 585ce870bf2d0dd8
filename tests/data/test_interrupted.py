"""Runs that end before their time: whatever ends them, nobody finds half a result, and the next run completes it."""

from __future__ import annotations

import signal
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from medsegdist.data.export import export_task
from tests.data.interruptions import NO_ROOM, started
from tests.data.making import task_manifest, write_task

TASK = "Task07_A"


def visible(place: Path) -> dict[str, bytes]:
    """What anybody else would take for a result."""
    files = {str(path.relative_to(place)): path for path in sorted(place.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(".")}


@pytest.mark.parametrize("how", ["kill", pytest.param("full", marks=(pytest.mark.slow, pytest.mark.ci))])
def test_no_run_leaves_half_a_result_and_the_next_one_completes_it(tmp_path, how):
    """A run is ended at each of its changes of the disk."""
    manifest = task_manifest(write_task(tmp_path / "source", ("p1_a", "p1_b")))
    export_task(manifest, tmp_path / "undisturbed" / TASK)
    expected = visible(tmp_path / "undisturbed")
    for n in count(1):
        place = tmp_path / str(n)
        place.mkdir()
        process, said = started(lambda place=place: str(export_task(manifest, place / TASK)), place, n, how)
        process.join()
        if process.exitcode == 0 and NO_ROOM not in said.get():
            break
        assert how == "full" or process.exitcode == -signal.SIGKILL
        assert visible(place) in ({}, expected)
        assert how == "kill" or not list(place.glob(".*"))
        # A task that is complete is in the way of another one.
        with suppress(FileExistsError):
            export_task(manifest, place / TASK)
        assert visible(place) == expected
        assert not list(place.glob(".*"))
    assert n > 10


def test_what_a_killed_export_left_goes_with_the_next_one(tmp_path):
    manifest = task_manifest(write_task(tmp_path / "source"))
    for name in (".Task07_A.123.partial", ".Task07_A.b.123.partial"):
        (tmp_path / name / "imagesTr").mkdir(parents=True)
    export_task(manifest, tmp_path / "Task07_A")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".Task07_A.b.123.partial", "Task07_A", "source"]
