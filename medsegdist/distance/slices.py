"""Sliced Wasserstein distance: exact transport along many directions."""

from __future__ import annotations

import numpy as np
import ot
from torch import Tensor


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
    points: Tensor, masses: Tensor, other_points: Tensor, other_masses: Tensor, directions: np.ndarray
) -> float:
    """Root mean square, over directions, of W2 between projections (Bonneel et al. 2015), not squared.

    Along a direction the transport is that of the weighted quantiles, and exact.

    Args:
        points: (n, d) float64.
        masses: (n,) positive, sum to 1.
        other_points: (m, d) float64.
        other_masses: (m,) positive, sum to 1.
        directions: (d, directions) unit vectors.
    """
    arrays = (one.cpu().numpy() for one in (points, other_points, masses, other_masses))
    return float(ot.sliced_wasserstein_distance(*arrays, projections=directions, p=2))
