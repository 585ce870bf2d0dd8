"""What a source that nobody has trained on can be expected to gain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from medsegdist.transfer.gains import TransferPair
from medsegdist.transfer.regression import LEVEL, least_squares


@dataclass(frozen=True, slots=True)
class GainPrediction:
    """The gain to expect of a source at some distance from its target.

    Args:
        distance: by the method of the pairs.
        gain: expected, percent.
        low: lower end of the 95% prediction interval: of the gain of one more source, not of the mean of many.
        high: its upper end.
        mean_low: lower end of the 95% interval of the line itself.
        mean_high: its upper end.
        extrapolated: the distance lies beyond those that the line was fitted to, where nothing vouches for it.
        seen_low: the least of those distances.
        seen_high: the greatest.
        source: name of the source; "" where only a distance was given.
        target: name of the target; likewise.
    """

    distance: float
    gain: float
    low: float
    high: float
    mean_low: float
    mean_high: float
    extrapolated: bool
    seen_low: float
    seen_high: float
    source: str = ""
    target: str = ""


def predict_gain(
    pairs: Sequence[TransferPair], distance: float, *, source: str = "", target: str = ""
) -> GainPrediction:
    """Expected gain at a distance, from the line through past pairs.

    Args:
        pairs: past distances, by one method, and gains.
        distance: by the same method.
        source: name of the new source, if it has one.
        target: name of its target.

    Raises:
        ValueError: the distance is not finite, or the pairs do not make a line.
    """
    if not math.isfinite(distance):
        raise ValueError(f"expected a finite distance, found {distance}.")
    result, unit = least_squares(pairs)
    frame = result.get_prediction([[1.0, distance / unit]]).summary_frame(alpha=1 - LEVEL).iloc[0]
    seen = [one.distance for one in pairs]
    return GainPrediction(
        distance=distance,
        gain=float(frame["mean"]),
        low=float(frame["obs_ci_lower"]),
        high=float(frame["obs_ci_upper"]),
        mean_low=float(frame["mean_ci_lower"]),
        mean_high=float(frame["mean_ci_upper"]),
        extrapolated=not min(seen) <= distance <= max(seen),
        seen_low=min(seen),
        seen_high=max(seen),
        source=source,
        target=target,
    )
