"""Figures of distances and mixtures as Plotly describes them; their colors are the page's CSS variables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from medsegdist.distance.mixture.gaussian import squared_bures_wasserstein
from medsegdist.distance.order import DistanceRow, Recommendation
from medsegdist.distance.table import DistanceTable
from medsegdist.distance.transport import solve_transport
from medsegdist.report.record import DatasetRecord, MixtureNumbers
from medsegdist.report.verdict import amount, rank_of
from medsegdist.words import counted, printable

if TYPE_CHECKING:
    from medsegdist.report.results import Results

LONGEST_LABEL = 22  # characters of a name at an axis; the whole name is in the table and under the pointer
ROW_HEIGHT = 25  # pixels for each dataset


@dataclass(frozen=True, slots=True)
class Plot:
    """One figure."""

    data: list[dict[str, Any]]  # traces
    layout: dict[str, Any]  # without what all figures have in common, which the page's script adds
    alt: str  # what the figure says, in words
    caption: str = ""  # its heading
    note: str = ""  # below it


def label(name: str, longest: int | None = LONGEST_LABEL) -> str:
    """A name, cut to its longest, as Plotly shows it as it is: Plotly takes some HTML in any text for markup."""
    plain = printable(" ".join(name.split()))
    if longest is not None and len(plain) > longest:
        plain = f"{plain[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"
    return escape(plain, quote=False)


def scatter(
    mode: str, x: Sequence[Any], y: Sequence[Any], hover: str | Sequence[str] | None = None, **more: Any
) -> dict[str, Any]:
    """A trace of markers, lines or text at x and y, with `hover` under the pointer and `more` of Plotly's trace."""
    said = {"hoverinfo": "skip"} if hover is None else {"hoverinfo": "text", "hovertext": hover}
    return {"type": "scatter", "mode": mode, "x": x, "y": y, **more, **said}


def vertical_line(place: float, **line: Any) -> dict[str, Any]:
    """A `line` of Plotly's over the whole height of a figure, at a place on the horizontal axis."""
    return {"type": "line", "x0": place, "x1": place, "yref": "paper", "y0": 0, "y1": 1, "line": line}


def titled(text: str, **more: Any) -> dict[str, Any]:
    """An axis with a title and few ticks."""
    return {"nticks": 6, "title": {"text": text, "standoff": 6}, **more}


def amount_axis(amounts: Sequence[float]) -> dict[str, Any]:
    """An axis from 0 that shows these distances."""
    # "s" writes 15k, but 0.5 as 500m.
    most = max(amounts)
    return {"range": [0, 1.05 * most or 1], "nticks": 5, "tickformat": "~s" if most >= 10 else "~r", "tickangle": 0}


def in_rows(labels: Sequence[str], xaxis: dict[str, Any], frame: int = 62, **more: Any) -> dict[str, Any]:
    """A layout with one dataset in each row, the first on top, and a `frame` of some pixels."""
    n = len(labels)
    ticks = {"tickmode": "array", "tickvals": list(range(n)), "ticktext": labels, "ticks": "", "ticklabelstandoff": 6}
    axis = {"range": [n - 0.5, -0.5], "showgrid": False, **ticks}
    return {"height": ROW_HEIGHT * n + frame, "xaxis": xaxis, "yaxis": axis, **more}


def ranking_plot(table: DistanceTable, target: str, method: str) -> Plot:
    """A dot with its interval for every source, in the recommended order; shared ranks lie on one band."""
    found = _in_order(table, target, method)
    rows = [row for row, _ in found]
    colors = ["var(--accent)" if one.rank == 1 else "var(--neutral)" for _, one in found]
    data: list[dict[str, Any]] = [
        scatter("lines", [row.low, row.high], [place, place], line={"color": color, "width": 2})
        for place, (row, color) in enumerate(zip(rows, colors, strict=True))
        if row.low is not None and row.high is not None
    ]
    marker = {"color": colors, "size": 9, "line": {"color": "var(--surface)", "width": 1.5}}
    hover = [f"{label(row.source, None)}<br>{_with_interval(row)}" for row in rows]
    data.append(scatter("markers", [row.distance for row in rows], list(range(len(rows))), hover, marker=marker))
    shared: dict[int, list[int]] = {}
    for place, (_, one) in enumerate(found):
        if one.tied:
            shared.setdefault(one.rank, []).append(place)
    band = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "line": {"width": 0}, "layer": "below"}
    shapes: list[dict[str, Any]] = [
        {**band, "y0": group[0] - 0.44, "y1": group[-1] + 0.44, "fillcolor": "var(--band)"} for group in shared.values()
    ]
    floor = rows[0].noise_floor
    if floor is not None:
        shapes.append(vertical_line(floor, color="var(--ink-soft)", width=1.2, dash="dot"))
    said = "; ".join(f"{rank_of(one)} {row.source} at {_with_interval(row)}" for row, one in found)
    floor_said = "" if floor is None else f" Noise floor {amount(floor)}."
    return Plot(
        data,
        in_rows(
            [f"{rank_of(one)}  {label(row.source)}" for row, one in found],
            amount_axis([row.distance if row.high is None else row.high for row in rows]),
            shapes=shapes,
        ),
        f"Distances of the sources to {target}, method {method}, in the recommended order: {said}.{floor_said}",
        method,
    )


def _in_order(table: DistanceTable, target: str, method: str) -> list[tuple[DistanceRow, Recommendation]]:
    rows = {row.source: row for row in table.ranking(target, method)}
    return [(rows[one.source], one) for one in table.recommended(target) if one.source in rows]


def terms_plot(table: DistanceTable, target: str, method: str) -> Plot:
    """Each distance as the bar of its two terms, in the recommended order."""
    rows = [row for row, _ in _in_order(table, target, method)]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "x": [getattr(row, term) for row in rows],
            "y": list(range(len(rows))),
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
    axis = amount_axis([row.distance for row in rows])
    return Plot(
        data,
        in_rows([label(row.source) for row in rows], axis, barmode="stack"),
        f"Image term and mask term of the distances to {target}, method {method}: {said}.",
        method,
    )


def _with_interval(row: DistanceRow) -> str:
    if row.low is None or row.high is None:
        return amount(row.distance)
    return f"{amount(row.distance)} ({amount(row.low)} to {amount(row.high)})"


SCALE = [[0.0, "var(--scale-near)"], [0.4, "var(--scale-middle)"], [1.0, "var(--scale-far)"]]

MOST_WRITTEN = 5  # columns of a matrix at most whose cells hold their numbers


def matrix_plot(table: DistanceTable, method: str) -> Plot:
    """All distances of a method: a row per source, a column per target."""
    matrix = table.matrix(method)
    rows, columns = ([label(str(name)) for name in names] for names in (matrix.index, matrix.columns))
    written = matrix.map(lambda value: "" if pd.isna(value) else amount(value))
    hover = [
        [said and f"{label(str(source), None)}<br>to {label(target, None)}<br>{said}" for target, said in cells.items()]
        for source, cells in written.T.to_dict().items()
    ]
    n, low, high = len(columns), float(np.nanmin(matrix)), float(np.nanmax(matrix))
    heat: dict[str, Any] = {
        "type": "heatmap",
        "z": [[None if pd.isna(value) else value for value in row] for row in matrix.to_numpy().tolist()],
        # From 0, so that distances that are nearly equal look so.
        "zmin": 0,
        "zmax": high or 1.0,
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
    return Plot(
        [heat],
        in_rows(rows, {"showgrid": False, "ticks": "", "side": "bottom", **ticks}, frame=90),
        f"Distances by {method} between {counted(len(rows), 'source')} and {counted(n, 'target')}, from {amount(low)} "
        f"to {amount(high)}; the numbers are in the table below.",
        method,
    )


GRID_HEIGHT = 260
MASS_SCALE = [[0.0, "var(--surface)"], [0.5, "var(--scale-middle)"], [1.0, "var(--scale-near)"]]


def segment_plot(dataset: DatasetRecord) -> Plot:
    """Where the segments of a dataset lie, with the ellipses of its mixture (Fig. 6, 7)."""
    histogram = dataset.histogram
    rows, columns = histogram.extent
    data: list[dict[str, Any]] = []
    said = " No cell of it may be shown."
    if histogram.mass is not None:
        shape = len(histogram.mass), len(histogram.mass[0])
        data.append(
            {
                "type": "heatmap",
                "z": [[value**0.5 for value in row] for row in histogram.mass],
                "x0": columns / shape[1] / 2 - 0.5,
                "dx": columns / shape[1],
                "y0": rows / shape[0] / 2 - 0.5,
                "dy": rows / shape[0],
                "colorscale": MASS_SCALE,
                "showscale": False,
                "hoverinfo": "skip",
            }
        )
        said = ""
    if dataset.mixture is not None:
        data += _ellipses(dataset.mixture, "var(--second)", dataset.name)
        parts = [
            f"{weight:.0%} around row {mean[0]:.0f}, column {mean[1]:.0f}"
            for weight, mean in zip(dataset.mixture.weights, dataset.mixture.means, strict=True)
        ]
        said += f" The mixture has {counted(len(parts), 'Gaussian')}: {'; '.join(parts)}."
    alt = f"Where the segments of {dataset.name} lie on the grid of {rows} by {columns} pixels.{said}"
    return Plot(data, _plane((rows, columns)), alt, dataset.name)


def match_plot(source: DatasetRecord, target: DatasetRecord) -> Plot | None:
    """The mixtures of a target and its nearest source; lines as wide as the mass that goes along them (Fig. 8).

    None if one of the mixtures is not known.
    """
    if source.mixture is None or target.mixture is None:
        return None
    lines, distance = match(source.mixture, target.mixture)
    data, parts = [], []
    for i, j, mass in lines:
        (row, column), (to_row, to_column) = source.mixture.means[i], target.mixture.means[j]
        line = {"color": "var(--neutral)", "width": 1 + 16 * mass}
        data.append(scatter("lines", [column, to_column], [row, to_row], line=line))
        parts.append(f"{mass:.0%} from row {row:.0f}, column {column:.0f} to row {to_row:.0f}, column {to_column:.0f}")
    data += _ellipses(source.mixture, "var(--second)", source.name)
    data += _ellipses(target.mixture, "var(--accent)", target.name, dash="dash")
    alt = f"Mass moved from the mixture of {source.name} to that of {target.name}: {'; '.join(parts)}."
    layout, title = _plane(target.histogram.extent, height=360), f"{source.name} to {target.name}"
    return Plot(data, layout, alt, title, f"{title}: MW2 = {distance:.1f} pixels.")


def _ellipses(mixture: MixtureNumbers, color: str, name: str, dash: str = "solid") -> list[dict[str, Any]]:
    found = []
    for k, weight in enumerate(mixture.weights):
        line = ellipse(mixture, k)
        row, column = mixture.means[k]
        x, y = line[:, 1].round(3).tolist(), line[:, 0].round(3).tolist()
        hover = f"{label(name, None)}: {weight:.0%} of the mass<br>row {row:.0f}, column {column:.0f}"
        stroke = {"color": color, "width": 1.8, "dash": dash}
        found.append(scatter("lines", x, y, hover, line=stroke, hoveron="points"))
    return found


def _plane(extent: tuple[int, int], height: int = GRID_HEIGHT) -> dict[str, Any]:
    rows, columns = extent
    frame = {"showgrid": False, "nticks": 4, "showline": True, "mirror": True, "constrain": "domain"}
    return {
        "height": height,
        "xaxis": {"range": [-0.5, columns - 0.5], **frame},
        "yaxis": {"range": [rows - 0.5, -0.5], "scaleanchor": "x", "scaleratio": 1, **frame},
        "margin": {"l": 4, "r": 8, "t": 6, "b": 26},
    }


FAINTEST = 0.005  # lines for less mass than this are left out


def ellipse(mixture: MixtureNumbers, k: int) -> np.ndarray:
    """A closed line two standard deviations around the mean of component k, (49, 2) of (row, column)."""
    values, vectors = np.linalg.eigh(np.array(mixture.covariances[k]))
    angles = np.linspace(0, 2 * np.pi, 49)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    axes = vectors * (2 * np.sqrt(values.clip(min=0)))
    return np.asarray(np.array(mixture.means[k]) + (axes @ circle).T)


def match(source: MixtureNumbers, target: MixtureNumbers) -> tuple[list[tuple[int, int, float]], float]:
    """The coupling that MW2 is made of, as (i, j, mass) from Gaussian i to j, the most mass first; and MW2."""
    one, other = source.mixture, target.mixture
    cost = squared_bures_wasserstein(one.means, one.covariances, other.means, other.covariances)
    transport = solve_transport(cost, one.weights, other.weights)
    masses = enumerate(transport.plan.tolist())
    lines = [(i, j, mass) for i, row in masses for j, mass in enumerate(row) if mass >= FAINTEST]
    return sorted(lines, key=lambda line: -line[2]), max(transport.value, 0.0) ** 0.5


def match_plots(run: Results) -> Iterator[Plot]:
    """The mixtures of each target of the study and of its nearest source by `gmm2d`."""
    if run.record is None:
        return
    compared = {row.target for row in run.table.rows if row.method == "gmm2d"}
    for name in run.record.targets:
        target = run.record.dataset(name) if name in compared else None
        source = run.record.dataset(run.table.ranking(name, "gmm2d")[0].source) if target else None
        if source and target and (plot := match_plot(source, target)):
            yield plot
