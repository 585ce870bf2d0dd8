"""The paper's Tables 12 and 13, computed anew from its Tables 5 to 11."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t as student

from medsegdist.transfer.agreement import Agreement, measure_agreement
from medsegdist.transfer.published import PUBLISHED_FITS, PublishedFit, published_distances, published_gains
from medsegdist.transfer.regression import LEVEL

DIGITS = 3
"""That the paper prints of each p-value."""


@dataclass(frozen=True, slots=True)
class PaperComparison:
    """What the paper prints of one method, and what its own distances and gains give.

    Args:
        method: its name.
        published: Tables 12 and 13.
        recomputed: from Tables 5 to 9 and 11.
        p_const_reproduced: Table 12's p-value of the constant comes out to its last printed digit.
        p_slope_reproduced: likewise of the slope.
        table_13_reproduced: slope, interval and R^2 of Table 13 come out to their last printed digit.
        implied_r_squared: the R^2 that the slope and interval which Table 13 prints have in any line through so many
            pairs.
    """

    method: str
    published: PublishedFit
    recomputed: Agreement
    p_const_reproduced: bool
    p_slope_reproduced: bool
    table_13_reproduced: bool
    implied_r_squared: float


def recompute_paper() -> tuple[PaperComparison, ...]:
    """Tables 12 and 13, as printed and recomputed, one entry for each method."""
    return tuple(_compared(one) for one in measure_agreement(published_distances(), published_gains()))


def verdict(comparisons: Sequence[PaperComparison]) -> str:
    """What of the two tables follows from the others, in words."""
    p_values = [found for one in comparisons for found in (one.p_const_reproduced, one.p_slope_reproduced)]
    followed = sum(one.table_13_reproduced for one in comparisons)
    recomputed = ", ".join(f"{one.recomputed.line.r_squared:.2f}" for one in comparisons)
    printed = ", ".join(f"{one.published.r_squared:.2f}" for one in comparisons)
    implied = ", ".join(f"{one.implied_r_squared:.2f}" for one in comparisons)
    n = comparisons[0].recomputed.line.n
    return (
        f"Table 12: {sum(p_values)} of {len(p_values)} p-values follow from Tables 5 to 11 to the printed digits. "
        f"Table 13: slopes, intervals and R^2 of {followed} of {len(comparisons)} methods do; the distances and gains "
        f"that the paper prints give an R^2 of {recomputed} instead of {printed}. Nor does Table 13 agree with "
        f"itself: its slopes and intervals belong to an R^2 of {implied} in any line through {n} pairs."
    )


def _compared(recomputed: Agreement) -> PaperComparison:
    published, line = PUBLISHED_FITS[recomputed.method], recomputed.line
    printed = (published.slope, published.slope_low, published.slope_high)
    found = (line.slope, line.slope_low, line.slope_high)
    same = all(round(one, 5) == other for one, other in zip(found, printed, strict=True))
    return PaperComparison(
        method=recomputed.method,
        published=published,
        recomputed=recomputed,
        p_const_reproduced=_as_printed(line.p_intercept) == published.p_const,
        p_slope_reproduced=_as_printed(line.p_slope) == published.p_slope,
        table_13_reproduced=same and round(line.r_squared, 2) == published.r_squared,
        implied_r_squared=_implied(published, line.n),
    )


def _as_printed(p_value: float) -> float:
    return float(f"{p_value:.{DIGITS}g}")


def _implied(published: PublishedFit, n: int) -> float:
    """R^2 = t^2 / (t^2 + n - 2), and t is the slope over its standard error."""
    freedom = n - 2
    error = (published.slope_high - published.slope_low) / 2 / student.ppf((1 + LEVEL) / 2, freedom)
    squared = (published.slope / error) ** 2
    return float(squared / (squared + freedom))
