"""Gain = intercept + slope * distance by ordinary least squares: the fit, what it rests on, and what it predicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.outliers_influence import OLSInfluence

from medsegdist.transfer.gains import Number, TransferPair, distances_and_gains
from medsegdist.transfer.ranks import correlate_ranks

LEVEL = 0.95  # of every interval

FEWEST_FOR_A_LINE = 4
"""Pairs below which no line is shown anywhere: three points lie on one too often for its slope, p and R^2 to mean
anything."""


@dataclass(frozen=True, slots=True)
class LinearFit:
    """A line of gains on distances, and how sure it is.

    The two p-values are those of the paper's Table 12: `p_intercept` is its "Const", `p_slope` its "Slope". Each is
    that of the two-sided t-test of a coefficient against 0, t = estimate / standard error, with n - 2 degrees of
    freedom and one variance for all residuals. The first asks whether a dataset at distance 0 would gain anything, the
    second whether gain depends on distance. Both take the pairs for independent, which pairs that share a source or a
    target are not.
    """

    n: int
    intercept: Number  # gain at distance 0, percent
    intercept_low: Number  # ends of 95% intervals, here and below
    intercept_high: Number
    slope: Number  # percent per unit of distance
    slope_low: Number
    slope_high: Number
    r_squared: Number
    p_intercept: Number
    p_slope: Number
    deviation: Number  # standard deviation of a residual, percentage points


@dataclass(frozen=True, slots=True)
class FixedEffectsFit:
    """One slope for all targets, each of which has an intercept of its own.

    A target on which every source gains much, and to which every source is near, moves the line of the plain fit, and
    not this one. p_slope is of the t-test with n - targets - 1 degrees of freedom.
    """

    targets: int  # how many intercepts
    slope: Number
    slope_low: Number
    slope_high: Number
    r_squared_within: Number  # part of the variance within targets that the slope explains
    p_slope: Number


def fit_line(pairs: Sequence[TransferPair]) -> LinearFit:
    """Ordinary least squares of gain on distance, of at least three pairs whose distances differ."""
    result, unit = least_squares(pairs)
    intercept, slope = np.column_stack([result.params, result.conf_int(1 - LEVEL)])
    numbers = [*intercept, *slope / unit, result.rsquared, *result.pvalues, np.sqrt(result.mse_resid)]
    return LinearFit(len(pairs), *map(float, numbers))


def makes_line(pairs: Sequence[TransferPair]) -> bool:
    """Whether a line through these pairs is worth showing: there are enough, at distances that differ."""
    distances = np.array([one.distance for one in pairs])
    return len(pairs) >= FEWEST_FOR_A_LINE and bool(np.ptp(distances) > 1e-9 * np.abs(distances).max())


def fit_fixed_effects(pairs: Sequence[TransferPair]) -> FixedEffectsFit | None:
    """Ordinary least squares of gain on distance with an intercept for each target.

    None if that adds nothing: there is one target, no target has two sources at different distances, or no degree of
    freedom is left.
    """
    distance, gain = distances_and_gains(pairs)
    target = np.array([one.target for one in pairs])
    of_target = [target == name for name in sorted(set(target.tolist()))]
    varies = any(np.ptp(distance[rows]) > 0 for rows in of_target)
    if len(of_target) < 2 or len(pairs) <= len(of_target) + 1 or not varies:
        return None
    unit = float(np.abs(distance).max())
    result = OLS(gain, np.column_stack([distance / unit, *of_target]).astype(np.float64)).fit()
    within = sum(float(np.square(gain[rows] - gain[rows].mean()).sum()) for rows in of_target)
    slope, low, high = (float(value / unit) for value in (result.params[0], *result.conf_int(1 - LEVEL)[0]))
    explained = 1 - float(result.ssr) / within if within > 0 else 0.0
    return FixedEffectsFit(len(of_target), slope, low, high, explained, float(result.pvalues[0]))


def least_squares(pairs: Sequence[TransferPair]) -> tuple[Any, float]:
    """The fit of :func:`fit_line` as statsmodels' own result, for distances over a unit; and that unit.

    It is their greatest size: next to distances in the billions a constant of 1 would pass for rounding.
    """
    distance, gain = distances_and_gains(pairs)
    if len(pairs) < 3 or np.ptp(distance) == 0:
        raise ValueError(
            f"expected at least 3 pairs with distances that differ, found {len(pairs)} with "
            f"{len(set(distance.tolist()))} different ones."
        )
    unit = float(np.abs(distance).max())
    return OLS(gain, np.column_stack([np.ones(len(distance)), distance / unit])).fit(), unit


HIGH_COOK = 1.0
"""A Cook's distance above this moves the coefficients out of the middle of their confidence region (Cook 1977)."""


@dataclass(frozen=True, slots=True)
class Influence:
    """How much one pair pulls at the line."""

    source: str
    target: str
    leverage: float  # diagonal of the hat matrix, 0 to 1: how extreme its distance is. Their mean is 2 / n.
    # How far the line moves without it; None if the line hangs on it alone (leverage 1), or nothing is left to explain.
    cooks_distance: float | None
    high: bool  # leverage above three times the mean, or Cook's distance above 1


@dataclass(frozen=True, slots=True)
class WithoutSource:
    """The result without any pair of one source."""

    source: str  # the one left out
    line: LinearFit | None  # of the others; None if they make none
    spearman: float | None  # of the others; None as above


def measure_influence(pairs: Sequence[TransferPair]) -> tuple[Influence, ...]:
    """Leverage and Cook's distance of every pair, in their order."""
    result, _ = least_squares(pairs)
    measured = OLSInfluence(result)
    leverage = measured.hat_matrix_diag
    # Residuals of a perfect line are rounding, and Cook's distance would divide by their size.
    perfect = result.ssr <= 1e-20 * max(float(result.centered_tss), 1e-300)
    with np.errstate(all="ignore"):
        cooks = np.where(perfect | (leverage >= 1 - 1e-9), np.nan, measured.cooks_distance[0])
    high = (leverage > 3 * 2 / len(pairs)) | (cooks > HIGH_COOK)
    return tuple(
        Influence(one.source, one.target, float(h), None if np.isnan(cook) else float(cook), bool(pulls))
        for one, h, cook, pulls in zip(pairs, leverage, cooks, high, strict=True)
    )


def leave_one_source_out(pairs: Sequence[TransferPair]) -> tuple[WithoutSource, ...]:
    """The result without each source in turn, in the order of the pairs; nothing where there is one source."""
    sources = dict.fromkeys(one.source for one in pairs)
    without = {source: [one for one in pairs if one.source != source] for source in sources if len(sources) > 1}
    return tuple(
        WithoutSource(
            source,
            line=fit_line(left) if makes_line(left) else None,
            spearman=None if (ranks := correlate_ranks(left)) is None else ranks.spearman,
        )
        for source, left in without.items()
    )


@dataclass(frozen=True, slots=True)
class GainPrediction:
    """The gain to expect of a source at some distance from its target."""

    distance: float  # by the method of the pairs
    gain: Number  # expected, percent
    low: Number  # lower end of the 95% prediction interval: of the gain of one more source, not of the mean of many
    high: Number  # its upper end
    mean_low: Number  # lower end of the 95% interval of the line itself
    mean_high: Number
    extrapolated: bool  # the distance is outside of those that the line was fitted to
    seen_low: float  # the least of those distances
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
    line = result.get_prediction([[1.0, distance / unit]])
    seen = [one.distance for one in pairs]
    (low, high), (mean_low, mean_high) = (line.conf_int(obs=obs, alpha=1 - LEVEL)[0].tolist() for obs in (True, False))
    outside = not min(seen) <= distance <= max(seen)
    gain = float(line.predicted_mean[0])
    return GainPrediction(distance, gain, low, high, mean_low, mean_high, outside, min(seen), max(seen), source, target)
