"""A ranking in words: which source is nearest, how sure that is, what it rests on, and what is left open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from medsegdist.distance.ranking import DistanceRow
from medsegdist.distance.table import DistanceTable
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


@dataclass(frozen=True, slots=True)
class Answer:
    """Which source is nearest to a target, how sure that is, and by which methods.

    The one order of the sources is that of their mean rank over the methods; of equal ones that comes first which more
    methods find nearest, then the nearer one.

    Args:
        target: its name.
        methods: those that compared any source with it, in the order of the table.
        mean_ranks: of every source, smallest first.
        votes: how many methods find each source nearest; those that none does are not there.
        alike: the sources that share the first rank with the nearest one, with the number of methods by which they do.
        apart: how many methods find the nearest source so and distinguish it from all others; None without intervals.
        open: the sources without an interval, if others have one.
        patients: of the smallest dataset that the nearest source cannot be distinguished with; None without such.
    """

    target: str
    methods: tuple[str, ...]
    mean_ranks: Mapping[str, float]
    votes: Mapping[str, int]
    alike: Mapping[str, int]
    apart: int | None
    open: tuple[str, ...]
    patients: int | None

    @classmethod
    def of(cls, table: DistanceTable, target: str) -> Answer:
        """The answer that a table gives for one of its targets.

        Args:
            table: distances with their ranks.
            target: its name.

        Raises:
            ValueError: the table has no such target.
        """
        methods = methods_of(table, target)
        rankings = [table.ranking(target, method) for method in methods]
        votes = Counter(rows[0].source for rows in rankings)
        ranks: dict[str, list[int]] = {}
        places: Counter[str] = Counter()
        for rows in rankings:
            for place, row in enumerate(rows):
                ranks.setdefault(row.source, []).append(row.rank)
                places[row.source] += place
        means = {source: fmean(found) for source, found in ranks.items()}
        in_order = sorted(means, key=lambda source: (means[source], -votes[source], places[source]))
        nearest = in_order[0]
        alike: Counter[str] = Counter()
        for rows in rankings:
            first = [row.source for row in rows if row.rank == 1]
            alike.update(source for source in first if nearest in first and source != nearest)
        compared = [one for one in table.comparisons if one.target == target]
        concerned = [
            one.patients
            for one in compared
            if nearest in (one.nearer, one.farther) and {one.nearer, one.farther} & alike.keys()
        ]
        known = {row.source: row.low is not None for rows in rankings for row in rows}
        return cls(
            target=target,
            methods=methods,
            mean_ranks={source: means[source] for source in in_order},
            votes=dict(sorted(votes.items(), key=lambda item: (-item[1], in_order.index(item[0])))),
            alike=dict(alike.most_common()),
            apart=sum(rows[0].source == nearest and not rows[0].tied for rows in rankings) if compared else None,
            open=tuple(source for source, there in known.items() if not there) if any(known.values()) else (),
            patients=min(concerned, default=None),
        )

    @property
    def nearest(self) -> str:
        """The first source."""
        return next(iter(self.mean_ranks))

    @property
    def alone(self) -> bool:
        """Whether there is no other source, so that nothing was ranked."""
        return len(self.mean_ranks) == 1

    @property
    def headline(self) -> str:
        """The answer in a few words: the nearest source, or that there is no clear one."""
        methods, votes = len(self.methods), self.votes.get(self.nearest, 0)
        if self.alone:
            return f"One source only: {self.nearest}."
        if self.apart is None and votes == methods:
            return f"Nearest by {votes} of {counted(methods, 'method')}: {self.nearest}."
        if self.apart is None:
            return f"Nearest by mean rank over {counted(methods, 'method')}: {self.nearest}."
        if self.apart == 0:
            # A source that few methods find as near is no candidate, unless there is no better one.
            rivals = [source for source, count in self.alike.items() if 2 * count >= methods]
            others = [one for one in (*self.alike, *self.votes, *self.mean_ranks) if one != self.nearest]
            shown = [self.nearest, *(rivals or others[:1])]
            if len(shown) > MOST_NAMED:
                shown = [*shown[:MOST_NAMED], f"{len(shown) - MOST_NAMED} more"]
            return f"No clear winner: {', '.join(shown[:-1])} or {shown[-1]}."
        if self.apart < methods:
            return f"{self.nearest} seems nearest: {self.apart} of {methods} methods distinguish it from all others."
        return f"{self.nearest} is the nearest source."

    @property
    def verdict(self) -> str:
        """Which source is nearest, by how many methods, and which ones cannot be distinguished from it."""
        target, nearest, methods = self.target, self.nearest, len(self.methods)
        if self.alone:
            return f"For {target} there is one source only, {nearest}, so nothing was ranked; its distances are shown."
        if methods == 1:
            found = f"For {target} the nearest source is {nearest}, by the one method that was asked for."
        elif len(self.votes) == 1:
            found = f"For {target} the nearest source is {nearest}, by every method ({methods} of {methods})."
        else:
            said = ", ".join(f"{source} (by {count} of {methods})" for source, count in self.votes.items())
            found = (
                f"For {target} the nearest source is {nearest}, by its mean rank over {methods} methods "
                f"({self.mean_ranks[nearest]:.1f}). Single methods find nearest: {said}."
            )
        if self.patients is not None:
            votes = (f"{source} (by {n} of {methods})" if methods > 1 else source for source, n in self.alike.items())
            found += (
                f" {nearest} cannot be told apart from {', '.join(votes)}, with {counted(self.patients, 'patient')} in "
                "the smallest of these datasets."
            )
        if self.open:
            one, many = (
                "has one patient, so how sure its place is",
                "have one patient each, so how sure their places are",
            )
            found += f" {', '.join(self.open)} {one if len(self.open) == 1 else many} remains open."
        return found


def methods_of(table: DistanceTable, target: str) -> tuple[str, ...]:
    """The methods that compared any source with this target, in the order of the table.

    Raises:
        ValueError: the table has no such target.
    """
    found = dict.fromkeys(row.method for row in table.rows if row.target == target)
    if not found:
        raise ValueError(f"expected one of the targets {list(table.targets)}, found '{target}'.")
    return tuple(found)


def rank_of(row: DistanceRow) -> str:
    """A rank, with `=` behind it where it is shared."""
    return f"{row.rank}{'=' if row.tied else ''}"


def amount(distance: float) -> str:
    """A distance with as many digits as a reader wants; normalized ones are about 1."""
    return f"{distance:,.0f}" if abs(distance) >= 100 else f"{distance:.3g}"


def basis(run: Results, answer: Answer) -> str:
    """What the answer for a target rests on, in a sentence."""
    rows = [row for row in run.table.rows if row.target == answer.target]
    record = run.record
    known = record.dataset(answer.target) if record else None
    # Counts of cards are rounded down; without a record, nothing says which datasets were cards.
    is_card = bool(run.approximate) and (record is None or answer.target in record.cards)
    least = "at least " if is_card else ""
    of_target = f"{least}{counted(max(row.n_target for row in rows), 'sample')}"
    if known:
        of_target += f" of {least}{counted(known.patients, 'patient')}"
    sources, methods = counted(len(answer.mean_ranks), "source"), counted(len(answer.methods), "method")
    said = f"It rests on {of_target} of {answer.target}, {sources} and {methods}"
    if record and record.bootstrap and all(row.low is None for row in rows):
        said += "; how sure it is remains open, for one patient does not show how patients differ"
    elif record and record.bootstrap:
        said += f"; patients were resampled {record.bootstrap.replicates} times to say how sure it is"
    elif run.approximate:
        said += "; patients of cards cannot be resampled, so how sure it is remains open"
    elif not run.table.comparisons:
        said += "; patients were not resampled, so how sure it is remains open"
    concerned = {answer.target, answer.nearest, *answer.alike}
    if record and any(dataset.simulated for dataset in record.datasets if dataset.name in concerned):
        said += "; the data is simulated, in whole or in part"
    return f"{said}."


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
