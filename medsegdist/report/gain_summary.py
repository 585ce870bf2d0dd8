"""What pre-training gained, seeds together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsegdist.transfer.gains import Gain


@dataclass(frozen=True, slots=True)
class SourceGain:
    """What a source brought a target.

    Args:
        source: its name; empty for the control.
        gains: of each seed, in percent.
        dice: mean over the seeds; None where it is not known of all.
        dice_baseline: likewise.
    """

    source: str
    gains: tuple[float, ...]
    dice: float | None
    dice_baseline: float | None

    @property
    def gain(self) -> float:
        """Mean over the seeds, in percent."""
        return fmean(self.gains)

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the seeds, in percentage points; None for one seed."""
        return stdev(self.gains) if len(self.gains) > 1 else None


def summarize_gains(gains: Iterable[Gain], target: str) -> list[SourceGain]:
    """The sources of one target in the order in which they come; runs without a gain are left out.

    Args:
        gains: of any targets.
        target: its name.
    """
    by_source: dict[str, list[tuple[Gain, float]]] = {}
    for one in gains:
        if one.target == target and one.gain_percent is not None:
            by_source.setdefault(one.source, []).append((one, one.gain_percent))
    return [
        SourceGain(
            source=source,
            gains=tuple(gain for _, gain in runs),
            dice=_mean([run.dice for run, _ in runs]),
            dice_baseline=_mean([run.dice_baseline for run, _ in runs]),
        )
        for source, runs in by_source.items()
    ]


def targets_of(gains: Iterable[Gain]) -> list[str]:
    """The targets in the order in which they come."""
    return list(dict.fromkeys(gain.target for gain in gains))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None
