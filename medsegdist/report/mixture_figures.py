"""Figures of segments and of matched mixtures (the paper's Fig. 6 to 8), as Plotly describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medsegdist.distance.mixture.gaussian import squared_bures_wasserstein
from medsegdist.distance.transport import solve_transport
from medsegdist.report.figures import Plot, axis, label, layout, scatter
from medsegdist.report.record import DatasetRecord, MixtureNumbers

if TYPE_CHECKING:
    from medsegdist.report.results import Results

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
        said += f" The mixture has {len(parts)} Gaussians: {'; '.join(parts)}."
    alt = f"Where the segments of {dataset.name} lie on the grid of {rows} by {columns} pixels.{said}"
    return Plot(data, _plane((rows, columns)), alt, dataset.name)


def match_plot(matched: MatchedMixtures) -> Plot:
    """The mixtures of a target and its nearest source; lines as wide as the mass that goes along them (Fig. 8)."""
    source, target = matched.source, matched.target
    ours, theirs = source.mixture, target.mixture
    assert ours is not None  # or they had not been matched
    assert theirs is not None
    data = [
        scatter(
            "lines",
            [ours.means[i][1], theirs.means[j][1]],
            [ours.means[i][0], theirs.means[j][0]],
            line={"color": "var(--neutral)", "width": 1 + 16 * mass},
        )
        for i, j, mass in matched.lines
    ]
    data += _ellipses(ours, "var(--second)", source.name)
    data += _ellipses(theirs, "var(--accent)", target.name, dash="dash")
    said = "; ".join(
        f"{mass:.0%} from row {ours.means[i][0]:.0f}, column {ours.means[i][1]:.0f} "
        f"to row {theirs.means[j][0]:.0f}, column {theirs.means[j][1]:.0f}"
        for i, j, mass in matched.lines
    )
    alt = f"Mass moved from the mixture of {source.name} to that of {target.name}: {said}."
    return Plot(data, _plane(target.histogram.extent, height=360), alt, f"{source.name} to {target.name}")


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
    frame: dict[str, Any] = {"showgrid": False, "nticks": 4, "showline": True, "mirror": True, "constrain": "domain"}
    return layout(
        height,
        xaxis=axis(range=[-0.5, columns - 0.5], **frame),
        yaxis=axis(range=[rows - 0.5, -0.5], scaleanchor="x", scaleratio=1, **frame),
        margin={"l": 4, "r": 8, "t": 6, "b": 26},
    )


FAINTEST = 0.005
"""Lines for less mass than this are left out."""


@dataclass(frozen=True, slots=True)
class MatchedMixtures:
    """A target's mixture and its nearest source's, with the coupling that MW2 is made of (the paper's Fig. 8).

    Args:
        source: the source.
        target: the target.
        lines: (i, j, mass) for Gaussian i of the source that goes to Gaussian j of the target, the most mass first.
        distance: MW2 in pixels.
    """

    source: DatasetRecord
    target: DatasetRecord
    lines: tuple[tuple[int, int, float], ...]
    distance: float


def ellipse(mixture: MixtureNumbers, k: int, *, deviations: float = 2.0, points: int = 49) -> np.ndarray:
    """A closed line around component k, (points, 2) of (row, column).

    Args:
        mixture: in pixels.
        k: number of the component.
        deviations: how many standard deviations it is away from the mean.
        points: how many the line has.
    """
    values, vectors = np.linalg.eigh(np.array(mixture.covariances[k]))
    angles = np.linspace(0, 2 * np.pi, points)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    axes = vectors * (deviations * np.sqrt(values.clip(min=0)))
    return np.asarray(np.array(mixture.means[k]) + (axes @ circle).T)


def match(source: DatasetRecord, target: DatasetRecord) -> MatchedMixtures | None:
    """Two mixtures, matched; None if one of them is not known."""
    if source.mixture is None or target.mixture is None:
        return None
    one, other = source.mixture.mixture, target.mixture.mixture
    cost = squared_bures_wasserstein(one.means, one.covariances, other.means, other.covariances)
    transport = solve_transport(cost, one.weights, other.weights)
    masses = transport.plan.tolist()
    lines = [(i, j, mass) for i, row in enumerate(masses) for j, mass in enumerate(row) if mass >= FAINTEST]
    lines.sort(key=lambda line: -line[2])
    return MatchedMixtures(source, target, tuple(lines), max(transport.value, 0.0) ** 0.5)


def matched_mixtures(run: Results) -> list[MatchedMixtures]:
    """Each target of the study with its nearest source by `gmm2d`."""
    record = run.record
    if record is None:
        return []
    compared = {row.target for row in run.table.rows if row.method == "gmm2d"}
    nearest = [(run.table.ranking(name, "gmm2d")[0].source, name) for name in record.targets if name in compared]
    pairs = [tuple(map(record.dataset, names)) for names in nearest]
    found = [match(source, target) for source, target in pairs if source is not None and target is not None]
    return [one for one in found if one is not None]
