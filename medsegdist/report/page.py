"""One self-contained HTML page: read in a browser from disk, without a network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from medsegdist.data.problems import printable
from medsegdist.files import written_whole
from medsegdist.report.facts import Answer, answers, characteristic_rows, how_computed, simulated
from medsegdist.report.matrix_plot import matrix_plot
from medsegdist.report.mixture_plots import gain_plot, match_plot, segment_plot
from medsegdist.report.mixtures import matched_mixtures
from medsegdist.report.plots import Plot, ranking_plot, terms_plot
from medsegdist.report.regression import gain_points, regress
from medsegdist.report.run import Run
from medsegdist.report.tables import NAMES, amount, mean_ranks, methods_of, rank_of

SHOWN_TARGETS = 4
"""Targets whose figures are shown at once; those of the other ones are folded up."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot in its place on the page.

    Args:
        id: of the element that it is drawn in.
        plot: what is drawn.
    """

    id: str
    plot: Plot


def write_report(run: Run, path: str | Path) -> Path:
    """Writes the report of a run as one HTML file, whole or not at all.

    Args:
        run: what it is about.
        path: where it will be.
    """
    page = render(run)
    with written_whole(path) as file:
        file.write(page)
    return Path(path)


def render(run: Run) -> str:
    """The report of a run as HTML."""
    figures = _Figures()
    table = run.table
    targets = [_target(run, answer, figures) for answer in answers(run)]
    context = {
        "run": run,
        "record": run.record,
        "title": run.name,
        "names": NAMES,
        "targets": targets,
        "shown_targets": SHOWN_TARGETS,
        "has_intervals": any(row.low is not None for row in table.rows),
        "has_floor": any(row.noise_floor is not None for row in table.rows),
        "matrices": [
            {"figure": figures.add(matrix_plot(table, method)), "frame": table.matrix(method), "method": method}
            for method in table.methods
        ],
        "segments": figures.add_all(segment_plot(dataset) for dataset in (run.record.datasets if run.record else ())),
        "matches": [
            {"figure": figures.add(match_plot(run.record, matched)), "matched": matched}
            for matched in matched_mixtures(run)
            if run.record is not None
        ],
        "characteristics": characteristic_rows(run.record),
        "gains": _gains(run, figures),
        "facts": how_computed(run),
        "simulated": simulated(run.record),
    }
    assets = {name: _asset(name) for name in ("report.css", "report.js")}
    plotly = _plotly()
    data = htmlsafe_json_dumps({one.id: {"data": one.plot.data, "layout": one.plot.layout} for one in figures.all})
    # Scripts run by their hashes only, so that nothing that came with a table could ever run.
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in (plotly, assets["report.js"]))
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_clean
    )
    environment.filters["amount"] = amount
    return environment.from_string(_asset("report.html.jinja")).render(
        **context,
        css=Markup(assets["report.css"]),
        js=Markup(assets["report.js"]),
        plotly=Markup(plotly),
        figure_data=data,
        script_hashes=Markup(hashes),
    )


class _Figures:
    """Gives every plot the id of its place."""

    def __init__(self) -> None:
        self.all: list[Figure] = []

    def add(self, plot: Plot) -> Figure:
        self.all.append(Figure(f"figure-{len(self.all) + 1}", plot))
        return self.all[-1]

    def add_all(self, plots: Iterable[Plot]) -> list[Figure]:
        return [self.add(plot) for plot in plots]


def _target(run: Run, answer: Answer, figures: _Figures) -> dict[str, Any]:
    """A target's answer, its figures, and its table: a row per source, a cell per method."""
    table, target = run.table, answer.target
    methods = methods_of(table, target)
    rows = {(row.source, row.method): row for row in table.rows if row.target == target}
    sources = [
        {
            "name": source,
            "mean_rank": mean_rank,
            "cells": [
                {"row": row, "rank": rank_of(row)} if (row := rows.get((source, method))) else None
                for method in methods
            ],
        }
        for source, mean_rank in mean_ranks(table, target).items()
    ]
    return {
        "answer": answer,
        "methods": methods,
        "sources": sources,
        "rankings": figures.add_all(ranking_plot(table, target, method) for method in methods),
        "terms": figures.add_all(terms_plot(table, target, method) for method in methods),
    }


def _gains(run: Run, figures: _Figures) -> list[dict[str, Any]]:
    found = []
    for method in run.table.methods if run.gains else ():
        points = gain_points(run, method)
        if points:
            fit = regress(method, points)
            found.append(
                {"method": method, "fit": fit, "n": len(points), "figure": figures.add(gain_plot(method, points, fit))}
            )
    return found


def _clean(value: Any) -> Any:
    """Text on one line and without control characters; a number or markup as it is."""
    return printable(" ".join(value.split())) if type(value) is str else value


def _asset(name: str) -> str:
    return (files("medsegdist.report") / "assets" / name).read_text(encoding="utf-8").strip()


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
