"""One dataset by one method, and two datasets by several: the pieces that a table of distances is made of.

Each of them is a plain function of plain data, so that pieces may be computed in any order and anywhere. What they
return is small: no piece hands on an image or a whole coupling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from medsegdist.data.samples import SegmentationSamples, spread_over_patients
from medsegdist.distance.bootstrap import Bootstrap, ResampledDataset, noise_floors, resample, resampled_values
from medsegdist.distance.dataset_distance import DatasetDistance, Distance, ImagePair, pair_images
from medsegdist.distance.ranks import Estimate
from medsegdist.distance.scales import mean_costs
from medsegdist.distance.strongest import MatchedPair, strongest_pairs


@dataclass(frozen=True, slots=True, eq=False)
class PreparedDataset:
    """A dataset as methods that compare the same images of it compare it.

    Args:
        samples: all of them; which ones are compared follows from the methods' `max_samples` and `seed`.
        resampled: for each method the summary of those that are compared, and those of their replicates.
        features: what d_X compares of those, where that is not pixels.
    """

    samples: SegmentationSamples
    resampled: Mapping[str, ResampledDataset]
    features: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PairDistance:
    """The distance of two datasets by one method, and what it would have been with other patients.

    Args:
        source: name of one dataset.
        target: name of the other.
        image_term: the part of the images.
        mask_term: the part of the masks.
        n_source: samples of the source that were compared.
        n_target: samples of the target that were compared.
        optimality_gap: relative certificate of the transport.
        estimate: the distance of the datasets as they are, with its replicates.
        matched: the strongest pairs of the coupling, by the numbers of the datasets' samples; none if not asked for.
    """

    source: str
    target: str
    image_term: float
    mask_term: float
    n_source: int
    n_target: int
    optimality_gap: float
    estimate: Estimate
    matched: tuple[MatchedPair, ...] = ()


def sharing(distances: Mapping[str, DatasetDistance]) -> list[dict[str, DatasetDistance]]:
    """The methods in groups that compare the same samples by the same embedding."""
    groups: dict[tuple[int, int, int | None], dict[str, DatasetDistance]] = {}
    for method, distance in distances.items():
        embedding = None if distance.embedding is None else id(distance.embedding)
        same = distance.max_samples, distance.seed, embedding
        groups.setdefault(same, {})[method] = distance
    return list(groups.values())


def prepare(samples: SegmentationSamples, distance: DatasetDistance, bootstrap: Bootstrap | None) -> ResampledDataset:
    """What a method has to know of a dataset.

    Args:
        samples: the dataset.
        distance: the method.
        bootstrap: how patients are drawn anew; None does not.
    """
    compared, metric = distance.chosen(samples), distance.metric
    summary = metric.summarize(compared)
    return (
        ResampledDataset(summary, None, None) if bootstrap is None else resample(compared, metric, summary, bootstrap)
    )


def compare_pair(
    one: PreparedDataset, other: PreparedDataset, distances: Mapping[str, DatasetDistance], strongest: int = 0
) -> dict[str, PairDistance]:
    """The distance of two datasets by methods that compare the same images: they share the image cost.

    Args:
        one: a dataset.
        other: another one.
        distances: by the name of the method.
        strongest: so many matched pairs of samples are told of.
    """
    source, target, images = _side_by_side(one, other, distances)
    mask_costs = {
        name: distance.metric.compare(one.resampled[name].summary, other.resampled[name].summary, images.image_cost)
        for name, distance in distances.items()
    }
    # Numbers at once: each coupling is as large as a cost.
    solved = {
        name: _solved(distance.between(source, target, images, mask_costs[name]), images, strongest)
        for name, distance in distances.items()
    }
    first = next(iter(distances.values()))
    places = [
        spread_over_patients(side.samples.patient_ids, first.max_samples, first.seed)
        for side in (one, other)
        if strongest
    ]
    sides = [{name: side.resampled[name] for name in distances} for side in (one, other)]
    replicates = resampled_values(distances, images, mask_costs, *sides)
    return {
        name: PairDistance(
            source=source.name,
            target=target.name,
            image_term=image_term,
            mask_term=mask_term,
            n_source=len(source),
            n_target=len(target),
            optimality_gap=gap,
            estimate=Estimate(value, replicates.get(name)),
            matched=tuple(MatchedPair(places[0][k.source], places[1][k.target], k.mass) for k in matched),
        )
        for name, (value, image_term, mask_term, gap, matched) in solved.items()
    }


def pair_means(
    one: PreparedDataset, other: PreparedDataset, distances: Mapping[str, DatasetDistance]
) -> dict[str, tuple[float, float]]:
    """Means of d_X and d_Y**q of two datasets by each method, from which common scales are made.

    Args:
        one: a dataset.
        other: another one.
        distances: by the name of the method; they compare the same images.
    """
    source, target, images = _side_by_side(one, other, distances)
    found = {}
    for name, distance in distances.items():
        summaries = one.resampled[name].summary, other.resampled[name].summary
        mask_cost = distance.metric.compare(*summaries, images.image_cost)
        found[name] = mean_costs(images.image_cost, mask_cost, distance.metric.power, source.weights, target.weights)
    return found


def noise_floors_of(dataset: PreparedDataset, distances: Mapping[str, DatasetDistance]) -> dict[str, float]:
    """The distance of a dataset to its own resample, by every method; empty where it has one patient only.

    Args:
        dataset: one that was drawn anew.
        distances: by the name of the method; they compare the same images.
    """
    resampled = {name: dataset.resampled[name] for name in distances}
    if all(one.resamples is None for one in resampled.values()):
        return {}
    *_, images = _side_by_side(dataset, dataset, distances)
    return noise_floors(distances, images, resampled)


def _side_by_side(
    one: PreparedDataset, other: PreparedDataset, distances: Mapping[str, DatasetDistance]
) -> tuple[SegmentationSamples, SegmentationSamples, ImagePair]:
    first = next(iter(distances.values()))
    source, target = first.chosen(one.samples), first.chosen(other.samples)
    return source, target, pair_images(source, target, one.features, other.features)


def _solved(
    distance: Distance, images: ImagePair, strongest: int
) -> tuple[float, float, float, float, tuple[MatchedPair, ...]]:
    matched = strongest_pairs(distance.transport.plan, images.image_cost, strongest) if strongest else ()
    return distance.value, distance.image_term, distance.mask_term, distance.optimality_gap, matched
