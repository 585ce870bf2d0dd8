"""Reading tables of distances that anybody may have written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pandas as pd

from medsegdist.errors import DataError


def read_table(path: Path, columns: Sequence[str], remedy: str) -> pd.DataFrame:
    """A CSV with these columns, all cells as text; an empty cell is an empty text.

    Args:
        path: the file.
        columns: those that it must have; others are left out. If none are named, all are kept.
        remedy: what to do if it is not what was expected.

    Raises:
        DataError: the file is missing or no CSV, a column is missing, or there is no row.
    """
    try:
        # As text, in which a dataset may be called NA.
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"{path}: expected a table, found no such file; {remedy}.") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        said = str(error).strip().splitlines()[-1]
        raise DataError(f"{path}: expected a table as CSV, found something else ({said}); {remedy}.") from error
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise DataError(
            f"{path}: expected the columns {', '.join(columns)}; missing are {', '.join(missing)}; {remedy}."
        )
    if frame.empty:
        raise DataError(f"{path}: expected at least 1 row, found none; {remedy}.")
    return frame[list(columns)] if columns else frame


def records(frame: pd.DataFrame, kind: type, path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a table of text as the fields of a dataclass, each of its type.

    Args:
        frame: as :func:`read_table` gives it.
        kind: a dataclass of texts, whole numbers, numbers, truth values, and numbers that may be None.
        path: where the table was read, for messages.

    Raises:
        DataError: a cell is not of its type.
    """
    types = {field.name: str(field.type) for field in fields(kind) if field.default is MISSING}
    for line, record in enumerate(frame.to_dict(orient="records"), start=2):
        yield {
            name: _value(str(record[name]), type_name, f"{path}, line {line}, {name}")
            for name, type_name in types.items()
        }


def check_distinct(rows: Sequence[Any], names: Sequence[str], path: Path) -> None:
    """Refuse two rows for one thing.

    Raises:
        DataError: two rows agree in all of the fields `names`.
    """
    seen: set[tuple[Any, ...]] = set()
    for row in rows:
        key = tuple(getattr(row, name) for name in names)
        if key in seen:
            raise DataError(
                f"{path}: expected one row for each {', '.join(names)}, found two for {', '.join(map(repr, key))}; "
                "remove one of them."
            )
        seen.add(key)


def _value(text: str, kind: str, place: str) -> Any:
    try:
        return _READERS[kind](text)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{place}: expected {_EXPECTED[kind]}, found {text!r}; mend that cell.") from error


def _name(text: str) -> str:
    if not text.strip():
        raise ValueError(text)
    return text


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _whole(text: str) -> int:
    number = float(text)
    if number != int(number) or number < 0:
        raise ValueError(text)
    return int(number)


def _number_or_none(text: str) -> float | None:
    return _number(text) if text.strip() else None


def _truth(text: str) -> bool:
    truths = {"true": True, "false": False, "1": True, "0": False}
    if text.strip().lower() not in truths:
        raise ValueError(text)
    return truths[text.strip().lower()]


_READERS: Mapping[str, Any] = {
    "str": _name,
    "int": _whole,
    "float": _number,
    "float | None": _number_or_none,
    "bool": _truth,
}
_EXPECTED = {
    "str": "a name",
    "int": "a whole number >= 0",
    "float": "a finite number",
    "float | None": "a finite number or nothing",
    "bool": "True or False",
}
