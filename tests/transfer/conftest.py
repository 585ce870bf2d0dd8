"""Every test of this folder computes with one thread."""

from tests.transfer.making import one_thread_each

__all__ = ["one_thread_each"]
