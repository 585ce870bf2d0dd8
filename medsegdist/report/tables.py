"""What a run found, as tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from medsegdist.report.verdict import Answer, amount, rank_of
from medsegdist.words import printable

if TYPE_CHECKING:
    from medsegdist.data.problems import Problem
    from medsegdist.distance.table import DistanceRow, DistanceTable
    from medsegdist.transfer.agreement import Agreement, CharacteristicAgreement
    from medsegdist.transfer.gains import Gain, SourceGain
    from medsegdist.transfer.paper import PaperComparison
    from medsegdist.transfer.ranks import TargetAgreement

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

NOTHING = "-"
"""Stands where a number is undefined."""

FROM_SCRATCH = "from scratch, as many steps"


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
    rows = ((str(source), *(_number(value, ",.2f") for value in values)) for source, values in matrix.iterrows())
    return _table(TITLES.get(method, method), ["", *matrix.columns], rows, wrap=True)


def _numbered(table: DistanceTable, method: str) -> Table:
    matrix = table.matrix(method)
    order = [*matrix.columns, *(source for source in matrix.index if source not in matrix.columns)]
    named = {name: f"{number} {name}" for number, name in enumerate(order, start=1)}
    cells = matrix.map(lambda value: NOTHING if pd.isna(value) else amount(value).replace(",", ""))
    widths = [max(map(len, cells[target])) + 1 for target in cells.columns]
    rows = ((named[source], *cells.loc[source]) for source in order if source in cells.index)
    heads = ["", *map(str, range(1, len(widths) + 1))]
    shown = _table(TITLES.get(method, method), heads, rows, wrap=True, collapse_padding=False, padding=0)
    shown.columns[0].width = max(LEAST_NAME, min(max(map(len, named.values())), 78 - sum(widths)))
    for column in shown.columns[1:]:
        column.no_wrap = True
    return shown


def ranking_table(table: DistanceTable, target: str) -> Table:
    """The sources of one target in order of their mean rank, with rank and distance by every method."""
    answer = Answer.of(table, target)
    rows = {(row.source, row.method): row for row in table.rows if row.target == target}

    def cell(row: DistanceRow | None) -> Text:
        return Text.assemble((rank_of(row), "bold"), " ", amount(row.distance)) if row else Text(NOTHING)

    # With names over several lines, the paper's five methods fit a terminal of 80 columns.
    return _table(
        f"{'The only source' if answer.alone else 'Nearest sources'} for {target}",
        ["Source", "Mean\nrank", *(method.replace("_", "_\n") for method in answer.methods)],
        (
            (source, f"{mean_rank:.1f}", *(cell(rows.get((source, method))) for method in answer.methods))
            for source, mean_rank in answer.mean_ranks.items()
        ),
        left=(0, 1),
        wrap=True,
    )


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


def gain_table(target: str, gains: Iterable[Gain], controls: Iterable[Gain]) -> Table:
    """The sources of one target by their mean gain over seeds, greatest first, and the control below.

    Args:
        target: its name.
        gains: of any targets; those that are not "ok" are left out.
        controls: in the same way.
    """
    from medsegdist.transfer.gains import summarize_gains

    def row(name: str, found: SourceGain) -> tuple[str, ...]:
        spread = "" if found.deviation is None else f" ± {found.deviation:.1f}"
        dice = (_number(found.dice, ".3f"), _number(found.dice_baseline, ".3f"))
        return name, str(len(found.gains)), *dice, f"{found.gain:+.1f}{spread}"

    ranked = sorted(summarize_gains(gains, target), key=lambda one: -one.gain)
    heads = ("Source", "Seeds", "Dice", "From scratch", "Gain (%)")
    table = _table(f"Transfer to {target}", heads, (row(one.source, one) for one in ranked), wrap=True)
    for control in summarize_gains(controls, target):
        table.add_section()
        table.add_row(*row(FROM_SCRATCH, control))
    return table


def regression_table(agreements: Sequence[Agreement]) -> Table:
    """The paper's regression of gain on distance, a row per method."""
    heads = ("Method", "n", "Slope", "95% interval", "R^2", "p of the\nintercept", "p of the\nslope")
    lines = ((one.method, one.line) for one in agreements)
    rows = (
        (
            *(method, str(line.n), f"{line.slope:#.3g}", f"[{line.slope_low:#.2g}, {line.slope_high:#.2g}]"),
            *(f"{line.r_squared:.2f}", f"{line.p_intercept:.3g}", f"{line.p_slope:.3g}"),
        )
        for method, line in lines
    )
    return _table("Gain = intercept + slope * distance", heads, rows)


def rank_table(agreements: Sequence[Agreement]) -> Table:
    """Rank correlations, and the mean regret of choosing the nearest source, a row per method."""
    heads = ("Method", "Spearman", "Kendall", "weighted\nKendall", "Regret,\npoints", "in % of\nthe best")
    rows = (
        (
            one.method,
            *(_number(getattr(one.ranks, name, None), ".2f") for name in ("spearman", "kendall", "weighted_kendall")),
            _number(one.regret, ".1f"),
            _number(one.regret_percent, ".0f"),
        )
        for one in agreements
    )
    return _table("Order, and what the nearest source costs", heads, rows)


def certainty_table(agreements: Sequence[Agreement]) -> Table:
    """p-values that assume less than the regression's, and the one that is left without the weightiest source."""
    heads = ("Method", "gains shuffled\nwithin targets", "whole sources\nshuffled", "intercept for\neach target")

    def rest(one: Agreement) -> str:
        weakest = one.weakest
        return f"{weakest.line.p_slope:.2g} ({weakest.source})" if weakest and weakest.line else NOTHING

    rows = (
        (
            one.method,
            *(
                _number(getattr(test, "p_slope", None), ".2g")
                for test in (one.within_targets, one.whole_sources, one.fixed_effects)
            ),
            rest(one),
        )
        for one in agreements
    )
    return _table("p of the slope", (*heads, "without the source\nit rests on most"), rows)


def choice_tables(agreements: Sequence[Agreement]) -> Iterator[Table]:
    """For each target the nearest source by each method, and what it gained."""
    by_target: dict[str, list[tuple[str, TargetAgreement]]] = {}
    for one in agreements:
        for found in one.targets:
            by_target.setdefault(found.target, []).append((one.method, found))
    for target, chosen in by_target.items():
        rows = (
            (
                *(method, ", ".join(found.picked), f"{found.picked_gain:.1f}"),
                *(f"{found.picked_rank} of {found.sources}", f"{found.regret:.1f}"),
            )
            for method, found in chosen
        )
        # The same by all methods, if they have the same sources.
        known = {(found.best, f"{found.best_gain:.1f}", f"{found.chance_regret:.1f}") for _, found in chosen}
        said = [
            f"Best: {best}, {gain} %. Regret of a source drawn at random: {chance}." for best, gain, chance in known
        ]
        heads = ("Method", "Nearest", "Gain, %", "Place", "Regret")
        caption = said[0] if len(said) == 1 else ""
        yield _table(f"Nearest source for {target}", heads, rows, left=(0, 1), caption=caption)


def without_table(agreements: Sequence[Agreement]) -> Table:
    """The result without each source: R^2, p of the slope and Spearman, a row per method and source."""
    rows = (
        (
            *(one.method, left.source, _number(getattr(left.line, "r_squared", None), ".2f")),
            *(_number(getattr(left.line, "p_slope", None), ".3g"), _number(left.spearman, ".2f")),
        )
        for one in agreements
        for left in one.without_source
    )
    return _table("Without one source", ("Method", "Source", "R^2", "p slope", "Spearman"), rows, left=(0, 1))


def prediction_table(agreements: Sequence[Agreement]) -> Table | None:
    """Expected gains with their 95% prediction intervals; None if none were asked for."""
    heads = ("Method", "Source", "Target", "Distance", "Gain, % [95%]", "")
    rows = [
        (
            *(one.method, found.source or NOTHING, found.target or NOTHING, f"{found.distance:,.6g}"),
            f"{found.gain:.1f} [{found.low:.1f}, {found.high:.1f}]",
            f"beyond {found.seen_low:,.6g} to {found.seen_high:,.6g}" if found.extrapolated else "",
        )
        for one in agreements
        for found in one.predictions
    ]
    return _table("Expected gain", heads, rows, left=(0, 1, 2, 5)) if rows else None


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
    rows = (
        (
            *(one.characteristic, str(one.pairs), _number(one.difference, ".2f"), _number(one.p_difference, ".2g")),
            *(_number(one.p_adjusted, ".2g"), _number(one.direction, ".2f")),
        )
        for one in correlated
    )
    return _table(
        "Differences and gain",
        ("Characteristic", "Pairs", "Difference", "p", "adjusted", "Direction"),
        rows,
        caption="Difference: |source - target| against gain; below 0, sources like the target gained more. Direction: "
        "source - target against gain. Spearman; p by shuffling within targets, adjusted for the number of rows.",
    )


def table_12(comparisons: Sequence[PaperComparison]) -> Table:
    """The p-values of the paper's Table 12, printed and recomputed."""
    rows = []
    for one in comparisons:
        line, printed = one.recomputed.line, one.published
        p_values = (printed.p_const, line.p_intercept, printed.p_slope, line.p_slope)
        rows.append((one.method, *(f"{value:.3g}" for value in p_values)))
    heads = ("Method", "Const,\nprinted", "recomputed", "Slope,\nprinted", "recomputed")
    return _table("Table 12: p-values of gain on distance", heads, rows)


def table_13(comparisons: Sequence[PaperComparison]) -> Table:
    """Slopes, intervals and R^2 of the paper's Table 13, printed and recomputed, one below the other."""
    rows = []
    for one in comparisons:
        found, printed = one.recomputed.line, one.published
        for name, what, line, implied in (
            (one.method, "printed", printed, one.implied_r_squared),
            ("", "recomputed", found, found.r_squared),
        ):
            interval = f"[{line.slope_low:.5f}, {line.slope_high:.5f}]"
            rows.append((name, what, f"{line.slope:.5f}", interval, f"{line.r_squared:.2f}", f"{implied:.2f}"))
    heads = ("Method", "", "Slope", "95% interval", "R^2", "of the\ninterval")
    return _table("Table 13: slope, interval, R^2", heads, rows, left=(0, 1))


def _table(
    title: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    left: Sequence[int] = (0,),
    wrap: bool = False,
    caption: str = "",
    **style: Any,
) -> Table:
    """A table without a frame, so that it fits a terminal of 80 columns; `left` columns are text, the others numbers.

    Names are Text, in which nothing is taken for markup; those of the first column go over several lines to `wrap`.
    """
    table = Table(
        title=Text(printable(title), no_wrap=True, overflow="ignore"),
        caption=Text(printable(caption)) if caption else None,
        title_justify="left",
        caption_justify="left",
        **{"box": SIMPLE_HEAD, "pad_edge": False, "collapse_padding": True, **style},
    )
    for k, head in enumerate(heads):
        table.add_column(Text(head), justify="left" if k in left else "right", no_wrap=not k and not wrap)
    for row in rows:
        table.add_row(*(Text(printable(cell)) if isinstance(cell, str) else cell for cell in row))
    return table


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None or math.isnan(value) else format(value, form)
