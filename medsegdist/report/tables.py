"""Distances as tables for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from medsegdist.data.problems import printable

if TYPE_CHECKING:
    from medsegdist.data.problems import Problem
    from medsegdist.distance.distance_table import DistanceRow, DistanceTable

TITLES = {
    "euclidean": "Euclidean distance (Table 5)",
    "gmm2d": "GMM 2D (Table 6)",
    "gmm3d": "GMM 3D (Table 7)",
    "fake_classes": "Fake classes (Table 8)",
    "fake_class_gmm": "Fake classes with GMM 3D (Table 9)",
}
"""What the paper calls its methods, and where its own numbers stand."""

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
    cells = matrix.map(lambda value: "-" if pd.isna(value) else _amount(value).replace(",", ""))
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
    rich_table = Table(
        "Source",
        "Mean\nrank",
        title=f"Nearest sources for {escape(target)}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    ranks = mean_ranks(table, target)
    rows = {(row.source, row.method): row for row in table.rows if row.target == target}
    for method in table.methods:
        rich_table.add_column(escape(method.replace("_", "_\n")), justify="right")
    for source, mean_rank in ranks.items():
        cells = []
        for method in table.methods:
            row = rows[source, method]
            cells.append(f"[bold]{row.rank}{'=' if row.tied else ''}[/bold] {_amount(row.distance)}")
        rich_table.add_row(escape(source), f"{mean_rank:.1f}", *cells)
    return rich_table


def _amount(distance: float) -> str:
    # Normalized distances are about 1.
    return f"{distance:,.0f}" if distance >= 100 else f"{distance:.3g}"


def mean_ranks(table: DistanceTable, target: str) -> Mapping[str, float]:
    """Mean rank over the methods of every source of one target, smallest first; of equal ones the nearer first."""
    ranks: dict[str, list[int]] = {}
    places: Counter[str] = Counter()
    for method in table.methods:
        for place, row in enumerate(_by_distance(table, target, method)):
            ranks.setdefault(row.source, []).append(row.rank)
            places[row.source] += place
    means = {source: sum(found) / len(found) for source, found in ranks.items()}
    return dict(sorted(means.items(), key=lambda item: (item[1], places[item[0]])))


def verdict(table: DistanceTable, target: str) -> str:
    """Which source is nearest, by how many methods, and which ones cannot be told from it."""
    methods = len(table.methods)
    first = Counter(_by_distance(table, target, method)[0].source for method in table.methods)
    nearest = first.most_common(1)[0][0]
    if len(first) == 1:
        found = f"For {target} the nearest source is {nearest}, by every method ({methods} of {methods})."
    else:
        said = ", ".join(f"{source} (by {count} of {methods})" for source, count in first.most_common())
        found = f"For {target} the methods do not agree on the nearest source: {said}."
    return f"{found}{_doubt(table, target, nearest)}"


def _doubt(table: DistanceTable, target: str, nearest: str) -> str:
    """A sentence on the sources that share the first rank with the nearest one; empty if there are none."""
    alike: Counter[str] = Counter()
    for method in table.methods:
        together = [row.source for row in _by_distance(table, target, method) if row.rank == 1]
        if nearest in together:
            alike.update(source for source in together if source != nearest)
    compared = [one for one in table.comparisons if one.target == target and nearest in (one.nearer, one.farther)]
    patients = {source: one.patients for one in compared for source in (one.nearer, one.farther)}
    if not alike or not patients:
        return ""
    said = ", ".join(
        f"{source} with {patients[source]} patients (by {count} of {len(table.methods)})"
        for source, count in alike.most_common()
    )
    return f" {nearest} cannot be told apart from {said}."


def _by_distance(table: DistanceTable, target: str, method: str) -> list[DistanceRow]:
    return sorted(table.ranking(target, method), key=lambda row: row.distance)


def problem_table(problems: Iterable[Problem]) -> Table:
    """All problems of a study: how bad, where, what and what to do."""
    rich_table = Table("", "Dataset", "Case", "Problem", "What to do", title="Problems", title_justify="left")
    for problem in problems:
        severity = Text("error", style="bold red") if problem.severity == "error" else Text("warning")
        # As Text, in which no name is taken for markup or for an emoji.
        cells = (problem.dataset, problem.case, problem.problem, problem.remedy)
        rich_table.add_row(severity, *(Text("\n".join(map(printable, cell.splitlines()))) for cell in cells))
    return rich_table


def subset_table(subsets: Mapping[int, Sequence[object]], patients: Mapping[int, int], title: str) -> Table:
    """Nodules and patients per malignancy level."""
    rich_table = Table("Malignancy", title=title, title_justify="left")
    rich_table.add_column("Nodules", justify="right")
    rich_table.add_column("Patients", justify="right")
    for level, nodules in subsets.items():
        rich_table.add_row(str(level), str(len(nodules)), str(patients[level]))
    return rich_table
