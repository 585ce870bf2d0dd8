"""Which device each process has, and that a run finds a free one, whatever became of the run before."""

import multiprocessing
import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from medsegdist.errors import ConvergenceError
from medsegdist.transfer.evaluate import worker_devices
from medsegdist.transfer.study import run_study
from medsegdist.transfer.workers import DeviceProcesses
from tests.transfer.studies import lines, study

STAND_INS = ("cpu:0", "cpu:1", "cpu:2")


@pytest.mark.parametrize(
    ("device", "workers", "count", "expected"),
    [
        ("cuda", None, 3, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda", 2, 3, ["cuda:0", "cuda:1"]),
        ("cuda", 5, 3, ["cuda:0", "cuda:1", "cuda:2", "cuda:0", "cuda:1"]),
        ("cuda", 1, 3, ["cuda:0"]),
        ("cuda", None, 1, ["cuda"]),
        ("cuda", 2, 1, ["cuda", "cuda"]),
        ("cuda:1", None, 3, ["cuda:1"]),
        ("cuda:1", 2, 3, ["cuda:1", "cuda:1"]),
        ("cpu", None, 3, ["cpu"] * 4),
        ("cpu", 2, 0, ["cpu", "cpu"]),
    ],
)
def test_cuda_means_all_gpus_and_a_number_one_of_them(device, workers, count, expected):
    assert list(worker_devices(device, workers, cuda_devices=count, cores=4)) == expected


@dataclass(frozen=True)
class Asked:
    """Stands for an assignment."""

    folder: Path
    device: str = "none"


def meet(asked, others):
    """Device and process of a task that ends when `others` have begun as well."""
    (asked.folder / f"{os.getpid()}").touch()
    deadline = time.monotonic() + 60
    while len(list(asked.folder.iterdir())) < others:
        assert time.monotonic() < deadline, "the others were not begun beside this one"
        time.sleep(0.01)
    return asked.device, os.getpid()


def fail(asked):
    raise ConvergenceError(f"diverged on {asked.device}")


def where(asked):
    return asked.device, os.getpid()


def sleep(asked):
    (asked.folder / "begun").touch()
    time.sleep(600)


def test_as_many_runs_as_devices_are_done_side_by_side_each_on_its_own(tmp_path):
    with DeviceProcesses(STAND_INS) as processes:
        first = [processes.submit(meet, Asked(tmp_path), 3).result for _ in STAND_INS]
        found = [result() for result in first]
        assert sorted(device for device, _ in found) == list(STAND_INS)
        assert len({pid for _, pid in found}) == 3
        # A process keeps its device.
        again = [processes.submit(where, Asked(tmp_path)) for _ in range(12)]
        assert {one.result() for one in again} <= set(found)


def test_a_device_is_free_again_after_a_run_that_failed(tmp_path):
    with DeviceProcesses(STAND_INS[:2]) as processes:
        failed = [processes.submit(fail, Asked(tmp_path)) for _ in range(6)]
        assert all(isinstance(one.exception(), ConvergenceError) for one in failed)
        found = [one.result() for one in [processes.submit(meet, Asked(tmp_path), 2) for _ in range(2)]]
        assert sorted(device for device, _ in found) == list(STAND_INS[:2])


def die(asked):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_dies_is_told_of():
    with DeviceProcesses(STAND_INS[:1]) as processes:
        assert isinstance(processes.submit(die, Asked(Path())).exception(), BrokenProcessPool)


def interrupted(folder):
    """What became of a run and of those that waited for its process when an interrupt came."""
    futures = []
    with suppress(KeyboardInterrupt), DeviceProcesses(STAND_INS[:1]) as processes:
        futures.append(processes.submit(sleep, Asked(folder)))
        futures.extend(processes.submit(where, Asked(folder)) for _ in range(3))
        while not (folder / "begun").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt
    return futures


def test_an_interrupt_ends_what_runs_and_begins_nothing_more(tmp_path):
    running, *waiting = interrupted(tmp_path)
    assert isinstance(running.exception(timeout=60), BrokenProcessPool)
    assert [one.cancelled() for one in waiting] == [True] * 3
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_runs_spread_over_devices_give_the_bytes_of_one_after_the_other(finished, tmp_path):
    with DeviceProcesses(STAND_INS[:2]) as processes:
        run_study(study(tmp_path), executor=processes)
    assert {line["device"] for line in lines(tmp_path)} == set(STAND_INS[:2])
    for name in ("gains.csv", "controls.csv"):
        assert (tmp_path / name).read_bytes() == (finished[0] / name).read_bytes()
