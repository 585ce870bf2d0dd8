"""Figures of distances as Plotly describes them: plain dictionaries, whose colors are the page's CSS variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from medsegdist.distance.table import DistanceRow, DistanceTable
from medsegdist.report.verdict import amount, rank_of
from medsegdist.words import counted, printable

LONGEST_LABEL = 22
"""Characters of a name at an axis; the whole name is in the table and under the pointer."""

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
    caption: str = ""


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


def scatter(
    mode: str, x: Sequence[Any], y: Sequence[Any], hover: str | Sequence[str] | None = None, **more: Any
) -> dict[str, Any]:
    """A trace of points or lines.

    Args:
        mode: markers, lines or text.
        x: coordinates, one for each point.
        y: the same.
        hover: what is shown under the pointer; None shows nothing.
        **more: of Plotly's trace, added to it.
    """
    said = {"hoverinfo": "skip"} if hover is None else {"hoverinfo": "text", "hovertext": hover}
    return {"type": "scatter", "mode": mode, "x": x, "y": y, **more, **said}


def vertical_line(place: float, **line: Any) -> dict[str, Any]:
    """A line over the whole height of a figure.

    Args:
        place: on the horizontal axis.
        **line: of Plotly's line.
    """
    return {"type": "line", "x0": place, "x1": place, "yref": "paper", "y0": 0, "y1": 1, "line": line}


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
    rows = table.ranking(target, method)
    first = [row.rank == 1 for row in rows]
    colors = ["var(--accent)" if nearest else "var(--neutral)" for nearest in first]
    data: list[dict[str, Any]] = [
        scatter("lines", [row.low, row.high], [place, place], line={"color": color, "width": 2})
        for place, (row, color) in enumerate(zip(rows, colors, strict=True))
        if row.low is not None and row.high is not None
    ]
    marker = {"color": colors, "size": 9, "line": {"color": "var(--surface)", "width": 1.5}}
    hover, places = [_hover(row) for row in rows], list(range(len(rows)))
    data.append(scatter("markers", [row.distance for row in rows], places, hover, marker=marker))
    shared: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        if row.tied:
            shared.setdefault(row.rank, []).append(place)
    band = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "line": {"width": 0}, "layer": "below"}
    shapes: list[dict[str, Any]] = [
        {**band, "y0": group[0] - 0.44, "y1": group[-1] + 0.44, "fillcolor": "var(--band)"} for group in shared.values()
    ]
    floor = rows[0].noise_floor
    if floor is not None:
        shapes.append(vertical_line(floor, color="var(--ink-soft)", width=1.2, dash="dot"))
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
    rows = table.ranking(target, method)
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


SCALE = [[0.0, "var(--scale-near)"], [0.4, "var(--scale-middle)"], [1.0, "var(--scale-far)"]]

MOST_WRITTEN = 5
"""Columns of a matrix at most whose cells hold their numbers."""


def matrix_plot(table: DistanceTable, method: str) -> Plot:
    """All distances of a method; where all pairs are there, datasets that are near each other lie side by side."""
    matrix = clustered(table.matrix(method))
    rows, columns = ([label(str(name)) for name in names] for names in (matrix.index, matrix.columns))
    written = matrix.map(lambda value: "" if pd.isna(value) else amount(value))
    hover = [
        [
            said and f"{label(str(source), None)}<br>to {label(str(target), None)}<br>{said}"
            for target, said in cells.items()
        ]
        for source, cells in written.iterrows()
    ]
    n = len(columns)
    heat: dict[str, Any] = {
        "type": "heatmap",
        "z": [[None if pd.isna(value) else value for value in row] for row in matrix.to_numpy().tolist()],
        "text": written.to_numpy().tolist(),
        # Plotly writes light on dark cells, and dark on light ones.
        "texttemplate": "%{text}" if n <= MOST_WRITTEN else "",
        "textfont": {"size": 11},
        "colorscale": SCALE,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hoverinfo": "text",
        "hovertext": hover,
        "hoverongaps": False,
    }
    ticktext, tickangle = ([one.replace(" ", "<br>") for one in columns], 0) if n <= 3 else (columns, -45)
    ticks = {"tickmode": "array", "tickvals": list(range(n)), "ticktext": ticktext, "tickangle": tickangle}
    low, high = float(np.nanmin(matrix)), float(np.nanmax(matrix))
    return Plot(
        [heat],
        layout(
            ROW_HEIGHT * len(rows) + 90,
            xaxis=axis(showgrid=False, ticks="", side="bottom", **ticks),
            yaxis=dataset_axis(rows),
        ),
        f"Distances by {method} between {counted(len(rows), 'source')} and {counted(n, 'target')}, from {amount(low)} "
        f"to {amount(high)}; the numbers are in the table below.",
        method,
    )


def clustered(matrix: pd.DataFrame) -> pd.DataFrame:
    """A symmetric matrix in the order of a hierarchical clustering; any other one as it is."""
    names = list(matrix.columns)
    if set(matrix.index) != set(names) or len(names) < 3:
        return matrix
    square = matrix.loc[names, names].to_numpy(copy=True)
    np.fill_diagonal(square, 0.0)
    if not np.isfinite(square).all() or not np.allclose(square, square.T, rtol=1e-6) or (square < 0).any():
        return matrix
    condensed = squareform((square + square.T) / 2, checks=False)
    order = leaves_list(optimal_leaf_ordering(linkage(condensed, "average"), condensed))
    ordered = [names[k] for k in order]
    return matrix.loc[ordered, ordered]
