"""What a command may use of this machine, or of others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Executor


@contextmanager
def chosen_executor(workers: int | None, dask: str | None) -> Iterator[Executor]:
    """What does the work of a command.

    Args:
        workers: processes of this machine; None starts them where that saves time.
        dask: address of a scheduler, whose workers compute instead.
    """
    if dask is None:
        from medsegdist.processes import LocalProcesses

        with LocalProcesses(workers) as processes:
            yield processes
    else:
        from medsegdist.executors import dask_cluster

        with dask_cluster(dask) as cluster:
            yield cluster
