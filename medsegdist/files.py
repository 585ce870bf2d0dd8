"""Files that are written whole or not at all, and text files of anybody that are read with care."""

from __future__ import annotations

import csv
import dataclasses
import errno
import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from medsegdist.errors import DataError, MedSegDistError
from medsegdist.words import did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import TypeAdapter

R = TypeVar("R")
T = TypeVar("T")

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)  # a full disk, and a quota that is used up
MAX_TEXT_BYTES = 1 << 28  # larger text files are refused before they are read

# Some file systems cannot do it; what is wrong with a disk is another error.
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path next to `path` to write a file or folder to, which takes its name only when the block ends well.

    Its parents are made as needed. A file that is there stays until then; a folder must not be there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        # numpy says of a full disk how much it wrote, and no more.
        if error.errno is None and "written" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path)) from error
        # Nobody asked for the name of the partial file, and a full disk is without a name.
        named = None if error.filename is None else Path(os.fsdecode(error.filename))
        if named == partial or (named is not None and partial in named.parents) or error.errno in NO_ROOM:
            error.filename, error.filename2 = os.fspath(path), None
        raise
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def check_new_folder(path: Path) -> None:
    """Refuse, by FileExistsError, a folder to write that is there and not empty."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(errno.EEXIST, "expected a new or empty folder; choose another, or remove it", path)


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder to fill, which takes its name only when the block ends well; an empty one may be there."""
    # Through a symbolic link to the true place: renaming would replace the link.
    path = Path(path).resolve()
    check_new_folder(path)
    try:
        with atomic_path(path) as partial:
            partial.mkdir()
            yield partial
            if path.exists():
                path.rmdir()
    except OSError:
        check_new_folder(path)  # Another process may have been first.
        raise
    # What runs that were killed have left of this folder.
    for left in path.parent.glob(f".{escape(path.name)}.*.partial"):
        if left.name.removeprefix(f".{path.name}.").removesuffix(".partial").isdigit():
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def atomic_write(path: str | Path, *, binary: bool = False) -> Iterator[IO[Any]]:
    """A file to write, as text in UTF-8 or in bytes, that takes its name only when it is complete and on disk."""
    text: dict[str, Any] = {} if binary else {"encoding": "utf-8", "newline": ""}
    with atomic_path(path) as partial, partial.open("wb" if binary else "w", **text) as file:
        yield file
        sync(file)


def write_text(path: str | Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all."""
    with atomic_write(path) as file:
        file.write(text)


def sync(file: IO[Any]) -> None:
    """Put what was written to a file on the disk, where the file system can do that."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def read_json(path: str | Path, kind: TypeAdapter[T], command: str, remedy: str = "") -> T:
    """What a JSON file holds that a command of ours wrote; by default, the remedy is to report without it."""
    from pydantic import ValidationError

    try:
        return kind.validate_json(read_bytes(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{path}: expected what `medsegdist {command}` writes there, found{f' in {place}' if place else ''}: "
            f"{first['msg']}",
            remedy or "run it again, or remove the file to report without it",
        ) from error


def write_csv(path: str | Path, frame: pd.DataFrame, *, float_format: str) -> None:
    """Write a table without its index as CSV, whole or not at all, every text a :func:`plain_cell`."""
    write_text(path, frame.map(plain_cell).to_csv(index=False, float_format=float_format))


def plain_cell(cell: object) -> object:
    """A cell of a CSV that no spreadsheet takes for a formula: what begins as one gets a `'` before."""
    if not isinstance(cell, str):
        return cell
    # A carriage return would begin another row.
    text = cell.replace("\r", " ")
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


def check_writable(path: str | Path, *, folder: bool = False) -> None:
    """Refuse an output that could not be written, before the work that it is to hold is done; leaves nothing behind."""
    path = Path(path)
    if path.is_dir() and not folder:
        raise MedSegDistError(f"{path}: expected the name of a file to write, found a folder; name a file in it.")
    whole = path.absolute()
    places = [whole, *whole.parents] if folder else list(whole.parents)
    existing = next(one for one in places if one.exists() or one.is_symlink())
    try:
        # Only writing says whether it may be written to: permissions are not all that may forbid it.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise MedSegDistError(
            f"{path} cannot be written ({existing}: {error.strerror or error}); choose another place for it."
        ) from error


def read_bytes(path: str | Path, *, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """The content of a regular file of bounded size."""
    path = Path(path)
    size = path.stat().st_size  # raises FileNotFoundError
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe or a device"
        raise DataError(f"{path}: expected a file, found {kind}", "name a regular file")
    if size > max_bytes:
        raise DataError(f"{path}: expected at most {max_bytes} bytes of text, found {size}", "name a smaller file")
    with path.open("rb") as file:
        return file.read(max_bytes)


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: str | Path, *, encoding: str = "utf-8", max_bytes: int = MAX_TEXT_BYTES) -> str:
    """The text of a regular file of bounded size, its lines ended by LF."""
    try:
        text = read_bytes(path, max_bytes=max_bytes).decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected text in UTF-8, found something else ({error})") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_csv(
    path: str | Path, row_type: type[R], *, key: Sequence[str] = (), remedy: str = "", rows_needed: bool = True
) -> list[R]:
    """The rows of a CSV file in UTF-8 as dataclasses, every cell checked.

    A byte order mark, blank lines and further columns are skipped; an empty cell is None. A column whose field has a
    default may be missing. No two rows may be the same in the `key`. `remedy` is for messages; without `rows_needed` a
    header alone will do.
    """
    from pydantic import TypeAdapter, ValidationError

    path = Path(path)
    adapter = TypeAdapter(row_type)
    header, records = _records(path, remedy)
    _check_columns(path, header, row_type, remedy)
    rows: list[R] = []
    first_line: dict[tuple[Any, ...], int] = {}
    for line, record in records:
        try:
            row = adapter.validate_python(record)
        except ValidationError as error:
            problem = error.errors()[0]
            column = str(problem["loc"][0]) if problem["loc"] else ""
            found = "an empty cell" if record.get(column) is None else repr(record.get(column))
            # A check of the row as a whole says itself what it found.
            where, end = (f", column '{column}'", f", found {found}") if column else ("", "")
            raise DataError(f"{path}, line {line}{where}: {_lower(problem['msg'])}{end}", "correct the cell") from error
        for column in record:
            value = getattr(row, column, None)
            if isinstance(value, float) and not math.isfinite(value):
                raise DataError(
                    f"{path}, line {line}, column '{column}': expected a finite number, found {record[column]!r}",
                    "correct the cell",
                )
        named = tuple(getattr(row, name) for name in key)
        if key and named in first_line:
            shown = ", ".join(str(part) for part in named)
            raise DataError(
                f"{path}: expected one row for each {', '.join(key)}, found two for {shown}: lines "
                f"{first_line[named]} and {line}",
                "remove one",
            )
        first_line[named] = line
        rows.append(row)
    if rows_needed and not rows:
        raise DataError(f"{path}: expected at least one row under the header, found none", remedy)
    return rows


def _records(path: Path, remedy: str) -> tuple[list[str], list[tuple[int, dict[str, str | None]]]]:
    try:
        reader = csv.reader(read_text(path, encoding="utf-8-sig").splitlines(keepends=True), strict=True)
        filled = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (DataError, csv.Error) as error:
        raise DataError(f"{path}: expected a CSV file in UTF-8, found something else ({error})", remedy) from error
    if not filled:
        raise DataError(f"{path}: expected a CSV file, found an empty file", remedy)
    header = [name.strip() for name in filled[0][1]]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{path}: expected every column once, found twice: {', '.join(twice)}")
    for line, row in filled[1:]:
        if len(row) != len(header):
            raise DataError(
                f"{path}, line {line}: expected {len(header)} cells, as in the header, found {len(row)}",
                "put text with commas in quotation marks",
            )
    rows = ((line, dict(zip(header, (cell.strip() or None for cell in row), strict=True))) for line, row in filled[1:])
    return header, list(rows)


def _check_columns(path: Path, header: Sequence[str], row_type: type[Any], remedy: str) -> None:
    fields = dataclasses.fields(row_type)
    needed = [one.name for one in fields if one.default is one.default_factory is dataclasses.MISSING]
    missing = [name for name in needed if name not in header]
    if missing:
        shown = ", ".join(repr(name) for name in header)
        hint = did_you_mean(missing[0], [name for name in header if name not in needed])
        # As a spreadsheet saves where the comma is the decimal sign.
        if separator := next((one for one in ";\t|" if any(one in name for name in header)), ""):
            used = "tabs" if separator == "\t" else f"'{separator}'"
            hint = f"; cells are separated by {used} in place of commas"
            remedy = "save it again with commas, and with points in decimal numbers"
        raise DataError(f"{path}: expected the columns {', '.join(missing)}; found {shown}{hint}", remedy)


def _lower(text: str) -> str:
    """Pydantic's sentence as a part of ours: "Input should be a valid number" reads "expected a valid number"."""
    return text.removeprefix("Value error, ").replace("Input should be", "expected", 1)
