"""What a command may use of this machine, or of others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from medsegdist.errors import MedSegDistError

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


def size_in_bytes(size: str) -> int:
    """The bytes of a size such as 4GiB or 500MB.

    Raises:
        MedSegDistError: it is none.
    """
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        found = int(TypeAdapter(ByteSize).validate_python(size))
    except ValidationError as error:
        raise MedSegDistError(f"expected a size such as 2GiB for --memory, found '{size}'.") from error
    if found <= 0:
        raise MedSegDistError(f"expected a size above 0 such as 2GiB for --memory, found '{size}'.")
    return found
