"""Work on many items, in this process, in processes of this machine, or on a Dask cluster, with the same results.

Every task computes on one thread: sums that are split among threads differ in their last digits with the number of
threads, and more processes use the cores better than more threads.
"""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from medsegdist.errors import MedSegDistError, MissingDependencyError
from medsegdist.progress import step

if TYPE_CHECKING:
    import torch
    from distributed import Client

T = TypeVar("T")
R = TypeVar("R")

MAX_DEFAULT_WORKERS = 8  # each worker may hold a few volumes, and eight of them keep up with most disks
MIN_SAVED_SECONDS = 10.0  # that processes must save to be started by default: twice what starting them takes


def map_ordered(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    workers: int | None = 1,
    description: str = "",
    name_of: Callable[[T], str] = str,
) -> Generator[R, None, None]:
    """function(item) for each item, in the order of the items, a few of them ahead of the one that is asked for.

    One of `workers` is this process; more are others of this machine, to which closures and functions of a notebook can
    be sent, too. None starts one for each core, up to 8, as soon as the pace of the first items shows that it saves
    more time than it costs. Inside a :func:`dask_cluster` the workers of the cluster compute, whatever `workers` says.
    `name_of` says what is done with an item, for messages; `description` is that of a
    :func:`~medsegdist.progress.step`.
    """
    import joblib
    from joblib.parallel import get_active_backend

    on_cluster = hasattr(get_active_backend()[0], "client")
    count = min(joblib.cpu_count(), MAX_DEFAULT_WORKERS) if workers is None else workers
    spent = 0.0
    with step(description, len(items)) as advance:
        for done, item in enumerate(items):
            left = len(items) - done
            saved = spent / done * left * (1 - 1 / count) if done else 0.0
            if on_cluster or (min(count, left) > 1 and (workers is not None or saved > MIN_SAVED_SECONDS)):
                # Closed at once if the caller stops: no worker goes on with what nobody asks for.
                with closing(_in_workers(function, items[done:], min(count, left), on_cluster, name_of)) as results:
                    for result in results:
                        yield result
                        advance()
                        del result
                return
            begun = perf_counter()
            result = _run(function, item, name_of)
            spent += perf_counter() - begun
            yield result
            advance()
            del result


def _in_workers(
    function: Callable[[T], R], items: Sequence[T], count: int, on_cluster: bool, name_of: Callable[[T], str]
) -> Generator[R, None, None]:
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    tasks = (joblib.delayed(_run)(function, item, name_of) for item in items)
    # One task a batch: tasks take seconds, and joblib would keep back results that are done.
    options = {} if on_cluster else {"n_jobs": count, "backend": "loky", "pre_dispatch": 2 * count}
    results = None
    try:
        with _interrupts_held():
            results = joblib.Parallel(return_as="generator", batch_size=1, **options)(tasks)
        # Not `yield from`, which would close them outside of the block below.
        for result in results:
            yield result
            del result
    except TerminatedWorkerError as error:
        raise MedSegDistError(
            "one of the worker processes was killed, most likely because memory ran out",
            "let fewer work side by side with --workers",
        ) from error
    finally:
        with warnings.catch_warnings():
            # joblib warns of tasks that nobody waited for.
            warnings.simplefilter("ignore", UserWarning)
            if results is not None:
                results.close()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Processes that are started inside never see Ctrl-C, which a terminal sends to all: this one ends them.

    A process that is interrupted while it starts would print a traceback. Windows has no such masks.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    # Starting it inside would lift the mask.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(function: Callable[[T], R], item: T, name_of: Callable[[T], str]) -> R:
    try:
        with one_thread():
            return function(item)
    except (MedSegDistError, OSError, MemoryError, KeyboardInterrupt):
        raise
    # In words, with what was done: not every error survives the way between processes.
    except Exception as error:
        raise MedSegDistError(f"{name_of(item)}: {type(error).__name__}: {error}") from error


@lru_cache(maxsize=1)
def _thread_pools(modules: int) -> Any:
    """The thread pools of the libraries that are loaded; looking for them takes 5 ms, so only after new imports."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch, and of the linear algebra of NumPy, SciPy and scikit-learn; the others come back after."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _thread_pools(len(sys.modules)).limit(limits=1):
            yield
    finally:
        torch.set_num_threads(threads)


def check_device(name: str | torch.device) -> torch.device:
    """The device of this name (cpu, cuda, cuda:1 ...), if this machine has it; "auto" is the GPU if there is one."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    try:
        found = torch.device(("cuda" if count else "cpu") if name == "auto" else name)
    except RuntimeError as error:
        raise MedSegDistError(f"expected a device such as cpu or cuda:0, found '{name}'.") from error
    if found.type == "cuda" and (found.index or 0) >= count:
        raise MedSegDistError(
            f"expected the CUDA device '{found}', found {count} CUDA devices on this machine; use the device 'cpu'."
        )
    return found


@contextmanager
def dask_cluster(address: str, *, resources: dict[str, float] | None = None) -> Iterator[Client]:
    """Let the workers of a Dask cluster compute what :func:`map_ordered` is given inside this block.

    Stored samples are opened by each worker at the same path.

    Args:
        address: of the scheduler, such as tcp://host:8786.
        resources: what each task takes of a worker, such as {"GPU": 1}.

    Raises:
        MissingDependencyError: Dask is not installed.
        MedSegDistError: no scheduler answers, or workers keep dying over one task.
    """
    import joblib

    try:
        from distributed import Client
        from distributed.scheduler import KilledWorker
        from joblib._dask import DaskDistributedBackend
    except ImportError as error:
        raise MissingDependencyError(
            "expected dask and distributed for a Dask cluster, found that one of them is not installed",
            "run pip install 'medsegdist[dask]'",
        ) from error
    try:
        client = Client(address, timeout=5, set_as_default=False)
    except (OSError, ValueError) as error:
        raise MedSegDistError(
            f"expected a Dask scheduler at {address}, found none ({error})",
            "start one with `dask scheduler` and workers with `dask worker`",
        ) from error
    with client:
        backend = DaskDistributedBackend(client=client, retries=2, **({"resources": resources} if resources else {}))
        # A cluster of one thread computes, too, where joblib would compute here.
        backend.effective_n_jobs = lambda n_jobs: max(2, DaskDistributedBackend.effective_n_jobs(backend, n_jobs))
        try:
            with joblib.parallel_config(backend, n_jobs=-1):
                yield client
        except KilledWorker as error:
            raise MedSegDistError(
                f"workers of the Dask cluster at {address} died again and again over one task ({error})",
                "give them more memory",
            ) from error
