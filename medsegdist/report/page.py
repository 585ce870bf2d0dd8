"""One self-contained HTML page: read in a browser from disk, without a network."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from medsegdist.files import write_text
from medsegdist.report import figures, gain_words, reasons, sections, tables, verdict
from medsegdist.report.record import StudyRecord
from medsegdist.report.results import Results
from medsegdist.transfer.gains import summarize_gains
from medsegdist.words import printable

FILTERS = {"amount": verdict.amount, "rank": verdict.rank_of, "setting": verdict.setting, "quote": shlex.quote}
# What templates call for each target, method or dataset.
CALLED: dict[str, Any] = {"figures": figures, "gain_words": gain_words, "parts": sections, "reasons": reasons}
CALLED |= {"summarize_gains": summarize_gains, "tables": tables, "verdict": verdict}


def write_report(run: Results, path: str | Path) -> Path:
    """Writes the report of a run as one HTML file, whole or not at all."""
    write_text(path, render(run))
    return Path(path)


def render(run: Results) -> str:
    """The report of a run as HTML; what the run does not know is left out."""
    table, datasets = run.table, run.record.datasets if run.record else ()
    answers = [verdict.Answer.of(table, target) for target in run.targets]
    context: dict[str, Any] = {
        "run": run,
        "table": table,
        "record": run.record,
        "title": run.name,
        "answers": answers,
        "rows": {(row.target, row.source, row.method): row for row in table.rows},
        "has_intervals": any(row.low is not None for row in table.rows),
        "datasets": datasets,
        "matches": [*figures.match_plots(run)],
        "cases": sections.case_sections(run),
        "characteristics": _characteristics(run.record),
        "transfer": sections.trained_targets(run),
        "gains": sections.gain_points(run),
    }
    if run.agreements:
        from medsegdist.transfer.agreement import to_frame

        context["agreement"] = to_frame(run.agreements)
    headings = {
        "answer": ("Answer", answers),
        "ranking": ("Ranking", answers),
        "distances": ("Distances", answers),
        "terms": ("Images and masks", answers),
        "segments": ("Segments", datasets),
        "matches": ("Matched mixtures", context["matches"]),
        "samples": ("Matched samples", run.thumbnails),
        "cases": ("Cases", context["cases"]),
        "characteristics": ("Characteristics", context["characteristics"]),
        "transfer": ("What pre-training gained", context["transfer"]),
        "gains": ("Distance and gain", context["gains"] or run.agreements),
        "method": ("How it was computed", table.rows or run.transfer or not run.simulated),
        "simulated": ("What is simulated", run.simulated),
    }
    context["sections"] = {name: heading for name, (heading, there) in headings.items() if there}
    return fill("report.html.jinja", context)


def fill(template: str, context: Mapping[str, Any]) -> str:
    """A page of ours as HTML, with its styles, figures and scripts in it; the context has a `title`."""
    from plotly.offline import get_plotlyjs

    plotly, script = str(get_plotlyjs()), _asset("report.js")
    placed: dict[str, dict[str, Any]] = {}

    def place(plot: figures.Plot) -> str:
        name = f"figure-{len(placed) + 1}"
        placed[name] = {"data": plot.data, "layout": plot.layout}
        return name

    # Scripts run by their hashes only, so that nothing that came with a table could ever run.
    digests = [hashlib.sha256(text.encode()).digest() for text in (plotly, script)]
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    environment.filters |= FILTERS
    environment.globals |= CALLED
    return environment.get_template(template).render(
        **context,
        place=place,
        css=Markup(_asset("report.css")),
        js=Markup(script),
        plotly=Markup(plotly),
        figure_data=lambda: htmlsafe_json_dumps(placed),
        script_hashes=Markup(" ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)),
    )


def _characteristics(record: StudyRecord | None) -> dict[str, Any]:
    """The `columns` of characteristics, (name, unit), and `rows` of datasets with what is known of each column."""
    datasets = () if record is None else record.datasets
    rows = [(dataset, {(one.name, one.unit): one for one in dataset.characteristics}) for dataset in datasets]
    columns = dict.fromkeys(column for _, found in rows for column in found)
    return {"columns": list(columns), "rows": rows} if columns else {}


def _clean(value: Any) -> Any:
    """Text on one line and without control characters; a number or markup as it is."""
    return printable(" ".join(value.split())) if type(value) is str else value


def _asset(name: str) -> str:
    return (files("medsegdist.report") / "assets" / name).read_text(encoding="utf-8").strip()
