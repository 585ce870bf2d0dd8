"""A ranking in words: which source is nearest, how sure that is, what it rests on, and what is left open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from medsegdist.distance.table import DistanceRow, DistanceTable
from medsegdist.words import counted

if TYPE_CHECKING:
    from medsegdist.report.record import StudyRecord
    from medsegdist.report.results import Results

APPROXIMATE = (
    "APPROXIMATE, from cards: mask terms of gmm2d and gmm3d are those of the datasets; image terms compare "
    "Gaussians of projected images, and are smaller than those between images. Nothing says how sure the order is."
)
"""What has to be said wherever distances of cards are shown."""

MOST_NAMED = 3
"""Sources that a headline names; the others are counted."""


def approximate(cards: Sequence[str]) -> str:
    """:data:`APPROXIMATE`, and which datasets were cards.

    Args:
        cards: names of the datasets that are cards; empty where that is not known.
    """
    return f"{APPROXIMATE} Cards: {', '.join(cards)}." if cards else APPROXIMATE


def left_out_sentence(methods: Mapping[str, Sequence[str]]) -> str:
    """Which methods are not there because a card lacks them; empty if nothing is left out.

    Args:
        methods: names of the cards that lack it, by the name of the method.
    """
    return " ".join(
        f"{method} is left out, because {'the card' if len(names) == 1 else 'the cards'} {', '.join(names)} "
        f"{'lacks' if len(names) == 1 else 'lack'} it: a fake class has fewer patients than a card may show."
        for method, names in methods.items()
    )


def headline(table: DistanceTable, target: str) -> str:
    """The answer for a target in a few words: the nearest source, or that there is none."""
    only = only_source(table, target)
    if only is not None:
        return f"One source only: {only}."
    nearest, votes = nearest_sources(table, target)[0]
    methods = len(methods_of(table, target))
    sure = told_apart(table, target, nearest)
    if sure is None:
        return f"Nearest by {votes} of {counted(methods, 'method')}: {nearest}."
    if sure == 0:
        alike = alike_by(table, target, nearest).most_common()
        # A source that few methods find as near is no candidate, unless there is no better one.
        rivals = [source for source, count in alike if 2 * count >= methods] or [alike[0][0]]
        *most, last = (
            [nearest, *rivals] if len(rivals) < MOST_NAMED else [nearest, *rivals[:2], f"{len(rivals) - 2} more"]
        )
        return f"No clear winner: {', '.join(most)} or {last}."
    if sure < methods:
        return f"{nearest} seems nearest: {sure} of {counted(methods, 'method')} distinguish it from all others."
    return f"{nearest} is the nearest source."


def told_apart(table: DistanceTable, target: str, nearest: str) -> int | None:
    """How many methods find this source nearest and distinguish it from all others; None without intervals."""
    if not any(one.target == target for one in table.comparisons):
        return None
    first = [by_distance(table, target, method)[0] for method in methods_of(table, target)]
    return sum(row.source == nearest and not row.tied for row in first)


def verdict(table: DistanceTable, target: str) -> str:
    """Which source is nearest, by how many methods, and which ones cannot be distinguished from it."""
    methods = len(methods_of(table, target))
    only = only_source(table, target)
    if only is not None:
        return f"For {target} there is one source only, {only}, so nothing was ranked; its distances are shown."
    first = nearest_sources(table, target)
    nearest = first[0][0]
    if methods == 1:
        found = f"For {target} the nearest source is {nearest}, by the one method that was asked for."
    elif len(first) == 1:
        found = f"For {target} the nearest source is {nearest}, by every method ({methods} of {methods})."
    else:
        said = ", ".join(f"{source} (by {count} of {methods})" for source, count in first)
        found = f"For {target} the methods do not agree on the nearest source: {said}."
    return f"{found}{_order(table, target, nearest)}{_doubt(table, target, nearest)}{_open(table, target)}"


def alike_by(table: DistanceTable, target: str, nearest: str) -> Counter[str]:
    """The sources that share the first rank with this one, with the number of methods by which they do."""
    alike: Counter[str] = Counter()
    for method in methods_of(table, target):
        together = [row.source for row in by_distance(table, target, method) if row.rank == 1]
        if nearest in together:
            alike.update(source for source in together if source != nearest)
    return alike


def _order(table: DistanceTable, target: str, nearest: str) -> str:
    """A sentence on the first source of the table where it is not the nearest one; empty where it is."""
    ranks = mean_ranks(table, target)
    leader = next(iter(ranks))
    if leader == nearest:
        return ""
    return (
        f" By mean rank over all methods, the order of the table, {leader} comes first ({ranks[leader]:.1f}, "
        f"{nearest} {ranks[nearest]:.1f})."
    )


def _doubt(table: DistanceTable, target: str, nearest: str) -> str:
    """A sentence on the sources that share the first rank with the nearest one; empty if there are none."""
    alike = alike_by(table, target, nearest)
    fewest = [
        one.patients
        for one in table.comparisons
        if one.target == target and nearest in (one.nearer, one.farther) and {one.nearer, one.farther} & alike.keys()
    ]
    if not fewest:
        return ""
    methods = len(methods_of(table, target))
    votes = {source: f" (by {count} of {methods})" if methods > 1 else "" for source, count in alike.most_common()}
    said = ", ".join(f"{source}{by}" for source, by in votes.items())
    return (
        f" {nearest} cannot be told apart from {said}, with {counted(min(fewest), 'patient')} in the smallest of these "
        "datasets."
    )


def _open(table: DistanceTable, target: str) -> str:
    """A sentence on sources without an interval, if others have one; empty if there are none."""
    known = {row.source: row.low is not None for row in table.rows if row.target == target}
    without = [source for source, has_interval in known.items() if not has_interval]
    if not without or len(without) == len(known):
        return ""
    one, many = "has one patient, so how sure its place is", "have one patient each, so how sure their places are"
    return f" {', '.join(without)} {one if len(without) == 1 else many} remains open."


def nearest_sources(table: DistanceTable, target: str) -> list[tuple[str, int]]:
    """The sources that any method found nearest, with the number of those methods.

    The most come first, and of equally many the smallest mean rank.
    """
    found = Counter(by_distance(table, target, method)[0].source for method in methods_of(table, target))
    in_order = [(source, found[source]) for source in mean_ranks(table, target) if source in found]
    return sorted(in_order, key=lambda item: -item[1])


def methods_of(table: DistanceTable, target: str) -> tuple[str, ...]:
    """The methods that compared any source with this target, in the order of the table.

    Raises:
        ValueError: the table has no such target.
    """
    found = {row.method for row in table.rows if row.target == target}
    if not found:
        raise ValueError(f"expected one of the targets {list(table.targets)}, found '{target}'.")
    return tuple(method for method in table.methods if method in found)


def mean_ranks(table: DistanceTable, target: str) -> Mapping[str, float]:
    """Mean rank over the methods of every source of one target, smallest first.

    Of equal ones that comes first which more methods find nearest, then the nearer one.
    """
    ranks: dict[str, list[int]] = {}
    places: Counter[str] = Counter()
    first: Counter[str] = Counter()
    for method in methods_of(table, target):
        for place, row in enumerate(by_distance(table, target, method)):
            ranks.setdefault(row.source, []).append(row.rank)
            places[row.source] += place
            first[row.source] += place == 0
    means = {source: sum(found) / len(found) for source, found in ranks.items()}
    return dict(sorted(means.items(), key=lambda item: (item[1], -first[item[0]], places[item[0]])))


def only_source(table: DistanceTable, target: str) -> str | None:
    """The source of a target that has no other one; None if there are several, which can be ranked."""
    sources = {row.source for row in table.rows if row.target == target}
    return next(iter(sources)) if len(sources) == 1 else None


def by_distance(table: DistanceTable, target: str, method: str) -> list[DistanceRow]:
    """The sources of one target by one method, the smallest distance first, whatever their ranks."""
    return sorted(table.ranking(target, method), key=lambda row: row.distance)


def rank_of(row: DistanceRow) -> str:
    """A rank, with `=` behind it where it is shared."""
    return f"{row.rank}{'=' if row.tied else ''}"


def amount(distance: float) -> str:
    """A distance with as many digits as a reader wants; normalized ones are about 1."""
    return f"{distance:,.0f}" if abs(distance) >= 100 else f"{distance:.3g}"


def basis(run: Results, target: str, nearest: str) -> str:
    """What the answer for a target rests on, in a sentence."""
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
