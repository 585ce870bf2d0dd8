"""Tasks that are computed one after another, in processes of this machine or on a Dask cluster, with the same results.

A task is a plain function of plain data. Whoever runs it, it runs on one thread: sums that are split among threads
differ in their last bits with the number of threads, and more processes make better use of the cores than more threads.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import contextmanager
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from medsegdist.errors import MedSegDistError, MissingDependencyError
from medsegdist.processes import LocalProcesses
from medsegdist.threads import one_thread_of_everything

if TYPE_CHECKING:
    from distributed import Client

K = TypeVar("K", bound=Hashable)
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

AT_ONCE = 256
"""Tasks that an executor is given before the first of them is done."""

AT_ONCE_PER_THREAD = 3
"""The same for each thread of a Dask cluster: one is computed while the next ones arrive."""

FEWEST_AT_ONCE = 16
"""The same for a whole Dask cluster, so that one which grows by what waits for it sees something wait."""


def run_tasks(
    executor: Executor | None,
    function: Callable[..., R],
    tasks: Mapping[K, tuple[Any, ...]],
    *,
    doing: Callable[[K], str],
    done: Callable[[K], None],
) -> dict[K, R]:
    """The results of one function for many arguments.

    Args:
        executor: what runs the tasks; None runs them here, one after another, and so do
            :class:`~medsegdist.processes.LocalProcesses` as long as they are not worth their start.
        function: of a module, or a partial of one, so that it can be pickled.
        tasks: its arguments, by any key.
        doing: says in a word or two what a task does and to which datasets, for messages.
        done: told of each key as soon as its task is done, in any order.

    Returns:
        The results by key, in the order of `tasks`.

    Raises:
        MedSegDistError: what a task raised on purpose, with a note of what it did; or what else it raised, the death of
            a worker, or a cancellation from elsewhere, in such words. Tasks that have not begun are canceled, and
            local processes ended, as they are by Ctrl-C.
    """
    results: dict[K, R] = {}
    left = dict(tasks)
    start = perf_counter()
    # Around all tasks, too: those in threads of this process begin and end at odd times, and the threads of the linear
    # algebra are common to them.
    with one_thread_of_everything():
        while left and _here(executor, perf_counter() - start, len(results), len(left)):
            key = next(iter(left))
            results[key] = _run(doing(key), Packed((function, left.pop(key)))).value
            done(key)
        if executor is not None:
            for key, result in _elsewhere(executor, function, left, doing):
                results[key] = result
                done(key)
    return {key: results[key] for key in tasks}


@contextmanager
def dask_cluster(address: str, *, retries: int = 2, resources: Mapping[str, float] | None = None) -> Iterator[Executor]:
    """The workers of a Dask cluster. Samples that lie in a folder are opened by each worker at the same path.

    Args:
        address: of the scheduler, such as tcp://host:8786.
        retries: how often a task is tried again.
        resources: what each task takes of a worker's, such as {"GPU": 1}.

    Raises:
        MissingDependencyError: Dask is not installed.
        MedSegDistError: no scheduler answers, or workers keep dying over one task.
    """
    try:
        from distributed import Client
        from distributed.scheduler import KilledWorker
    except ImportError as error:
        raise MissingDependencyError(
            "expected dask and distributed for a Dask cluster, found that one of them is not installed; "
            "run pip install 'medsegdist[dask]'."
        ) from error
    try:
        client = Client(address, timeout=5, set_as_default=False)
    except (OSError, ValueError) as error:
        raise MedSegDistError(
            f"expected a Dask scheduler at {address}, found none ({error}); start one with `dask scheduler` and "
            "workers with `dask worker`."
        ) from error
    with client:
        executor = _DaskWorkers(client, pure=False, retries=retries, resources=dict(resources or {}))
        try:
            yield executor
            executor.shutdown()
        except MedSegDistError as error:
            if not isinstance(error.__cause__, KilledWorker):
                raise
            raise MedSegDistError(
                f"workers of the Dask cluster at {address} died again and again over one task, most likely for want "
                f"of memory; give them more ({error})."
            ) from error
        finally:
            executor.shutdown(wait=False)


class _DaskWorkers(Executor):
    """The workers of a Dask cluster, and how many tasks they should be given at once."""

    def __init__(self, client: Client, **options: Any) -> None:
        self._client = client
        self._executor: Executor = client.get_executor(**options)

    @property
    def at_once(self) -> int:
        """Some for each thread there is now: the scheduler holds what a task takes from its submission to its end."""
        threads: dict[str, int] = self._client.nthreads()
        return max(FEWEST_AT_ONCE, AT_ONCE_PER_THREAD * sum(threads.values()))

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        return self._executor.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait)


class Packed(Generic[T]):
    """A value that is pickled as plain bytes and unpickled when it is asked for.

    Once torch is imported, multiprocessing hands each tensor over as an open file, of which there are too many here.
    And what cannot be unpickled raises in the task, where a message can be made of it, not in the worker's main loop.
    """

    def __init__(self, value: T) -> None:
        self._value = value
        self._pickled: bytes | None = None

    @property
    def value(self) -> T:
        """What was packed."""
        if self._pickled is not None:
            self._value, self._pickled = pickle.loads(self._pickled), None
        return self._value

    def __getstate__(self) -> bytes:
        if self._pickled is not None:
            return self._pickled
        try:
            return pickle.dumps(self._value, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            raise MedSegDistError(
                f"expected methods and samples that another process can load, found one that cannot be pickled "
                f"({error}); define it in a module rather than in a function or a notebook, or compare without workers."
            ) from error

    def __setstate__(self, pickled: bytes) -> None:
        self._pickled = pickled


def _here(executor: Executor | None, spent: float, done: int, left: int) -> bool:
    """Whether the next task is done in this process."""
    if isinstance(executor, LocalProcesses):
        return not executor.help_with(spent / done * left if done else 0.0, left)
    return executor is None


def _elsewhere(
    executor: Executor, function: Callable[..., R], tasks: Mapping[K, tuple[Any, ...]], doing: Callable[[K], str]
) -> Iterator[tuple[K, R]]:
    """The results as they come in. A task is handed over when it will soon be begun, for it is copied on the way."""
    waiting = iter(tasks.items())
    pending: dict[Future[Packed[R]], K] = {}
    try:
        while True:
            with _fetched("the workers of the Dask cluster"):
                free = (executor.at_once if isinstance(executor, _DaskWorkers) else AT_ONCE) - len(pending)
            for key, arguments in islice(waiting, max(free, 0)):
                with _fetched(doing(key)):
                    pending[executor.submit(_run, doing(key), Packed((function, arguments)))] = key
            if not pending:
                return
            ready = wait(pending, return_when=FIRST_COMPLETED).done
            for future in [future for future in pending if future in ready]:
                key = pending.pop(future)  # and with it the packed result
                with _fetched(doing(key)):
                    result = future.result().value
                yield key, result
    finally:
        if pending and isinstance(executor, LocalProcesses):
            executor.end()
        for future in pending:
            future.cancel()


def _run(doing: str, task: Packed[tuple[Callable[..., R], tuple[Any, ...]]]) -> Packed[R]:
    with one_thread_of_everything():
        try:
            function, arguments = task.value
            return Packed(function(*arguments))
        except MedSegDistError as error:
            error.add_note(f"This happened in: {doing}.")
            raise
        except Exception as error:  # in words, for not every error survives the way to another process
            raise MedSegDistError(f"{doing}: {type(error).__name__}: {error}") from error


@contextmanager
def _fetched(doing: str) -> Iterator[None]:
    """Errors of whoever runs a task, in words."""
    try:
        yield
    except MedSegDistError:
        raise
    except BrokenExecutor as error:
        raise MedSegDistError(
            f"{doing}: a worker process died, most likely for want of memory; let fewer work side by side (--workers)."
        ) from error
    except CancelledError as error:
        raise MedSegDistError(f"{doing}: the task was canceled; is the cluster still there?") from error
    except Exception as error:
        raise MedSegDistError(f"{doing}: {type(error).__name__}: {error}") from error
