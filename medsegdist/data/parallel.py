"""Work on the items of a dataset in several processes, with the results in order."""

from __future__ import annotations

import io
import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from time import perf_counter
from typing import Any, TypeVar, cast

from medsegdist.processes import pays, process_count, process_pool
from medsegdist.threads import one_thread

Result = TypeVar("Result")

IN_FLIGHT = 2
"""Items for each process that are being worked on or wait to be fetched."""

# What costs most to import; the main module is not among it, for it may be a script that does more than define.
_PRELOADED = ["medsegdist.data.native", "medsegdist.transforms", "medsegdist.data.parallel"]
# A dataset that is larger than this when pickled has its items in memory, where there is nothing to decode.
_LARGEST_PICKLE = 1 << 26


class WorkerLostError(Exception):
    """A process ended before its work did.

    Args:
        indices: the items that were being worked on.
        workers: how many processes there were.
    """

    def __init__(self, indices: list[int], workers: int) -> None:
        super().__init__(indices, workers)
        self.indices = indices
        self.workers = workers

    def told(self, dataset: str, names: Mapping[int, str] | Sequence[str]) -> str:
        """What to tell of it.

        Args:
            dataset: name of the dataset that was read.
            names: what the items are called, by their indices.
        """
        cases = ", ".join(f"'{names[index]}'" for index in self.indices)
        if not cases:
            return (
                f"dataset '{dataset}': the {self.workers} processes to read it could not start; read with one "
                'worker, or put what your script does under: if __name__ == "__main__".'
            )
        return (
            f"dataset '{dataset}': one of {self.workers} processes that read it was killed, most often because "
            f"memory ran out, at one of the cases {cases}; use fewer workers."
        )


def ordered_results(work: Callable[[int], Result], total: int, workers: int | None) -> Iterator[Result]:
    """work(0), work(1), ... work(total - 1), the same for any number of processes.

    All of it is done in this process where the processes could not help: `work` cannot be pickled or is large, or this
    process may have no children. No process outlives the iterator.

    Args:
        work: what is done for each item; torch is given one thread for it.
        total: how many items.
        workers: processes; 1 works in this one. None starts one for each core, up to 8, as soon as the pace of the
            first items shows that it saves more time than it costs.

    Raises:
        WorkerLostError: a process was killed.
    """
    done, spent = 0, 0.0
    count = process_count(workers)
    while done < total:
        worth = workers is not None or (done > 0 and pays(spent / done * (total - done), count))
        if min(count, total - done) > 1 and worth:
            payload = _pickled(work)
            if payload is not None:
                done = yield from _in_processes(payload, done, total, min(count, total - done))
            count = 1
            continue
        start = perf_counter()
        with one_thread():
            result = work(done)
        spent += perf_counter() - start
        done += 1
        yield result
        del result


def _in_processes(payload: bytes, first: int, total: int, workers: int) -> Generator[Any, None, int]:
    """Yields the results from `first` on; returns where to go on: `first` if no process could load the work."""
    pool = process_pool(workers, _PRELOADED, _load_work, payload)
    pending: deque[tuple[int, Future[Any]]] = deque()
    try:
        if not pool.submit(_has_work).result():
            return first
        following = iter(range(first, total))
        while True:
            while len(pending) < IN_FLIGHT * workers and (index := next(following, None)) is not None:
                pending.append((index, pool.submit(_do, index)))
            if not pending:
                return total
            result = pending[0][1].result()
            pending.popleft()
            yield result
            del result
    except BrokenProcessPool:
        lost = [index for index, future in pending if not future.done() or future.exception() is not None]
        raise WorkerLostError(lost, workers) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _pickled(work: object) -> bytes | None:
    if multiprocessing.current_process().daemon:
        return None
    file = _SmallFile()
    try:
        pickle.dump(work, file, protocol=pickle.HIGHEST_PROTOCOL)
    # A dataset of the user's may refuse in any way.
    except Exception:  # noqa: BLE001
        return None
    return file.getvalue()


class _SmallFile(io.BytesIO):
    def write(self, data: Any, /) -> int:
        if self.tell() + memoryview(data).nbytes > _LARGEST_PICKLE:
            raise OverflowError(f"more than {_LARGEST_PICKLE} bytes")
        return super().write(data)


# In a worker: what it was started for, or None where it could not be loaded there.
_work: Callable[[int], Any] | None = None


def _load_work(payload: bytes) -> None:
    global _work
    try:
        _work = cast("Callable[[int], Any]", pickle.loads(payload))
    # What was defined in a notebook is not found here.
    except Exception:  # noqa: BLE001
        _work = None


def _has_work() -> bool:
    return _work is not None


def _do(index: int) -> Any:
    assert _work is not None  # _has_work was asked first
    return _work(index)
