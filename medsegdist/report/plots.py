"""Figures of distances as Plotly describes them: plain dictionaries, whose colors are the page's CSS variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from medsegdist.distance.table import DistanceRow, DistanceTable
from medsegdist.report.tables import amount, by_distance, rank_of
from medsegdist.words import printable

LONGEST_LABEL = 22
"""Characters of a name beside an axis; the whole name is in the table and under the pointer."""

ROW_HEIGHT, FRAME_HEIGHT = 25, 62
"""Pixels for each dataset, and for the axis."""

NOTHING = "rgba(0,0,0,0)"


@dataclass(frozen=True, slots=True)
class Plot:
    """One figure.

    Args:
        data: traces.
        layout: how they are shown.
        alt: what the figure says, in words.
        caption: its heading.
    """

    data: list[dict[str, Any]]
    layout: dict[str, Any]
    alt: str
    caption: str = field(default="")


def label(name: str, longest: int | None = LONGEST_LABEL) -> str:
    """A name as Plotly shows it as it is: Plotly takes some HTML in any text for markup.

    Args:
        name: of a dataset or method, from wherever.
        longest: the most characters; None leaves the length.
    """
    plain = printable(" ".join(name.split()))
    if longest is not None and len(plain) > longest:
        plain = f"{plain[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"
    return escape(plain, quote=False)


def layout(height: int, **more: Any) -> dict[str, Any]:
    """What all figures have in common.

    Args:
        height: in CSS pixels.
        **more: of Plotly's layout, added to it.
    """
    return {
        "height": height,
        "paper_bgcolor": NOTHING,
        "plot_bgcolor": NOTHING,
        "font": {"size": 12, "color": "var(--ink-soft)", "family": "var(--font)"},
        "margin": {"l": 4, "r": 14, "t": 6, "b": 34},
        "showlegend": False,
        "dragmode": False,
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": "var(--surface)",
            "bordercolor": "var(--line-strong)",
            "font": {"color": "var(--ink)", "family": "var(--font)", "size": 12},
        },
        **more,
    }


def axis(**more: Any) -> dict[str, Any]:
    """An axis that stays where it is, with faint lines.

    Args:
        **more: of Plotly's axis, added to it.
    """
    return {
        "fixedrange": True,
        "zeroline": False,
        "gridcolor": "var(--line)",
        "linecolor": "var(--line-strong)",
        "automargin": True,
        **more,
    }


def amount_axis(amounts: Sequence[float], **more: Any) -> dict[str, Any]:
    """An axis of distances, from 0.

    Args:
        amounts: the distances that it shows, at least one.
        **more: of Plotly's axis, added to it.
    """
    # "s" writes 15k, but 0.5 as 500m.
    most = max(amounts)
    tick_format = "~s" if most >= 10 else "~r"
    return axis(range=[0, 1.05 * most or 1], nticks=5, tickformat=tick_format, tickangle=0) | more


def dataset_axis(labels: list[str], **more: Any) -> dict[str, Any]:
    """A vertical axis with one dataset in each row, the first on top.

    Args:
        labels: of the datasets, by :func:`label`.
        **more: of Plotly's axis, added to it.
    """
    n = len(labels)
    ticks = {"tickmode": "array", "tickvals": list(range(n)), "ticktext": labels}
    return axis(range=[n - 0.5, -0.5], showgrid=False, ticks="", ticklabelstandoff=6, **ticks, **more)


def ranking_plot(table: DistanceTable, target: str, method: str) -> Plot:
    """A dot with its interval for every source, nearest on top; shared ranks lie on one band.

    Args:
        table: distances to the target by the method.
        target: name of a target.
        method: name of a method.
    """
    rows = by_distance(table, target, method)
    first = [row.rank == 1 for row in rows]
    colors = ["var(--accent)" if nearest else "var(--neutral)" for nearest in first]
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [row.low, row.high],
            "y": [place, place],
            "line": {"color": color, "width": 2},
            "hoverinfo": "skip",
        }
        for place, (row, color) in enumerate(zip(rows, colors, strict=True))
        if row.low is not None and row.high is not None
    ]
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": [row.distance for row in rows],
            "y": list(range(len(rows))),
            "marker": {"color": colors, "size": 9, "line": {"color": "var(--surface)", "width": 1.5}},
            "hoverinfo": "text",
            "hovertext": [_hover(row) for row in rows],
        }
    )
    shapes: list[dict[str, Any]] = [
        {
            "type": "rect",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": start - 0.44,
            "y1": end + 0.44,
            "fillcolor": "var(--band)",
            "line": {"width": 0},
            "layer": "below",
        }
        for start, end in _groups(rows)
    ]
    floor = rows[0].noise_floor
    if floor is not None:
        line = {"color": "var(--ink-soft)", "width": 1.2, "dash": "dot"}
        shapes.append({"type": "line", "x0": floor, "x1": floor, "yref": "paper", "y0": 0, "y1": 1, "line": line})
    labels = [f"{rank_of(row)}  {label(row.source)}" for row in rows]
    said = "; ".join(f"{rank_of(row)} {row.source} at {_with_interval(row)}" for row in rows)
    floor_said = "" if floor is None else f" Noise floor {amount(floor)}."
    return Plot(
        data,
        layout(
            ROW_HEIGHT * len(rows) + FRAME_HEIGHT,
            shapes=shapes,
            xaxis=amount_axis([row.distance if row.high is None else row.high for row in rows]),
            yaxis=dataset_axis(labels),
        ),
        f"Sources by their distance to {target}, method {method}, nearest first: {said}.{floor_said}",
        method,
    )


def terms_plot(table: DistanceTable, target: str, method: str) -> Plot:
    """Each distance as the bar of its two terms, nearest on top.

    Args:
        table: distances to the target by the method.
        target: name of a target.
        method: name of a method.
    """
    rows = by_distance(table, target, method)
    places = list(range(len(rows)))
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "x": [getattr(row, term) for row in rows],
            "y": places,
            "width": 0.68,
            "marker": {"color": color, "line": {"width": 0}},
            "hoverinfo": "text",
            "hovertext": [
                f"{label(row.source, None)}<br>{said} {amount(getattr(row, term))} of {amount(row.distance)}"
                for row in rows
            ],
        }
        for term, color, said in (("image_term", "var(--accent)", "images"), ("mask_term", "var(--second)", "masks"))
    ]
    said = "; ".join(f"{row.source} {amount(row.image_term)} and {amount(row.mask_term)}" for row in rows)
    return Plot(
        data,
        layout(
            ROW_HEIGHT * len(rows) + FRAME_HEIGHT,
            barmode="stack",
            xaxis=amount_axis([row.distance for row in rows]),
            yaxis=dataset_axis([label(row.source) for row in rows]),
        ),
        f"Image term and mask term of the distances to {target}, method {method}: {said}.",
        method,
    )


def _hover(row: DistanceRow) -> str:
    shared = ", shared" if row.tied else ""
    return f"{label(row.source, None)}<br>rank {row.rank}{shared}<br>{_with_interval(row)}"


def _with_interval(row: DistanceRow) -> str:
    if row.low is None or row.high is None:
        return amount(row.distance)
    return f"{amount(row.distance)} ({amount(row.low)} to {amount(row.high)})"


def _groups(rows: list[DistanceRow]) -> list[tuple[int, int]]:
    """First and last place of the sources that share a rank, for every rank that is shared."""
    places: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        if row.tied:
            places.setdefault(row.rank, []).append(place)
    return [(min(found), max(found)) for found in places.values() if len(found) > 1]
