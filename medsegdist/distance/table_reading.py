"""Reading tables of distances that anybody may have written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from medsegdist.csv_table import read_table
from medsegdist.errors import DataError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")


def read_rows(path: Path, kind: type[R], key: Sequence[str], remedy: str) -> tuple[R, ...]:
    """The rows of a CSV as dataclasses; columns that are no field are left out.

    Args:
        path: the file.
        kind: a dataclass of texts, whole numbers, numbers, truth values, and numbers that may be None.
        key: the fields of which no two rows may have the same.
        remedy: what to do if it is not what was expected.

    Raises:
        DataError: the file is no such table, a cell is not of its type, or two rows are about one thing.
        FileNotFoundError: there is none.
    """
    types = {field.name: str(field.type) for field in fields(kind) if field.default is MISSING}
    table = read_table(path, list(types), remedy=remedy)
    cells = {name: table.words(name, empty_allowed=True) for name in types}
    rows = tuple(
        kind(
            **{
                name: _value(cells[name][row], type_name, f"{table.where(row)}, {name}")
                for name, type_name in types.items()
            }
        )
        for row in range(len(table))
    )
    table.check_distinct([tuple(getattr(row, name) for name in key) for row in rows], ", ".join(key))
    return rows


def _value(text: str, kind: str, place: str) -> Any:
    try:
        return _READERS[kind](text)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{place}: expected {_EXPECTED[kind]}, found {text!r}; mend that cell.") from error


def _name(text: str) -> str:
    if not text:
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
    return _number(text) if text else None


def _truth(text: str) -> bool:
    truths = {"true": True, "false": False, "1": True, "0": False}
    if text.lower() not in truths:
        raise ValueError(text)
    return truths[text.lower()]


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
