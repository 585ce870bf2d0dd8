"""What a run found, as tables for a terminal."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from string import Formatter
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from medsegdist.report.verdict import Answer, amount, rank_of
from medsegdist.words import printable

if TYPE_CHECKING:
    from medsegdist.distance.order import DistanceRow
    from medsegdist.distance.table import DistanceTable
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

NAMED_COLUMNS = 5  # more columns than that get numbers in place of names
WIDTH = 78  # characters of a line of a table, so that it fits a terminal of 80 columns
LONGEST_HEAD = 24  # characters of a line of a column's name; longer words are broken
LONGEST_NAME = 16  # characters of a line of the name of a row, where columns go into several tables
FROM_SCRATCH = "from scratch, as many steps"  # the control, as long as pre-training and fine-tuning together
NOTHING = "-"  # stands where a number is undefined


def distance_tables(table: DistanceTable) -> Iterator[Table]:
    """One table per method with a row per source and a column per target, as the paper's Tables 5 to 9.

    Numbers stand for the names of many columns, which the rows explain.
    """
    for method in table.methods:
        matrix = table.matrix(method)
        sources, heads = list(matrix.index), [two_lines(name) for name in matrix.columns]
        names, numbered = sources, len(heads) > NAMED_COLUMNS
        if numbered:
            order = dict.fromkeys([*matrix.columns, *sources])
            named = {name: f"{number} {name}" for number, name in enumerate(order, start=1)}
            sources = [one for one in order if one in matrix.index]
            names, heads = [named[one] for one in sources], [str(k + 1) for k in range(len(heads))]
        form = amount if numbered else "{:,.2f}".format
        values = matrix.loc[sources].to_numpy().T.tolist()
        cells = [[NOTHING if math.isnan(value) else form(value) for value in column] for column in values]
        yield from split_table(TITLES.get(method, method), [("", names)], zip(heads, cells, strict=True))


def ranking_table(table: DistanceTable, target: str) -> Group:
    """The sources of one target in the recommended order, with their distance by every method, the nearest in bold."""
    answer = Answer.of(table, target)
    rows = {(row.source, row.method): row for row in table.rows if row.target == target}

    def cell(row: DistanceRow | None) -> Text:
        return Text(amount(row.distance), "bold" if row.rank == 1 else "") if row else Text(NOTHING)

    sources = [one.source for one in answer.order]
    lead = [("Source", sources), ("Rank", [rank_of(one) for one in answer.order])]
    if answer.has_chances:
        lead.append(("Chance", [NOTHING if one.chance is None else f"{one.chance:.0%}" for one in answer.order]))
    columns = [(two_lines(name), [cell(rows.get((source, name))) for source in sources]) for name in answer.methods]
    return Group(*split_table(f"{'The only source' if answer.alone else 'Sources'} for {target}", lead, columns))


def split_table(
    title: str, lead: Sequence[tuple[str, Sequence[str]]], columns: Iterable[tuple[str, Sequence[str | Text]]]
) -> Iterator[Table]:
    """A table of columns, (head, cells); what does not fit a terminal goes into further ones, each with the `lead`."""
    room = WIDTH - min(max(map(len, lead[0][1])), LONGEST_NAME) - sum(2 + len(head) for head, _ in lead[1:])
    blocks: list[list[tuple[str, Sequence[str | Text]]]] = [[]]
    free = room
    for head, cells in columns:
        # Two spaces stand between columns.
        width = 2 + max(*map(len, head.split("\n")), *map(len, cells))
        if blocks[-1] and width > free:
            blocks.append([])
            free = room
        free -= width
        blocks[-1].append((head, cells))
    for block in blocks:
        heads, cells = zip(*lead, *block, strict=True)
        shown = _table(title, heads, zip(*cells, strict=True), left=(0, 1) if len(lead) > 1 else (0,), wrap=True)
        for column in shown.columns[1:]:
            column.no_wrap = True
        yield shown
        title = ""


def two_lines(name: str) -> str:
    r"""A long name over two lines, divided at an underscore, a hyphen or a space; over more if it is very long.

    >>> two_lines("fake_class_gmm")
    'fake_\nclass_gmm'
    """
    lines: list[str] = []
    for width in range(8, LONGEST_HEAD + 1):
        lines = textwrap.wrap(name.replace("_", "_ "), width, break_long_words=width == LONGEST_HEAD)
        if len(lines) <= 2 and max(map(len, lines), default=0) <= LONGEST_HEAD:
            break
    return "\n".join(line.replace("_ ", "_") for line in lines)


def gain_table(target: str, gains: Iterable[Gain], controls: Iterable[Gain]) -> Table:
    """The sources of one target by their mean gain over seeds, greatest first, and the control below."""
    from medsegdist.transfer.gains import summarize_gains

    ranked = summarize_gains(gains, target)
    rows = [
        (one, one.source or FROM_SCRATCH, len(one.gains), "" if one.deviation is None else f" ± {one.deviation:.1f}")
        for one in (*ranked, *summarize_gains(controls, target))
    ]
    heads = "Source | Seeds | Dice | From scratch | Gain (%)"
    cells = "{1} | {2} | {0.dice:.3f} | {0.dice_baseline:.3f} | {0.gain:+.1f}{3}"
    table = filled_table(f"Transfer to {target}", heads, cells, rows, wrap=True)
    if ranked and len(rows) > len(ranked):
        table.rows[len(ranked) - 1].end_section = True
    return table


def regression_table(agreements: Sequence[Agreement]) -> Table:
    """The paper's regression of gain on distance, a row per method."""
    heads = "Method | n | Slope | 95% interval | R^2 | p of the\nintercept | p of the\nslope"
    cells = (
        "{0.method} | {2} | {1.slope:#.3g} | [{1.slope_low:#.2g}, {1.slope_high:#.2g}] | {1.r_squared:.2f} | "
        "{1.p_intercept:.3g} | {1.p_slope:.3g}"
    )
    rows = ((one, one.line, len(one.pairs)) for one in agreements)
    lined = all(one.line is not None for one in agreements)
    caption = "" if lined else f"{NOTHING}: too few pairs for a line."
    return filled_table("Gain = intercept + slope * distance", heads, cells, rows, caption=caption)


def rank_table(agreements: Sequence[Agreement]) -> Table:
    """Rank correlations, and the mean regret of choosing the nearest source, a row per method."""
    heads = "Method | Spearman | Kendall | weighted\nKendall | Regret,\npoints | in % of\nthe best"
    cells = (
        "{0.method} | {0.ranks.spearman:.2f} | {0.ranks.kendall:.2f} | {0.ranks.weighted_kendall:.2f} | "
        "{0.regret:.1f} | {0.regret_percent:.0f}"
    )
    return filled_table("Order, and what the nearest source costs", heads, cells, ((one,) for one in agreements))


def over_targets_table(agreements: Sequence[Agreement]) -> Table | None:
    """Order and regret within targets, mean over targets with 95 % intervals; None if no method has several."""
    heads = "Method | Targets | Spearman | 95 % | over the\nceiling | Regret | 95 %"
    cells = (
        "{0.method} | {1.targets} | {1.spearman:.2f} | {1.low:.2f} to {1.high:.2f} | {1.corrected:.2f} | "
        "{1.regret:.1f} | {1.regret_low:.1f} to {1.regret_high:.1f}"
    )
    rows = [(one, one.over_targets) for one in agreements if one.over_targets is not None]
    return filled_table("Order within targets, mean over them", heads, cells, rows) if rows else None


def certainty_table(agreements: Sequence[Agreement]) -> Table:
    """p-values that assume less than the regression's, and the one that is left without the weightiest source."""
    heads = (
        "Method | gains shuffled\nwithin targets | whole sources\nshuffled | intercept for\neach target | "
        "without the source\nit rests on most"
    )
    cells = (
        "{0.method} | {0.within_targets.p_slope:.2g} | {0.whole_sources.p_slope:.2g} | {0.fixed_effects.p_slope:.2g} | "
        "{0.weakest.line.p_slope:.2g} ({0.weakest.source})"
    )
    return filled_table("p of the slope", heads, cells, ((one,) for one in agreements))


def choice_tables(agreements: Sequence[Agreement]) -> Iterator[Table]:
    """For each target the nearest source by each method, and what it gained."""
    heads = "Method | Nearest | Gain, % | Place | Regret"
    cells = "{0} | {2} | {1.picked_gain:.1f} | {1.picked_rank} of {1.sources} | {1.regret:.1f}"
    chosen = [(one.method, found, ", ".join(found.picked)) for one in agreements for found in one.targets]
    for target in dict.fromkeys(found.target for _, found, _ in chosen):
        rows = [row for row in chosen if row[1].target == target]
        # The same by all methods, if they have the same sources.
        captions = {
            (f"Best: {one.best}" if one.best_gain > 0 else f"No source gained; {one.best} lost least")
            + f", {one.best_gain:.1f} %. Regret of a source drawn at random: {one.chance_regret:.1f}."
            for _, one, _ in rows
        }
        caption = captions.pop() if len(captions) == 1 else ""
        yield filled_table(f"Nearest source for {target}", heads, cells, rows, left=(0, 1), caption=caption)


def without_table(agreements: Sequence[Agreement]) -> Table:
    """The result without each source: R^2, p of the slope and Spearman, a row per method and source."""
    heads = "Method | Source | R^2 | p slope | Spearman"
    cells = "{0} | {1.source} | {1.line.r_squared:.2f} | {1.line.p_slope:.3g} | {1.spearman:.2f}"
    rows = ((one.method, left) for one in agreements for left in one.without_source)
    return filled_table("Without one source", heads, cells, rows, left=(0, 1))


def prediction_table(agreements: Sequence[Agreement]) -> Table | None:
    """Expected gains with their 95% prediction intervals; None if none were asked for."""
    heads = "Method | Source | Target | Distance | Gain, % [95%] | "
    cells = "{0} | {2} | {3} | {1.distance:,.6g} | {1.gain:.1f} [{1.low:.1f}, {1.high:.1f}] | {4}"
    rows = [
        (
            one.method,
            found,
            found.source or NOTHING,
            found.target or NOTHING,
            f"beyond {found.seen_low:,.6g} to {found.seen_high:,.6g}" if found.extrapolated else "",
        )
        for one in agreements
        for found in one.predictions
    ]
    return filled_table("Expected gain", heads, cells, rows, left=(0, 1, 2, 5)) if rows else None


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
    heads = "Characteristic | Pairs | Difference | p | adjusted | Direction"
    cells = (
        "{0.characteristic} | {0.pairs} | {0.difference:.2f} | {0.p_difference:.2g} | {0.p_adjusted:.2g} | "
        "{0.direction:.2f}"
    )
    caption = (
        "Difference: |source - target| against gain; below 0, sources like the target gained more. Direction: "
        "source - target against gain. Spearman; p by shuffling within targets, adjusted for the number of rows."
    )
    return filled_table("Differences and gain", heads, cells, ((one,) for one in correlated), caption=caption)


def table_12(comparisons: Sequence[PaperComparison]) -> Table:
    """The p-values of the paper's Table 12, printed and recomputed."""
    heads = "Method | Const,\nprinted | recomputed | Slope,\nprinted | recomputed"
    cells = "{0} | {1.p_const:.3g} | {2.p_intercept:.3g} | {1.p_slope:.3g} | {2.p_slope:.3g}"
    rows = ((one.method, one.published, one.line) for one in comparisons)
    return filled_table("Table 12: p-values of gain on distance", heads, cells, rows)


def table_13(comparisons: Sequence[PaperComparison]) -> Table:
    """Slopes, intervals and R^2 of the paper's Table 13, printed and recomputed, one below the other."""
    heads = "Method |  | Slope | 95% interval | R^2 | of the\ninterval"
    cells = "{1} | {2} | {0.slope:.5f} | [{0.slope_low:.5f}, {0.slope_high:.5f}] | {0.r_squared:.2f} | {3:.2f}"
    rows: list[tuple[Any, ...]] = []
    for one in comparisons:
        line = one.line
        rows.append((one.published, one.method, "printed", one.implied_r_squared))
        rows.append((line, "", "recomputed", line.r_squared))
    return filled_table("Table 13: slope, interval, R^2", heads, cells, rows, left=(0, 1))


class _Filled(Formatter):
    """Fills templates such as "{0.ranks.spearman:.2f}"; what is None on the way, or NaN, is a dash."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, int]:
        number, *names = field_name.split(".")
        value = args[int(number)]
        for name in names:
            value = None if value is None else getattr(value, name)
        return value, int(number)

    def format_field(self, value: Any, format_spec: str) -> str:
        unknown = value is None or (isinstance(value, float) and math.isnan(value))
        return NOTHING if unknown else str(super().format_field(value, format_spec))


def filled_table(title: str, heads: str, cells: str, rows: Iterable[tuple[Any, ...]], **options: Any) -> Table:
    """A table by a line of its heads and a line of templates, which are filled with what a row is about."""

    def filled(template: str, row: tuple[Any, ...]) -> str:
        text = _Filled().format(template, *row)
        # Where nothing of a cell is known, one dash says so.
        return NOTHING if text == re.sub(r"{.*?}", NOTHING, template) else text

    return _table(
        title, heads.split(" | "), ([filled(one, row) for one in cells.split(" | ")] for row in rows), **options
    )


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
