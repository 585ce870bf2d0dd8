"""The answer of a ranking in words: which source is nearest, how sure that is, and what is left open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from medsegdist.distance.table import DistanceTable
from medsegdist.report.tables import by_distance, mean_ranks, methods_of, only_source
from medsegdist.words import counted

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
        return f"{nearest} seems nearest: {sure} of {counted(methods, 'method')} tell it from all others."
    return f"{nearest} is the nearest source."


def told_apart(table: DistanceTable, target: str, nearest: str) -> int | None:
    """How many methods find this source nearest and tell it from every other one; None where no intervals say so."""
    if not any(one.target == target for one in table.comparisons):
        return None
    first = [by_distance(table, target, method)[0] for method in methods_of(table, target)]
    return sum(row.source == nearest and not row.tied for row in first)


def verdict(table: DistanceTable, target: str) -> str:
    """Which source is nearest, by how many methods, and which ones cannot be told from it."""
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
    """A sentence on sources without an interval beside others that have one; empty if there are none."""
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
