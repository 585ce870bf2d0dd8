"""A ranking in words: which source is nearest, how sure that is, what it rests on, and what is left open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medsegdist.distance.order import DistanceRow, Recommendation, recommending
from medsegdist.distance.table import DistanceTable
from medsegdist.words import and_listed, counted, listed

if TYPE_CHECKING:
    from medsegdist.report.results import Results

APPROXIMATE = (
    "APPROXIMATE, from cards: mask terms of gmm2d and gmm3d are those of the datasets; image terms compare "
    "Gaussians of projected images, and are smaller than those between images. Nothing says how sure the order is."
)
"""What has to be said wherever distances of cards are shown."""

MOST_NAMED = 4  # sources that a sentence names; the others are counted
SMALL_CHANCE = 0.05  # sources with less are not named for their chance


def approximate(cards: Sequence[str]) -> str:
    """:data:`APPROXIMATE`, and which datasets were cards, where that is known."""
    return f"{APPROXIMATE} Cards: {', '.join(cards)}." if cards else APPROXIMATE


@dataclass(frozen=True, slots=True)
class Answer:
    """Which source is recommended for a target, how sure that is, and by which rule.

    Terminal, page, JSON and Python show this one order, :meth:`~medsegdist.distance.table.DistanceTable.recommended`.
    """

    target: str
    order: tuple[Recommendation, ...]  # the sources, the best first
    methods: tuple[str, ...]  # those that compared any source with it, in the order of the table
    by: tuple[str, ...]  # those of them whose mean recommends
    nearest: Mapping[str, str]  # the nearest source by each method that recommends
    open: tuple[str, ...]  # the sources without an interval, if others have one
    patients: int | None  # of the smallest dataset that the first source cannot be distinguished with

    @classmethod
    def of(cls, table: DistanceTable, target: str) -> Answer:
        """The answer that a table gives for one of its targets."""
        order, methods = table.recommended(target), methods_of(table, target)
        first, by = order[0], recommending(methods)
        alike = {one.source for one in order[1:] if one.rank == first.rank}
        concerned = [
            one.patients
            for one in table.comparisons
            if one.target == target and first.source in (one.nearer, one.farther) and {one.nearer, one.farther} & alike
        ]
        rows = [row for row in table.rows if row.target == target and row.method in by]
        known = {row.source: row.low is not None for row in rows}
        return cls(
            target=target,
            order=order,
            methods=methods,
            by=by,
            nearest={method: table.ranking(target, method)[0].source for method in by},
            open=tuple(source for source, there in known.items() if not there) if any(known.values()) else (),
            patients=min(concerned, default=None),
        )

    @property
    def first(self) -> str:
        """The source that is recommended."""
        return self.order[0].source

    @property
    def alike(self) -> tuple[str, ...]:
        """The other sources that share the first rank, for they cannot be distinguished from the first one."""
        return tuple(one.source for one in self.order[1:] if one.rank == self.order[0].rank)

    @property
    def alone(self) -> bool:
        """Whether there is no other source, so that nothing was ranked."""
        return len(self.order) == 1

    @property
    def has_chances(self) -> bool:
        """Whether any source has a chance, as after a bootstrap."""
        return any(one.chance is not None for one in self.order)

    @property
    def rule(self) -> str:
        """What the sources are ordered by."""
        if self.order[0].learned:
            return "what was learned from transfers between datasets"
        if len(self.by) == 1:
            return f"their distance by {self.by[0]}"
        return f"the mean of their standardized distances by {and_listed(self.by)}"

    @property
    def best(self) -> str:
        """What chances are of: to be the nearest source, or by a learned rule the best."""
        return "best" if self.order[0].learned else "nearest"

    @property
    def headline(self) -> str:
        """The answer in a few words: the source that is recommended, and what it cannot be distinguished from."""
        if self.alone:
            return f"One source only: {self.first}."
        if self.alike:
            several = len(self.alike) > MOST_NAMED
            others = listed(self.alike, MOST_NAMED - 1) if several else and_listed(self.alike)
            return f"Recommended: {self.first}. It cannot be distinguished from {others}."
        if self.order[0].chance is None:
            return f"Recommended: {self.first}."
        return f"Recommended: {self.first}, ahead of all others."

    @property
    def verdict(self) -> str:
        """By which rule the source is recommended, and how sure that is."""
        if self.alone:
            return f"For {self.target} there is one source only, {self.first}, so nothing was ranked."
        said = f"Sources for {self.target} are ordered by {self.rule}."
        found: dict[str, list[str]] = {}
        for method, source in self.nearest.items():
            found.setdefault(source, []).append(method)
        if len(found) > 1:
            parts = (f"{source} ({', '.join(methods)})" for source, methods in found.items())
            said += f" By single methods the nearest is {' or '.join(parts)}."
        chances = [f"{one.source} {one.chance:.0%}" for one in self.order if one.chance and one.chance >= SMALL_CHANCE]
        if chances:
            said += f" Chance to be the {self.best}: {', '.join(chances[:MOST_NAMED])}."
        if self.patients is not None:
            said += f" The smallest dataset in the first group has {counted(self.patients, 'patient')}."
        if self.open:
            one, many = (
                "has one patient, so how sure its place is",
                "have one patient each, so how sure their places are",
            )
            said += f" {and_listed(self.open)} {one if len(self.open) == 1 else many} remains open."
        return said


def methods_of(table: DistanceTable, target: str) -> tuple[str, ...]:
    """The methods that compared any source with this target, in the order of the table."""
    return tuple(dict.fromkeys(row.method for row in table.rows if row.target == target))


def rank_of(row: DistanceRow | Recommendation) -> str:
    """A rank, with `=` behind it where it is shared."""
    return f"{row.rank}{'=' if row.tied else ''}"


def amount(distance: float) -> str:
    """A distance with as many digits as a reader wants; normalized ones are about 1."""
    return f"{distance:,.0f}" if abs(distance) >= 100 else f"{distance:.3g}"


def setting(value: Any) -> str:
    """What an option was set to, in words; empty for None, which is also left out of parts."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {setting(part)}" for name, part in value.items() if part is not None)
    if isinstance(value, list | tuple):
        return ", ".join(map(setting, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


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
        of_target += f" of {least}{known.patients_said}"
    sources, methods = counted(len(answer.order), "source"), counted(len(answer.methods), "method")
    said = f"It rests on {of_target} of {answer.target}, {sources} and {methods}"
    normalized = {bool(one.formula.get("normalize")) for one in record.methods} if record and not is_card else set()
    if len(normalized) == 1:
        said += ", each term divided by its usual size" if True in normalized else ", terms added as published"
    if record and record.bootstrap and all(row.low is None for row in rows):
        said += "; how sure it is remains open, for one patient does not show how patients differ"
    elif record and record.bootstrap:
        drawn = "cases" if known and known.patients_known is False else "patients"
        said += f"; {drawn} were resampled {record.bootstrap.replicates} times to say how sure it is"
    elif run.approximate:
        said += "; patients of cards cannot be resampled, so how sure it is remains open"
    elif not run.table.comparisons:
        said += "; patients were not resampled, so how sure it is remains open"
    concerned = {answer.target, answer.first, *answer.alike}
    if record and any(dataset.simulated for dataset in record.datasets if dataset.name in concerned):
        said += "; the data is simulated, in whole or in part"
    return f"{said}."
