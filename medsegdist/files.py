"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, TextIO

from medsegdist.errors import MedSegDistError


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


def refuse_unwritable(path: str | Path) -> None:
    """Refuse a file that could not be written, before the work that it is to hold is done; leaves nothing behind.

    Args:
        path: where the file will be; its folders need not be there yet.

    Raises:
        MedSegDistError: it is a folder, or the folder that it would lie in cannot be made or written to.
    """
    path = Path(path)
    if path.is_dir():
        raise MedSegDistError(f"{path}: expected the name of a file to write, found a folder; name a file in it.")
    _try_writing(path, path.absolute().parents)


def refuse_unwritable_folder(path: str | Path) -> None:
    """Refuse a folder that could not be written to, as :func:`refuse_unwritable` does a file.

    Args:
        path: the folder; it need not be there yet.

    Raises:
        MedSegDistError: it cannot be made or written to.
    """
    whole = Path(path).absolute()
    _try_writing(Path(path), [whole, *whole.parents])


def _try_writing(path: Path, places: Sequence[Path]) -> None:
    folder = next(one for one in places if one.exists() or one.is_symlink())
    try:
        # Whether it may be written to, only writing tells: permissions are not all that may forbid it.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise MedSegDistError(
            f"{path} cannot be written ({folder}: {error.strerror or error}); choose another place for it."
        ) from error


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        # Nobody asked for the file that was written beside.
        if error.filename is not None and os.fspath(error.filename) == os.fspath(partial):
            error.filename, error.filename2 = os.fspath(path), None
        raise
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _sync(file: IO[str] | IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
