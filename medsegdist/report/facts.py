"""What a report says in words and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medsegdist.report.record import Characteristic, StudyRecord, TransferRecord
from medsegdist.report.results import Results
from medsegdist.report.verdict import alike_by, headline, methods_of, nearest_sources, only_source, told_apart, verdict


@dataclass(frozen=True, slots=True)
class Answer:
    """Which source for one target, how sure, and what that rests on.

    Args:
        target: name of the target.
        headline: in a few words.
        verdict: in a sentence or two.
        basis: what it rests on, in a sentence.
        nearest: the source that most methods found nearest.
        alone: whether there is no other source, so that nothing was ranked.
        votes: how many methods did.
        apart: how many of them also distinguish it from every other source; None without intervals.
        methods: how many methods there are.
    """

    target: str
    headline: str
    verdict: str
    basis: str
    nearest: str
    alone: bool
    votes: int
    apart: int | None
    methods: int


def answers(run: Results) -> list[Answer]:
    """The answer for every target, those of the study first."""
    return [_answer(run, target) for target in run.targets]


def _answer(run: Results, target: str) -> Answer:
    table = run.table
    methods = methods_of(table, target)
    nearest, votes = nearest_sources(table, target)[0]
    return Answer(
        target=target,
        headline=headline(table, target),
        verdict=verdict(table, target),
        basis=_basis(run, target, nearest),
        nearest=nearest,
        alone=only_source(table, target) is not None,
        votes=votes,
        apart=told_apart(table, target, nearest),
        methods=len(methods),
    )


def _basis(run: Results, target: str, nearest: str) -> str:
    rows = [row for row in run.table.rows if row.target == target]
    sources = len({row.source for row in rows})
    record, methods = run.record, len(methods_of(run.table, target))
    known = record.dataset(target) if record else None
    # Counts of cards are rounded down; without a record, nothing says which datasets were cards.
    is_card = bool(run.approximate) and (record is None or target in record.cards)
    least = "at least " if is_card else ""
    of_target = least + _count(max(row.n_target for row in rows), "sample")
    if known:
        of_target += f" of {least}{_count(known.patients, 'patient')}"
    said = f"It rests on {of_target} of {target}, {_count(sources, 'source')} and {_count(methods, 'method')}"
    if record and record.bootstrap and all(row.low is None for row in rows):
        said += "; how sure it is remains open, for one patient does not show how patients differ"
    elif record and record.bootstrap:
        drawn = record.bootstrap
        said += f"; patients were resampled {drawn.replicates} times to say how sure it is"
    elif run.approximate:
        said += "; patients of cards cannot be resampled, so how sure it is remains open"
    elif not run.table.comparisons:
        said += "; patients were not resampled, so how sure it is remains open"
    alike = alike_by(run.table, target, nearest)
    concerned = [record.dataset(name) for name in (target, nearest, *alike)] if record else []
    if any(dataset is not None and dataset.simulated for dataset in concerned):
        said += "; the data is simulated, in whole or in part"
    return f"{said}."


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class CharacteristicRow:
    """One dataset's line of the table of characteristics.

    Args:
        dataset: its name.
        samples: how many.
        patients: how many.
        modality: CT, MR or other.
        cells: one for each column, None if it is not known.
    """

    dataset: str
    samples: int
    patients: int
    modality: str
    cells: tuple[Characteristic | None, ...]


def characteristic_rows(record: StudyRecord | None) -> dict[str, Any]:
    """The table of characteristics: `columns` of (name, unit) and `rows`; any characteristic there is has a column."""
    if record is None:
        return {"columns": [], "rows": []}
    columns = list(
        dict.fromkeys((one.name, one.unit) for dataset in record.datasets for one in dataset.characteristics)
    )
    rows = []
    for dataset in record.datasets:
        known = {(one.name, one.unit): one for one in dataset.characteristics}
        cells = tuple(known.get(column) for column in columns)
        rows.append(CharacteristicRow(dataset.name, dataset.samples, dataset.patients, dataset.modality, cells))
    return {"columns": columns, "rows": rows}


def orientation(record: StudyRecord | None) -> str:
    """Which way is up in the figures of segments, where that is known."""
    datasets = () if record is None else record.datasets
    known = [dataset.name for dataset in datasets if dataset.oriented]
    prepared = "rows and columns are those of the samples as they were prepared"
    upright = (
        "up is anterior and the patient\N{RIGHT SINGLE QUOTATION MARK}s right is on the left, as in a DICOM viewer"
    )
    if not known:
        return f"{prepared.capitalize()}."
    if len(known) == len(datasets):
        return f"{upright[0].upper()}{upright[1:]}."
    return f"In {', '.join(known)} {upright}; in the others {prepared}."


def simulation(run: Results) -> str:
    """That nothing is simulated, or that it is not known; empty where something is."""
    if run.simulated:
        return ""
    if run.simulated is not None:
        return "The study declares nothing as simulated."
    return "Whether anything is simulated is not known: there is no study.json."


def how_computed(run: Results) -> list[tuple[str, list[tuple[str, str]]]]:
    """Headings with lines of (name, value): certificate or cards, preprocessing, methods, training, versions."""
    return [*(_of_distances(run) if run.table.rows else []), *_of_training(run)]


def _of_distances(run: Results) -> list[tuple[str, list[tuple[str, str]]]]:
    first = _of_cards(run) if run.approximate else _of_transport(run)
    record = run.record
    if record is None:
        return first
    preprocessing = [*_plain(record.preprocessing), ("fingerprint", record.fingerprint)]
    return [
        *first,
        ("Preprocessing", [line for line in preprocessing if line[1]]),
        *_without_sample(record),
        *_settings(record),
        ("Versions of the ranking" if record.cards else "Versions", _versions(record)),
    ]


def _of_transport(run: Results) -> list[tuple[str, list[tuple[str, str]]]]:
    gaps = [row.optimality_gap for row in run.table.rows if row.optimality_gap is not None]
    certificate = [("Largest optimality gap", f"{max(gaps):.1e}")]
    record = run.record
    if record is None:
        return [("Certificate", certificate)]
    certificate += [
        (f"by {method.name}", f"{method.optimality_gap:.1e}")
        for method in record.methods
        if method.optimality_gap is not None
    ]
    drawn = record.bootstrap
    resampling = [("Bootstrap replicates", "none")]
    if drawn is not None:
        resampling = [
            ("Bootstrap replicates", str(drawn.replicates)),
            ("Level of the intervals", f"{drawn.level:.0%}"),
            ("Seed", str(drawn.seed)),
        ]
    return [("Certificate", certificate), ("Uncertainty", resampling)]


def _of_cards(run: Results) -> list[tuple[str, list[tuple[str, str]]]]:
    record = run.record
    cards = record.cards if record else ()
    here = [dataset.name for dataset in record.datasets if dataset.name not in cards] if record else []
    lines = [("Cards", ", ".join(cards)), ("Summarized alike", ", ".join(here))]
    missing = [(name, "none") for name in ("Certificate", "Intervals", "Noise floor")]
    return [("Compared by cards", [*(line for line in lines if line[1]), *missing])]


def _of_training(run: Results) -> list[tuple[str, list[tuple[str, str]]]]:
    record = run.transfer
    if record is None:
        return []
    found = [("Transfer learning", [("Runs that ended well", str(record.done)), *_plain(record.options)])]
    if run.record is None:
        found.append(("Preprocessing", _plain(record.preprocessing)))
    return [*found, ("Versions of the training" if run.record else "Versions", _versions(record))]


def _versions(record: StudyRecord | TransferRecord) -> list[tuple[str, str]]:
    return [*record.software.items(), *([("device", record.device)] if record.device else [])]


def _without_sample(record: StudyRecord) -> list[tuple[str, list[tuple[str, str]]]]:
    """How many cases of each dataset gave no sample, and why; nothing where all did."""
    lines = [
        (
            f"{dataset.name}, {sum(dataset.without_sample.values())} of {dataset.cases}",
            "; ".join(f"{reason} ({count})" for reason, count in dataset.without_sample.items()),
        )
        for dataset in record.datasets
        if dataset.cases and dataset.without_sample
    ]
    return [("Cases without a sample", lines)] if lines else []


def _settings(record: StudyRecord) -> list[tuple[str, list[tuple[str, str]]]]:
    """What methods were set to; the formula once if it is the same for all."""
    formulas = [_plain(method.formula) for method in record.methods]
    alike = all(formula == formulas[0] for formula in formulas)
    found = [("Formula, for all methods", formulas[0])] if formulas and alike else []
    for method, formula in zip(record.methods, formulas, strict=True):
        found.append((f"Method {method.name}", [*([] if alike else formula), *_plain(method.options)]))
    return [(heading, lines) for heading, lines in found if lines]


def _plain(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, _said(value)) for name, value in values.items() if value is not None]


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(part)}" for name, part in value.items() if part is not None)
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
