"""One scale for all pairs of a table, so that normalized distances can be compared with one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.scales import scales_of


def without_scales(distances: Mapping[str, DatasetDistance]) -> dict[str, DatasetDistance]:
    """Those that are to be normalized and do not know by what yet."""
    return {method: one for method, one in distances.items() if one.normalize and one.scales is None}


def with_common_scales(
    distances: Mapping[str, DatasetDistance], means: Sequence[Mapping[str, tuple[float, float]]]
) -> dict[str, DatasetDistance]:
    """The same distances, those without scales with the ones that some pairs of datasets have in common.

    Args:
        distances: by the name of the method.
        means: what :func:`~medsegdist.distance.pairs.pair_means` says of each pair; at least one.
    """
    scales = {method: scales_of([of_pair[method] for of_pair in means]) for method in without_scales(distances)}
    return {
        method: replace(one, scales=scales[method]) if method in scales else one for method, one in distances.items()
    }
