"""The figure of all distances of a method, as Plotly describes it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from medsegdist.distance.table import DistanceTable
from medsegdist.report.plots import ROW_HEIGHT, Plot, axis, dataset_axis, label, layout
from medsegdist.report.tables import amount
from medsegdist.words import counted

MIDDLE = 0.4
"""Where in a color scale text changes its color."""

SCALE = [[0.0, "var(--scale-near)"], [MIDDLE, "var(--scale-middle)"], [1.0, "var(--scale-far)"]]

MOST_WRITTEN = 5
"""Columns of a matrix at most whose cells hold their numbers."""


def matrix_plot(table: DistanceTable, method: str) -> Plot:
    """All distances of a method; where all pairs are there, datasets that are near each other lie side by side."""
    matrix = clustered(table.matrix(method))
    rows, columns = ([label(str(name)) for name in names] for names in (matrix.index, matrix.columns))
    values = [[None if pd.isna(value) else float(value) for value in row] for row in matrix.to_numpy()]
    hover = [
        [
            "" if value is None else f"{label(str(s), None)}<br>to {label(str(t), None)}<br>{amount(value)}"
            for t, value in zip(matrix.columns, row, strict=True)
        ]
        for s, row in zip(matrix.index, values, strict=True)
    ]
    found = [value for row in values for value in row if value is not None]
    low, high = min(found), max(found)
    written = compact(found)
    data: list[dict[str, Any]] = [
        {
            "type": "heatmap",
            "z": values,
            "colorscale": SCALE,
            "showscale": False,
            "xgap": 1,
            "ygap": 1,
            "hoverinfo": "text",
            "hovertext": hover,
            "hoverongaps": False,
        }
    ]
    for near, color in ((True, "var(--on-near)"), (False, "var(--on-far)")) if len(columns) <= MOST_WRITTEN else ():
        cells = [
            (i, j, value)
            for i, row in enumerate(values)
            for j, value in enumerate(row)
            if value is not None and (value - low <= MIDDLE * (high - low)) == near
        ]
        data.append(
            {
                "type": "scatter",
                "mode": "text",
                "x": [j for _, j, _ in cells],
                "y": [i for i, _, _ in cells],
                "text": [written[value] for _, _, value in cells],
                "textfont": {"size": 11, "color": color},
                "hoverinfo": "skip",
            }
        )
    n = len(columns)
    ticks = {"tickmode": "array", "tickvals": list(range(n)), "ticktext": columns, "tickangle": -45 if n > 3 else 0}
    wrapped = {**ticks, "ticktext": [one.replace(" ", "<br>") for one in columns]} if n <= 3 else ticks
    return Plot(
        data,
        layout(
            ROW_HEIGHT * len(rows) + 90,
            xaxis=axis(showgrid=False, ticks="", side="bottom", **wrapped),
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


def compact(values: Iterable[float]) -> dict[float, str]:
    """Short labels of numbers in one unit and with as many decimals for all: 12.4k beside 9.0k.

    The largest has three digits; there are up to two decimals more where the smallest would read 0.

    Args:
        values: finite numbers.
    """
    found = list(values)
    most = max(map(abs, found), default=0.0)
    scale, unit = next(((limit, unit) for limit, unit in ((1e6, "M"), (1e3, "k")) if most >= limit), (1.0, ""))
    least = min((abs(value) for value in found if value), default=scale) / scale
    decimals = 0 if most == 0 else max(0, 2 - math.floor(math.log10(most / scale)))
    decimals = next((n for n in range(decimals, decimals + 2) if least >= 0.5 * 10**-n), decimals + 2)
    return {value: f"{value / scale:.{decimals}f}{unit}" for value in found}
