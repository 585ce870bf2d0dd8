"""What a pre-training gained, and gains.csv."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from medsegdist.files import atomic_write
from medsegdist.transfer.records import relative_gain


@dataclass(frozen=True, slots=True)
class Gain:
    """One fine-tuning beside the same target's training from scratch.

    Args:
        source: dataset that was pre-trained on; "" where `dice` is of the control, trained from scratch with as many
            steps.
        target: dataset that was tested on.
        seed: of both trainings, which share their split.
        dice: on the target's test patients after the transfer.
        dice_baseline: on the same patients from scratch.
        status: "ok", "not_converged" (the pre-training or the baseline learned nothing: no negative transfer), or
            "undefined" (a baseline of 0 has no relative gain).
    """

    source: str
    target: str
    seed: int
    dice: float
    dice_baseline: float
    status: str

    @property
    def gain_percent(self) -> float:
        """The paper's Eq. 20; NaN for a baseline of 0."""
        return gain_percent(self.dice, self.dice_baseline)


def gain_percent(dice: float, dice_baseline: float) -> float:
    """100 * (dice - dice_baseline) / dice_baseline, the paper's Eq. 20; NaN for a baseline of 0.

    Args:
        dice: after the transfer.
        dice_baseline: without it.
    """
    return relative_gain(dice, dice_baseline) if dice_baseline else math.nan


def write_gains(path: Path, gains: Iterable[Gain]) -> None:
    """Write a CSV with one row for each gain; it is complete, or what was there stays.

    Args:
        path: the file.
        gains: in the order of their rows.

    Raises:
        OSError: the disk is full or not writable.
    """
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["source", "target", "seed", "dice", "dice_baseline", "gain_percent", "status"])
        for gain in gains:
            numbers = (gain.dice, gain.dice_baseline, gain.gain_percent)
            writer.writerow([gain.source, gain.target, gain.seed, *(f"{n:.6f}" for n in numbers), gain.status])
