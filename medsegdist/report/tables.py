"""Distances as tables for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from medsegdist.words import printable

if TYPE_CHECKING:
    from medsegdist.data.problems import Problem
    from medsegdist.distance.table import DistanceRow, DistanceTable

NAMES = {
    "euclidean": "Euclidean distance",
    "gmm2d": "GMM 2D",
    "gmm3d": "GMM 3D",
    "fake_classes": "Fake classes",
    "fake_class_gmm": "Fake classes with GMM 3D",
}
"""What the paper calls its methods, in the order of its tables."""

TITLES = {method: f"{name} (Table {number})" for number, (method, name) in enumerate(NAMES.items(), start=5)}
"""The same, and where the paper's own numbers stand."""

NAMED_COLUMNS = 5
"""More columns than that get numbers in place of names."""

LEAST_NAME = 8
"""Characters that names of rows have at least beside many columns; they go on in the next line."""


def distance_tables(table: DistanceTable) -> list[Table]:
    """One table per method with a row per source and a column per target, as the paper's Tables 5 to 9.

    Where many columns leave no room for names, numbers stand for them, which the rows explain.
    """
    return [
        _numbered(table, method) if len(table.targets) > NAMED_COLUMNS else _named(table, method)
        for method in table.methods
    ]


def _named(table: DistanceTable, method: str) -> Table:
    matrix = table.matrix(method)
    rich_table = Table("", title=_title(method), title_justify="left")
    for target in matrix.columns:
        rich_table.add_column(escape(target), justify="right")
    for source, values in matrix.iterrows():
        rich_table.add_row(escape(str(source)), *("-" if pd.isna(value) else f"{value:,.2f}" for value in values))
    return rich_table


def _numbered(table: DistanceTable, method: str) -> Table:
    matrix = table.matrix(method)
    order = [*matrix.columns, *(source for source in matrix.index if source not in matrix.columns)]
    named = {name: f"{number} {name}" for number, name in enumerate(order, start=1)}
    cells = matrix.map(lambda value: "-" if pd.isna(value) else amount(value).replace(",", ""))
    widths = [max(map(len, cells[target])) + 1 for target in cells.columns]
    room = max(LEAST_NAME, min(max(map(len, named.values())), 78 - sum(widths)))
    rich_table = Table(title=_title(method), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=0)
    rich_table.add_column("", width=room)
    for number in range(1, len(widths) + 1):
        rich_table.add_column(str(number), justify="right", no_wrap=True)
    for source in (name for name in order if name in cells.index):
        rich_table.add_row(escape(named[source]), *cells.loc[source])
    return rich_table


def _title(method: str) -> str:
    return TITLES.get(method, escape(method))


def ranking_table(table: DistanceTable, target: str) -> Table:
    """The sources of one target in order of their mean rank, with rank and distance by every method."""
    # Without a frame and with names over several lines, the paper's five methods fit a terminal of 80 columns.
    which = "Nearest sources" if only_source(table, target) is None else "The only source"
    rich_table = Table(
        "Source",
        "Mean\nrank",
        title=f"{which} for {escape(target)}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    ranks = mean_ranks(table, target)
    rows = {(row.source, row.method): row for row in table.rows if row.target == target}
    for method in methods_of(table, target):
        rich_table.add_column(escape(method.replace("_", "_\n")), justify="right")
    for source, mean_rank in ranks.items():
        cells = []
        for method in methods_of(table, target):
            row = rows.get((source, method))
            cells.append(f"[bold]{rank_of(row)}[/bold] {amount(row.distance)}" if row else "-")
        rich_table.add_row(escape(source), f"{mean_rank:.1f}", *cells)
    return rich_table


def amount(distance: float) -> str:
    """A distance with as many digits as a reader wants; normalized ones are about 1."""
    return f"{distance:,.0f}" if abs(distance) >= 100 else f"{distance:.3g}"


def rank_of(row: DistanceRow) -> str:
    """A rank, with `=` behind it where it is shared."""
    return f"{row.rank}{'=' if row.tied else ''}"


def methods_of(table: DistanceTable, target: str) -> tuple[str, ...]:
    """The methods that compared any source with this target, in the order of the table.

    Raises:
        ValueError: the table has no such target.
    """
    found = {row.method for row in table.rows if row.target == target}
    if not found:
        raise ValueError(f"expected one of the targets {list(table.targets)}, found '{target}'.")
    return tuple(method for method in table.methods if method in found)


def mean_ranks(table: DistanceTable, target: str) -> Mapping[str, float]:
    """Mean rank over the methods of every source of one target, smallest first.

    Of equal ones that comes first which more methods find nearest, then the nearer one.
    """
    ranks: dict[str, list[int]] = {}
    places: Counter[str] = Counter()
    first: Counter[str] = Counter()
    for method in methods_of(table, target):
        for place, row in enumerate(by_distance(table, target, method)):
            ranks.setdefault(row.source, []).append(row.rank)
            places[row.source] += place
            first[row.source] += place == 0
    means = {source: sum(found) / len(found) for source, found in ranks.items()}
    return dict(sorted(means.items(), key=lambda item: (item[1], -first[item[0]], places[item[0]])))


def only_source(table: DistanceTable, target: str) -> str | None:
    """The source of a target that has no other one; None where there are several, which can be ranked."""
    sources = {row.source for row in table.rows if row.target == target}
    return next(iter(sources)) if len(sources) == 1 else None


def by_distance(table: DistanceTable, target: str, method: str) -> list[DistanceRow]:
    """The sources of one target by one method, the smallest distance first, whatever their ranks."""
    return sorted(table.ranking(target, method), key=lambda row: row.distance)


def problem_table(problems: Iterable[Problem]) -> Table:
    """All problems of a study: how bad, where, what and what to do."""
    rich_table = Table("", title="Problems", title_justify="left")
    # A name or a path that is cut off names nothing.
    for column in ("Dataset", "Case", "Problem", "What to do"):
        rich_table.add_column(column, overflow="fold")
    for problem in problems:
        severity = Text("error", style="bold red") if problem.severity == "error" else Text("warning")
        # As Text, in which no name is taken for markup or for an emoji.
        cells = (problem.dataset, problem.case, problem.problem, problem.remedy)
        rich_table.add_row(severity, *(Text("\n".join(map(printable, cell.splitlines()))) for cell in cells))
    return rich_table
