"""Gains of transfer learning, distances, and the pairs of both."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from medsegdist.errors import DataError
from medsegdist.files import atomic_write, plain_cell, read_csv
from medsegdist.words import did_you_mean, listed

OK, NOT_CONVERGED, UNDEFINED = "ok", "not_converged", "undefined"
"""Status of a gain: it counts, a training collapsed, or the Dice score it would be relative to is 0."""

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A float that JSON has as null where it is NaN."""

ROUNDED = 0.1  # gains printed with one digit, as the paper's are, may differ this much from Eq. 20 of the Dice scores
FEWEST_PAIRS = 3  # a line through two points always fits


@dataclass(frozen=True)
class DistanceRecord:
    """How far a source is from a target by one method."""

    source: str
    target: str
    distance: float  # any finite number, less is nearer; a score of which more is better is negated
    method: str = "distance"


@dataclass(frozen=True)
class Gain:
    """What one run of transfer learning gained over the same target's training from scratch.

    >>> Gain("liver", "lung", dice=0.75, dice_baseline=0.5).gain_percent
    50.0
    """

    # Empty for the control, trained from scratch with as many steps.
    source: Annotated[str, BeforeValidator(lambda cell: cell or "")]
    target: str
    seed: Annotated[int | str | None, Field(union_mode="left_to_right")] = None
    dice: float | None = None  # of the test cases, 0 to 1; None if only the gain is known
    dice_baseline: float | None = None
    gain_percent: float | None = None  # computed if it is left out; None unless the status is "ok"
    status: Annotated[str, BeforeValidator(lambda cell: cell if cell in (NOT_CONVERGED, UNDEFINED) else OK)] = OK

    def __post_init__(self) -> None:
        if self.status in (NOT_CONVERGED, UNDEFINED):
            object.__setattr__(self, "gain_percent", None)
            return
        if self.dice is None or self.dice_baseline is None:
            if self.gain_percent is None:
                raise ValueError(
                    "expected a number in the column gain_percent, or in both dice and dice_baseline, found none"
                )
            return
        expected = relative_gain(self.dice, self.dice_baseline)
        if self.gain_percent is None:
            object.__setattr__(self, "gain_percent", expected)
        elif abs(self.gain_percent - expected) > ROUNDED:
            raise ValueError(
                f"expected a gain_percent of {expected:.4g} for the Dice scores {self.dice:g} after "
                f"{self.dice_baseline:g} (100 * (dice - dice_baseline) / dice_baseline), found {self.gain_percent:g}"
            )


def relative_gain(dice: float, baseline: float) -> float:
    """Gain in percent of the Dice score without pre-training (the paper's Eq. 20).

    >>> relative_gain(0.6, 0.5) > 19.99
    True
    """
    if not baseline > 0:
        raise ValueError(f"expected a baseline Dice score > 0, which the gain is relative to, found {baseline}")
    return 100 * (dice - baseline) / baseline


def read_distances(path: str | Path) -> list[DistanceRecord]:
    """Distances from a CSV: `distances.csv`, or anybody's with the columns source, target and distance.

    A column `method` distinguishes several distances; all other columns are ignored.
    """
    remedy = "give each distance in a row with source, target and distance"
    return read_csv(path, DistanceRecord, key=("source", "target", "method"), remedy=remedy)


def read_gains(path: str | Path, *, of_controls: bool = False, rows_needed: bool = True) -> list[Gain]:
    """Gains from a CSV: `gains.csv`, or anybody's with the columns source, target and gain_percent.

    Instead of `gain_percent` the columns `dice` and `dice_baseline` will do; where all three are there they have to
    agree. A column `seed` distinguishes runs of one source and target. Where a column `status` says `not_converged` or
    `undefined`, the run has no gain, and may leave its numbers empty. All other columns are ignored. Only
    `controls.csv` may have runs without a source.
    """
    remedy = "give each gain in a row with source, target and gain_percent, or with dice and dice_baseline"
    gains = read_csv(path, Gain, key=("source", "target", "seed"), remedy=remedy, rows_needed=rows_needed)
    for one in gains:
        if not one.source and not of_controls:
            raise DataError(
                f"{path}: expected a name in the column 'source', found an empty cell for the target '{one.target}'",
                "name the dataset of pre-training",
            )
    return gains


def write_gains(path: Path, gains: Iterable[Gain]) -> None:
    """Write a CSV with one row for each gain, which has both Dice scores; it is complete, or what was there stays."""
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["source", "target", "seed", "dice", "dice_baseline", "gain_percent", "status"])
        for one in gains:
            dice, baseline = one.dice or 0.0, one.dice_baseline or 0.0
            numbers = (dice, baseline, relative_gain(dice, baseline) if baseline else math.nan)
            writer.writerow(
                [plain_cell(one.source), plain_cell(one.target), one.seed, *(f"{n:.6f}" for n in numbers), one.status]
            )


@dataclass(frozen=True, slots=True)
class SourceGain:
    """What a source brought a target."""

    source: str  # its name; empty for the control
    gains: tuple[float, ...]
    dice: float | None  # mean over the seeds; None if it is not known for all
    dice_baseline: float | None  # mean over the seeds of that from scratch

    @property
    def gain(self) -> float:
        """Mean over the seeds, in percent."""
        return fmean(self.gains)

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the seeds, in percentage points; None for one seed."""
        return stdev(self.gains) if len(self.gains) > 1 else None


def summarize_gains(gains: Iterable[Gain], target: str) -> list[SourceGain]:
    """The sources of one target, the greatest mean gain first; runs without a gain are left out."""
    by_source: dict[str, list[tuple[Gain, float]]] = {}
    for one in gains:
        if one.target == target and one.gain_percent is not None:
            by_source.setdefault(one.source, []).append((one, one.gain_percent))
    found = (
        SourceGain(
            source=source,
            gains=tuple(gain for _, gain in runs),
            dice=_mean([run.dice for run, _ in runs]),
            dice_baseline=_mean([run.dice_baseline for run, _ in runs]),
        )
        for source, runs in by_source.items()
    )
    return sorted(found, key=lambda one: -one.gain)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


@dataclass(frozen=True)
class TransferPair:
    """A source and a target of which both the distance and the gain are known."""

    source: str
    target: str
    distance: float  # by one method, less is nearer
    gain: float  # mean over the seeds, percent (Eq. 20)
    gain_deviation: float | None = None  # standard deviation of a seed's gain, in percentage points; None for one seed
    seeds: int = 1


@dataclass(frozen=True)
class LeftOut:
    """Distances and gains that did not become a pair."""

    without_gain: tuple[DistanceRecord, ...] = ()  # distances of a source to a target for which no gain is known
    without_distance: tuple[tuple[str, str], ...] = ()  # (source, target) of gains for which no distance is known
    # (source, target) of which no seed has a gain, for none converged or the Dice score from scratch is 0.
    not_converged: tuple[tuple[str, str], ...] = ()
    partly_converged: tuple[tuple[str, str, int], ...] = ()  # the same of some seeds, and how many


@dataclass(frozen=True)
class MatchedPairs:
    """What one method's distances and the gains have in common, and what they have not."""

    method: str
    pairs: tuple[TransferPair, ...]
    left_out: LeftOut


def match_pairs(
    distances: Iterable[DistanceRecord], gains: Iterable[Gain], methods: Sequence[str] | None = None
) -> list[MatchedPairs]:
    """Pairs of distance and gain by each method, or some `methods`; the gains of several seeds become their mean.

    Too little to say anything of a method is an error: fewer than three pairs, or equal distances or gains.
    """
    found = {one.method: one for one in all_pairs(distances, gains)}
    for name in methods or ():
        if name not in found:
            raise DataError(f"expected a method among those of the distances, {', '.join(found)}, found '{name}'.")
    chosen = [found[name] for name in dict.fromkeys(methods or found)]
    for one in chosen:
        _check(one)
    return chosen


def all_pairs(distances: Iterable[DistanceRecord], gains: Iterable[Gain]) -> list[MatchedPairs]:
    """What :func:`match_pairs` finds by every method, however little that is."""
    runs: dict[tuple[str, str], list[float | None]] = {}
    for run in gains:
        runs.setdefault((run.source, run.target), []).append(run.gain_percent)
    left = {key: [gain for gain in some if gain is not None] for key, some in runs.items()}
    by_method: dict[str, dict[tuple[str, str], DistanceRecord]] = {}
    for one in distances:
        by_method.setdefault(one.method, {})[one.source, one.target] = one
    found = []
    for method, known in by_method.items():
        pairs = tuple(
            TransferPair(*key, one.distance, fmean(some), stdev(some) if len(some) > 1 else None, len(some))
            for key, one in known.items()
            if (some := left.get(key))
        )
        left_out = LeftOut(
            without_gain=tuple(one for key, one in known.items() if key not in left),
            without_distance=tuple(key for key in left if key not in known),
            not_converged=tuple(key for key in left if key in known and not left[key]),
            partly_converged=tuple(
                (*key, len(runs[key]) - len(left[key]))
                for key in left
                if key in known and 0 < len(left[key]) < len(runs[key])
            ),
        )
        found.append(MatchedPairs(method, pairs, left_out))
    return found


def distances_and_gains(pairs: Sequence[TransferPair]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n,) distances and (n,) gains."""
    distance, gain = np.array([(one.distance, one.gain) for one in pairs], dtype=np.float64).reshape(-1, 2).T
    return distance, gain


def _check(matched: MatchedPairs) -> None:
    head, pairs, left_out = f"method '{matched.method}'", matched.pairs, matched.left_out
    without_gain = [(one.source, one.target) for one in left_out.without_gain]
    if not pairs and not left_out.not_converged:
        raise DataError(
            f"{head}: expected distances and gains of the same sources and targets, found no pair in common. Distances:"
            f" {arrows(without_gain)}. Gains: {arrows(left_out.without_distance)}. "
            f"{_close(without_gain, left_out.without_distance)}"
        )
    if len(pairs) < FEWEST_PAIRS:
        failed = f"; not converged, or over a Dice of 0: {arrows(left_out.not_converged)}"
        raise DataError(
            f"{head}: expected at least {FEWEST_PAIRS} pairs with both a distance and a gain, found {len(pairs)}: "
            f"{arrows((one.source, one.target) for one in pairs) or 'none'}. Without a gain: "
            f"{arrows(without_gain) or 'none'}; without a distance: {arrows(left_out.without_distance) or 'none'}"
            f"{failed if left_out.not_converged else ''}."
        )
    for what, values in zip(("distances", "gains"), distances_and_gains(pairs), strict=True):
        if np.ptp(values) == 0:
            raise DataError(
                f"{head}: expected {what} that differ, found {len(pairs)} times {values[0]:g}; nothing can "
                "be said of how the two go together. Choose other methods with --method."
            )


def arrows(keys: Iterable[tuple[str, str]]) -> str:
    """Pairs of source and target, in words."""
    return listed([f"{source} -> {target}" for source, target in keys])


def _close(known: Iterable[tuple[str, str]], left: Iterable[tuple[str, str]]) -> str:
    """A hint at names that are written differently; else what to do."""
    mine = {name for key in known for name in key}
    for name in sorted({name for key in left for name in key} - mine):
        if hint := did_you_mean(name, sorted(mine)):
            return f"'{name}' of the gains is no name of the distances{hint} Names must be equal in both files."
    return "Names must be equal in both files."
