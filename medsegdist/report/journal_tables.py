"""The paper's tables of a run, as CSV and as LaTeX, in the layout of its Tables 5 to 9 and 11 to 13."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from medsegdist.data.problems import printable
from medsegdist.files import atomic_write
from medsegdist.report.file_names import Label, file_names
from medsegdist.report.gain_summary import summarize_gains, targets_of
from medsegdist.report.regression import gain_points, regress
from medsegdist.report.run import Run
from medsegdist.report.tables import NAMES

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
"""What LaTeX takes for something else than a character."""

MISSING = "-"
"""What stands where there is nothing, as in the paper."""


def write_tables(run: Run, directory: str | Path) -> list[Path]:
    """Writes every table that the run has data for, as `.csv` and as `.tex` (needs the package booktabs).

    Args:
        run: what they are of.
        directory: where they will be.
    """
    written = []
    tables = list(_tables(run))
    names = file_names(label for label, _, _ in tables)
    for label, caption, frame in tables:
        name = names[label]
        for suffix, content in ((".csv", frame.to_csv(index=False)), (".tex", latex_table(frame, caption, name))):
            path = Path(directory) / f"{name}{suffix}"
            with atomic_write(path) as file:
                file.write(content)
            written.append(path)
    return written


def _tables(run: Run) -> Iterator[tuple[Label, str, pd.DataFrame]]:
    """Label, caption and cells, all of them text."""
    for method in run.table.methods:
        matrix = run.table.matrix(method)
        cells = {
            str(target): [MISSING if pd.isna(value) else f"{value:.2f}" for value in matrix[target]]
            for target in matrix.columns
        }
        frame = pd.DataFrame({"Source": list(matrix.index), **cells}, dtype=str)
        caption = f"Distance between the targets and datasets for TL, {NAMES.get(method, method)}"
        if run.approximate:
            caption += f". {run.approximate}"
        yield ("table_distances", method), caption, frame
    if any(gain.gain_percent is not None for gain in run.gains):
        yield ("table_transfer_results",), "TL results on the test sample", _results(run)
    p_values, statistics = _agreement(run)
    if len(p_values):
        yield ("table_p_values",), "p-values of linear models of gain by distance", p_values
        yield ("table_statistics",), "Slopes with 95% confidence intervals", statistics


def _results(run: Run) -> pd.DataFrame:
    """Table 11: means over the seeds."""
    rows = [(one.source, target, one) for target in targets_of(run.gains) for one in summarize_gains(run.gains, target)]
    return pd.DataFrame(
        [
            (source, target, MISSING if one.dice is None else f"{one.dice:.4f}", f"{one.gain:.1f}")
            for source, target, one in rows
        ],
        columns=["Source Dataset", "Target Dataset", "Testing Dice Score", "Relative accuracy increase (%)"],
    )


def _agreement(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables 12 and 13."""
    fits = [fit for method, points in gain_points(run).items() if (fit := regress(method, points))]
    p_values = pd.DataFrame(
        [(NAMES.get(fit.method, fit.method), f"{fit.p_intercept:.3g}", f"{fit.p_slope:.3g}") for fit in fits],
        columns=["Metric", "p of Const", "p of Slope"],
    )
    statistics = pd.DataFrame(
        [
            (
                NAMES.get(fit.method, fit.method),
                f"{fit.slope:.3g}",
                "[{:.3g}, {:.3g}]".format(*fit.slope_interval),
                f"{fit.r_squared:.2f}",
                f"{fit.p_slope:.3g}",
            )
            for fit in fits
        ],
        columns=["Metric", "Slope Coefficient", "95% Confidence Interval", "R²", "p-value"],
    )
    return p_values, statistics


def latex_table(frame: pd.DataFrame, caption: str, label: str) -> str:
    """A table of text as LaTeX, with whatever its names hold as it is written.

    Args:
        frame: all cells are text.
        caption: above it.
        label: for references.
    """
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex(caption)}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{l{'r' * (frame.shape[1] - 1)}}}",
        r"\toprule",
        *(" & ".join(map(latex, map(str, row))) + r" \\" for row in [frame.columns]),
        r"\midrule",
        *(" & ".join(map(latex, map(str, row))) + r" \\" for row in frame.to_numpy()),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def latex(text: str) -> str:
    """Text as LaTeX shows it as it is."""
    return "".join(SPECIAL.get(character, character) for character in printable(text))
