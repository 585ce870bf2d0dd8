"""Runs one piece of work many times over, ends it at every file operation, and lets the next run complete it.

A script, `python -m tests.data.interruptions HOW FOLDER`, because it forks and hooks into the interpreter.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import torch

from medsegdist.data.export import export_task
from medsegdist.data.manifest import load_dataset

TASK = "Task07_Tiny"
# Audit events of what changes a disk; a file being opened is one of them if it is opened for writing.
CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")


def prepare(source: Path, place: Path) -> None:
    export_task(load_dataset(source / "dataset.yaml"), place / TASK)


class Hook:
    """Does something at the n-th change of the disk below a folder."""

    def __init__(self) -> None:
        self.folder, self.countdown, self.action = "", 0, lambda event: None
        sys.addaudithook(self)

    def arm(self, folder: Path, n: int, action: Callable[[str], None]) -> None:
        self.folder, self.countdown, self.action = str(folder), n, action

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.countdown and event in CHANGES and self._concerns(event, arguments):
            self.countdown -= 1
            if not self.countdown:
                self.action(event)

    def _concerns(self, event: str, arguments: tuple) -> bool:
        if event == "open":
            path, _, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR)
            return bool(writes) and isinstance(path, str) and path.startswith(self.folder)
        # Removing a tree names its parts without their folder.
        return event in ("os.remove", "os.rmdir") or str(arguments[0]).startswith(self.folder)


def visible(place: Path) -> dict[str, bytes]:
    """What anybody else would take for a result."""
    files = (path for path in sorted(place.rglob("*")) if path.is_file())
    named = {str(path.relative_to(place)): path for path in files}
    return {name: path.read_bytes() for name, path in named.items() if not name.startswith(".")}


def child(run: Callable[[], None]) -> bool:
    """Whether the run was killed."""
    pid = os.fork()
    if not pid:
        try:
            run()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def kill_self(event: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fill_disk(event: str) -> None:
    # A full disk does not hinder anybody from removing files.
    if event not in ("os.remove", "os.rmdir"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupted(
    how: str, run: Callable[[], None], place: Path, fresh: Callable[[], None], hook: Hook
) -> Iterator[bool]:
    """Ends the run in one way after another; true when it has been ended."""
    fresh()
    n = 1
    while True:
        if how == "killed at each change":

            def armed(n: int = n) -> None:
                hook.arm(place, n, kill_self)
                run()

            ended = child(armed)
        else:
            hook.arm(place, n, fill_disk)
            try:
                run()
                ended = hook.countdown == 0
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                ended = True
                assert not [path for path in place.rglob("*") if path.name.endswith(".partial")]
        hook.countdown = 0
        if not ended:
            return
        n += 1
        yield True


def main() -> None:
    how, folder = sys.argv[1], Path(sys.argv[2])
    # A child that is forked off has one thread.
    torch.set_num_threads(1)
    source, place, undisturbed = folder / "source", folder / "place", folder / "undisturbed"
    prepare(source, undisturbed)
    expected = visible(undisturbed)
    assert len(expected) >= 3

    def fresh() -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()

    ended, whole = 0, 0
    for killed in interrupted(how, lambda: prepare(source, place), place, fresh, Hook()):
        ended += killed
        found = visible(place)
        assert found in ({}, expected), sorted(found)
        whole += found == expected
        # A task that is complete is in the way of another one.
        with suppress(FileExistsError):
            prepare(source, place)
        now = visible(place)
        assert now == expected, [name for name in {*now, *expected} if now.get(name) != expected.get(name)]
        # Nor is anything hidden left, but what another process could be working on.
        assert not [path for path in place.iterdir() if path.name.startswith(".")], list(place.iterdir())
        fresh()
    sys.stdout.write(json.dumps({"ended": ended, "whole": whole}))


if __name__ == "__main__":
    main()
