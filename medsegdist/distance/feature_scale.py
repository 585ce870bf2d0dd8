"""One scale of features for several datasets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.segment_features import feature_names, segment_features


@dataclass(frozen=True, slots=True)
class FeatureScale:
    """Where 0 and 1 lie on the axis of each feature.

    Args:
        columns: names of the features, as :func:`~medsegdist.distance.segment_features.feature_names` has them.
        low: of each, what becomes 0.
        high: of each, what becomes 1; where it equals `low`, everything becomes 0.

    Raises:
        ValueError: not one low and one high end for each feature, or a low end above the high one.
    """

    columns: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.columns) == len(self.low) == len(self.high):
            raise ValueError(
                "expected one low and one high end for each feature, found "
                f"{len(self.columns)}, {len(self.low)} and {len(self.high)}."
            )
        if not all(low <= high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"expected low <= high for every feature, found {self.low} and {self.high}.")

    def scaled(self, features: Tensor, columns: Sequence[str]) -> Tensor:
        """(n, d) features on this scale; of datasets that it was not made from they may lie outside [0, 1].

        Args:
            features: (n, d) float64.
            columns: their names.

        Raises:
            ValueError: the scale lacks one of them.
        """
        missing = [column for column in columns if column not in self.columns]
        if missing:
            raise ValueError(
                f"expected a scale of the features {', '.join(columns)}, found one without {', '.join(missing)}; "
                "make it with the same `features`."
            )
        chosen = [self.columns.index(column) for column in columns]
        low, high = (
            torch.tensor([end[i] for i in chosen], dtype=torch.float64, device=features.device)
            for end in (self.low, self.high)
        )
        span = high - low
        return torch.where(span > 0, (features - low) / torch.where(span > 0, span, 1.0), 0.0)


def joint_scale(datasets: Sequence[SegmentationSamples], features: Sequence[str] | None = None) -> FeatureScale:
    """The scale on which the features of all samples of some datasets together fill [0, 1].

    With it a class of small segments is the same in every dataset; with each dataset on its own scale, as the paper has
    it, it is the smallest ones that each has.

    Args:
        datasets: at least one; the sources and the target, say.
        features: as for :func:`~medsegdist.distance.segment_features.segment_features`.

    Raises:
        ValueError: there is no dataset, or slices and volumes are mixed.
    """
    dimensions = {len(samples.grid) for samples in datasets}
    if len(dimensions) != 1:
        raise ValueError(
            f"expected datasets of slices or of volumes to scale features by, found {len(datasets)} datasets with "
            f"{' and '.join(str(d) for d in sorted(dimensions)) or 'no'} dimensions."
        )
    found = [segment_features(samples.masks, samples.images, features) for samples in datasets]
    low = torch.stack([one.amin(0) for one in found]).amin(0)
    high = torch.stack([one.amax(0) for one in found]).amax(0)
    return FeatureScale(feature_names(dimensions.pop(), features), tuple(low.tolist()), tuple(high.tolist()))
