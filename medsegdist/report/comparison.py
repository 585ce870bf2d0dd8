"""Two runs side by side: what moved in the recommended order, and what differs between the runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table
from scipy.stats import spearmanr

from medsegdist.distance.order import DistanceRow, Recommendation
from medsegdist.errors import DataError
from medsegdist.files import write_text
from medsegdist.report.figures import Plot, in_rows, label, scatter
from medsegdist.report.record import StudyRecord
from medsegdist.report.results import Results
from medsegdist.report.tables import filled_table, split_table, two_lines
from medsegdist.report.verdict import rank_of, setting
from medsegdist.words import and_listed, counted, listed

UP, DOWN = "\N{UPWARDS ARROW}", "\N{DOWNWARDS ARROW}"


@dataclass(frozen=True, slots=True)
class Move:
    """A source that both runs rank for a target."""

    before: Recommendation  # where run A has it; its rank is among all sources of that run
    after: Recommendation  # where run B has it
    places: tuple[int, int]  # in the orders of A and of B, 1 for the first, among the sources that both have
    rows: Mapping[str, tuple[DistanceRow, DistanceRow]]  # in A and B, by the methods that both have

    @property
    def source(self) -> str:
        """Its name."""
        return self.before.source

    @property
    def up(self) -> int:
        """Places that it moved up from A to B; below 0 if it moved down."""
        return self.places[0] - self.places[1]

    @property
    def moved(self) -> str:
        """The same in signs: an arrow and a number; a dash where it stayed."""
        return f"{UP if self.up > 0 else DOWN} {abs(self.up)}" if self.up else "-"


@dataclass(frozen=True, slots=True)
class TargetComparison:
    """The recommended orders of one target in two runs."""

    target: str
    first: tuple[str, str]  # the sources that A and B recommend, among all that each has
    shared: tuple[bool, ...]  # whether A, and B, ranks both of these first, for it cannot distinguish them
    moves: tuple[Move, ...]  # the sources of both runs, in the order of B
    only_a: tuple[str, ...]  # sources that B does not have
    only_b: tuple[str, ...]  # sources that A does not have
    methods: tuple[str, ...]  # those by which both runs have distances to the target
    spearman: float | None  # between the two orders; None for fewer than three sources

    @property
    def headline(self) -> str:
        """What both recommend, or what each does, and how many sources moved."""
        a, b = self.first
        if a == b:
            found = f"For {self.target} both runs recommend {a}."
        else:
            found = f"For {self.target} A recommends {a}, and B {b}."
            known = [name for name, there in zip("AB", self.shared, strict=True) if there]
            if known:
                found += f" {and_listed(known)} {'does' if len(known) == 1 else 'do'} not distinguish the two."
            found += f" {a} is no source in B." if a in self.only_a else ""
            found += f" {b} is no source in A." if b in self.only_b else ""
        moved = sum(move.up != 0 for move in self.moves)
        found += f" {moved or 'None'} of {counted(len(self.moves), 'source')} moved"
        return f"{found}." if self.spearman is None else f"{found} (Spearman {self.spearman:.2f})."


class Difference(NamedTuple):
    """A setting, version or dataset that is not the same in two runs."""

    what: str
    a: str  # what A has; empty where it has none
    b: str  # what B has


@dataclass(frozen=True, slots=True)
class RunComparison:
    """What two runs say of the same targets."""

    targets: tuple[TargetComparison, ...]  # those that both have, with a source in common
    differences: tuple[Difference, ...]  # between the records of the runs
    knowledge: str  # whether all that could differ is known, in a sentence

    @property
    def headline(self) -> str:
        """For how many targets something else is recommended."""
        changed = [one.target for one in self.targets if one.first[0] != one.first[1]]
        all_of_them = counted(len(self.targets), "target")
        if not changed:
            return f"Both runs recommend the same source for {all_of_them}."
        return f"Another source is recommended for {len(changed)} of {all_of_them}: {listed(changed)}."


def compare_runs(a: Results, b: Results) -> RunComparison:
    """What moved in the recommended orders from one run to another, and what differs between the two.

    They need rankings with a target, and for one target a source, in common.
    """
    for name, run in (("first", a), ("second", b)):
        if not run.table.rows:
            raise DataError(
                f"expected a ranking in the {name} of two runs, found none in '{run.name}'",
                "`medsegdist rank STUDY.yaml --out DIR` leaves one",
            )
    common = [target for target in b.targets if target in a.targets]
    if not common:
        raise DataError(
            f"expected two runs with a target in common, found {listed(a.targets, quoted=True)} in the first and "
            f"{listed(b.targets, quoted=True)} in the second",
            "compare rankings for the same target",
        )
    targets = tuple(one for target in common if (one := _compare_target(a, b, target)).moves)
    if not targets:
        sources = [listed([one.source for one in run.table.recommended(common[0])], quoted=True) for run in (a, b)]
        raise DataError(
            f"expected two runs with a source in common for {listed(common, quoted=True)}, found for '{common[0]}' "
            f"{sources[0]} in the first and {sources[1]} in the second",
            "datasets are compared by their names",
        )
    if a.record is None or b.record is None:
        without = [name for name, run in (("A", a), ("B", b)) if run.record is None]
        known = f"What differs is not known: there is no study.json in {and_listed(without)}."
        return RunComparison(targets, (), known)
    differences = tuple(_differences(a.record, b.record))
    said = f"{counted(len(differences), 'setting')} differ." if len(differences) > 1 else "One setting differs."
    return RunComparison(targets, differences, said if differences else "Nothing in the two study.json differs.")


def _compare_target(a: Results, b: Results, target: str) -> TargetComparison:
    before, after = ({one.source: one for one in run.table.recommended(target)} for run in (a, b))
    rows = [{(row.source, row.method): row for row in run.table.rows if row.target == target} for run in (a, b)]
    methods = tuple(dict.fromkeys(key[1] for key in rows[0] if key in rows[1]))
    places = {source: place for place, source in enumerate((one for one in before if one in after), start=1)}
    moves = []
    for place, source in enumerate((one for one in after if one in before), start=1):
        keys = {method: (source, method) for method in methods if all((source, method) in of for of in rows)}
        both = {method: (rows[0][key], rows[1][key]) for method, key in keys.items()}
        moves.append(Move(before[source], after[source], (places[source], place), both))
    first = (next(iter(before)), next(iter(after)))
    scores = [[move.before.score for move in moves], [move.after.score for move in moves]]
    ordered = len(moves) > 2 and all(len(set(values)) > 1 for values in scores)
    return TargetComparison(
        target=target,
        first=first,
        shared=tuple(all(order.get(one) and order[one].rank == 1 for one in first) for order in (before, after)),
        moves=tuple(moves),
        only_a=tuple(source for source in before if source not in after),
        only_b=tuple(source for source in after if source not in before),
        methods=methods,
        spearman=float(spearmanr(*scores).statistic) if ordered else None,
    )


def _differences(a: StudyRecord, b: StudyRecord) -> Iterator[Difference]:
    """What is not the same, in the order of the record; of methods and datasets that one run lacks, their names."""
    methods = {one.name for one in a.methods} & {one.name for one in b.methods}
    datasets = {one.name for one in a.datasets} & {one.name for one in b.datasets}
    facts = [dict(_flat(_facts(record, methods, datasets))) for record in (a, b)]
    for what in dict.fromkeys([*facts[0], *facts[1]]):
        found = facts[0].get(what, ""), facts[1].get(what, "")
        if found[0] != found[1]:
            yield Difference(what, *found)


def _facts(record: StudyRecord, methods: set[str], datasets: set[str]) -> dict[str, Any]:
    fields = {"modality", "samples", "patients", "cases", "simulated"}
    return {
        "preprocessing": record.preprocessing,
        "methods": [one.name for one in record.methods],
        **{f"method {one.name}:": one.formula | one.options for one in record.methods if one.name in methods},
        "bootstrap": asdict(record.bootstrap) if record.bootstrap else {"replicates": 0},
        "targets": record.targets,
        "datasets": [one.name for one in record.datasets],
        **{f"dataset {one.name}:": one.model_dump(include=fields) for one in record.datasets if one.name in datasets},
        "cards": record.cards,
        "version of": record.software,
        "device": record.device,
    }


def _flat(values: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}{key} ")
        else:
            yield f"{name}{key}", setting(value)


def mask_share(row: DistanceRow) -> str:
    """The part of a distance that is the masks', in percent; a dash for a distance of 0."""
    return f"{row.mask_term / row.distance:.0%}" if row.distance > 0 else "-"


def comparison_tables(compared: TargetComparison) -> Iterator[Table]:
    """For a terminal: the sources of a target with their ranks in A and B, as recommended, then by each method."""

    def cell(rows: tuple[DistanceRow, DistanceRow] | None) -> str:
        return "{} > {}, {} > {}".format(*map(rank_of, rows), *map(mask_share, rows)) if rows else "-"

    rows = [(move.source, rank_of(move.before), rank_of(move.after), move.moved) for move in compared.moves]
    heads, cells = "Source | A | B | Moved", "{0} | {1} | {2} | {3}"
    yield filled_table(f"Sources for {compared.target}", heads, cells, rows, wrap=True)
    lead = [("Source", [move.source for move in compared.moves])]
    columns = [(two_lines(name), [cell(move.rows.get(name)) for move in compared.moves]) for name in compared.methods]
    if columns:
        yield from split_table("Rank in A > B, and the masks' share of the distance in A > B", lead, columns)


def slope_plot(compared: TargetComparison) -> Plot:
    """A line for each source from its place in A to its place in B; those that moved stand out."""
    data = []
    for move in compared.moves:
        color = "var(--accent)" if move.up > 0 else "var(--second)" if move.up < 0 else "var(--neutral)"
        hover = f"{label(move.source, None)}<br>rank {rank_of(move.before)} in A, {rank_of(move.after)} in B"
        line, marker = {"color": color, "width": 2}, {"color": color, "size": 8}
        places = [place - 1 for place in move.places]
        data.append(scatter("lines+markers", [0, 1], places, [hover] * 2, line=line, marker=marker))
    before = sorted(compared.moves, key=lambda move: move.places[0])
    said = "; ".join(f"{m.source} from {m.places[0]} to {m.places[1]}" for m in compared.moves)
    ends = {"range": [-0.05, 1.05], "tickvals": [0, 1], "ticktext": ["A", "B"], "showgrid": False}
    return Plot(
        data,
        in_rows([f"{rank_of(move.before)}  {label(move.source)}" for move in before], ends, frame=70),
        f"Places of the sources for {compared.target} in A and B: {said}.",
        f"From A to B for {compared.target}",
    )


def write_comparison(a: Results, b: Results, path: str | Path, folders: tuple[str, str] = ("", "")) -> RunComparison:
    """Writes the comparison of two runs as one HTML page, whole or not at all.

    The page names their folders, too: two runs of one study have the same name.
    """
    from medsegdist.report.page import fill

    compared = compare_runs(a, b)
    page = fill(
        "comparison.html.jinja",
        {
            "title": f"Two runs of {a.name}" if a.name == b.name else f"{a.name} and {b.name}",
            "share": mask_share,
            "compared": compared,
            "runs": zip("AB", (a, b), folders, strict=True),
            "figures": [slope_plot(target) for target in compared.targets],
        },
    )
    write_text(path, page)
    return compared
