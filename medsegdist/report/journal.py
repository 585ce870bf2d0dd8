"""The paper's figures of a run, one file each, in the width of a journal's column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from medsegdist.data.problems import printable
from medsegdist.distance.distance_table import DistanceRow
from medsegdist.errors import MissingDependencyError
from medsegdist.files import atomic_write
from medsegdist.report.file_names import Label, file_names
from medsegdist.report.matrix_plot import clustered, compact
from medsegdist.report.mixtures import MatchedMixtures, ellipse, matched_mixtures
from medsegdist.report.record import DatasetRecord, PlaneMixture, StudyRecord
from medsegdist.report.regression import gain_points, regress
from medsegdist.report.run import Run
from medsegdist.report.tables import NAMES, by_distance, methods_of, rank_of
from medsegdist.transfer.pairs import TransferPair

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 3.5
"""Inches of a column."""

MARGIN = 0.1
"""Inches that stay free at either side: SVG leaves text to the viewer's font, which may be wider than that measured."""

CELLS_WIDTH = 2.3
"""Inches of a column that the cells of a matrix have, beside the names of its rows."""

BLUE, ORANGE, GREEN, GRAY = "#0072b2", "#d55e00", "#009e73", "#7f7f7f"
"""Of the palette of Okabe and Ito, which color-blind readers can tell apart."""

MARKERS = "oDs^X*vPh"
"""Of targets: nine of them look different."""

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "none",
    "svg.hashsalt": "medsegdist",  # the same figure is the same file
    "text.parse_math": False,  # names are no formulas
}

_Drawing = tuple[Label, float, Callable[["Axes"], None]]


def write_figures(run: Run, directory: str | Path, file_format: Literal["svg", "pdf", "png"]) -> list[Path]:
    """Writes every figure that the run has data for; their names say what they show.

    Args:
        run: what they are of.
        directory: where they will be.
        file_format: of the files.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise MissingDependencyError(
            "expected matplotlib for figures, found none; install it: pip install 'medsegdist[figures]'."
        ) from error
    undated: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    written = []
    drawings = list(_drawings(run))
    names = file_names(label for label, _, _ in drawings)
    for label, height, draw in drawings:
        with rc_context(STYLE):
            figure = Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=MARGIN))
            draw(figure.subplots())
            path = Path(directory) / f"{names[label]}.{file_format}"
            with atomic_write(path, binary=True) as file:
                figure.savefig(file, format=file_format, dpi=300, metadata=undated[file_format])
        written.append(path)
    return written


def _drawings(run: Run) -> Iterator[_Drawing]:
    """Label, height in inches, and how it is drawn."""
    table = run.table
    for dataset in run.record.datasets if run.record else ():
        yield ("segments", dataset.name), 3.2, partial(_segments, dataset=dataset)
    for matched in matched_mixtures(run):
        label = ("mixtures", matched.source, "to", matched.target)
        yield label, 3.4, partial(_matched, record=run.record, matched=matched)
    for target in run.targets:
        for method in methods_of(table, target):
            rows = by_distance(table, target, method)
            kind = "distance by cards" if run.approximate else "distance"
            yield ("ranking", method, target), 0.6 + 0.2 * len(rows), partial(_ranking, rows=rows, kind=kind)
    for method in table.methods:
        matrix = clustered(table.matrix(method))
        yield ("distances", method), 1.1 + 0.24 * len(matrix), partial(_matrix, method=method, matrix=matrix)
    for method, points in gain_points(run).items():
        yield ("gain_against", method), 2.6, partial(_gain, method=method, points=points)


def _segments(axes: Axes, dataset: DatasetRecord) -> None:
    """The paper's Fig. 6 and 7."""
    rows, columns = dataset.histogram.extent
    if dataset.histogram.mass is not None:
        mass = np.sqrt(np.array(dataset.histogram.mass))
        extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
        axes.imshow(mass, cmap="Greys", extent=extent, interpolation="nearest", vmax=1.3 * mass.max())
    else:
        axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5), aspect="equal")
    if dataset.mixture is not None:
        _ellipses(axes, dataset.mixture, ORANGE)
    axes.set(xlabel="column (pixels)", ylabel="row (pixels)", title=printable(dataset.name))


def _matched(axes: Axes, record: StudyRecord | None, matched: MatchedMixtures) -> None:
    """The paper's Fig. 8."""
    assert record is not None  # without it nothing is matched
    datasets = [record.dataset(name) for name in (matched.source, matched.target)]
    source, target = [dataset.mixture for dataset in datasets if dataset is not None and dataset.mixture is not None]
    for i, j, mass in matched.lines:
        ends = np.array([source.means[i], target.means[j]])
        axes.plot(ends[:, 1], ends[:, 0], color=GRAY, linewidth=0.5 + 10 * mass, solid_capstyle="round", zorder=1)
    _ellipses(axes, source, ORANGE, label=f"source: {printable(matched.source)}")
    _ellipses(axes, target, BLUE, linestyle="--", label=f"target: {printable(matched.target)}")
    rows, columns = next(dataset.histogram.extent for dataset in datasets if dataset is not None)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5), aspect="equal")
    axes.set(xlabel="column (pixels)", ylabel="row (pixels)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _ranking(axes: Axes, rows: list[DistanceRow], kind: str) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    for place, row in enumerate(rows):
        color = BLUE if row.rank == 1 else GRAY
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [place, place], color=color)
        axes.plot(row.distance, place, "o", color=color, markersize=4)
    if rows[0].noise_floor is not None:
        axes.axvline(rows[0].noise_floor, color="black", linestyle=":", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{rank_of(row)}  {printable(row.source)}" for row in rows])
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    if axes.get_xlim()[1] >= 1000:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 15k, as on the page
    method = rows[0].method
    axes.set(xlabel=f"{kind} to {printable(rows[0].target)}", title=NAMES.get(method, printable(method)))


def _matrix(axes: Axes, method: str, matrix: pd.DataFrame) -> None:
    values = matrix.to_numpy()
    written = compact(values[np.isfinite(values)].tolist())
    # As on the page, the darker the nearer; one hue, so that color-blind readers and gray prints show the same order.
    image = axes.imshow(values, cmap="Blues_r", aspect="auto")
    longest = max(map(len, written.values()), default=1)
    size = min(7.0, max(4.0, 72 * CELLS_WIDTH / len(matrix.columns) / (0.65 * longest)))
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = image.to_rgba(value)
            dark = (
                0.299 * red + 0.587 * green + 0.114 * blue < 0.41
            )  # by which text has the contrast that WCAG ask for, 4.5
            color = "white" if dark else "black"
            axes.text(j, i, written[value], ha="center", va="center", size=size, color=color)
    axes.set_title(f"{NAMES.get(method, printable(method))} (darker: nearer)")
    axes.set_xticks(range(len(matrix.columns)), list(map(printable, matrix.columns)), rotation=30, ha="right")
    axes.set_yticks(range(len(matrix)), list(map(printable, matrix.index)))


def _gain(axes: Axes, method: str, points: list[TransferPair]) -> None:
    """The paper's Fig. 9 to 13."""
    fit = regress(method, points)
    if fit is not None:
        places, centers, low, high = zip(*fit.line, strict=True)
        axes.fill_between(places, low, high, color=GRAY, alpha=0.25, linewidth=0)
        axes.plot(places, centers, color="black")
        axes.set_title(f"slope {fit.slope:.3g}, $R^2$ = {fit.r_squared:.2f}, p = {fit.p_slope:.2g}", parse_math=True)
    for k, target in enumerate(dict.fromkeys(point.target for point in points)):
        marker, color = MARKERS[k % len(MARKERS)], (BLUE, ORANGE, GREEN)[k % 3]
        of_target = [point for point in points if point.target == target]
        x, y = ([getattr(point, name) for point in of_target] for name in ("distance", "gain"))
        axes.plot(x, y, marker, color=color, markersize=4, label=printable(target))
    axes.axhline(0, color=GRAY, linewidth=0.5)
    axes.legend()
    axes.set(xlabel=f"distance, {NAMES.get(method, printable(method))}", ylabel="gain (%)")


def _ellipses(axes: Axes, mixture: PlaneMixture, color: str, linestyle: str = "-", label: str | None = None) -> None:
    for k in range(len(mixture.weights)):
        line = ellipse(mixture, k)
        axes.plot(line[:, 1], line[:, 0], color=color, linestyle=linestyle, label=label if k == 0 else None)
