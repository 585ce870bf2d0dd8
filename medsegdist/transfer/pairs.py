"""Distances and gains put together: one pair for each source and target."""

from __future__ import annotations

import difflib
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medsegdist.csv_table import listed
from medsegdist.errors import DataError
from medsegdist.transfer.records import DistanceRecord, GainRecord

FEWEST_PAIRS = 3
"""A line through two points always fits."""


@dataclass(frozen=True, slots=True)
class TransferPair:
    """A source and a target of which both the distance and the gain are known.

    Args:
        source: name of the dataset of pre-training.
        target: name of the dataset of fine-tuning.
        distance: by one method, less is nearer.
        gain: mean over the seeds, percent (Eq. 20).
        gain_deviation: standard deviation of a seed's gain, in percentage points; None for one seed.
        seeds: how many.
    """

    source: str
    target: str
    distance: float
    gain: float
    gain_deviation: float | None = None
    seeds: int = 1


@dataclass(frozen=True, slots=True)
class MatchedPairs:
    """What one method's distances and the gains have in common, and what they have not.

    Args:
        method: name of the distance.
        pairs: in the order of the distances.
        without_gain: distances of a source to a target for which no gain is known.
        without_distance: (source, target) of gains for which no distance is known.
        not_converged: (source, target) of runs of which no seed has a gain, for none converged or the Dice score from
            scratch is 0; left out.
        partly_converged: (source, target, seeds left out) of those of which some have.
    """

    method: str
    pairs: tuple[TransferPair, ...]
    without_gain: tuple[DistanceRecord, ...]
    without_distance: tuple[tuple[str, str], ...]
    not_converged: tuple[tuple[str, str], ...]
    partly_converged: tuple[tuple[str, str, int], ...]


def match_pairs(
    distances: Iterable[DistanceRecord], gains: Iterable[GainRecord], methods: Sequence[str] | None = None
) -> list[MatchedPairs]:
    """Pairs of distance and gain by each method; the gains of several seeds become their mean.

    Args:
        distances: by one method or more.
        gains: of one seed or more.
        methods: which ones to take; None takes all, in the order of the distances.

    Raises:
        DataError: a method is unknown; distances and gains have no pair in common, or fewer than three; all distances
            of a method are equal, or all gains.
    """
    of_method = _by_method(distances)
    runs = _by_pair(gains)
    for name in methods or ():
        if name not in of_method:
            raise DataError(f"expected a method among those of the distances, {', '.join(of_method)}, found '{name}'.")
    chosen = dict.fromkeys(methods or of_method)
    found = [_matched(name, of_method[name], runs) for name in chosen]
    for matched in found:
        _check(matched, of_method[matched.method], runs)
    return found


def all_pairs(distances: Iterable[DistanceRecord], gains: Iterable[GainRecord]) -> list[MatchedPairs]:
    """What :func:`match_pairs` finds by every method, however little that is.

    Args:
        distances: by one method or more.
        gains: of one seed or more.
    """
    runs = _by_pair(gains)
    return [_matched(method, some, runs) for method, some in _by_method(distances).items()]


def _by_method(distances: Iterable[DistanceRecord]) -> dict[str, list[DistanceRecord]]:
    found: dict[str, list[DistanceRecord]] = {}
    for record in distances:
        found.setdefault(record.method, []).append(record)
    return found


def _by_pair(gains: Iterable[GainRecord]) -> dict[tuple[str, str], list[GainRecord]]:
    found: dict[tuple[str, str], list[GainRecord]] = {}
    for run in gains:
        found.setdefault((run.source, run.target), []).append(run)
    return found


def _matched(
    method: str, distances: Sequence[DistanceRecord], runs: dict[tuple[str, str], list[GainRecord]]
) -> MatchedPairs:
    left = {key: [one.gain_percent for one in some if one.gain_percent is not None] for key, some in runs.items()}
    known = {(one.source, one.target): one for one in distances}
    pairs = tuple(_averaged(one, left[key]) for key, one in known.items() if left.get(key))
    return MatchedPairs(
        method=method,
        pairs=pairs,
        without_gain=tuple(one for key, one in known.items() if key not in left),
        without_distance=tuple(key for key in left if key not in known),
        not_converged=tuple(key for key in left if key in known and not left[key]),
        partly_converged=tuple(
            (*key, len(runs[key]) - len(left[key]))
            for key in left
            if key in known and 0 < len(left[key]) < len(runs[key])
        ),
    )


def _averaged(record: DistanceRecord, gains: Sequence[float]) -> TransferPair:
    deviation = statistics.stdev(gains) if len(gains) > 1 else None
    return TransferPair(record.source, record.target, record.distance, statistics.fmean(gains), deviation, len(gains))


def _check(
    matched: MatchedPairs, distances: Sequence[DistanceRecord], runs: dict[tuple[str, str], list[GainRecord]]
) -> None:
    head = f"method '{matched.method}'"
    known = [(one.source, one.target) for one in distances]
    if not matched.pairs and not matched.not_converged:
        raise DataError(
            f"{head}: expected distances and gains of the same sources and targets, found no pair in common. "
            f"Distances: {_arrows(known)}. Gains: {_arrows(runs)}. {_close(known, runs)}"
        )
    if len(matched.pairs) < FEWEST_PAIRS:
        there = _arrows([(one.source, one.target) for one in matched.pairs]) or "none"
        apart = _arrows([(one.source, one.target) for one in matched.without_gain]) or "none"
        failed = (
            f"; not converged, or over a Dice of 0: {_arrows(matched.not_converged)}" if matched.not_converged else ""
        )
        raise DataError(
            f"{head}: expected at least {FEWEST_PAIRS} pairs with both a distance and a gain, found "
            f"{len(matched.pairs)}: {there}. Without a "
            f"gain: {apart}; without a distance: {_arrows(matched.without_distance) or 'none'}{failed}."
        )
    for what, values in (
        ("distances", {one.distance for one in matched.pairs}),
        ("gains", {one.gain for one in matched.pairs}),
    ):
        if len(values) == 1:
            raise DataError(
                f"{head}: expected {what} that differ, found {len(matched.pairs)} times {values.pop():g}; nothing can "
                "be said of how the two go together. Choose other methods with --method."
            )


def _arrows(keys: Iterable[tuple[str, str]]) -> str:
    return listed([f"{source} -> {target}" for source, target in keys])


def _close(known: Iterable[tuple[str, str]], left: Iterable[tuple[str, str]]) -> str:
    """A hint at names that are written differently; else what to do."""
    mine = {name for key in known for name in key}
    for name in sorted({name for key in left for name in key} - mine):
        by_case = {other.casefold(): other for other in sorted(mine)}
        near = difflib.get_close_matches(name.casefold(), by_case, n=1, cutoff=0.8)
        if near:
            return f"Is '{name}' of the gains the same as '{by_case[near[0]]}' of the distances? Names must be equal."
    return "Names must be equal in both files."
