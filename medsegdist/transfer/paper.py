"""The numbers of the paper's Tables 5 to 13, and Tables 12 and 13 recomputed from the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files

from scipy.stats import t as student

from medsegdist.transfer.agreement import Agreement, measure_agreement
from medsegdist.transfer.gains import DistanceRecord, Gain, read_distances, read_gains
from medsegdist.transfer.regression import LEVEL, LinearFit, fit_line


@dataclass(frozen=True, slots=True)
class PublishedFit:
    """What the paper says of one method's regression, as it is printed."""

    p_const: float  # Table 12, of the intercept
    p_slope: float  # Table 12 and, the same, Table 13
    slope: float  # Table 13, percent per unit of distance
    slope_low: float  # Table 13, lower end of the 95% interval
    slope_high: float  # Table 13, upper end
    r_squared: float  # Table 13


PUBLISHED_FITS: Mapping[str, PublishedFit] = {
    "euclidean": PublishedFit(0.000354, 0.00167, -0.00129, -0.00201, -0.00057, 0.57),
    "gmm2d": PublishedFit(1.94e-07, 1.23e-06, -0.00084, -0.00112, -0.00056, 0.83),
    "gmm3d": PublishedFit(7.08e-08, 4.43e-07, -0.00068, -0.00089, -0.00047, 0.87),
    "fake_classes": PublishedFit(4.27e-05, 0.000199, -0.00126, -0.00178, -0.00074, 0.71),
    "fake_class_gmm": PublishedFit(0.000291, 0.00123, -0.00248, -0.00373, -0.00123, 0.65),
}
"""Tables 12 and 13, by the names that the methods have here."""


def published_distances() -> list[DistanceRecord]:
    """Tables 5 to 9: 17 distances by each of the five methods, by the names that they have here."""
    with as_file(files("medsegdist.transfer") / "published_distances.csv") as path:
        return read_distances(path)


def published_gains() -> list[Gain]:
    """Table 11: 17 gains in percent and the Dice scores after the transfer, as they are printed there.

    Every Dice score is the baseline raised by the gain of one digit, rounded to four: they say no more than the gains.
    """
    with as_file(files("medsegdist.transfer") / "published_gains.csv") as path:
        return read_gains(path)


@dataclass(frozen=True, slots=True)
class PaperComparison:
    """What the paper prints of one method, and what its own distances and gains give."""

    method: str
    published: PublishedFit  # Tables 12 and 13
    recomputed: Agreement  # from Tables 5 to 9 and 11
    line: LinearFit  # its regression
    p_const_reproduced: bool  # Table 12's p-value of the constant comes out to its last printed digit
    p_slope_reproduced: bool  # the same of the slope
    table_13_reproduced: bool  # slope, interval and R^2 of Table 13 come out to their last printed digit
    # The R^2 that the slope and interval which Table 13 prints have in any line through so many pairs.
    implied_r_squared: float


def recompute_paper() -> tuple[PaperComparison, ...]:
    """Tables 12 and 13, as printed and recomputed, one entry for each method."""
    found = []
    for recomputed in measure_agreement(published_distances(), published_gains()):
        published, line = PUBLISHED_FITS[recomputed.method], fit_line(recomputed.pairs)
        printed = (published.slope, published.slope_low, published.slope_high)
        same = all(map(math.isclose, (round(one, 5) for one in (line.slope, line.slope_low, line.slope_high)), printed))
        # R^2 = t^2 / (t^2 + n - 2), and t is the slope over its standard error.
        error = (published.slope_high - published.slope_low) / 2 / student.ppf((1 + LEVEL) / 2, line.n - 2)
        squared = float(published.slope / error) ** 2
        found.append(
            PaperComparison(
                method=recomputed.method,
                published=published,
                recomputed=recomputed,
                line=line,
                p_const_reproduced=float(f"{line.p_intercept:.3g}") == published.p_const,
                p_slope_reproduced=float(f"{line.p_slope:.3g}") == published.p_slope,
                table_13_reproduced=same and round(line.r_squared, 2) == published.r_squared,
                implied_r_squared=squared / (squared + line.n - 2),
            )
        )
    return tuple(found)


def verdict(comparisons: Sequence[PaperComparison]) -> str:
    """What of the two tables follows from the others, in words."""
    p_values = [found for one in comparisons for found in (one.p_const_reproduced, one.p_slope_reproduced)]
    followed = sum(one.table_13_reproduced for one in comparisons)
    recomputed = ", ".join(f"{one.line.r_squared:.2f}" for one in comparisons)
    printed = ", ".join(f"{one.published.r_squared:.2f}" for one in comparisons)
    implied = ", ".join(f"{one.implied_r_squared:.2f}" for one in comparisons)
    n = comparisons[0].line.n
    return (
        f"Table 12: {sum(p_values)} of {len(p_values)} p-values follow from Tables 5 to 11 to the printed digits. "
        f"Table 13: slopes, intervals and R^2 of {followed} of {len(comparisons)} methods do; the distances and gains "
        f"that the paper prints give an R^2 of {recomputed} instead of {printed}. Nor does Table 13 agree with "
        f"itself: its slopes and intervals belong to an R^2 of {implied} in any line through {n} pairs."
    )
