"""Cases whose voxels have another size than those of their dataset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medsegdist.data.checks.facts import CaseFacts
from medsegdist.data.problems import Problem

_AXES = ("left to right", "front to back", "feet to head")
# Tukey's outer fences. Five cases are the fewest of which a single one can lie beyond them.
_FENCE, _FEWEST = 3.0, 5
# Below this factor a difference is one of protocols, which resampling evens out.
_LEAST_FACTOR = 1.5


def spacing_outliers(dataset: str, cases: Sequence[CaseFacts]) -> list[Problem]:
    """Cases whose spacing lies far from that of the others: a header that lost its unit, a scout view, other axes.

    Per axis of the patient and on a log scale: a spacing is an outlier beyond Tukey's outer fences (three times the
    distance of the quartiles) if it is also 1.5 times the median or more, or less than the median by as much. Where a
    quarter of the cases differ, the dataset is mixed and none of them is an outlier.

    Args:
        dataset: its name.
        cases: those that were read.

    Returns:
        One warning for each such case.
    """
    known = [(case.case, case.spacing) for case in cases if case.spacing is not None]
    if len(known) < _FEWEST:
        return []
    logs = np.log([spacing for _, spacing in known])
    low, middle, high = np.quantile(logs, [0.25, 0.5, 0.75], axis=0)
    margin = _FENCE * (high - low)
    outside = (logs < low - margin - 1e-9) | (logs > high + margin + 1e-9)
    outside &= np.abs(logs - middle) >= np.log(_LEAST_FACTOR) - 1e-9
    problems = []
    for (name, spacing), axes in zip(known, outside, strict=True):
        if axes.any():
            said = ", ".join(
                f"{spacing[k]:.4g} mm from {_AXES[k]} where the dataset's median is {np.exp(middle[k]):.4g} mm"
                for k in np.flatnonzero(axes)
            )
            remedy = "check the header of the image, or leave the case out"
            problems.append(Problem(dataset, name, f"the spacing is an outlier: {said}", remedy, "warning"))
    return problems
