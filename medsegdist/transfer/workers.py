"""Processes of this machine for the runs of a study."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

import torch


class InThisProcess(Executor):
    """Does what is submitted at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        # Whoever asks for the result gets it, as from any other executor.
        except Exception as error:  # noqa: BLE001
            future.set_exception(error)
        return future


@contextmanager
def local_workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes with one thread each, which end with this one, however it ends.

    They come from a fork server that imports torch and MONAI once, in seconds; a worker takes milliseconds from then
    on, and is kept for many runs. An exception in the block, such as Ctrl-C, ends them in the middle of their runs.

    Args:
        count: how many.
    """
    context = multiprocessing.get_context("forkserver")
    # torch imports its compiler when the first optimizer is made.
    context.set_forkserver_preload(["medsegdist.transfer.performing", "torch._dynamo"])
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(count, mp_context=context, initializer=_start)
    try:
        yield executor
    except BaseException:
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _start() -> None:
    # Ctrl-C reaches every process of the terminal; the parent ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
