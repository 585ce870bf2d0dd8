"""Numbers that describe the segments of a mask, by which fake classes are clustered (paper, Sec. 4.2.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from skimage.measure import label, marching_cubes, mesh_surface_area, regionprops
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.words import check_choice

BINS = 32  # gray levels that entropy counts

Image = NDArray[np.float64]
Mask = NDArray[np.bool_]


def intensity_deviation(image: Image, mask: Mask) -> float:
    """Standard deviation of the intensities inside the mask, in intensity units; 0 for one pixel."""
    return float(image[mask].std())


def intensity_entropy(image: Image, mask: Mask) -> float:
    """Shannon entropy in bits, 0 to 5, of the intensities inside the mask.

    They are counted in 32 equal bins over the segment's own range (the "fixed bin number" of the Image Biomarker
    Standardisation Initiative), so that the unit of the intensities does not matter. Few pixels cannot fill 32 bins:
    small segments have a low entropy.
    """
    inside = image[mask]
    if inside.max() == inside.min():
        return 0.0
    counts = np.histogram(inside, bins=BINS)[0]
    share = counts[counts > 0] / len(inside)
    return float(-(share * np.log2(share)).sum())


def intensity_gradient(image: Image, mask: Mask) -> float:
    """Mean length of the intensity gradient inside the mask, in intensity units per pixel.

    By central differences, which at the border of the segment reach one pixel out of it.
    """
    slopes = [np.gradient(image, axis=axis)[mask] for axis in range(image.ndim) if image.shape[axis] > 1]
    return float(np.sqrt(np.square(slopes).sum(axis=0)).mean()) if slopes else 0.0


TEXTURES: Mapping[str, Callable[[Image, Mask], float]] = {
    "intensity_mean": lambda image, mask: float(image[mask].mean()),
    "intensity_deviation": intensity_deviation,
    "intensity_entropy": intensity_entropy,
    "intensity_gradient": intensity_gradient,
}
"""By the names that features have."""

AXES = {2: ("row", "column"), 3: ("slice", "row", "column")}

FEATURE_GROUPS: Mapping[str, tuple[str, ...]] = {
    "shape": ("regions", "area", "perimeter"),
    "location": ("centroid",),
    "texture": tuple(TEXTURES),
}
"""The features there are, by the names of the groups that can be asked for instead."""

FEATURES = tuple(feature for group in FEATURE_GROUPS.values() for feature in group)

PAPER_FEATURES = ("shape", "location")  # regions, their mean area and perimeter, centroid of the largest one


def chosen_features(names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Features by name, groups written out; each once, in the order of :data:`FEATURES`. None takes the paper's."""
    if isinstance(names, str):
        raise ValueError(f"expected a list of features, found the word '{names}'; write ['{names}'].")
    chosen: set[str] = set()
    for name in PAPER_FEATURES if names is None else names:
        check_choice("a feature", name, (*FEATURE_GROUPS, *FEATURES))
        chosen.update(FEATURE_GROUPS.get(name, (name,)))
    if not chosen:
        raise ValueError("expected at least 1 feature, found none.")
    return tuple(feature for feature in FEATURES if feature in chosen)


def feature_names(dimensions: int, features: Sequence[str] | None = None) -> tuple[str, ...]:
    """Names of the columns of :func:`segment_features`, for slices (2) or volumes (3)."""
    return tuple(column for feature in chosen_features(features) for column in _columns(feature, dimensions))


def feature_factors(
    dimensions: int, features: Sequence[str] | None = None, weights: Mapping[str, float] | None = None
) -> Tensor:
    """(d,) float64 factors of the columns of :func:`segment_features`, in 2 or 3 dimensions.

    `weights` are by the name of a feature or a group; 1 if none is given, 0 leaves a feature out.
    """
    chosen = chosen_features(features)
    factors: dict[str, float] = {}
    for name, weight in (weights or {}).items():
        for feature in chosen_features([name]):
            if feature not in chosen:
                raise ValueError(f"expected weights of the features {', '.join(chosen)}, found one of '{feature}'.")
            if feature in factors:
                raise ValueError(f"expected one weight of the feature '{feature}', found two: its own and its group's.")
            factors[feature] = float(weight)
        if not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"expected a finite weight >= 0 of the feature '{name}', found {weight}.")
    if not any(factors.get(feature, 1.0) > 0 for feature in chosen):
        raise ValueError("expected at least 1 feature with a weight > 0, found none.")
    columns = [factors.get(feature, 1.0) for feature in chosen for _ in _columns(feature, dimensions)]
    return torch.tensor(columns, dtype=torch.float64)


def segment_features(masks: Tensor, images: Tensor | None = None, features: Sequence[str] | None = None) -> Tensor:
    """(n, d) float64 features of (n, *grid) masks, none of them empty; by default the paper's.

    These are the number of regions, their mean size, and the centroid of the largest one. Regions are connected over
    edges and corners. In volumes the area of a region becomes its volume and the perimeter its surface. Of equally
    large regions the first in reading order counts.

    - `regions`: a count.
    - `area`, `perimeter`: mean over the regions; pixels and pixel edges (voxels and voxel faces).
    - `centroid`: of the largest region, one column per axis, pixel coordinates from 0.
    - textures: of all pixels of the mask, such as :func:`intensity_entropy`; they need (n, *grid) images.
    """
    chosen = chosen_features(features)
    textures = [feature for feature in chosen if feature in TEXTURES]
    if textures and images is None:
        raise ValueError(f"expected images for the features {', '.join(textures)}, found none.")
    rows = []
    for k, mask in enumerate(masks.cpu().numpy()):
        box = box_of(mask)
        regions = regionprops(label(mask[box]))
        areas = np.array([region.area for region in regions])
        corner = np.array([side.start for side in box])
        measures: dict[str, Any] = {
            "regions": len(regions),
            "area": areas.mean(),
            "centroid": np.array(regions[int(areas.argmax())].centroid) + corner,
        }
        if "perimeter" in chosen:
            measures["perimeter"] = np.mean([region_boundary(region) for region in regions])
        if textures and images is not None:
            # One pixel more, for the differences at the border of a segment.
            around = box_of(mask, margin=1)
            image = images[k].cpu().numpy().astype(np.float64)[around]
            measures |= {feature: TEXTURES[feature](image, mask[around]) for feature in textures}
        rows.append(np.hstack([measures[feature] for feature in chosen]).astype(np.float64))
    return torch.from_numpy(np.stack(rows))


def _columns(feature: str, dimensions: int) -> tuple[str, ...]:
    if feature == "centroid":
        return tuple(f"largest_{axis}" for axis in AXES[dimensions])
    sizes = {"area": ("mean_area", "mean_volume"), "perimeter": ("mean_perimeter", "mean_surface")}
    return (sizes[feature][dimensions - 2],) if feature in sizes else (feature,)


def box_of(mask: NDArray[np.bool_], margin: int = 0) -> tuple[slice, ...]:
    """The smallest box around the foreground, of which there is some: tiny segments on large grids are the rule."""
    if not mask.any():
        raise ValueError("expected a mask with foreground, found an empty one; samples always have a segment.")
    (box,) = find_objects(mask.astype(np.uint8))
    return tuple(slice(max(side.start - margin, 0), side.stop + margin) for side in box)


def region_boundary(region: Any) -> float:
    """Perimeter of a region of scikit-image in pixel edges (Crofton's formula), or surface in voxel faces."""
    if region.image.ndim == 2:
        return float(region.perimeter_crofton)
    vertices, faces, *_ = marching_cubes(np.pad(region.image, 1).astype(np.float32), level=0.5)
    return float(mesh_surface_area(vertices, faces))


@dataclass(frozen=True, slots=True)
class FeatureScale:
    """Where 0 and 1 lie on the axis of each feature.

    Args:
        columns: names of the features, as :func:`feature_names` has them.
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
        """(n, d) `features` on this scale, by the names of their `columns`, of which it must lack none.

        Those of datasets that it was not made from may lie outside [0, 1].
        """
        missing = [column for column in columns if column not in self.columns]
        if missing:
            raise ValueError(
                f"expected a scale of the features {', '.join(columns)}, found one without {', '.join(missing)}; "
                "make it with the same `features`."
            )
        chosen = [self.columns.index(column) for column in columns]
        low, high = torch.tensor([self.low, self.high], dtype=torch.float64)[:, chosen].to(features.device)
        span = high - low
        return torch.where(span > 0, (features - low) / torch.where(span > 0, span, 1.0), 0.0)


def joint_scale(datasets: Sequence[SegmentationSamples], features: Sequence[str] | None = None) -> FeatureScale:
    """The scale on which the features of all samples of some datasets together fill [0, 1].

    With it a class of small segments is the same in every dataset, and not the smallest ones that each has.

    Args:
        datasets: at least one; the sources and the target, say.
        features: as for :func:`segment_features`.

    Raises:
        ValueError: there is no dataset, or slices and volumes are mixed.
    """
    dimensions = {len(samples.grid) for samples in datasets}
    if len(dimensions) != 1:
        raise ValueError(
            f"expected datasets of slices or of volumes to scale features by, found {len(datasets)} datasets with "
            f"{' and '.join(str(d) for d in sorted(dimensions)) or 'no'} dimensions."
        )
    low, high = torch.cat([segment_features(one.masks, one.images, features) for one in datasets]).aminmax(dim=0)
    return FeatureScale(feature_names(dimensions.pop(), features), tuple(low.tolist()), tuple(high.tolist()))
