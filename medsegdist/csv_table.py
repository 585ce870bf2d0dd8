"""CSV files of other people's making, checked as they are read."""

from __future__ import annotations

import csv
import math
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from medsegdist.errors import DataError

MOST_NAMED = 5
"""So many rows or pairs are named in a message; the others are counted."""


class CsvTable:
    """The cells of a CSV file, and where they stand.

    Args:
        path: the file, for messages.
        columns: their names, in order.
        rows: cells of each row, as many as there are columns.
        lines: the line of the file on which each row ends.
        remedy: what to do about a column that is missing, for messages.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        lines: Sequence[int],
        remedy: str = "",
    ) -> None:
        self.path, self.columns, self.lines, self._remedy = path, tuple(columns), tuple(lines), remedy
        self._cells = {name: [row[k].strip() for row in rows] for k, name in enumerate(columns)}

    def __len__(self) -> int:
        return len(self.lines)

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    @property
    def rows(self) -> Iterator[tuple[str, ...]]:
        """The cells of one row after another."""
        return zip(*(self._cells[name] for name in self.columns), strict=True)

    def where(self, row: int) -> str:
        """The file and the line of a row, for a message."""
        return f"{self.path}, line {self.lines[row]}"

    def words(self, column: str, *, empty_allowed: bool = False) -> list[str]:
        """A column as it stands.

        Raises:
            DataError: a cell is empty and may not be.
        """
        cells = self._cells[column]
        for row, cell in enumerate(cells):
            if not (cell or empty_allowed):
                raise DataError(f"{self.where(row)}: expected a name in the column '{column}', found an empty cell.")
        return cells

    def numbers(self, column: str, *, needed: Sequence[bool] | None = None) -> list[float]:
        """A column of finite numbers.

        Args:
            column: its name.
            needed: the rows in which there has to be one, all by default; NaN stands in the others.

        Raises:
            DataError: a cell that is needed is empty, no number, NaN or infinite.
        """
        found = []
        for row, cell in enumerate(self._cells[column]):
            if needed is not None and not needed[row]:
                found.append(math.nan)
                continue
            try:
                value = float(cell)
            except ValueError:
                value = math.nan
            if not math.isfinite(value):
                shown = repr(cell) if cell else "an empty cell"
                raise DataError(
                    f"{self.where(row)}: expected a finite number in the column '{column}', such as 12.5, found "
                    f"{shown}; mend the row, or leave it out."
                )
            found.append(value)
        return found

    def check_distinct(self, keys: Sequence[Hashable], what: str, hint: str = "") -> None:
        """Refuses rows that say two things of one.

        Args:
            keys: what each row is about.
            what: of what there may be one row, for the message.
            hint: what else can be done about it.

        Raises:
            DataError: two keys are equal.
        """
        first: dict[Hashable, int] = {}
        for row, key in enumerate(keys):
            if key in first:
                raise DataError(
                    f"{self.path}: expected one row for each {what}, found two for {named(key)}: lines "
                    f"{self.lines[first[key]]} and {self.lines[row]}. Remove one{hint}."
                )
            first[key] = row

    def fail_columns(self, missing: str) -> NoReturn:
        """Says which columns are missing, and which ones there are."""
        shown = ", ".join(repr(name) for name in self.columns)
        raise DataError(f"{self.path}: expected the columns {missing}; found {shown}{_then(self._remedy)}.")


def read_table(path: str | Path, columns: Sequence[str], *, remedy: str = "", rows_needed: bool = True) -> CsvTable:
    """A CSV file with a header; a byte order mark before it, and blank lines, are passed over.

    Args:
        path: the file, in UTF-8, its cells parted by commas.
        columns: those that it must have; others may be there as well.
        remedy: what to do if it is no such table, for messages.
        rows_needed: a header alone is refused.

    Raises:
        DataError: it is no text, has no rows, a row of another length, a column twice or not at all.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            filled = [(row, reader.line_num) for row in reader if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: expected a CSV file in UTF-8, found something else ({error}){_then(remedy)}."
        ) from error
    if not filled:
        wanted = f" with the columns {', '.join(columns)}" if columns else ""
        raise DataError(f"{path}: expected a CSV file{wanted}, found an empty file{_then(remedy)}.")
    header = [name.strip() for name in filled[0][0]]
    rows, lines = [row for row, _ in filled[1:]], [line for _, line in filled[1:]]
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise DataError(
                f"{path}, line {line}: expected {len(header)} cells, as in the header, found {len(row)}; put text "
                "with commas in quotation marks."
            )
    table = CsvTable(path, header, rows, lines, remedy)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{path}: expected every column once, found twice: {', '.join(twice)}.")
    missing = [name for name in columns if name not in table]
    if missing:
        table.fail_columns(", ".join(missing))
    if rows_needed and not rows:
        raise DataError(f"{path}: expected at least one row under the header, found none{_then(remedy)}.")
    return table


def _then(remedy: str) -> str:
    return f"; {remedy}" if remedy else ""


def named(key: Hashable) -> str:
    """A tuple of names for a message: "liver, lung, 0"."""
    return ", ".join(str(part) for part in key if part != "") if isinstance(key, tuple) else str(key)


def listed(names: Sequence[str]) -> str:
    """Some names for a message, the first of many."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
