"""Whether distance foretold gain: the regression of the paper's Fig. 9 to 13 and Tables 12 and 13."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medsegdist.report.results import Results
from medsegdist.transfer.gains import TransferPair, all_pairs

FEWEST = 4
"""Pairs that a line with a band needs."""


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
    points: tuple[TransferPair, ...]
    intercept: float
    slope: float
    slope_interval: tuple[float, float]
    r_squared: float
    p_intercept: float
    p_slope: float
    line: tuple[tuple[float, float, float, float], ...]


def gain_points(run: Results) -> dict[str, list[TransferPair]]:
    """All pairs that have a distance and a gain, by the methods that know any.

    They are those of `agreement.json` where it is there, since it says what was compared, and else what distances and
    gains of the folder have in common. Runs without a gain, such as collapsed ones, are in neither.
    """
    if run.agreements:
        return {
            one.method: [
                TransferPair(pair.source, pair.target, pair.distance, pair.gain, None, pair.seeds) for pair in one.pairs
            ]
            for one in run.agreements
        }
    return {method: list(pairs) for method, pairs in _pairs_here(run).items()}


def of_other_tables(run: Results) -> bool:
    """Whether `agreement.json` compared other distances or gains than those that lie beside it."""
    here = {method: {(one.source, one.target): one for one in pairs} for method, pairs in _pairs_here(run).items()}
    compared = gain_points(run) if run.agreements and here else {}
    return any(
        (other := here.get(method, {}).get((one.source, one.target))) is None
        or not np.allclose((one.distance, one.gain), (other.distance, other.gain), rtol=1e-9, atol=0)
        for method, pairs in compared.items()
        for one in pairs
    )


def _pairs_here(run: Results) -> dict[str, tuple[TransferPair, ...]]:
    return {one.method: one.pairs for one in all_pairs(run.distances, run.gains) if one.pairs}


def regress(method: str, points: Sequence[TransferPair]) -> Regression | None:
    """The regression of gain on distance; None where there are too few pairs, or they have one distance.

    Args:
        method: of the distances.
        points: at least 4 for a result.
    """
    from medsegdist.transfer.regression import LEVEL, fit_line, least_squares

    distances = np.array([point.distance for point in points])
    if len(points) < FEWEST or np.ptp(distances) <= 1e-9 * np.abs(distances).max():
        return None
    line = fit_line(points)
    result, unit = least_squares(points)
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
