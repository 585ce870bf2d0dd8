"""Processes that others have started, as Linux lists them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import pytest

NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="processes are looked up in /proc")


def children_of(pid: int) -> set[int]:
    """The processes that a process has started, and those that these have."""
    try:
        found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return set()
    return set(found).union(*(children_of(child) for child in found))


def wait_for_end(pids: Iterable[int]) -> None:
    """Wait until none of them is alive, for 20 seconds at most."""
    deadline = time.monotonic() + 20
    while any(_is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
