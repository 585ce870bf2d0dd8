"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, TextIO


@contextmanager
def written_whole(path: str | Path) -> Iterator[TextIO]:
    """A text file to write that takes its name only when it is complete; parents are made as needed.

    Args:
        path: where the file will be. What was there stays until the new content is on disk.
    """
    with _replacing(Path(path)) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        yield file
        _sync(file)


@contextmanager
def bytes_written_whole(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write bytes to, as :func:`written_whole` does for text.

    Args:
        path: where the file will be. What was there stays until the new content is on disk.
    """
    with _replacing(Path(path)) as partial, partial.open("wb") as file:
        yield file
        _sync(file)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _sync(file: IO[str] | IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
