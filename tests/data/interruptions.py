"""A process that ends itself at its n-th change of a folder, or finds no room on the disk from there on."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

FORK = multiprocessing.get_context("fork")
NO_ROOM = os.strerror(errno.ENOSPC)


def work(run: Callable[[], Any], folder: Path, said: Any, n: int, how: str, begin: Any) -> None:
    torch.set_num_threads(1)
    left = n

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event not in ("open", "os.rename", "os.mkdir") or not str(arguments[0]).startswith(str(folder)):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        left -= 1
        if left == 0 and how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if left <= 0 and how == "full":
            raise OSError(errno.ENOSPC, NO_ROOM)

    sys.addaudithook(hook)
    if begin is not None:
        begin.wait()
    try:
        said.put(run())
    except OSError as error:
        said.put(str(error))


def started(run: Callable[[], Any], folder: Path, n: int = 0, how: str = "", begin: Any = None) -> tuple[Any, Any]:
    """The process, and what it says at its end."""
    said = FORK.SimpleQueue()
    process = FORK.Process(target=work, args=(run, folder, said, n, how, begin))
    process.start()
    return process, said
