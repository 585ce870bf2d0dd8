"""One dataset by all methods, and two datasets by all methods: the pieces that a table of distances is made of.

Each of them is a plain function of plain data, so that pieces may be computed in any order and anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.bootstrap import Bootstrap, ResampledDataset, noise_floors, resample, resampled_values
from medsegdist.distance.dataset_distance import DatasetDistance, Distance, pair_images
from medsegdist.distance.ranks import Estimate

_Images = tuple[int, int, int | None]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedDataset:
    """A dataset as one method compares it.

    Args:
        samples: those that are compared.
        resampled: their summary, and those of their replicates.
        features: what d_X compares of them, where that is not pixels; one tensor for all methods of one embedding.
    """

    samples: SegmentationSamples
    resampled: ResampledDataset
    features: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PairDistance:
    """The distance of two datasets by one method, and what it would have been with other patients.

    Args:
        distance: of the datasets as they are.
        estimate: the same with its replicates.
    """

    distance: Distance
    estimate: Estimate


def prepare(
    samples: SegmentationSamples, distances: Mapping[str, DatasetDistance], bootstrap: Bootstrap | None
) -> Iterator[tuple[str, PreparedDataset]]:
    """The dataset as each method compares it; methods that compare the same samples share them and their features.

    Args:
        samples: the dataset.
        distances: by the name of the method.
        bootstrap: how patients are drawn anew; None does not.
    """
    chosen: dict[tuple[int, int], SegmentationSamples] = {}
    features: dict[_Images, Tensor | None] = {}
    for method, distance in distances.items():
        choice = (distance.max_samples, distance.seed)
        if choice not in chosen:
            chosen[choice] = samples.spread(distance.max_samples, seed=distance.seed)
        compared, metric = chosen[choice], distance.metric
        images = _images(distance)
        if images not in features:
            features[images] = distance.features(compared)
        summary = metric.summarize(compared)
        resampled = (
            ResampledDataset(summary, (), None) if bootstrap is None else resample(compared, metric, summary, bootstrap)
        )
        yield method, PreparedDataset(compared, resampled, features[images])


def compare_pair(
    one: Mapping[str, PreparedDataset], other: Mapping[str, PreparedDataset], distances: Mapping[str, DatasetDistance]
) -> dict[str, PairDistance]:
    """The distance of two datasets by every method; methods that compare the same images share the image cost.

    Args:
        one: a dataset by the name of the method.
        other: another one.
        distances: by the name of the method.
    """
    found = {}
    for together in sharing(distances):
        method = next(iter(together))
        source, target = one[method].samples, other[method].samples
        images = pair_images(source, target, one[method].features, other[method].features)
        sides = [{name: side[name].resampled for name in together} for side in (one, other)]
        mask_costs = {
            name: distance.metric.compare(sides[0][name].summary, sides[1][name].summary, images.image_cost)
            for name, distance in together.items()
        }
        solved = {
            name: distance.between(source, target, images, mask_costs[name]) for name, distance in together.items()
        }
        replicates = resampled_values(together, images, mask_costs, *sides)
        for name, distance in solved.items():
            found[name] = PairDistance(distance, Estimate(distance.value, replicates.get(name)))
    return found


def noise_floors_of(
    dataset: Mapping[str, PreparedDataset], distances: Mapping[str, DatasetDistance]
) -> dict[str, float]:
    """The distance of a dataset to its own resample, by every method; empty where it has one patient only.

    Args:
        dataset: by the name of the method.
        distances: by the name of the method.
    """
    found: dict[str, float] = {}
    for together in sharing(distances):
        one = dataset[next(iter(together))]
        resampled = {name: dataset[name].resampled for name in together}
        if any(side.resamples is not None for side in resampled.values()):
            images = pair_images(one.samples, one.samples, one.features, one.features)
            found.update(noise_floors(together, images, resampled))
    return found


def sharing(distances: Mapping[str, DatasetDistance]) -> list[dict[str, DatasetDistance]]:
    """The methods in groups that compare the same samples by the same embedding."""
    groups: dict[_Images, dict[str, DatasetDistance]] = {}
    for method, distance in distances.items():
        groups.setdefault(_images(distance), {})[method] = distance
    return list(groups.values())


def _images(distance: DatasetDistance) -> _Images:
    """What the image cost depends on: the choice of samples, and which object the embedding is."""
    return distance.max_samples, distance.seed, None if distance.embedding is None else id(distance.embedding)
