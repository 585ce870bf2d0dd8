"""Distances and gains in rows: what `distances.csv` and `gains.csv` tell of a source and its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medsegdist.csv_table import CsvTable, read_table
from medsegdist.errors import DataError

UNNAMED_METHOD = "distance"
"""The method of distances that stand in a table without a column of that name."""

NOT_CONVERGED = "not_converged"
"""What the column `status` of `gains.csv`, and a run's own in `runs.jsonl`, say of a training that collapsed."""

UNDEFINED = "undefined"
"""What it says of a gain over a Dice score of 0."""

ROUNDED = 0.1
"""Gains printed with one digit, as the paper's are, may lie this far from Eq. 20 of the Dice scores."""


@dataclass(frozen=True, slots=True)
class DistanceRecord:
    """How far a source is from a target by one method.

    Args:
        source: the dataset to pre-train on.
        target: the dataset to train on in the end.
        method: name of the distance.
        distance: any finite number, of which less means nearer; a score of which more is better stands here negated.
    """

    source: str
    target: str
    method: str
    distance: float


@dataclass(frozen=True, slots=True)
class GainRecord:
    """What one run of transfer learning gained.

    Args:
        source: the dataset of pre-training.
        target: the dataset of fine-tuning.
        seed: tells runs of one source and target apart; "" where there are none to tell apart.
        gain_percent: the paper's Eq. 20; None for a run that has none, for it did not converge or the Dice score that
            the gain would be relative to is 0.
        converged: False for a run whose pre-training or baseline collapsed: that is no negative transfer.
        dice: after the transfer; None where only the gain is known.
        dice_baseline: without it; None likewise.
    """

    source: str
    target: str
    seed: str
    gain_percent: float | None
    converged: bool = True
    dice: float | None = None
    dice_baseline: float | None = None


def relative_gain(dice: float, baseline: float) -> float:
    """Gain in percent of the Dice score without pre-training (the paper's Eq. 20).

    Args:
        dice: test Dice score of the target after pre-training and fine-tuning, 0 to 1.
        baseline: that without pre-training.

    Raises:
        ValueError: the baseline is not above 0, so nothing can be gained relative to it.
    """
    if not baseline > 0:
        raise ValueError(f"expected a baseline Dice score > 0, found {baseline}.")
    return 100 * (dice - baseline) / baseline


def read_distances(path: str | Path) -> list[DistanceRecord]:
    """Distances from a CSV: `distances.csv`, or anybody's with the columns source, target and distance.

    A column `method` tells several distances apart; all other columns are left alone.

    Args:
        path: the file, in UTF-8.

    Raises:
        DataError: the file is no such table; a cell is empty or no finite number; a row stands twice.
    """
    table = read_table(path, ("source", "target", "distance"))
    methods = table.words("method") if "method" in table else [UNNAMED_METHOD] * len(table)
    rows = zip(table.words("source"), table.words("target"), methods, table.numbers("distance"), strict=True)
    records = [DistanceRecord(*row) for row in rows]
    table.check_distinct([(one.source, one.target, one.method) for one in records], "source, target and method")
    return records


def read_gains(path: str | Path, *, of_controls: bool = False, rows_needed: bool = True) -> list[GainRecord]:
    """Gains from a CSV: `gains.csv`, or anybody's with the columns source, target and gain_percent.

    Instead of `gain_percent` the columns `dice` and `dice_baseline` will do; where all three are there they have to
    agree. A column `seed` tells runs of one source and target apart. Where a column `status` says `not_converged` or
    `undefined`, the run has no gain, and may leave its numbers empty. All other columns are left alone.

    Args:
        path: the file, in UTF-8.
        of_controls: the file is `controls.csv`, whose runs have no source.
        rows_needed: a header alone is refused.

    Raises:
        DataError: the file is no such table; a cell is empty or no finite number; a row stands twice; a gain is not
            that of its Dice scores.
    """
    has_dice = ("dice", "dice_baseline")
    table = read_table(path, ("source", "target"), rows_needed=rows_needed)
    from_dice = all(name in table for name in has_dice)
    if "gain_percent" not in table and not from_dice:
        table.fail_columns("gain_percent, or both dice and dice_baseline")
    status = table.words("status", empty_allowed=True) if "status" in table else [""] * len(table)
    gained = [word not in (NOT_CONVERGED, UNDEFINED) for word in status]
    gains = table.numbers("gain_percent", needed=gained) if "gain_percent" in table else None
    scores: list[tuple[float, float] | tuple[None, None]] = [(None, None)] * len(table)
    if from_dice:
        dice, baseline = (table.numbers(name, needed=gained) for name in has_dice)
        gains = _checked_gains(table, gains, dice, baseline, gained)
        scores = list(zip(dice, baseline, strict=True))
    assert gains is not None  # one of the two, by the check of the columns
    seeds = table.words("seed", empty_allowed=True) if "seed" in table else [""] * len(table)
    names = zip(table.words("source", empty_allowed=of_controls), table.words("target"), seeds, strict=True)
    records = [
        GainRecord(*of_row, gains[row], True, *scores[row])
        if gained[row]
        else GainRecord(*of_row, None, status[row] != NOT_CONVERGED)
        for row, of_row in enumerate(names)
    ]
    hint = "" if "seed" in table else "; a column 'seed' tells runs apart"
    table.check_distinct([(one.source, one.target, one.seed) for one in records], "source, target and seed", hint)
    return records


def _checked_gains(
    table: CsvTable,
    gains: Sequence[float] | None,
    dice: Sequence[float],
    baseline: Sequence[float],
    gained: Sequence[bool],
) -> list[float]:
    """Gains as they are given, or by Eq. 20 where they are not."""
    found = []
    for row, ok in enumerate(gained):
        if not ok:
            found.append(float("nan"))
            continue
        try:
            expected = relative_gain(dice[row], baseline[row])
        except ValueError as error:
            raise DataError(f"{table.where(row)}: {error} A gain is relative to it.") from error
        if gains is not None and abs(gains[row] - expected) > ROUNDED:
            raise DataError(
                f"{table.where(row)}: expected a gain_percent of {expected:.4g} for the Dice scores {dice[row]:g} "
                f"after {baseline[row]:g} (100 * (dice - dice_baseline) / dice_baseline), found {gains[row]:g}; mend "
                "one of the three, or leave the columns dice and dice_baseline out."
            )
        found.append(expected if gains is None else gains[row])
    return found
