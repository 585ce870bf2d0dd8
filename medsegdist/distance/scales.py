"""Scales by which the two terms of a distance lose their units."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

ROUNDING = 1e-9
"""A mean distance below this, in pixels, intensity units or whatever else, is rounding and counts as 0."""


@dataclass(frozen=True, slots=True)
class Scales:
    """What the costs of a normalized distance are divided by.

    Args:
        image: for d_X, in its unit.
        mask: for d_Y**q, in its unit.

    Raises:
        ValueError: a scale is not above 0, or not finite.
    """

    image: float
    mask: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(scale) and scale > 0 for scale in (self.image, self.mask)):
            raise ValueError(f"expected finite scales > 0, found {self.image} and {self.mask}.")


def mean_costs(
    image_cost: Tensor, mask_cost: Tensor, power: float, source_weights: Tensor, target_weights: Tensor
) -> tuple[float, float]:
    """Means of d_X and d_Y**q over all pairs of samples, weighed by the masses of both: the independent coupling.

    Args:
        image_cost: (n, m) d_X.
        mask_cost: (n, m) or (1, 1) d_Y.
        power: q.
        source_weights: (n,) positive.
        target_weights: (m,) positive.
    """
    source, target = source_weights / source_weights.sum(), target_weights / target_weights.sum()
    image = float(source @ image_cost @ target)
    powered = mask_cost**power
    mask = float(powered) if powered.numel() == 1 else float(source @ powered @ target)
    return image if image > ROUNDING else 0.0, mask if mask > ROUNDING**power else 0.0


def scales_of(means: Sequence[tuple[float, float]]) -> Scales:
    """The scales that belong to some pairs of datasets.

    Each is the median over the pairs of :func:`mean_costs`; where that is 0, their mean; and where all are 0 it is 1,
    for a term that is 0 stays 0.

    Args:
        means: of at least one pair.
    """
    return Scales(*(_typical(of_term) for of_term in zip(*means, strict=True)))


def _typical(values: Sequence[float]) -> float:
    return statistics.median(values) or statistics.fmean(values) or 1.0
