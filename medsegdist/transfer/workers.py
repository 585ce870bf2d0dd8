"""Processes of this machine for the runs of a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue
from threading import Lock
from types import TracebackType
from typing import Any

from medsegdist.processes import LocalProcesses


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


class DeviceProcesses(ThreadPoolExecutor):
    """Processes of this machine that keep a device each: a run goes to one that is free, and to its device.

    They are free again however a run ends. A process that took another device for each run would in the end hold some
    memory of all of them.

    Args:
        devices: one for each process; a device may stand there several times.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        # A thread waits for a process. There are as many, so whoever looks for a free one finds it.
        super().__init__(len(devices))
        self._processes = [local_workers(1) for _ in devices]
        self._free: SimpleQueue[tuple[str, LocalProcesses]] = SimpleQueue()
        for place in zip(devices, self._processes, strict=True):
            self._free.put(place)
        self._lock, self._ended = Lock(), False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The future of fn(assignment, ...); the first argument is an assignment, whose device is set."""
        return super().submit(self._where_free, fn, *args, **kwargs)

    def _where_free(self, fn: Callable[..., Any], assignment: Any, *args: Any, **kwargs: Any) -> Any:
        place = self._free.get_nowait()
        device, process = place
        try:
            with self._lock:
                if self._ended:
                    raise CancelledError
                work = process.submit(fn, replace(assignment, device=device), *args, **kwargs)
            return work.result()
        finally:
            self._free.put(place)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As every executor does."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        for process in self._processes:
            process.shutdown(wait)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            # What waits may not begin while the others are ended.
            super().shutdown(wait=False, cancel_futures=True)
            with self._lock:
                self._ended = True
                for process in self._processes:
                    process.end()
        self.shutdown()


def local_workers(count: int) -> LocalProcesses:
    """Processes of one thread each, which are kept for many runs and end with this one.

    Args:
        count: how many.
    """
    # torch imports its compiler when the first optimizer is made.
    return LocalProcesses(count, preloaded=["medsegdist.transfer.performing", "torch._dynamo"])
