"""Gain = intercept + slope * distance by ordinary least squares: the fit, what it rests on, and what it predicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.outliers_influence import OLSInfluence

from medsegdist.transfer.gains import FEWEST_PAIRS, Number, TransferPair, distances_and_gains
from medsegdist.transfer.ranks import correlate_ranks

LEVEL = 0.95
"""Of every interval."""


@dataclass(frozen=True, slots=True)
class LinearFit:
    """A line of gains on distances, and how sure it is.

    The two p-values are those of the paper's Table 12: `p_intercept` is its "Const", `p_slope` its "Slope". Each is
    that of the two-sided t-test of a coefficient against 0, t = estimate / standard error, with n - 2 degrees of
    freedom and one variance for all residuals. The first asks whether a dataset at distance 0 would gain anything, the
    second whether gain depends on distance. Both take the pairs for independent, which pairs that share a source or a
    target are not.

    Args:
        n: pairs.
        intercept: gain at distance 0, percent.
        intercept_low: lower end of its 95% interval.
        intercept_high: upper end.
        slope: percent per unit of distance.
        slope_low: lower end of its 95% interval.
        slope_high: upper end.
        r_squared: part of the variance of the gains that the line explains, 0 to 1.
        p_intercept: of the intercept.
        p_slope: of the slope.
        deviation: standard deviation of a residual, percentage points.
    """

    n: int
    intercept: Number
    intercept_low: Number
    intercept_high: Number
    slope: Number
    slope_low: Number
    slope_high: Number
    r_squared: Number
    p_intercept: Number
    p_slope: Number
    deviation: Number


@dataclass(frozen=True, slots=True)
class FixedEffectsFit:
    """One slope for all targets, each of which has an intercept of its own.

    A target on which every source gains much, and to which every source is near, moves the line of the plain fit, and
    not this one. p_slope is of the t-test with n - targets - 1 degrees of freedom.

    Args:
        targets: how many intercepts.
        slope: percent per unit of distance.
        slope_low: lower end of its 95% interval.
        slope_high: upper end.
        r_squared_within: part of the variance within targets that the slope explains.
        p_slope: of the slope, two-sided.
    """

    targets: int
    slope: Number
    slope_low: Number
    slope_high: Number
    r_squared_within: Number
    p_slope: Number


def fit_line(pairs: Sequence[TransferPair]) -> LinearFit:
    """Ordinary least squares of gain on distance.

    Args:
        pairs: at least three, of which not all distances are equal.

    Raises:
        ValueError: there are fewer, or all distances are equal.
    """
    result, unit = least_squares(pairs)
    intercept, slope = result.params
    ends, slope_ends = result.conf_int(1 - LEVEL)
    return LinearFit(
        n=len(pairs),
        intercept=float(intercept),
        intercept_low=float(ends[0]),
        intercept_high=float(ends[1]),
        slope=float(slope / unit),
        slope_low=float(slope_ends[0] / unit),
        slope_high=float(slope_ends[1] / unit),
        r_squared=float(result.rsquared),
        p_intercept=float(result.pvalues[0]),
        p_slope=float(result.pvalues[1]),
        deviation=float(np.sqrt(result.mse_resid)),
    )


def fit_fixed_effects(pairs: Sequence[TransferPair]) -> FixedEffectsFit | None:
    """Ordinary least squares of gain on distance with an intercept for each target.

    Args:
        pairs: of distance and gain.

    Returns:
        None if that adds nothing: there is one target, no target has two sources at
        different distances, or no degree of freedom is left.
    """
    distance, gain = distances_and_gains(pairs)
    target = np.array([one.target for one in pairs])
    names = sorted(set(target.tolist()))
    dummies = np.stack([target == name for name in names], axis=1).astype(np.float64)
    if len(names) < 2 or len(pairs) <= len(names) + 1 or not _varies_within(distance, target):
        return None
    unit = float(np.abs(distance).max())
    result = OLS(gain, np.column_stack([distance / unit, dummies])).fit()
    within = sum(float(np.square(gain[target == name] - gain[target == name].mean()).sum()) for name in names)
    low, high = result.conf_int(1 - LEVEL)[0]
    return FixedEffectsFit(
        targets=len(names),
        slope=float(result.params[0] / unit),
        slope_low=float(low / unit),
        slope_high=float(high / unit),
        r_squared_within=1 - float(result.ssr) / within if within > 0 else 0.0,
        p_slope=float(result.pvalues[0]),
    )


def least_squares(pairs: Sequence[TransferPair]) -> tuple[Any, float]:
    """The fit of :func:`fit_line`, as statsmodels' own result.

    Returns:
        The result for distances over a unit, and that unit, their greatest size: next to distances in the billions a
        constant of 1 would pass for rounding.

    Raises:
        ValueError: there are fewer than three pairs, or all distances are equal.
    """
    distance, gain = distances_and_gains(pairs)
    if len(pairs) < 3 or np.ptp(distance) == 0:
        raise ValueError(
            f"expected at least 3 pairs with distances that differ, found {len(pairs)} with "
            f"{len(set(distance.tolist()))} different ones."
        )
    unit = float(np.abs(distance).max())
    return OLS(gain, np.column_stack([np.ones(len(distance)), distance / unit])).fit(), unit


def _varies_within(distance: NDArray[np.float64], target: NDArray[np.str_]) -> bool:
    return any(np.ptp(distance[target == name]) > 0 for name in set(target.tolist()))


COEFFICIENTS = 2
"""Of the line."""

HIGH_COOK = 1.0
"""A Cook's distance above this moves the coefficients out of the middle of their confidence region (Cook 1977)."""


@dataclass(frozen=True, slots=True)
class Influence:
    """How much one pair pulls at the line.

    Args:
        source: of the pair.
        target: of the pair.
        leverage: diagonal of the hat matrix, 0 to 1: how extreme its distance is. Their mean is 2 / n.
        cooks_distance: how far the line moves without it; None if the line hangs on it alone (leverage 1), or
            nothing is left to explain.
        high: leverage above three times the mean, or Cook's distance above 1.
    """

    source: str
    target: str
    leverage: float
    cooks_distance: float | None
    high: bool


@dataclass(frozen=True, slots=True)
class WithoutSource:
    """The result without any pair of one source.

    Args:
        source: the one left out.
        line: of the others; None if they make none.
        spearman: of the others; None as above.
    """

    source: str
    line: LinearFit | None
    spearman: float | None


def measure_influence(pairs: Sequence[TransferPair]) -> tuple[Influence, ...]:
    """Leverage and Cook's distance of every pair, in their order.

    Raises:
        ValueError: the pairs do not make a line.
    """
    result, _ = least_squares(pairs)
    leverage = OLSInfluence(result).hat_matrix_diag
    # Residuals of a perfect line are rounding, and Cook's distance would divide by their size.
    perfect = result.ssr <= 1e-20 * max(float(result.centered_tss), 1e-300)
    found = []
    for k, one in enumerate(pairs):
        h = float(leverage[k])
        cook = None
        if not perfect and h < 1 - 1e-9:
            cook = float(result.resid[k] ** 2 / (COEFFICIENTS * result.mse_resid) * h / (1 - h) ** 2)
        high = h > 3 * COEFFICIENTS / len(pairs) or (cook is not None and cook > HIGH_COOK)
        found.append(Influence(one.source, one.target, h, cook, high))
    return tuple(found)


def leave_one_source_out(pairs: Sequence[TransferPair]) -> tuple[WithoutSource, ...]:
    """The result without each source in turn, in the order of the pairs; nothing where there is one source."""
    sources = list(dict.fromkeys(one.source for one in pairs))
    if len(sources) == 1:
        return ()
    found = []
    for source in sources:
        left = [one for one in pairs if one.source != source]
        makes_line = len(left) >= FEWEST_PAIRS and np.ptp([one.distance for one in left]) > 0
        ranks = correlate_ranks(left)
        found.append(
            WithoutSource(source, fit_line(left) if makes_line else None, None if ranks is None else ranks.spearman)
        )
    return tuple(found)


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
        extrapolated: the distance is outside of those that the line was fitted to.
        seen_low: the least of those distances.
        seen_high: the greatest.
        source: name of the source; "" where only a distance was given.
        target: name of the target; "" as above.
    """

    distance: float
    gain: Number
    low: Number
    high: Number
    mean_low: Number
    mean_high: Number
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
