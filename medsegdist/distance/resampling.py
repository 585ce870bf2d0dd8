"""Bootstrap over patients: the sampling uncertainty of distances, intervals, noise floors, and ranks with ties."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples

EQUAL = 1e-9  # distances that differ by less, as a part of the largest, share a rank: solvers resolve no more


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How patients are resampled.

    Args:
        replicates: how often.
        level: of the intervals.
        seed: of the draws.

    Raises:
        ValueError: fewer than 2 replicates, or a level that is not between 0 and 1.
    """

    replicates: int = 200
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.replicates < 2:
            raise ValueError(f"expected at least 2 replicates, found {self.replicates}.")
        if not 0 < self.level < 1:
            raise ValueError(f"expected a level between 0 and 1, found {self.level}.")


def draw_patients(
    name: str, groups: Sequence[Iterable[str]], bootstrap: Bootstrap
) -> dict[str, NDArray[np.int64]] | None:
    """How often each patient is drawn, (r,) times, if as many as there are are drawn with replacement (Efron 1979).

    It depends on the seed, the dataset's name and its patients, and not on what the dataset is compared with, so that
    two sources are judged on the same targets. `groups` are the patients who show each class; each replicate has some
    of every group. None if there are fewer than two patients: one says nothing of how patients differ.
    """
    members = [members for group in groups if (members := set(group))]
    patients = sorted(set().union(*members))
    if len(patients) < 2:
        return None
    rng = np.random.default_rng([bootstrap.seed, zlib.crc32(name.encode())])
    equal = np.full(len(patients), 1 / len(patients))
    times = rng.multinomial(len(patients), equal, size=bootstrap.replicates)
    shows = np.array([[patient in group for patient in patients] for group in members])
    while len(lacking := np.flatnonzero(((times @ shows.T) == 0).any(axis=1))):
        times[lacking] = rng.multinomial(len(patients), equal, size=len(lacking))
    return dict(zip(patients, times.T, strict=True))


def replicate_weights(samples: SegmentationSamples, times: Mapping[str, NDArray[np.int64]]) -> Tensor:
    """(1 + r, n) float64 weights of the samples on the CPU: row 0 is the dataset's own, every other row one replicate.

    A patient who was drawn twice, as :func:`draw_patients` says, counts twice and one who was not drawn counts nothing.
    """
    own = samples.weights.cpu()
    drawn = np.stack([times[patient] for patient in samples.patient_ids], axis=1)
    return torch.cat([own[None], own * torch.from_numpy(drawn.astype(np.float64))])


def reflect(value: float, replicates: Tensor) -> Tensor:
    """(r,) values among which the distance of the whole population is to be looked for, from (1 + r,) of replicates.

    A distance of few patients is too large, since transport finds fewer near partners, and one of resampled patients is
    too large once more. So what resampling adds to the distance is taken from it (the basic bootstrap, Davison and
    Hinkley 1997, Eq. 5.6): percentiles of the replicates themselves would be on the wrong side.
    """
    return value - (replicates[1:] - replicates[0])


def interval(reflected: Tensor | None, level: float) -> tuple[float, float] | tuple[None, None]:
    """Low and high end of the confidence interval of (r,) values from :func:`reflect`; None twice without them."""
    if reflected is None:
        return None, None
    outside = (1 - level) / 2
    low, high = torch.quantile(reflected, torch.tensor([outside, 1 - outside], dtype=torch.float64)).tolist()
    return max(low, 0.0), max(high, 0.0)


def probability_nearer(one: Tensor | None, other: Tensor | None) -> float | None:
    """Probability that one source is nearer than another; both are (r,) values for the same target's replicates."""
    if one is None or other is None:
        return None
    gap = other - one
    return float((gap > 0).double().mean() + 0.5 * (gap == 0).double().mean())


def rank_with_ties(
    values: Mapping[str, float], reflected: Mapping[str, Tensor | None], level: float
) -> dict[str, tuple[int, bool]]:
    """Rank of each source, and whether it shares it, by its distance and its (r,) values of :func:`reflect`.

    Sources are taken in the order of their distances. One joins the group before it if the probability that it is
    farther than the first of that group does not reach `level` on both sides (0.95 demands 0.975); otherwise it opens
    the next group. All of a group have the rank of its first. Without replicates, only equal distances are a group.
    """
    resolution = EQUAL * max(values.values(), default=0.0)

    def joins(first: str, source: str) -> bool:
        probability = probability_nearer(reflected.get(first), reflected.get(source))
        equal = values[source] - values[first] <= resolution
        return equal if probability is None else probability < (1 + level) / 2

    return shared_ranks(sorted(values, key=lambda source: values[source]), joins)


def shared_ranks(order: Sequence[str], joins: Callable[[str, str], bool]) -> dict[str, tuple[int, bool]]:
    """Rank of each source, the best first, and whether it shares it: all of a group have the rank of its first.

    `joins` says whether the second of two sources is in the group that the first one begins.
    """
    groups: list[list[str]] = []
    for source in order:
        if groups and joins(groups[-1][0], source):
            groups[-1].append(source)
        else:
            groups.append([source])
    ranks = accumulate(map(len, groups), initial=1)
    return {source: (rank, len(group) > 1) for rank, group in zip(ranks, groups, strict=False) for source in group}
