"""Reading in several processes gives what reading in one gives, or its errors, and leaves nothing behind."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, Dataset, PersistentDataset, SmartCacheDataset
from monai.transforms import Compose, Lambda

from medsegdist import processes
from medsegdist.data import parallel
from medsegdist.data.collect import collect
from medsegdist.data.dataset import load_dataset_samples
from medsegdist.data.parallel import IN_FLIGHT, WorkerLostError, ordered_results
from medsegdist.errors import DataError, MedSegDistError
from tests.data.making import PREPROCESSING, task_manifest, write_task

GRID = (40, 50)


def in_worker() -> bool:
    return multiprocessing.parent_process() is not None


def item(k: int, pixels: int = 60, grid: tuple[int, ...] = GRID) -> dict:
    image = torch.from_numpy(np.random.default_rng(k).normal(size=(1, *grid)).astype(np.float32))
    label = torch.zeros((1, *grid), dtype=torch.uint8)
    label.view(-1)[:pixels] = 1
    return {"image": image, "label": label, "case_id": f"c{k}", "patient_id": f"p{k // 2}"}


@dataclass
class Items:
    """A dataset that is made as it is read, by a function of the index that processes can load."""

    n: int
    make: Callable[[int], object]

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, k: int) -> object:
        return self.make(k)


def uneven(k: int) -> object:
    """The first ones take longest; some are lists, and some samples are too small."""
    time.sleep(0.05 if k % 4 == 0 else 0)
    return [item(k), item(100 + k, pixels=k)] if k % 3 == 0 else item(k)


def with_bad_ones(k: int) -> object:
    if k == 2:
        raise KeyError("not what you think")
    if k == 5:
        return item(k, grid=(3, 4))
    return {"image": 1} if k == 7 else item(k)


def killed(k: int) -> object:
    if k == 5 and in_worker():
        os.kill(os.getpid(), signal.SIGKILL)
    return item(k)


def full_disk(k: int) -> object:
    if k == 3:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return item(k)


def named_after_process(k: int) -> object:
    return item(k) | {"case_id": str(os.getpid())}


@dataclass
class Logged:
    """Items that leave a byte in a file as soon as they are begun."""

    log: Path

    def __call__(self, k: int) -> object:
        with self.log.open("ab") as file:
            file.write(b".")
        return item(k)


class OnlyHere:
    """What cannot be loaded in another process, as what was defined in a notebook."""

    def __call__(self, k: int) -> object:
        return named_after_process(k)

    def __reduce__(self) -> tuple:
        return _lost, ()


def _lost() -> None:
    raise AttributeError("no such name in __main__")


def collected(dataset, workers, **options):
    return collect(dataset, **{"name": "tiny", "workers": workers} | options)


def assert_equal(a, b):
    assert (a.case_ids, a.patient_ids, a.preprocessing) == (b.case_ids, b.patient_ids, b.preprocessing)
    for field in ("images", "masks", "weights"):
        assert torch.equal(getattr(a, field), getattr(b, field))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def _no_process_is_left():
    yield
    assert multiprocessing.active_children() == []


def test_any_number_of_workers_gives_the_same_bytes(tmp_path):
    for workers in (1, 2, 3):
        collected(Items(17, uneven), workers, max_samples=12, min_pixels=5, directory=tmp_path / str(workers))
    one, *others = (content(tmp_path / str(workers)) for workers in (1, 2, 3))
    assert one
    assert all(other == one for other in others)


def test_all_bad_cases_are_listed_in_order():
    messages = []
    for workers in (1, 2):
        with pytest.raises(DataError) as caught:
            collected(Items(9, with_bad_ones), workers)
        messages.append(str(caught.value))
    assert [line.split(":")[0].strip() for line in messages[0].splitlines()] == [
        "dataset 'tiny'", "case '2'", "case '5'", "case '7'"
    ]  # fmt: skip
    assert messages[1] == messages[0]


def test_a_killed_worker_is_told_and_leaves_nothing(tmp_path):
    message = r"dataset 'tiny': one of 2 processes .* killed, .* memory ran out, at one of the cases .*'5'.*; use fewer"
    with pytest.raises(MedSegDistError, match=message):
        collected(Items(12, killed), 2, directory=tmp_path / "samples")
    assert list(tmp_path.iterdir()) == []
    assert len(collected(Items(12, killed), 1)) == 12


def test_workers_that_cannot_start_are_told(monkeypatch):
    def broken(*_):
        raise WorkerLostError([], 2)

    monkeypatch.setattr("medsegdist.data.reading.ordered_results", broken)
    with pytest.raises(
        MedSegDistError, match=r"the 2 processes to read it could not start; .* if __name__ == \"__main"
    ):
        collected(Items(3, item), 2)


def test_the_machines_trouble_comes_through(tmp_path):
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
        collected(Items(9, full_disk), 2, on_bad_case="skip", directory=tmp_path / "samples")
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_run_leaves_nothing(tmp_path, error):
    def stop(done, total):
        raise error

    with pytest.raises(error):
        collected(Items(9, item), 2, directory=tmp_path / "samples", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_few_items_are_in_flight(tmp_path):
    begun = []
    log = tmp_path / "log"

    def look(done, total):
        time.sleep(0.02)
        begun.append(log.stat().st_size - (done - 1))

    collected(Items(20, Logged(log)), 2, progress=look)
    assert len(begun) == 20
    assert max(begun) <= IN_FLIGHT * 2
    # They do work ahead.
    assert max(begun) > 1


def test_a_dataset_that_cannot_leave_its_process_is_read_in_it():
    here = {str(os.getpid())}
    for dataset in (Items(6, lambda k: named_after_process(k)), Items(6, OnlyHere())):
        assert set(collected(dataset, 2).case_ids) == here
    assert here.isdisjoint(collected(Items(6, named_after_process), 2).case_ids)


def test_a_dataset_in_memory_is_read_in_its_process(monkeypatch):
    items = [named_after_process(k) for k in range(4)]
    monkeypatch.setattr(parallel, "_LARGEST_PICKLE", 1000)
    monkeypatch.setattr(parallel, "_in_processes", None)
    assert len(collected(items, 2)) == 4


def entry_to_item(entry: dict) -> dict:
    return item(entry["k"])


def test_every_monai_dataset_gives_the_same(tmp_path):
    index = [{"k": k} for k in range(6)]
    read = Compose(Lambda(entry_to_item))
    expected = collected([item(k) for k in range(6)], 1)
    for dataset in (
        Dataset(index, read),
        CacheDataset(index, read, num_workers=0, progress=False),
        PersistentDataset(index, read, cache_dir=tmp_path / "cache"),
    ):
        assert_equal(collected(dataset, 2), expected)
    # It holds locks, which no process can take along.
    smart = SmartCacheDataset(index, read, cache_num=4, replace_rate=0.5, shuffle=False, progress=False)
    assert_equal(collected(smart, 2), collected([item(k) for k in range(4)], 1))


def test_files_are_read_alike(tmp_path):
    manifest = task_manifest(write_task(tmp_path / "task"))
    assert_equal(
        load_dataset_samples(manifest, PREPROCESSING, workers=2), load_dataset_samples(manifest, PREPROCESSING)
    )
    next((tmp_path / "task" / "imagesTr").iterdir()).write_bytes(b"damaged")
    messages = []
    for workers in (1, 2):
        with pytest.raises(DataError) as error:
            load_dataset_samples(manifest, PREPROCESSING, workers=workers)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_processes_are_started_unasked_only_where_they_pay(monkeypatch):
    monkeypatch.setattr(processes, "available_cores", lambda: 2)
    here = str(os.getpid())
    assert set(collected(Items(8, named_after_process), None).case_ids) == {here}
    monkeypatch.setattr(processes, "WORTHWHILE", 0.0)
    first, *others = collected(Items(8, named_after_process), None).case_ids
    assert first == here
    assert here not in others


def test_torch_gets_its_threads_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert list(ordered_results(lambda _: torch.get_num_threads(), 2, 1)) == [1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_no_workers_at_all_is_refused():
    with pytest.raises(ValueError, match="expected workers >= 1, or None to choose, found 0"):
        collected([item(0)], 0)


@dataclass
class Endless:
    """Items that tell their process id and then take a minute."""

    folder: Path

    def __call__(self, k: int) -> object:
        (self.folder / str(os.getpid())).touch()
        time.sleep(60)
        return item(k)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="processes are looked up in /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path, project_root):
    (tmp_path / "seen").mkdir()
    code = f"""
from pathlib import Path
from medsegdist import collect
from tests.data.test_workers import Endless, Items
collect(Items(9, Endless(Path({str(tmp_path / "seen")!r}))), name="tiny", workers=2)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=project_root)
    try:
        while len(pids := [int(path.name) for path in (tmp_path / "seen").iterdir()]) < 2:
            assert parent.poll() is None
            time.sleep(0.1)
        assert all(Path(f"/proc/{pid}").is_dir() for pid in pids)
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").is_dir() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)
