"""Dataset distances by the names of their methods, with the options of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from medsegdist.data.class_samples import MulticlassSamples
from medsegdist.data.options import DistanceOptions
from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import METHODS, make_metric, with_options
from medsegdist.errors import ManifestError
from medsegdist.words import did_you_mean


def choose_distances(
    methods: Sequence[str], options: DistanceOptions | None = None, *, delta: float = -1.0, seed: int = 0
) -> dict[str, DatasetDistance]:
    """The dataset distances of some methods, by name; all that are unknown are named in one error.

    `delta` is a value below every intensity, for metrics on neutralized segments (Eq. 7), and `seed` that of
    clustering, mixture fits and subsampling.
    """
    unknown = [
        f"expected a method among {', '.join(METHODS)}, found '{name}'{did_you_mean(name, METHODS) or '.'}"
        for name in methods
        if name not in METHODS
    ]
    if unknown:
        raise ManifestError("\n".join(unknown))
    options = options or DistanceOptions()
    of_masks, of_formula = options.of_masks(), options.of_formula()
    metrics = {name: with_options(make_metric(name, delta=delta, seed=seed), of_masks) for name in methods}
    return {name: DatasetDistance(metric, seed=seed, **of_formula) for name, metric in metrics.items()}


def with_joint_scale(
    distances: Mapping[str, DatasetDistance],
    datasets: Sequence[SegmentationSamples | MulticlassSamples],
    features: Sequence[str] | None = None,
) -> dict[str, DatasetDistance]:
    """The same distances, with the features of fake classes on one scale for all datasets."""
    from medsegdist.distance.features import joint_scale
    from medsegdist.distance.multiclass import classes_of

    scale = joint_scale([part.samples for one in datasets for part in classes_of(one)], features)
    return {
        name: replace(distance, metric=with_options(distance.metric, {"scale": scale}))
        for name, distance in distances.items()
    }
