"""One scale for all pairs of a table, so that normalized distances can be compared with one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from medsegdist.distance.dataset_distance import DatasetDistance, pair_images
from medsegdist.distance.pairs import PreparedDataset, sharing
from medsegdist.distance.scales import mean_costs, scales_of


def with_common_scales(
    distances: Mapping[str, DatasetDistance],
    prepared: Mapping[str, Mapping[str, PreparedDataset]],
    pairs: Sequence[tuple[str, str]],
) -> dict[str, DatasetDistance]:
    """The same distances, those that are to be normalized with the scales that the given pairs have in common.

    The pairs are compared once for that before any transport is solved, and nothing of it is kept.

    Args:
        distances: by the name of the method.
        prepared: by the name of the dataset, then of the method.
        pairs: names of two datasets each.
    """
    found = dict(distances)
    open_ones = {method: one for method, one in distances.items() if one.normalize and one.scales is None}
    if not pairs:
        return found
    for together in sharing(open_ones):
        means: dict[str, list[tuple[float, float]]] = {method: [] for method in together}
        for one, other in pairs:
            sides = [prepared[name] for name in (one, other)]
            any_method = next(iter(together))
            source, target = (side[any_method].samples for side in sides)
            images = pair_images(source, target, *(side[any_method].features for side in sides))
            for method, distance in together.items():
                first, second = (side[method].resampled.summary for side in sides)
                mask_cost = distance.metric.compare(first, second, images.image_cost)
                weights = source.weights, target.weights
                means[method].append(mean_costs(images.image_cost, mask_cost, distance.metric.power, *weights))
        found.update({method: replace(one, scales=scales_of(means[method])) for method, one in together.items()})
    return found
