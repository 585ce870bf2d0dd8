"""Whether distance foretold gain: the regression of the paper's Fig. 9 to 13 and Tables 12 and 13."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medsegdist.report.run import Gain, Run

FEWEST = 4
"""Pairs that a line with a band needs."""


@dataclass(frozen=True, slots=True)
class GainPoint:
    """A source and a target with their distance by one method and the gain that training found.

    Args:
        source: name of the source.
        target: name of the target.
        distance: by that method.
        dice: mean over the seeds.
        gain: in percent, mean over the seeds.
        seeds: how many there are.
    """

    source: str
    target: str
    distance: float
    dice: float
    gain: float
    seeds: int


@dataclass(frozen=True, slots=True)
class Regression:
    """Gain by distance, ordinary least squares.

    Args:
        method: of the distances.
        points: what was fitted.
        intercept: in percent.
        slope: percent per unit of distance.
        slope_interval: of 95%.
        r_squared: part of the variance of the gains.
        p_intercept: of the intercept.
        p_slope: of the slope.
        line: distances, and the line with the ends of its 95% band at them.
    """

    method: str
    points: tuple[GainPoint, ...]
    intercept: float
    slope: float
    slope_interval: tuple[float, float]
    r_squared: float
    p_intercept: float
    p_slope: float
    line: tuple[tuple[float, float, float, float], ...]


def gain_points(run: Run, method: str) -> list[GainPoint]:
    """All pairs that have a distance by the method and a gain, in the order of the distances."""
    gains: dict[tuple[str, str], list[Gain]] = {}
    for gain in run.gains:
        gains.setdefault((gain.source, gain.target), []).append(gain)
    found = []
    for row in run.table.rows:
        of_pair = gains.get((row.source, row.target))
        if row.method == method and of_pair:
            dice = statistics.fmean(gain.dice for gain in of_pair)
            mean = statistics.fmean(gain.gain_percent for gain in of_pair)
            found.append(GainPoint(row.source, row.target, row.distance, dice, mean, len(of_pair)))
    return found


def regress(method: str, points: Sequence[GainPoint]) -> Regression | None:
    """The regression of gain on distance; None where there are too few pairs, or they have one distance.

    Args:
        method: of the distances.
        points: at least 4 for a result.
    """
    from medsegdist.transfer.pairs import TransferPair
    from medsegdist.transfer.regression import LEVEL, fit_line, least_squares

    distances = np.array([point.distance for point in points])
    if len(points) < FEWEST or np.ptp(distances) <= 1e-9 * np.abs(distances).max():
        return None
    pairs = [TransferPair(point.source, point.target, point.distance, point.gain) for point in points]
    line = fit_line(pairs)
    result, unit = least_squares(pairs)
    places = np.linspace(distances.min(), distances.max(), 41)
    at = result.get_prediction(np.column_stack([np.ones(len(places)), places / unit]))
    band = at.conf_int(alpha=1 - LEVEL)
    return Regression(
        method=method,
        points=tuple(points),
        intercept=line.intercept,
        slope=line.slope,
        slope_interval=(line.slope_low, line.slope_high),
        r_squared=line.r_squared,
        p_intercept=line.p_intercept,
        p_slope=line.p_slope,
        line=tuple(zip(places.tolist(), at.predicted_mean.tolist(), *band.T.tolist(), strict=True)),
    )
