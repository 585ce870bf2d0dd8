"""Bootstrap over patients: the sampling uncertainty of distances, intervals, noise floors, and ranks with ties."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.image_cost import ImagePair
from medsegdist.distance.metrics import MaskMetric, ReplicatesMetric, ResamplingMetric
from medsegdist.distance.transport import EXACT_REPLICATES, predicted

EQUAL = 1e-9  # distances that differ by less, as a part of the largest, share a rank: solvers resolve no more
FLOOR_REPLICATES = 25  # replicates that a noise floor is the median of


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
    name: str, groups: Sequence[Iterable[str]], replicates: int, seed: int
) -> dict[str, NDArray[np.int64]] | None:
    """Draw as many patients as there are, with replacement, many times (bootstrap, Efron 1979).

    The draws depend on the seed, the dataset's name and its patients, on nothing else: not on the order of the samples,
    and not on what the dataset is compared with, so that two sources are judged on the same targets. `groups` are the
    patients who show each class; each replicate has some of every group. By patient, the (r,) numbers say how often
    each is drawn; None if there are fewer than two, for one patient says nothing of how patients differ.
    """
    members = [members for group in groups if (members := set(group))]
    patients = sorted(set().union(*members))
    if len(patients) < 2:
        return None
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    equal = np.full(len(patients), 1 / len(patients))
    times = rng.multinomial(len(patients), equal, size=replicates)
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


@dataclass(frozen=True, slots=True, eq=False)
class ResampledSummary:
    """What a metric makes of a dataset and of its replicates."""

    summary: Any  # of the dataset
    # 1 + r of them, the first of the dataset itself; None if there are too few patients, or if d_Y of replicates is a
    # choice of rows and columns.
    replicates: Sequence[Any] | None = None
    weights: Tensor | None = None  # (1 + r, n); None without a bootstrap, or if there are too few patients


def summarize_resamples(
    samples: SegmentationSamples, metric: MaskMetric[Any], weights: Tensor | None
) -> ResampledSummary:
    """The summary of a dataset, and of each of its replicates, whose weights are (1 + r, n)."""
    summary = metric.summarize(samples)
    replicates = None if weights is None else summarize_weights(samples, metric, summary, weights)
    return ResampledSummary(summary, replicates, weights)


def summarize_weights(
    samples: SegmentationSamples, metric: MaskMetric[Any], summary: Any, weights: Tensor
) -> Sequence[Any] | None:
    """Summaries of a dataset under (1 + r, n) weights, the first its own, in the metric's own way if it has one.

    None as for :meth:`~medsegdist.distance.metrics.ResamplingMetric.resample`.
    """
    if isinstance(metric, ResamplingMetric):
        return metric.resample(samples, summary, weights)
    return [summary, *(metric.summarize(samples.reweighted(row)) for row in weights[1:])]


def replicate_distances(
    distances: Mapping[str, DatasetDistance],
    images: ImagePair,
    mask_costs: Mapping[str, Tensor],
    sources: Mapping[str, ResampledSummary],
    targets: Mapping[str, ResampledSummary],
    pairs: Sequence[tuple[int, int]] | None = None,
) -> dict[str, Tensor]:
    """By each method (1 + r,) float64 distances of the replicates of two datasets; empty if one has too few patients.

    The first 50 are solved exactly, from the dual potentials of the datasets as they are; the others are predicted by
    these potentials, and by d_Y where it is one number that is known for all of them, see
    :func:`~medsegdist.distance.transport.predicted`. Nothing of the images is read again. `pairs` are numbers of a
    replicate of the source and one of the target, first (0, 0), the datasets as they are; by default the b-th of one
    and the b-th of the other. A distance that normalizes has its scales.
    """
    first, second = (next(iter(side.values())).weights for side in (sources, targets))
    if first is None or second is None:
        return {}
    pairs = pairs or [(b, b) for b in range(len(first))]
    at = torch.tensor(pairs)
    masses = [side / side.sum(1, keepdim=True) for side in (first[at[:, 0]], second[at[:, 1]])]
    # The d_Y of pairs where it is one number for all samples.
    numbers: dict[str, Sequence[Tensor]] = {}
    for method, distance in distances.items():
        one, other = sources[method].replicates, targets[method].replicates
        if one is not None and other is not None and mask_costs[method].numel() == 1:
            summaries = [(one[i], other[j]) for i, j in pairs if i < len(one) and j < len(other)]
            if isinstance(distance.metric, ReplicatesMetric):
                numbers[method] = distance.metric.compare_replicates(summaries, images.image_cost)
            else:
                numbers[method] = [distance.metric.compare(*pair, images.image_cost) for pair in summaries]

    values: dict[str, list[float]] = {method: [] for method in distances}
    starts: dict[str, tuple[Tensor, Tensor]] = {}
    image_start: tuple[Tensor, Tensor] | None = None
    for k in range(min(len(pairs), 1 + EXACT_REPLICATES)):
        i, j = pairs[k]
        rows, columns = (side[k].nonzero()[:, 0] for side in masses)
        part = ImagePair(
            images.image_cost[rows][:, columns],
            first[i][rows],
            second[j][columns],
            images.source,
            images.target,
            image_start and (image_start[0][rows], image_start[1][columns]),
        )
        for method, distance in distances.items():
            one, other = sources[method].replicates, targets[method].replicates
            if method in numbers:
                mask_cost = numbers[method][k]
            elif one is None or other is None:
                mask_cost = mask_costs[method][rows][:, columns]
            else:
                mask_cost = distance.metric.compare(one[i], other[j], part.image_cost)
            start = starts.get(method)
            solved = distance.from_costs(part, mask_cost, start and (start[0][rows], start[1][columns]))
            values[method].append(solved.value)
            if k == 0 and solved.transport is not None:
                starts[method] = solved.transport.source_potential, solved.transport.target_potential
        if k == 0 and "transport" in vars(part):
            image_start = part.transport.source_potential, part.transport.target_potential
    for method, distance in distances.items():
        linear = masses[0] @ starts[method][0].cpu() + masses[1] @ starts[method][1].cpu()
        of_method = torch.tensor([float(one) for one in numbers.get(method, ())], dtype=torch.float64)
        if len(of_method) == len(pairs):
            image_weight, mask_weight = distance.weights_of_terms()
            linear = image_weight * linear + mask_weight * of_method**distance.metric.power
        values[method] = predicted(values[method], linear.tolist())
    return {method: torch.tensor(found, dtype=torch.float64) for method, found in values.items()}


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
    found = {}
    rank = 1
    for group in groups:
        found.update({source: (rank, len(group) > 1) for source in group})
        rank += len(group)
    return found
