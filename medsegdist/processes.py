"""Processes of this machine that work for this one, and end with it.

They come from Python's fork server, which imports what is costly once (seconds, 0.3 GB) and forks in milliseconds from
then on, for as long as this process lives. Forking this process itself would be cheaper still, and would copy whatever
lock torch, a progress bar or SQLite holds at that moment; CUDA would not work in the copy.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")

MOST_UNASKED = 8
"""Each worker may hold a few volumes, and eight of them keep up with most disks: who has more memory asks for more."""

WORTHWHILE = 10.0
"""Seconds that processes must save before they are started unasked: about twice what starting them takes."""

# What costs most to import; the main module is not among it, for it may be a script that does more than define.
_PRELOADED = ("medsegdist.distance.table",)


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_count(workers: int | None) -> int:
    """How many processes are meant; None means one for each core, up to 8."""
    return min(available_cores(), MOST_UNASKED) if workers is None else workers


def pays(seconds: float, count: int) -> bool:
    """Whether work that takes one process that long is worth the start of `count` of them."""
    return seconds * (1 - 1 / count) > WORTHWHILE


def process_pool(
    workers: int, preloaded: Sequence[str], initializer: Callable[..., None] | None = None, *initargs: Any
) -> ProcessPoolExecutor:
    """Processes with one thread each, which leave Ctrl-C to this process and end when it does.

    Args:
        workers: how many at most.
        preloaded: modules that the fork server imports, if it does not run yet.
        initializer: called in each of them.
        initargs: what with.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preloaded))
    # What the fork server starts with, its children start with: no Ctrl-C finds them before they can ignore it.
    resource_tracker.ensure_running()  # the fork server would start it, and it clears the mask
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return _Pool(workers, mp_context=context, initializer=_start, initargs=(initializer, *initargs))


class _Pool(ProcessPoolExecutor):
    """A pool whose processes are started whole: Ctrl-C in the middle would leave one that misses what it was sent."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        with _interrupts_deferred():
            return super().submit(fn, *args, **kwargs)


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Ctrl-C is heard when the block ends; only the main thread has to do with it."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    heard: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if heard:
        before(*heard[0])


class LocalProcesses(Executor):
    """Processes of this machine, started when there is work for them.

        with LocalProcesses(4) as processes:
            table = compare_all(samples, distances, executor=processes)

    Leaving the block by an exception, such as Ctrl-C, ends them at once.

    Args:
        workers: how many; 1 works in this process. None starts one for each core, up to 8, as soon as the pace of the
            first tasks shows that it saves more time than it costs.
        preloaded: modules that the fork server imports, if it does not run yet.

    Raises:
        ValueError: workers is less than 1.
    """

    def __init__(self, workers: int | None = None, *, preloaded: Sequence[str] = _PRELOADED) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"expected workers >= 1, or None to choose, found {workers}.")
        self.count = process_count(workers)
        self._asked_for = workers is not None
        self._preloaded = preloaded
        self._pool: ProcessPoolExecutor | None = None

    def help_with(self, seconds: float, tasks: int) -> bool:
        """Whether they are of use for that many tasks, which would take this process about `seconds`.

        Args:
            seconds: 0 where no task has been done yet.
            tasks: how many are left.
        """
        if self._pool is not None:
            return True
        count = min(self.count, tasks)
        if count < 2 or multiprocessing.current_process().daemon:  # a daemon may have no children
            return False
        return self._asked_for or pays(seconds, count)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """As every executor does.

        Args:
            fn: what is called there; it has to be importable by its name.
            *args: of the call; they are pickled.
            **kwargs: of the call, likewise.
        """
        if self._pool is None:
            self._pool = process_pool(self.count, self._preloaded)
        return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As every executor does.

        Args:
            wait: whether to return only when all that was submitted is done.
            cancel_futures: drops what has not begun.
        """
        if self._pool is not None:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def end(self) -> None:
        """Ends the processes at once, whatever they do; further tasks start new ones."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        # Python 3.14 has terminate_workers for this.
        processes = list((pool._processes or {}).values())
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        # With an open end here, a result that was half written would be waited for.
        pool._result_queue._writer.close()  # type: ignore[attr-defined]
        pool.shutdown()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.end()
        self.shutdown()


def _start(initializer: Callable[..., None] | None, *initargs: Any) -> None:
    # Ctrl-C reaches every process of the terminal; the parent ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    if initializer is not None:
        initializer(*initargs)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
