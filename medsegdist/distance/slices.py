"""Sliced Wasserstein distance: exact transport along many directions."""

from __future__ import annotations

import math

import numpy as np
import ot
from torch import Tensor

from medsegdist.distance.image_cost import BLOCK_BYTES

IN_CACHE = 4 * 2**20
"""Larger blocks take nearly twice as long."""

COPIES = 14
"""Numbers that POT holds at once for every point and direction (measured with POT 0.9.7: 12.7)."""


def slice_directions(dimensions: int, count: int, seed: int) -> np.ndarray:
    """Random directions, the same for everything that is compared.

    They come in orthonormal bases, so that a shift by t has the mean square |t|^2 / d along them exactly.

    Args:
        dimensions: d.
        count: how many at least; rounded up to whole bases where it is more than d.
        seed: >= 0.

    Returns:
        (d, directions) float64 unit vectors.
    """
    rng = np.random.default_rng([seed, dimensions])
    bases = -(-count // dimensions)
    return np.concatenate(
        [np.linalg.qr(rng.normal(size=(dimensions, min(dimensions, count))))[0] for _ in range(bases)], axis=1
    )


def sliced_wasserstein(
    points: Tensor,
    masses: Tensor,
    other_points: Tensor,
    other_masses: Tensor,
    directions: np.ndarray,
    *,
    block_bytes: int = BLOCK_BYTES,
) -> float:
    """Root mean square, over directions, of W2 between projections (Bonneel et al. 2015), not squared.

    Along a direction the transport is that of the weighted quantiles, and exact.

    Args:
        points: (n, d) float64.
        masses: (n,) positive, sum to 1.
        other_points: (m, d) float64.
        other_masses: (m,) positive, sum to 1.
        directions: (d, directions) unit vectors.
        block_bytes: what is computed at once takes no more, or what one direction takes.
    """
    arrays = [one.cpu().numpy() for one in (points, other_points, masses, other_masses)]
    width = max(1, min(block_bytes, IN_CACHE) // (8 * COPIES * (len(points) + len(other_points))))
    total = 0.0
    for start in range(0, directions.shape[1], width):
        block = directions[:, start : start + width]
        total += block.shape[1] * float(ot.sliced_wasserstein_distance(*arrays, projections=block, p=2)) ** 2
    return math.sqrt(total / directions.shape[1])
