"""The elbow of a falling curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def elbow(values: Sequence[float]) -> int:
    """The number 1, 2, ... at which a falling curve bends most.

    That is where it lies farthest below the straight line from its first to its last value (Satopaa et al. 2011), so
    the longest number looked at matters, and 1 is found only if the curve nowhere lies below that line.

    Args:
        values: of 1, 2, ... in any unit; of two, the second one is taken where it is lower.
    """
    curve = np.asarray(values, dtype=np.float64)
    fall = curve[0] - curve[-1]
    if len(curve) < 3:
        return len(curve) if fall > 0 else 1
    below = curve[0] - fall * np.arange(len(curve)) / (len(curve) - 1) - curve
    return int(below.argmax()) + 1 if below.max() > 1e-9 * max(abs(curve).max(), 1e-300) else 1
