"""The numbers that the paper prints in its Tables 5 to 13."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files

from medsegdist.transfer.gains import DistanceRecord, Gain, read_distances, read_gains

BASELINE_DICE: Mapping[str, float] = {"Decathlon Lung": 0.6506, "Tuberculoma dataset": 0.8164}
"""Table 10: test Dice score of each target without pre-training."""


@dataclass(frozen=True, slots=True)
class PublishedFit:
    """What the paper says of one method's regression, as it is printed.

    Args:
        p_const: Table 12, of the intercept.
        p_slope: Table 12 and, the same, Table 13.
        slope: Table 13, percent per unit of distance.
        slope_low: Table 13, lower end of the 95% interval.
        slope_high: Table 13, upper end.
        r_squared: Table 13.
    """

    p_const: float
    p_slope: float
    slope: float
    slope_low: float
    slope_high: float
    r_squared: float


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
