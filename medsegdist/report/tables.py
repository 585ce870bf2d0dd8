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
    from medsegdist.distance.distance_table import DistanceTable

TITLES = {
    "euclidean": "Euclidean distance (Table 5)",
    "gmm2d": "GMM 2D (Table 6)",
    "gmm3d": "GMM 3D (Table 7)",
    "fake_classes": "Fake classes (Table 8)",
    "fake_class_gmm": "Fake classes with GMM 3D (Table 9)",
}
"""What the paper calls its methods, and where its own numbers stand."""


def distance_tables(table: DistanceTable) -> list[Table]:
    """One table per method with a row per source and a column per target, as the paper's Tables 5 to 9."""
    rendered = []
    for method in table.methods:
        matrix = table.matrix(method)
        rich_table = Table("", title=TITLES.get(method, escape(method)), title_justify="left")
        for target in matrix.columns:
            rich_table.add_column(escape(target), justify="right")
        for source, values in matrix.iterrows():
            cells = ["-" if pd.isna(value) else f"{value:,.2f}" for value in values]
            rich_table.add_row(escape(str(source)), *cells)
        rendered.append(rich_table)
    return rendered


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
    )
    ranks = mean_ranks(table, target)
    rows = {(row.source, row.method): row for row in table.rows if row.target == target}
    for method in table.methods:
        rich_table.add_column(escape(method.replace("_", "_\n")), justify="right")
    for source, mean_rank in ranks.items():
        cells = []
        for method in table.methods:
            row = rows[source, method]
            cells.append(f"[bold]{row.rank}{'=' if row.tied else ''}[/bold] {row.distance:,.0f}")
        rich_table.add_row(escape(source), f"{mean_rank:.1f}", *cells)
    return rich_table


def mean_ranks(table: DistanceTable, target: str) -> Mapping[str, float]:
    """Mean rank over the methods of every source of one target, smallest first."""
    ranks: dict[str, list[int]] = {}
    for row in table.rows:
        if row.target == target:
            ranks.setdefault(row.source, []).append(row.rank)
    means = {source: sum(found) / len(found) for source, found in ranks.items()}
    return dict(sorted(means.items(), key=lambda item: item[1]))


def verdict(table: DistanceTable, target: str) -> str:
    """One sentence: which source is nearest, by how many methods."""
    first = Counter(row.source for row in table.rows if row.target == target and row.rank == 1)
    methods = len(table.methods)
    ordered = sorted(first.items(), key=lambda item: -item[1])
    if len(ordered) == 1:
        return f"For {target} the nearest source is {ordered[0][0]}, by every method ({methods} of {methods})."
    said = ", ".join(f"{source} (by {count} of {methods})" for source, count in ordered)
    return f"For {target} the methods do not agree on the nearest source: {said}."


def problem_table(problems: Iterable[Problem]) -> Table:
    """All problems of a study: where, what and what to do."""
    rich_table = Table("Dataset", "Case", "Problem", "What to do", title="Problems", title_justify="left")
    for problem in problems:
        # As Text, in which no name is taken for markup or for an emoji.
        cells = (problem.dataset, problem.case, problem.problem, problem.remedy)
        rich_table.add_row(*(Text(printable(cell)) for cell in cells))
    return rich_table


def subset_table(subsets: Mapping[int, Sequence[object]], patients: Mapping[int, int], title: str) -> Table:
    """Nodules and patients per malignancy level."""
    rich_table = Table("Malignancy", title=title, title_justify="left")
    rich_table.add_column("Nodules", justify="right")
    rich_table.add_column("Patients", justify="right")
    for level, nodules in subsets.items():
        rich_table.add_row(str(level), str(len(nodules)), str(patients[level]))
    return rich_table
