"""Processes of this machine for the runs of a study."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
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


def local_workers(count: int) -> LocalProcesses:
    """Processes of one thread each, which are kept for many runs and end with this one.

    Args:
        count: how many.
    """
    # torch imports its compiler when the first optimizer is made.
    return LocalProcesses(count, preloaded=["medsegdist.transfer.performing", "torch._dynamo"])
