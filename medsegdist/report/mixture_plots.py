"""Figures of segments and mixtures (the paper's Fig. 6 to 8) and of gains (Fig. 9 to 13), as Plotly describes them."""

from __future__ import annotations

from typing import Any

from medsegdist.report.mixtures import MatchedMixtures, ellipse
from medsegdist.report.plots import Plot, amount_axis, axis, label, layout
from medsegdist.report.record import DatasetRecord, PlaneMixture, StudyRecord
from medsegdist.report.regression import Regression
from medsegdist.report.tables import amount
from medsegdist.transfer.gains import TransferPair

GRID_HEIGHT = 260
COLORS = ("var(--accent)", "var(--second)", "var(--third)")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star", "triangle-down", "cross", "hexagon")
"""Of targets: nine of them look different, and neighbors by color and by shape."""

MASS_SCALE = [[0.0, "var(--surface)"], [0.5, "var(--scale-middle)"], [1.0, "var(--scale-near)"]]


def segment_plot(dataset: DatasetRecord) -> Plot:
    """Where the segments of a dataset lie, with the ellipses of its mixture (Fig. 6, 7)."""
    histogram = dataset.histogram
    rows, columns = histogram.extent
    data: list[dict[str, Any]] = []
    said = " No cell of it may be told of."
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
        said += f" The mixture has {len(parts)} Gaussians: {'; '.join(parts)}."
    alt = f"Where the segments of {dataset.name} lie on the grid of {rows} by {columns} pixels.{said}"
    return Plot(data, _plane((rows, columns)), alt, dataset.name)


def match_plot(record: StudyRecord, matched: MatchedMixtures) -> Plot:
    """The mixtures of a target and its nearest source; lines as wide as the mass that goes along them (Fig. 8)."""
    source, target = record.dataset(matched.source), record.dataset(matched.target)
    assert source is not None  # both are known, or they had not been matched
    assert target is not None
    assert source.mixture is not None
    assert target.mixture is not None
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [source.mixture.means[i][1], target.mixture.means[j][1]],
            "y": [source.mixture.means[i][0], target.mixture.means[j][0]],
            "line": {"color": "var(--neutral)", "width": 1 + 16 * mass},
            "hoverinfo": "skip",
        }
        for i, j, mass in matched.lines
    ]
    data += _ellipses(source.mixture, "var(--second)", source.name)
    data += _ellipses(target.mixture, "var(--accent)", target.name, dash="dash")
    said = "; ".join(
        f"{mass:.0%} from row {source.mixture.means[i][0]:.0f}, column {source.mixture.means[i][1]:.0f} "
        f"to row {target.mixture.means[j][0]:.0f}, column {target.mixture.means[j][1]:.0f}"
        for i, j, mass in matched.lines
    )
    alt = f"Mass moved from the mixture of {source.name} to that of {target.name}: {said}."
    return Plot(data, _plane(target.histogram.extent, height=360), alt, f"{source.name} to {target.name}")


def gain_plot(method: str, points: list[TransferPair], regression: Regression | None) -> Plot:
    """Gain against distance, with the line and its 95% band (Fig. 9 to 13)."""
    data: list[dict[str, Any]] = []
    if regression is not None:
        places, centers, low, high = (list(values) for values in zip(*regression.line, strict=True))
        band = {"x": places + places[::-1], "y": low + high[::-1], "fill": "toself", "fillcolor": "var(--band)"}
        quiet = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "showlegend": False}
        data.append({**quiet, **band, "line": {"width": 0}})
        data.append({**quiet, "x": places, "y": centers, "line": {"color": "var(--ink-soft)", "width": 1.5}})
    for k, target in enumerate(dict.fromkeys(point.target for point in points)):
        symbol, color = SYMBOLS[k % len(SYMBOLS)], COLORS[k % len(COLORS)]
        of_target = [point for point in points if point.target == target]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": label(target),
                "showlegend": True,
                "x": [point.distance for point in of_target],
                "y": [point.gain for point in of_target],
                "marker": {
                    "symbol": symbol,
                    "color": color,
                    "size": 9,
                    "line": {"color": "var(--surface)", "width": 1},
                },
                "hoverinfo": "text",
                "hovertext": [
                    f"{label(point.source, None)}<br>to {label(point.target, None)}<br>"
                    f"distance {amount(point.distance)}, gain {point.gain:.1f}%"
                    for point in of_target
                ],
            }
        )
    fitted = ""
    if regression is not None:
        fitted = (
            f" Line: slope {regression.slope:.3g}% per unit, R2 {regression.r_squared:.2f}, p {regression.p_slope:.2g}."
        )
    said = "; ".join(f"{p.source} to {p.target}: distance {amount(p.distance)}, gain {p.gain:.1f}%" for p in points)
    distance = {"text": "distance", "standoff": 6}
    zero = {"zeroline": True, "zerolinecolor": "var(--line-strong)"}
    return Plot(
        data,
        layout(
            max(320, 260 + 20 * len({point.target for point in points})),
            showlegend=True,
            legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False},
            xaxis=amount_axis([point.distance for point in points], title=distance, range=None),
            yaxis=axis(nticks=6, title={"text": "gain (%)", "standoff": 6}, **zero),
            margin={"l": 4, "r": 14, "t": 30, "b": 40},
        ),
        f"Gain of transfer learning against distance by {method}.{fitted} {said}.",
        method,
    )


def _ellipses(mixture: PlaneMixture, color: str, name: str, dash: str = "solid") -> list[dict[str, Any]]:
    found = []
    for k, weight in enumerate(mixture.weights):
        line = ellipse(mixture, k)
        row, column = mixture.means[k]
        found.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": line[:, 1].round(3).tolist(),
                "y": line[:, 0].round(3).tolist(),
                "line": {"color": color, "width": 1.8, "dash": dash},
                "hoveron": "points",
                "hoverinfo": "text",
                "hovertext": f"{label(name, None)}: {weight:.0%} of the mass<br>row {row:.0f}, column {column:.0f}",
            }
        )
    return found


def _plane(extent: tuple[int, int], height: int = GRID_HEIGHT) -> dict[str, Any]:
    rows, columns = extent
    frame: dict[str, Any] = {"showgrid": False, "nticks": 4, "showline": True, "mirror": True, "constrain": "domain"}
    return layout(
        height,
        xaxis=axis(range=[-0.5, columns - 0.5], **frame),
        yaxis=axis(range=[rows - 0.5, -0.5], scaleanchor="x", scaleratio=1, **frame),
        margin={"l": 4, "r": 8, "t": 6, "b": 26},
    )
