"""Whether distance foretold gain: the regression of the paper's Fig. 9 to 13 and Tables 12 and 13."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medsegdist.report.run import Run

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
    found = []
    for row in run.table.rows:
        gains = [gain for gain in run.gains if (gain.source, gain.target) == (row.source, row.target)]
        if row.method == method and gains:
            dice = statistics.fmean(gain.dice for gain in gains)
            mean = statistics.fmean(gain.gain_percent for gain in gains)
            found.append(GainPoint(row.source, row.target, row.distance, dice, mean, len(gains)))
    return found


def regress(method: str, points: Sequence[GainPoint]) -> Regression | None:
    """The regression of gain on distance; None where there are too few pairs, or they have one distance.

    Args:
        method: of the distances.
        points: at least 4 for a result.
    """
    import statsmodels.api as sm

    distances = np.array([point.distance for point in points])
    if len(points) < FEWEST or np.ptp(distances) <= 1e-9 * np.abs(distances).max():
        return None
    fit = sm.OLS(np.array([point.gain for point in points]), sm.add_constant(distances)).fit()
    places = np.linspace(distances.min(), distances.max(), 41)
    band = fit.get_prediction(sm.add_constant(places)).conf_int()
    centers = fit.params[0] + fit.params[1] * places
    low, high = fit.conf_int()[1]
    return Regression(
        method=method,
        points=tuple(points),
        intercept=float(fit.params[0]),
        slope=float(fit.params[1]),
        slope_interval=(float(low), float(high)),
        r_squared=float(fit.rsquared),
        p_intercept=float(fit.pvalues[0]),
        p_slope=float(fit.pvalues[1]),
        line=tuple(zip(places.tolist(), centers.tolist(), *band.T.tolist(), strict=True)),
    )
