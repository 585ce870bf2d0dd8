from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from medsegdist.data import store
from medsegdist.data.case_tally import CaseTally
from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.store import load_samples, load_skipped, load_tally, save_samples
from medsegdist.errors import DataError


def some_samples(n=3, grid=(4, 5)) -> SegmentationSamples:
    rng = np.random.default_rng(0)
    return SegmentationSamples.from_arrays(
        "lung nodules",
        rng.normal(size=(n, *grid)),
        np.ones((n, *grid), bool),
        case_ids=[f"case {k}" for k in range(n)],
        patient_ids=[f"p{k // 2}" for k in range(n)],
        weights=rng.uniform(0.1, 1, n),
        preprocessing="abc123",
    )


@pytest.fixture
def directory(tmp_path) -> Path:
    save_samples(some_samples(), tmp_path / "samples", skipped=["case 'x': is bad"])
    return tmp_path / "samples"


@pytest.mark.parametrize("grid", [(4, 5), (2, 3, 4)])
def test_what_comes_back_is_what_went_in(tmp_path, grid):
    samples = some_samples(grid=grid)
    save_samples(samples, tmp_path / "made" / "here")
    loaded = load_samples(tmp_path / "made" / "here")
    for field in ("name", "case_ids", "patient_ids", "preprocessing"):
        assert getattr(loaded, field) == getattr(samples, field)
    for field in ("images", "masks", "weights"):
        assert torch.equal(getattr(loaded, field), getattr(samples, field))
        assert getattr(loaded, field).dtype == getattr(samples, field).dtype


def test_samples_in_another_memory_order_come_back_alike(tmp_path):
    samples = some_samples()
    turned = SegmentationSamples(
        name=samples.name,
        images=samples.images.permute(2, 1, 0).contiguous().permute(2, 1, 0),
        masks=samples.masks[:, ::1],
        case_ids=samples.case_ids,
        patient_ids=samples.patient_ids,
        weights=samples.weights,
        preprocessing=samples.preprocessing,
    )
    assert not turned.images.is_contiguous()
    save_samples(turned, tmp_path / "a")
    save_samples(samples, tmp_path / "b")
    for name in ("images.npy", "masks.npy", "samples.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_store_can_be_stored_again(directory, tmp_path):
    save_samples(load_samples(directory), tmp_path / "again", skipped=load_skipped(directory))
    for name in ("images.npy", "masks.npy", "samples.json"):
        assert (tmp_path / "again" / name).read_bytes() == (directory / name).read_bytes()


def test_skipped_cases_are_remembered(directory):
    assert load_skipped(directory) == ("case 'x': is bad",)


def test_pixels_are_not_read_before_they_are_used(directory):
    loaded = load_samples(directory)
    with (directory / "images.npy").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(np.float32(12345).tobytes())
    assert loaded.images[-1, -1, -1] == 12345


def test_changing_loaded_samples_leaves_the_files_alone(directory):
    before = (directory / "images.npy").read_bytes()
    loaded = load_samples(directory)
    loaded.images.zero_()
    assert not loaded.images.any()
    assert (directory / "images.npy").read_bytes() == before


def test_the_directory_is_as_open_as_any_other(directory, tmp_path):
    (tmp_path / "other").mkdir()
    assert stat.S_IMODE(directory.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def rewrite(path: Path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: (d / "images.npy").unlink(),
        lambda d: (d / "masks.npy").unlink(),
        lambda d: (d / "samples.json").unlink(),
        lambda d: (d / "samples.json").write_text('{"name": '),
        lambda d: (d / "samples.json").write_bytes(b"\xff\xfe"),
        lambda d: (d / "images.npy").write_bytes((d / "images.npy").read_bytes()[:-1]),
        lambda d: (d / "images.npy").write_bytes(b""),
        lambda d: (d / "masks.npy").write_bytes(b"\x93NUMPY\x01\x00"),
        lambda d: np.save(d / "images.npy", np.zeros((3, 4, 5))),
        lambda d: np.save(d / "images.npy", np.zeros((3, 4, 6), np.float32)),
        lambda d: np.save(d / "masks.npy", np.zeros((3, 4, 5), np.uint8)),
        lambda d: np.save(d / "masks.npy", np.full((3, 4, 5), None, object), allow_pickle=True),
        lambda d: rewrite(d / "samples.json", version=2),
        lambda d: rewrite(d / "samples.json", extra=1),
        lambda d: rewrite(d / "samples.json", case_ids=["a"]),
        lambda d: rewrite(d / "samples.json", weights=[1.0, 0.0, 1.0]),
        lambda d: rewrite(d / "samples.json", shape=[3, 4, 5, 1]),
    ],
)
def test_damage_is_noticed_and_says_what_to_do(directory, damage):
    damage(directory)
    with pytest.raises(
        DataError, match=r"samples: the stored samples are damaged \((.|\n)*delete this directory and col"
    ):
        load_samples(directory)


def test_nothing_there(tmp_path):
    for load in (load_samples, load_skipped):
        with pytest.raises(DataError, match="nowhere: there are no stored samples here; collect them first"):
            load(tmp_path / "nowhere")


def test_nothing_is_ever_overwritten(directory, tmp_path):
    (tmp_path / "file").write_text("mine")
    before = (directory / "images.npy").read_bytes()
    for taken in (directory, tmp_path / "file"):
        with pytest.raises(FileExistsError, match="expected a new or empty directory; delete it or choose another"):
            save_samples(some_samples(5), taken)
    assert (directory / "images.npy").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "samples"]


def test_an_empty_directory_may_be_there_already(tmp_path):
    (tmp_path / "samples").mkdir()
    save_samples(some_samples(), tmp_path / "samples")
    assert len(load_samples(tmp_path / "samples")) == 3


@pytest.mark.parametrize("write", range(4))
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch, write, error):
    synced = []

    def fsync(descriptor):
        synced.append(descriptor)
        if len(synced) == write + 1:
            raise error

    monkeypatch.setattr(store.os, "fsync", fsync)
    with pytest.raises(type(error)):
        save_samples(some_samples(), tmp_path / "samples")
    assert list(tmp_path.iterdir()) == []


def test_another_process_that_was_first_wins(tmp_path, monkeypatch):
    """The other one publishes between the check and the renaming."""
    first = some_samples(2)

    def fsync(descriptor):
        monkeypatch.undo()
        save_samples(first, tmp_path / "samples")

    monkeypatch.setattr(store.os, "fsync", fsync)
    with pytest.raises(FileExistsError):
        save_samples(some_samples(3), tmp_path / "samples")
    assert len(load_samples(tmp_path / "samples")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["samples"]


@pytest.mark.parametrize("taken_first", [True, False])
def test_a_new_directory_that_another_process_takes_for_a_leftover_is_made_again(tmp_path, monkeypatch, taken_first):
    """The other one looks between the making of the directory and the locking of it."""
    removed = []

    def open_after_the_other_one(path, flags):
        monkeypatch.undo()
        other = os.open(path, flags)
        fcntl.flock(other, fcntl.LOCK_EX)

        def remove():
            shutil.rmtree(path)
            removed.append(path)
            os.close(other)

        if taken_first:
            remove()
            return os.open(path, flags)
        lock = os.open(path, flags)
        threading.Timer(0.2, remove).start()
        return lock

    monkeypatch.setattr(store.os, "open", open_after_the_other_one)
    save_samples(some_samples(), tmp_path / "samples")
    assert len(removed) == 1
    assert len(load_samples(tmp_path / "samples")) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["samples"]


STUCK = """
import os, sys, time
from pathlib import Path
from medsegdist.data import store
from tests.data.test_store import some_samples
def stuck(descriptor):
    print("writing", flush=True)
    time.sleep(600)
store.os.fsync = stuck
store.save_samples(some_samples(), Path(sys.argv[1]))
"""


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path, project_root):
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, str(tmp_path / "samples")], cwd=project_root, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "writing\n"
        (partial,) = tmp_path.iterdir()
        assert partial.name.startswith(".samples.partial-")
        save_samples(some_samples(), tmp_path / "samples")
        assert partial.exists(), "its process is alive"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert partial.exists()
    save_samples(some_samples(), tmp_path / "samples2")
    assert partial.exists(), "it belongs to another store"
    (tmp_path / "samples").rename(tmp_path / "old")
    save_samples(some_samples(), tmp_path / "samples")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "samples", "samples2"]


def test_which_cases_gave_no_sample_is_remembered(directory, tmp_path):
    assert load_tally(directory) is None
    tally = CaseTally(4, {"case 3": "mask without foreground"})
    save_samples(some_samples(), tmp_path / "told", tally=tally)
    assert load_tally(tmp_path / "told") == tally
