"""The same results in this process, in processes and on a Dask cluster; what goes wrong is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from medsegdist import progress
from medsegdist.errors import DataError, MedSegDistError
from medsegdist.parallel import dask_cluster, map_ordered
from medsegdist.progress import show_progress, track
from tests.processes import NEEDS_PROC, children_of, wait_for_end


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_items_even_from_closures(workers):
    offset = 10
    assert list(map_ordered(lambda k: k * k + offset, range(7), workers=workers)) == [k * k + 10 for k in range(7)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_ours_keeps_its_fields_and_another_is_named_with_its_item(workers):
    def fail(k):
        if k == 2:
            raise DataError("expected a mask, found none", "add it", dataset="liver", case="p1")
        return 1 / (k - 1)

    with pytest.raises(
        DataError, match=r"^dataset 'liver', case 'p1': expected a mask, found none; add it\.$"
    ) as error:
        list(map_ordered(fail, [0, 2], workers=workers))
    assert (error.value.remedy, error.value.case) == ("add it", "p1")
    with pytest.raises(MedSegDistError, match=r"^item 1: ZeroDivisionError: division by zero$"):
        list(map_ordered(fail, [0, 1], workers=workers, name_of=lambda k: f"item {k}"))


def test_a_caller_may_stop_early():
    results = map_ordered(lambda k: k, range(1000), workers=2)
    assert next(results) == 0
    results.close()
    assert list(map_ordered(lambda k: k, range(3), workers=2)) == [0, 1, 2]


def test_a_dask_cluster_computes_inside_its_block():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        dask_cluster(cluster.scheduler_address),
    ):
        pids = list(map_ordered(lambda k: (k, os.getpid()), range(5)))
    assert [k for k, _ in pids] == list(range(5))
    assert os.getpid() not in {pid for _, pid in pids}


def test_the_bar_of_a_step_goes_with_it_also_if_it_is_left_in_the_middle():
    with show_progress():
        shown = progress._shown.get()
        for k in track(range(3), "outer"):
            inner = track(range(3), f"inner {k}")
            next(inner)
            assert [task.description for task in shown.tasks] == ["outer", f"inner {k}"]
            inner.close()
        assert shown.tasks == []


# The last one: processes that are killed are started again.
def test_a_killed_worker_is_said():
    with pytest.raises(MedSegDistError, match="was killed, most likely because memory ran out; let fewer work"):
        list(map_ordered(lambda k: os._exit(9) if k == 1 else k, range(4), workers=2))


INTERRUPTED = """
import time
from medsegdist.parallel import map_ordered
try:
    list(map_ordered(lambda k: time.sleep(0.1), range(1000), workers=2))
except KeyboardInterrupt:
    print("interrupted")
"""


@NEEDS_PROC
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("seconds", [0.2, 0.6])
def test_processes_that_are_interrupted_while_they_start_print_nothing_and_end(seconds):
    command = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        # Two processes watch over resources, and two compute.
        while len(children := children_of(command.pid)) < 4:
            assert command.poll() is None
        time.sleep(seconds)
        os.killpg(command.pid, signal.SIGINT)  # as a terminal does
        assert command.communicate(timeout=60) == ("interrupted\n", "")
    finally:
        if command.poll() is None:
            os.killpg(command.pid, signal.SIGKILL)
    wait_for_end(children)
