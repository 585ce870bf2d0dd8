"""The geometry of mixtures in figures: ellipses, and which Gaussian goes to which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medsegdist.distance.mixture.gaussian import GaussianMixture, squared_bures_wasserstein
from medsegdist.distance.transport import solve_transport
from medsegdist.report.record import PlaneMixture, StudyRecord
from medsegdist.report.results import Results

FAINTEST = 0.005
"""Lines for less mass than this are left out."""


@dataclass(frozen=True, slots=True)
class MatchedMixtures:
    """A target's mixture and its nearest source's, with the coupling that MW2 is made of (the paper's Fig. 8).

    Args:
        source: name of the source.
        target: name of the target.
        lines: (i, j, mass) for Gaussian i of the source that goes to Gaussian j of the target, the most mass first.
        distance: MW2 in pixels.
    """

    source: str
    target: str
    lines: tuple[tuple[int, int, float], ...]
    distance: float


def ellipse(mixture: PlaneMixture, k: int, *, deviations: float = 2.0, points: int = 49) -> np.ndarray:
    """A closed line around component k, (points, 2) of (row, column).

    Args:
        mixture: in pixels.
        k: number of the component.
        deviations: how many standard deviations it is away from the mean.
        points: how many the line has.
    """
    values, vectors = np.linalg.eigh(np.array(mixture.covariances[k]))
    angles = np.linspace(0, 2 * np.pi, points)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    axes = vectors * (deviations * np.sqrt(values.clip(min=0)))
    return np.asarray(np.array(mixture.means[k]) + (axes @ circle).T)


def match(record: StudyRecord, source: str, target: str) -> MatchedMixtures | None:
    """Two mixtures, matched; None where one of them is not known.

    Raises:
        DataError: the record describes no mixture.
    """
    found = [dataset and dataset.mixture for dataset in map(record.dataset, (source, target))]
    if None in found:
        return None
    one, other = (GaussianMixture.from_dict(mixture.model_dump()) for mixture in found if mixture)
    cost = squared_bures_wasserstein(one.means, one.covariances, other.means, other.covariances)
    transport = solve_transport(cost, one.weights, other.weights)
    masses = transport.plan.tolist()
    lines = [(i, j, mass) for i, row in enumerate(masses) for j, mass in enumerate(row) if mass >= FAINTEST]
    lines.sort(key=lambda line: -line[2])
    return MatchedMixtures(source, target, tuple(lines), max(transport.value, 0.0) ** 0.5)


def matched_mixtures(run: Results) -> list[MatchedMixtures]:
    """Each target of the study with its nearest source by `gmm2d`."""
    record = run.record
    if record is None or "gmm2d" not in run.table.methods:
        return []
    targets = [target for target in record.targets if target in run.table.targets]
    nearest = {
        target: min(
            (row for row in run.table.rows if (row.target, row.method) == (target, "gmm2d")),
            key=lambda row: (row.rank, row.distance),
            default=None,
        )
        for target in targets
    }
    found = [match(record, row.source, target) for target, row in nearest.items() if row is not None]
    return [one for one in found if one is not None]
