"""One self-contained HTML page: read in a browser from disk, without a network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from medsegdist.files import atomic_write
from medsegdist.report.figures import (
    Plot,
    clustered,
    match_plot,
    matched_mixtures,
    matrix_plot,
    ranking_plot,
    segment_plot,
    terms_plot,
)
from medsegdist.report.reasons import cautions, kind_of, next_steps, reasons, trust
from medsegdist.report.record import StudyRecord, TransferRecord
from medsegdist.report.results import Results
from medsegdist.report.tables import NAMES
from medsegdist.report.verdict import Answer, amount, basis, orientation, preparation, rank_of, setting, simulation
from medsegdist.words import printable

SHOWN_TARGETS = 4  # targets whose figures are shown at once; those of the other ones are folded up
MIXTURES_AGREE = 0.01  # share of the median distance up to which two fits of the same pixels are one
Facts = list[tuple[str, list[tuple[str, str]]]]  # headings with lines of (name, value)


def write_report(run: Results, path: str | Path) -> Path:
    """Writes the report of a run as one HTML file, whole or not at all."""
    page = render(run)
    with atomic_write(path) as file:
        file.write(page)
    return Path(path)


def render(run: Results) -> str:
    """The report of a run as HTML; what the run does not know is left out."""
    table = run.table
    targets = [_target(run, target) for target in run.targets]
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
            {"figure": matrix_plot(table, method), "frame": table.matrix(method), "method": method}
            for method in table.methods
        ],
        "all_pairs": any(clustered(matrix) is not matrix for matrix in map(table.matrix, table.methods)),
        "orientation": orientation(run.record),
        "simulation": simulation(run),
        "preparation": preparation(run.record) if run.record else "",
        "segments": [segment_plot(dataset) for dataset in (run.record.datasets if run.record else ())],
        "matches": [{"figure": match_plot(matched), "matched": matched} for matched in matched_mixtures(run)],
        "thumbnails": run.thumbnails,
        "measured": {},
        "cases": None,
        "characteristics": _characteristics(run.record),
        "transfer": None,
        "gains": None,
        "facts": _how_computed(run),
    }
    if run.trained or run.cases:
        from medsegdist.report.gain_words import measured
        from medsegdist.report.sections import case_sections, gain_section, transfer_section

        context["measured"] = {target: measured(run, target) for target in run.targets}
        context |= {"transfer": transfer_section(run), "gains": gain_section(run), "cases": case_sections(run)}
    headings = {
        "answer": ("Answer", targets),
        "ranking": ("Ranking", targets),
        "distances": ("Distances", targets),
        "terms": ("Images and masks", targets),
        "segments": ("Segments", context["segments"]),
        "matches": ("Matched mixtures", context["matches"]),
        "samples": ("Matched samples", run.thumbnails),
        "cases": ("Cases", context["cases"]),
        "characteristics": ("Characteristics", context["characteristics"]),
        "transfer": ("What pre-training gained", context["transfer"]),
        "gains": ("Distance and gain", context["gains"]),
        "method": ("How it was computed", context["facts"] or context["simulation"]),
        "simulated": ("What is simulated", run.simulated),
    }
    context["sections"] = {name: heading for name, (heading, there) in headings.items() if there}
    return fill("report.html.jinja", context)


def fill(template: str, context: Mapping[str, Any]) -> str:
    """A page of ours as HTML, with its styles, figures and scripts in it; the context has a `title`."""
    from plotly.offline import get_plotlyjs

    assets = {name: _asset(name) for name in ("report.css", "report.js")}
    plotly = str(get_plotlyjs())
    placed: dict[str, dict[str, Any]] = {}

    def place(plot: Plot) -> str:
        name = f"figure-{len(placed) + 1}"
        placed[name] = {"data": plot.data, "layout": plot.layout}
        return name

    # Scripts run by their hashes only, so that nothing that came with a table could ever run.
    digests = [hashlib.sha256(script.encode()).digest() for script in (plotly, assets["report.js"])]
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    environment.filters |= {"amount": amount, "rank": rank_of, "kind": kind_of}
    return environment.get_template(template).render(
        **context,
        css=Markup(assets["report.css"]),
        js=Markup(assets["report.js"]),
        plotly=Markup(plotly),
        place=place,
        figure_data=lambda: htmlsafe_json_dumps(placed),
        script_hashes=Markup(hashes),
    )


def _target(run: Results, target: str) -> dict[str, Any]:
    """A target's answer, its figures, and its table: a row per source, a cell per method."""
    table, answer = run.table, Answer.of(run.table, target)
    rows = {(row.source, row.method): row for row in table.rows if row.target == target}
    return {
        "answer": answer,
        "basis": basis(run, answer),
        "reasons": reasons(run, answer),
        "cautions": [*cautions(run, answer)],
        "trust": trust(run, answer),
        "next_steps": next_steps(answer),
        "sources": [
            {
                "recommended": one,
                "record": run.record.dataset(one.source) if run.record else None,
                "rows": [rows.get((one.source, method)) for method in answer.methods],
            }
            for one in answer.order
        ],
        "has_chances": any(one.chance is not None for one in answer.order),
        "rankings": [ranking_plot(table, target, method) for method in answer.methods],
        "terms": [terms_plot(table, target, method) for method in answer.methods],
    }


def _characteristics(record: StudyRecord | None) -> dict[str, Any]:
    """The `columns` of characteristics, (name, unit), and `rows` of datasets with what is known of each column."""
    datasets = () if record is None else record.datasets
    rows = [(dataset, {(one.name, one.unit): one for one in dataset.characteristics}) for dataset in datasets]
    columns = dict.fromkeys(column for _, found in rows for column in found)
    return {"columns": list(columns), "rows": rows} if columns else {}


def _how_computed(run: Results) -> Facts:
    """Certificate or cards, preprocessing, methods, training and versions; what is not known is left out."""
    record, trained = run.record, run.transfer
    facts: Facts = []
    if run.table.rows:
        facts += _of_cards(run) if run.approximate else _of_transport(run)
    if run.table.rows and record is not None:
        formulas = [_plain(method.formula) for method in record.methods]
        alike = all(formula == formulas[0] for formula in formulas)
        facts += [
            ("Preprocessing", [*_plain(record.preprocessing), ("fingerprint", record.fingerprint)]),
            (
                "Cases without a sample",
                [
                    (
                        f"{one.name}, {sum(one.without_sample.values())} of {one.cases}",
                        "; ".join(f"{reason} ({count})" for reason, count in one.without_sample.items()),
                    )
                    for one in record.datasets
                    if one.cases
                ],
            ),
            ("Formula, for all methods", formulas[0] if formulas and alike else []),
            *(
                (f"Method {method.name}", [*([] if alike else formula), *_plain(method.options)])
                for method, formula in zip(record.methods, formulas, strict=True)
            ),
            ("Spread of fits, of the median distance between mixtures", _fit_spreads(record)),
            ("Versions of the ranking" if record.cards else "Versions", _versions(record)),
        ]
    if trained is not None:
        facts += [
            ("Transfer learning", [("Runs that ended well", str(trained.done)), *_plain(trained.options)]),
            ("Preprocessing", [] if record else _plain(trained.preprocessing)),
            ("Versions of the training" if record else "Versions", _versions(trained)),
        ]
    known = [(heading, [line for line in lines if line[1]]) for heading, lines in facts]
    return [(heading, lines) for heading, lines in known if lines]


def _of_transport(run: Results) -> Facts:
    gaps = [row.optimality_gap for row in run.table.rows if row.optimality_gap is not None]
    certificate, record = [("Largest optimality gap", f"{max(gaps):.1e}")], run.record
    if record is None:
        return [("Certificate", certificate)]
    of_methods = [(one.name, one.optimality_gap) for one in record.methods if one.optimality_gap is not None]
    certificate += [(f"by {name}", f"{gap:.1e}") for name, gap in of_methods]
    drawn = record.bootstrap
    resampling = [("Bootstrap replicates", "none" if drawn is None else str(drawn.replicates))]
    if drawn is not None:
        resampling += [("Level of the intervals", f"{drawn.level:.0%}"), ("Seed", str(drawn.seed))]
    return [("Certificate", certificate), ("Uncertainty", resampling)]


def _of_cards(run: Results) -> Facts:
    cards = run.record.cards if run.record else ()
    here = [dataset.name for dataset in run.record.datasets if dataset.name not in cards] if run.record else []
    missing = [(name, "none") for name in ("Certificate", "Intervals", "Noise floor")]
    return [("Compared by cards", [("Cards", ", ".join(cards)), ("Summarized alike", ", ".join(here)), *missing])]


def _versions(record: StudyRecord | TransferRecord) -> list[tuple[str, str]]:
    return [*record.software.items(), ("device", record.device)]


def _fit_spreads(record: StudyRecord) -> list[tuple[str, str]]:
    """By method, the datasets whose mixture might be another one that is nearly as likely, the least certain first."""
    found = []
    for method in record.methods:
        spreads = {one.name: one.fit_spread.get(method.name, 0.0) for one in record.datasets}
        uncertain = sorted(
            (name for name in spreads if spreads[name] > MIXTURES_AGREE), key=lambda name: -spreads[name]
        )
        found.append((method.name, ", ".join(f"{name} {spreads[name]:.0%}" for name in uncertain)))
    return found


def _plain(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, setting(value)) for name, value in values.items() if value is not None]


def _clean(value: Any) -> Any:
    """Text on one line and without control characters; a number or markup as it is."""
    return printable(" ".join(value.split())) if type(value) is str else value


def _asset(name: str) -> str:
    return (files("medsegdist.report") / "assets" / name).read_text(encoding="utf-8").strip()
