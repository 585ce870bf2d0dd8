"""What a run found, as tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from medsegdist.report.verdict import amount, mean_ranks, methods_of, only_source, rank_of
from medsegdist.words import printable

if TYPE_CHECKING:
    from medsegdist.data.problems import Problem
    from medsegdist.distance.table import DistanceTable
    from medsegdist.report.gain_sections import SourceGain
    from medsegdist.transfer.agreement import Agreement, CharacteristicAgreement
    from medsegdist.transfer.gains import Gain
    from medsegdist.transfer.paper import PaperComparison

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
"""Characters that names of rows have at least, with many columns; they go on in the next line."""


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


FROM_SCRATCH = "from scratch, as many steps"


def gain_table(target: str, gains: Iterable[Gain], controls: Iterable[Gain]) -> Table:
    """The sources of one target by their mean gain over seeds, greatest first, and the control below.

    Args:
        target: its name.
        gains: of any targets; those that are not "ok" are left out.
        controls: in the same way.
    """
    from medsegdist.report.gain_sections import summarize_gains

    table = Table(
        "Source",
        title=f"Transfer to {escape(target)}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in ("Seeds", "Dice", "From scratch", "Gain (%)"):
        table.add_column(column, justify="right")
    ranked, of_control = (
        sorted(summarize_gains((one for one in some if one.status == "ok"), target), key=lambda one: -one.gain)
        for some in (gains, controls)
    )
    for found in ranked:
        table.add_row(escape(found.source), *_gain_cells(found))
    if of_control:
        table.add_section()
        table.add_row(FROM_SCRATCH, *_gain_cells(of_control[0]))
    return table


def _gain_cells(found: SourceGain) -> list[str]:
    spread = "" if found.deviation is None else f" ± {found.deviation:.1f}"
    return [
        str(len(found.gains)),
        f"{found.dice:.3f}",
        f"{found.dice_baseline:.3f}",
        f"{found.gain:+.1f}{spread}",
    ]


NOTHING = "-"
"""Stands where a number is undefined."""


def regression_table(agreements: Sequence[Agreement]) -> Table:
    """The paper's regression of gain on distance, a row per method."""
    table = _table("Gain = intercept + slope * distance", "Method", "n", "Slope", "95% interval", "R^2")
    _add(table, "p of the\nintercept", "p of the\nslope")
    for one in agreements:
        line = one.line
        interval = f"[{line.slope_low:#.2g}, {line.slope_high:#.2g}]"
        p_values = (f"{line.p_intercept:.3g}", f"{line.p_slope:.3g}")
        cells = (str(line.n), f"{line.slope:#.3g}", interval, f"{line.r_squared:.2f}", *p_values)
        table.add_row(_name(one.method), *cells)
    return table


def rank_table(agreements: Sequence[Agreement]) -> Table:
    """Rank correlations, and the mean regret of choosing the nearest source, a row per method."""
    heads = ("Spearman", "Kendall", "weighted\nKendall", "Regret,\npoints", "in % of\nthe best")
    table = _table("Order, and what the nearest source costs", "Method", *heads)
    for one in agreements:
        correlations = [NOTHING] * 3
        if one.ranks is not None:
            found = (one.ranks.spearman, one.ranks.kendall, one.ranks.weighted_kendall)
            correlations = [f"{value:.2f}" for value in found]
        table.add_row(_name(one.method), *correlations, _number(one.regret, ".1f"), _number(one.regret_percent, ".0f"))
    return table


def certainty_table(agreements: Sequence[Agreement]) -> Table:
    """p-values that assume less than the regression's, and the one that is left without the weightiest source."""
    heads = ("gains shuffled\nwithin targets", "whole sources\nshuffled", "intercept for\neach target")
    table = _table("p of the slope", "Method", *heads, "without the source\nit rests on most")
    for one in agreements:
        weakest = one.weakest
        rest = f"{weakest.line.p_slope:.2g} ({weakest.source})" if weakest and weakest.line else NOTHING
        table.add_row(
            _name(one.method),
            f"{one.within_targets.p_slope:.2g}" if one.within_targets else NOTHING,
            f"{one.whole_sources.p_slope:.2g}" if one.whole_sources else NOTHING,
            f"{one.fixed_effects.p_slope:.2g}" if one.fixed_effects else NOTHING,
            _name(rest),
        )
    return table


def choice_tables(agreements: Sequence[Agreement]) -> Iterator[Table]:
    """For each target the nearest source by each method, and what it gained."""
    for target in dict.fromkeys(found.target for one in agreements for found in one.targets):
        table = _table(f"Nearest source for {printable(target)}", "Method", "Nearest", "Gain, %", "Place", "Regret")
        table.columns[1].justify = "left"
        seen = []
        for one in agreements:
            for found in one.targets:
                if found.target == target:
                    place = f"{found.picked_rank} of {found.sources}"
                    cells = (f"{found.picked_gain:.1f}", place, f"{found.regret:.1f}")
                    table.add_row(_name(one.method), _name(", ".join(found.picked)), *cells)
                    seen.append((found.best, f"{found.best_gain:.1f}", f"{found.chance_regret:.1f}"))
        if len(set(seen)) == 1:
            best, gain, chance = seen[0]
            table.caption = Text(printable(f"Best: {best}, {gain} %. Regret of a source drawn at random: {chance}."))
            table.caption_justify = "left"
        yield table


def without_table(agreements: Sequence[Agreement]) -> Table:
    """The result without each source: R^2, p of the slope and Spearman, a row per method and source."""
    table = _table("Without one source", "Method", "Source", "R^2", "p slope", "Spearman")
    table.columns[1].justify = "left"
    for one in agreements:
        for left in one.without_source:
            table.add_row(
                _name(one.method),
                _name(left.source),
                f"{left.line.r_squared:.2f}" if left.line else NOTHING,
                f"{left.line.p_slope:.3g}" if left.line else NOTHING,
                _number(left.spearman, ".2f"),
            )
    return table


def prediction_table(agreements: Sequence[Agreement]) -> Table | None:
    """Expected gains with their 95% prediction intervals; None if none were asked for."""
    table = _table("Expected gain", "Method", "Source", "Target", "Distance", "Gain, % [95%]", "")
    for column in (1, 2, 5):
        table.columns[column].justify = "left"
    for one in agreements:
        for found in one.predictions:
            beyond = f"beyond {found.seen_low:,.6g} to {found.seen_high:,.6g}" if found.extrapolated else ""
            table.add_row(
                _name(one.method),
                _name(found.source or NOTHING),
                _name(found.target or NOTHING),
                f"{found.distance:,.6g}",
                f"{found.gain:.1f} [{found.low:.1f}, {found.high:.1f}]",
                beyond,
            )
    return table if table.row_count else None


def warning_lines(agreements: Sequence[Agreement]) -> Iterator[Text]:
    """A line for each warning, and the methods that it is of; names in it are taken for no markup."""
    for warning, whose in grouped_warnings(agreements):
        yield Text.assemble(("Warning:", "bold"), " ", printable(f"{whose}: {warning}"))


def grouped_warnings(agreements: Sequence[Agreement]) -> list[tuple[str, str]]:
    """Each warning once, with the methods that it is of, or "All methods"."""
    of_text: dict[str, list[str]] = {}
    for one in agreements:
        for warning in one.warnings:
            of_text.setdefault(warning, []).append(one.method)
    every = len(agreements)
    return [(text, "All methods" if len(of) == every > 1 else ", ".join(of)) for text, of in of_text.items()]


def correlation_table(correlated: Sequence[CharacteristicAgreement]) -> Table:
    """A row per characteristic: how the difference between source and target goes with gain."""
    table = Table("Characteristic", title="Differences and gain", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for head in ("Pairs", "Difference", "p", "adjusted", "Direction"):
        table.add_column(head, justify="right")
    for one in correlated:
        p_values = (_number(value, ".2g") for value in (one.p_difference, one.p_adjusted))
        direction = NOTHING if math.isnan(one.direction) else f"{one.direction:.2f}"
        table.add_row(one.characteristic, str(one.pairs), f"{one.difference:.2f}", *p_values, direction)
    table.caption = (
        "Difference: |source - target| against gain; below 0, sources like the target gained more. Direction: "
        "source - target against gain. Spearman; p by shuffling within targets, adjusted for the number of rows."
    )
    table.caption_justify = "left"
    return table


def table_12(comparisons: Sequence[PaperComparison]) -> Table:
    """The p-values of the paper's Table 12, printed and recomputed."""
    heads = ("Const,\nprinted", "recomputed", "Slope,\nprinted", "recomputed")
    table = _table("Table 12: p-values of gain on distance", "Method", *heads)
    for one in comparisons:
        line, printed = one.recomputed.line, one.published
        cells = (printed.p_const, line.p_intercept, printed.p_slope, line.p_slope)
        table.add_row(_name(one.method), *(f"{value:.3g}" for value in cells))
    return table


def table_13(comparisons: Sequence[PaperComparison]) -> Table:
    """Slopes, intervals and R^2 of the paper's Table 13, printed and recomputed, one below the other."""
    table = _table("Table 13: slope, interval, R^2", "Method", "", "Slope", "95% interval", "R^2", "of the\ninterval")
    table.columns[1].justify = "left"
    for one in comparisons:
        line, printed = one.recomputed.line, one.published
        rows = (
            ("printed", printed.slope, printed.slope_low, printed.slope_high, printed.r_squared, one.implied_r_squared),
            ("recomputed", line.slope, line.slope_low, line.slope_high, line.r_squared, line.r_squared),
        )
        for what, slope, low, high, r_squared, implied in rows:
            name = _name(one.method) if what == "printed" else ""
            table.add_row(name, what, f"{slope:.5f}", f"[{low:.5f}, {high:.5f}]", f"{r_squared:.2f}", f"{implied:.2f}")
    return table


def _table(title: str, *heads: str) -> Table:
    # Without a frame, so that it fits a terminal of 80 columns.
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(heads[0], no_wrap=True)
    _add(table, *heads[1:])
    return table


def _add(table: Table, *heads: str) -> None:
    for head in heads:
        table.add_column(head, justify="right")


def _name(name: str) -> Text:
    return Text(printable(name))


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)
