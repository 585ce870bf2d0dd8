"""The paper's linear model: gain = intercept + slope * distance, by ordinary least squares (Sec. 5.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from statsmodels.regression.linear_model import OLS

from medsegdist.transfer.gains import TransferPair

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
    intercept: float
    intercept_low: float
    intercept_high: float
    slope: float
    slope_low: float
    slope_high: float
    r_squared: float
    p_intercept: float
    p_slope: float
    deviation: float


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
    slope: float
    slope_low: float
    slope_high: float
    r_squared_within: float
    p_slope: float


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
        None where that tells nothing more or nothing at all: there is one target, no target has two sources at
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


def distances_and_gains(pairs: Sequence[TransferPair]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n,) distances and (n,) gains."""
    return np.array([one.distance for one in pairs], dtype=np.float64), np.array(
        [one.gain for one in pairs], dtype=np.float64
    )


def _varies_within(distance: NDArray[np.float64], target: NDArray[np.str_]) -> bool:
    return any(np.ptp(distance[target == name]) > 0 for name in set(target.tolist()))
