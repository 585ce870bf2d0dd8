"""What a result rests on: pairs that pull at the line, and what is left without a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.outliers_influence import OLSInfluence

from medsegdist.transfer.gains import FEWEST_PAIRS, TransferPair
from medsegdist.transfer.rank_agreement import correlate_ranks
from medsegdist.transfer.regression import LinearFit, fit_line, least_squares

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
        leverage: diagonal of the hat matrix, 0 to 1: how far out its distance lies. Their mean is 2 / n.
        cooks_distance: how far the line moves without it; None where the line hangs on it alone (leverage 1), or
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
        line: of the others; None where they make none.
        spearman: of the others; None likewise.
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
