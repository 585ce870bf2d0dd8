"""One self-contained HTML page: read in a browser from disk, without a network."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from medsegdist.files import atomic_write
from medsegdist.report.facts import Answer, answers, characteristic_rows, how_computed, orientation, simulation
from medsegdist.report.figures import Figures, clustered, matrix_plot, ranking_plot, terms_plot
from medsegdist.report.gain_sections import gain_section, transfer_section
from medsegdist.report.mixture_figures import match_plot, matched_mixtures, segment_plot
from medsegdist.report.results import Results
from medsegdist.report.tables import NAMES
from medsegdist.report.verdict import amount, mean_ranks, methods_of, rank_of
from medsegdist.words import printable

SHOWN_TARGETS = 4
"""Targets whose figures are shown at once; those of the other ones are folded up."""


def write_report(run: Results, path: str | Path) -> Path:
    """Writes the report of a run as one HTML file, whole or not at all.

    Args:
        run: what it is about.
        path: where it will be.
    """
    page = render(run)
    with atomic_write(path) as file:
        file.write(page)
    return Path(path)


def render(run: Results) -> str:
    """The report of a run as HTML; what the run does not know is left out."""
    figures = Figures()
    table = run.table
    targets = [_target(run, answer, figures) for answer in answers(run)]
    context: dict[str, Any] = {
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
        "all_pairs": any(clustered(matrix) is not matrix for matrix in map(table.matrix, table.methods)),
        "orientation": orientation(run.record),
        "simulation": simulation(run),
        "segments": figures.add_all(segment_plot(dataset) for dataset in (run.record.datasets if run.record else ())),
        "matches": [
            {"figure": figures.add(match_plot(run.record, matched)), "matched": matched}
            for matched in matched_mixtures(run)
            if run.record is not None
        ],
        "thumbnails": run.thumbnails,
        "characteristics": characteristic_rows(run.record),
        "transfer": transfer_section(run, figures),
        "gains": gain_section(run, figures),
        "facts": how_computed(run),
    }
    headings = {
        "answer": ("Answer", targets),
        "ranking": ("Ranking", targets),
        "distances": ("Distances", targets),
        "terms": ("Images and masks", targets),
        "segments": ("Segments", context["segments"]),
        "matches": ("Matched mixtures", context["matches"]),
        "samples": ("Matched samples", run.thumbnails),
        "characteristics": ("Characteristics", context["characteristics"]["rows"]),
        "transfer": ("What pre-training gained", context["transfer"]),
        "gains": ("Distance and gain", context["gains"]),
        "method": ("How it was computed", context["facts"] or context["simulation"]),
        "simulated": ("What is simulated", run.simulated),
    }
    context["sections"] = {name: heading for name, (heading, there) in headings.items() if there}
    assets = {name: _asset(name) for name in ("report.css", "report.js")}
    plotly = _plotly()
    data = htmlsafe_json_dumps({one.id: {"data": one.plot.data, "layout": one.plot.layout} for one in figures.all})
    # Scripts run by their hashes only, so that nothing that came with a table could ever run.
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in (plotly, assets["report.js"]))
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    environment.filters["amount"] = amount
    return environment.get_template("report.html.jinja").render(
        **context,
        css=Markup(assets["report.css"]),
        js=Markup(assets["report.js"]),
        plotly=Markup(plotly),
        figure_data=data,
        script_hashes=Markup(hashes),
    )


def _target(run: Results, answer: Answer, figures: Figures) -> dict[str, Any]:
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
