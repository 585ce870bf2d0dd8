"""Progress of long work, shown only where a command asks for it.

Library code wraps its loops in :func:`track`; the command line opens :func:`show_progress` around them. Without it,
nothing is shown and nothing is paid.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, TextIO, TypeVar

from medsegdist.words import printable

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")

LOGGER = logging.getLogger("medsegdist")

LOG_SECONDS = 10.0  # a log gets its first line after so long, and further ones at least as far apart

_shown: ContextVar[Progress | None] = ContextVar("_shown", default=None)


def bars_are_wanted() -> bool:
    """Whether a command is neither quiet nor logs its steps."""
    return LOGGER.isEnabledFor(logging.WARNING) and not LOGGER.isEnabledFor(logging.INFO)


@contextmanager
def show_progress() -> Iterator[None]:
    """Show what is tracked inside this block, on standard error.

    A terminal gets bars, which are gone when they are done. Elsewhere, as in a log file, a line says from time to time
    what is being done and how far it is. Each step is one line of the log when it begins and ends, at level INFO.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    wanted = console.is_terminal and bars_are_wanted()
    over = threading.Event()
    with Progress(*columns, console=console, transient=True, disable=not wanted) as progress:
        token = _shown.set(progress)
        if not wanted and LOGGER.isEnabledFor(logging.WARNING):
            # A thread, since one part of a step may take long; it does not keep the process alive.
            threading.Thread(target=_log, args=(progress, over, sys.stderr), daemon=True).start()
        try:
            yield
        finally:
            over.set()
            _shown.reset(token)


def _log(progress: Progress, over: threading.Event, file: TextIO) -> None:
    """Write what is being done from time to time, ever more rarely, until it is over."""
    from rich.text import Text

    begun = time.perf_counter()
    while not over.wait(max(LOG_SECONDS, (time.perf_counter() - begun) / 20)):
        parts = [
            f"{Text.from_markup(task.description)}: {task.completed:.0f}"
            + (" done" if task.total is None else f" of {task.total:.0f}")
            for task in progress.tasks
        ]
        line = f"{', '.join(parts) or 'Working'} ({duration(time.perf_counter() - begun)} so far)"
        # The reader of a pipe may be gone, or the log closed.
        with suppress(OSError, ValueError):
            file.write(f"{time.strftime('%H:%M:%S')} {line}\n")
            file.flush()


def duration(seconds: float) -> str:
    """Seconds in words, such as "2 min 5 s"."""
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {seconds % 60:.0f} s"


@contextmanager
def step(description: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """A step of what is shown, as a function to call whenever a part of it is done; an empty text shows nothing."""
    from rich.markup import escape

    progress = _shown.get() if description else None
    task = None if progress is None else progress.add_task(escape(printable(description)), total=total)
    begun, done = time.perf_counter(), 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None and task is not None:
            progress.update(task, completed=done)

    if description:
        LOGGER.info("%s", printable(description))
    try:
        yield advance
    finally:
        # A study has hundreds of steps: their bars would fill the terminal.
        if progress is not None and task is not None:
            progress.remove_task(task)
    if description:
        LOGGER.info("%s: %d done in %.1f s", printable(description), done, time.perf_counter() - begun)


def track(items: Iterable[T], description: str) -> Generator[T, None, None]:
    """The items one after another, as a step of what is shown; one is done when the next one is asked for."""
    with step(description, len(items) if isinstance(items, Sized) else None) as advance:
        for item in items:
            yield item
            advance()
