"""Tasks of an executor: their results, their order, their errors, and what happens when a worker is no more."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from medsegdist.errors import DataError, MedSegDistError, MissingDependencyError
from medsegdist.executors import AT_ONCE_PER_THREAD, Packed, dask_cluster, run_tasks
from medsegdist.processes import LocalProcesses


def halved(number):
    if number < 0:
        raise DataError(f"expected a number >= 0, found {number}.")
    return number / 2


def threads_of_a_task():
    from threadpoolctl import threadpool_info

    return torch.get_num_threads(), {library["num_threads"] for library in threadpool_info()}


def end_this_process():
    os.kill(os.getpid(), signal.SIGKILL)


def many_tensors(count):
    return [torch.full((2,), float(k)) for k in range(count)]


def run(executor, function, tasks, done=lambda key: None):
    return run_tasks(executor, function, tasks, doing=lambda key: f"task '{key}'", done=done)


class Unwilling(Executor):
    """Runs the first task when it is asked to, and never begins with the others."""

    def __init__(self):
        self.futures = []

    def submit(self, function, /, *args):
        future = Future()
        self.futures.append(future)
        if len(self.futures) == 1:
            try:
                future.set_result(function(*args))
            except DataError as error:
                future.set_exception(error)
        return future


def test_results_keep_the_order_of_their_tasks():
    tasks = {key: (key,) for key in (5, 3, 8, 1)}
    with ThreadPoolExecutor(3) as executor:
        for found in (run(None, halved, tasks), run(executor, halved, tasks)):
            assert list(found.items()) == [(5, 2.5), (3, 1.5), (8, 4.0), (1, 0.5)]


class Counting(ThreadPoolExecutor):
    """Counts the tasks that it was given and has not done."""

    def __init__(self):
        super().__init__(2)
        self.lock, self.left, self.most = threading.Lock(), 0, 0

    def submit(self, function, /, *args):
        self.count(1)
        future = super().submit(function, *args)
        future.add_done_callback(lambda _: self.count(-1))
        return future

    def count(self, step):
        with self.lock:
            self.left += step
            self.most = max(self.most, self.left)


def last_comes_first(number):
    time.sleep(0.002 * (9 - number % 10))
    return number / 2


def test_few_tasks_are_with_an_executor_at_once_and_results_keep_their_order(monkeypatch):
    monkeypatch.setattr("medsegdist.executors.AT_ONCE", 5)
    tasks, seen = {key: (key,) for key in range(40)}, []
    with Counting() as executor:
        assert list(run(executor, last_comes_first, tasks, done=seen.append).items()) == [(k, k / 2) for k in range(40)]
    assert executor.most == 5
    assert sorted(seen) == list(tasks)


@pytest.mark.slow
def test_a_dask_scheduler_holds_a_few_tasks_for_each_thread_and_no_more(monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr("medsegdist.executors.FEWEST_AT_ONCE", 4)
    held = []
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:

        def look(key):
            held.append(sum(task.state != "released" for task in list(cluster.scheduler.tasks.values())))

        with dask_cluster(cluster.scheduler_address) as executor:
            assert executor.at_once == 2 * AT_ONCE_PER_THREAD
            found = run(executor, last_comes_first, {key: (key,) for key in range(40)}, done=look)
    assert list(found.items()) == [(k, k / 2) for k in range(40)]
    # One is fetched, and those before it may be on their way out.
    assert max(held) <= 2 * 2 * AT_ONCE_PER_THREAD


def test_an_error_names_its_task_and_cancels_the_others():
    executor = Unwilling()
    with pytest.raises(DataError, match="found -1") as caught:
        run(executor, halved, {"bad": (-1,), "good": (1,), "better": (2,)})
    assert caught.value.__notes__ == ["This happened in: task 'bad'."]
    assert [future.cancelled() for future in executor.futures] == [False, True, True]
    with pytest.raises(DataError) as caught:
        run(None, halved, {"bad": (-1,)})
    assert caught.value.__notes__ == ["This happened in: task 'bad'."]


def test_an_error_of_whoever_watches_cancels_the_others():
    executor = Unwilling()

    def interrupt(key):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(executor, halved, {k: (k,) for k in range(3)}, done=interrupt)
    assert [future.cancelled() for future in executor.futures] == [False, True, True]


def test_tasks_that_are_canceled_from_elsewhere_say_so():
    class Canceling(Unwilling):
        def submit(self, function, /, *args):
            future = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future

    with pytest.raises(MedSegDistError, match="task 'one': the task was canceled; is the cluster still there"):
        run(Canceling(), halved, {"one": (1,)})


def test_every_task_runs_on_one_thread_and_leaves_the_others_theirs():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert run(None, threads_of_a_task, {0: ()}) == {0: (1, {1})}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class Unreadable:
    def __reduce__(self):
        return halved, (-1,)


def test_a_packed_value_is_unpickled_when_it_is_asked_for():
    packed = pickle.loads(pickle.dumps(Packed(Unreadable())))
    with pytest.raises(DataError, match="found -1"):
        _ = packed.value
    twice = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(Packed([1, 2])))))
    assert twice.value == [1, 2]


def test_processes_give_back_thousands_of_tensors_and_tell_what_they_cannot_read():
    """Handed over as multiprocessing does it, each tensor would be an open file."""
    with LocalProcesses(2) as executor:
        found = run(executor, many_tensors, {count: (count,) for count in (1500, 3000)})
        for count, tensors in found.items():
            assert [int(tensor[1]) for tensor in tensors] == list(range(count))
        assert run(executor, threads_of_a_task, {0: ()}) == {0: (1, {1})}
        with pytest.raises(DataError, match="found -1") as caught:
            run(executor, halved, {"it": (Unreadable(),)})
        assert caught.value.__notes__ == ["This happened in: task 'it'."]


def test_a_process_that_dies_is_told_of():
    with (
        pytest.raises(MedSegDistError, match="task 'one': a worker process died, most likely for want of memory"),
        LocalProcesses(2) as executor,
    ):
        run(executor, end_this_process, {"one": (), "two": ()})


def process_of_a_task(_):
    return os.getpid()


def test_processes_are_started_for_several_tasks_only_and_unasked_where_they_pay(monkeypatch):
    here = os.getpid()
    tasks = {k: (k,) for k in range(4)}
    for workers, few in ((1, tasks), (2, {0: (0,)}), (None, tasks)):
        with LocalProcesses(workers) as executor:
            assert set(run(executor, process_of_a_task, few).values()) == {here}
    monkeypatch.setattr("medsegdist.processes.available_cores", lambda: 2)
    monkeypatch.setattr("medsegdist.processes.WORTHWHILE", 0.0)
    with LocalProcesses(None) as executor:
        first, *others = run(executor, process_of_a_task, tasks).values()
    assert first == here
    assert here not in others


def test_no_processes_at_all_are_refused():
    with pytest.raises(ValueError, match="expected workers >= 1, or None to choose, found 0"):
        LocalProcesses(0)


def slowly_large(key):
    time.sleep(0.01)
    return bytes(200_000 + key)


def test_processes_that_are_ended_while_they_answer_leave_nothing_waiting_and_start_anew():
    """A result that is half written must not be waited for, nor a thread die of a canceled task."""
    tasks = {k: (k,) for k in range(12)}
    with LocalProcesses(2) as executor:
        for last in range(4):
            seen = []

            def interrupt(key, seen=seen, last=last):
                seen.append(key)
                if len(seen) > last:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                run(executor, slowly_large, tasks, done=interrupt)
            assert multiprocessing.active_children() == []
        assert {key: len(found) for key, found in run(executor, slowly_large, tasks).items()} == {
            k: 200_000 + k for k in range(12)
        }


INTERRUPTED = """
import time
from medsegdist.executors import run_tasks
from medsegdist.processes import LocalProcesses

if __name__ == "__main__":
    with LocalProcesses(2) as executor:
        tasks = {k: (0.01 if k == 0 else 600.0,) for k in range(3)}
        run_tasks(executor, time.sleep, tasks, doing=str, done=lambda key: print("done", key, flush=True))
"""


@pytest.mark.parametrize("everybody", [True, False], ids=["terminal", "parent only"])
def test_an_interrupt_ends_parent_and_workers_at_once(tmp_path, everybody):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(INTERRUPTED))
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert parent.stdout.readline() == "done 0\n"
        workers = children_of(parent.pid)
        assert len(workers) >= 2
        (os.killpg if everybody else os.kill)(parent.pid, signal.SIGINT)
        _, complaint = parent.communicate(timeout=60)
    finally:
        if parent.poll() is None:
            os.killpg(parent.pid, signal.SIGKILL)
    assert parent.returncode == -signal.SIGINT
    assert complaint.count("Traceback") == complaint.count("KeyboardInterrupt") == 1, complaint
    for _ in range(100):
        if not any(Path(f"/proc/{worker}").exists() for worker in workers):
            break
        time.sleep(0.1)
    assert [worker for worker in workers if Path(f"/proc/{worker}").exists()] == []


def children_of(pid):
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def test_dask_that_is_not_installed_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(
            MissingDependencyError, match=r"expected dask and distributed .* pip install 'medsegdist\[dask\]'"
        ),
        dask_cluster("tcp://nowhere:1"),
    ):
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "strange://127.0.0.1:9"])
def test_a_scheduler_that_does_not_answer_is_told_of(address):
    with (
        pytest.raises(MedSegDistError, match=f"expected a Dask scheduler at {address}, found none"),
        dask_cluster(address),
    ):
        pass
