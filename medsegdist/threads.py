"""How many threads torch computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch with one thread, which gets its other ones back afterwards.

    Many small products mostly wait for one another on more threads, on a busy machine for minutes; and sums that are
    split over threads may differ in their last bit.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def one_thread_of_everything() -> Iterator[None]:
    """One thread of torch, and of the linear algebra of NumPy, SciPy and scikit-learn (which takes 3 ms to set)."""
    with one_thread(), threadpool_limits(1):
        yield
