"""From the samples and distances of a run to its :class:`StudyRecord`: counts and outlines, no pixel and no case."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch

from medsegdist.data.manifest import Study
from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.bootstrap import Bootstrap
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.distance_table import DistanceTable
from medsegdist.distance.mixture import GaussianMixture
from medsegdist.distance.segment_features import segment_features
from medsegdist.report.record import (
    MOST_BINS,
    BootstrapRecord,
    Characteristic,
    DatasetRecord,
    MethodRecord,
    PlaneMixture,
    SegmentHistogram,
    StudyRecord,
)

PACKAGES = ("medsegdist", "torch", "monai", "numpy", "scipy", "scikit-learn", "scikit-image", "POT")
"""Whose versions may change a number."""

UNITS = {"window": "of 255", "hounsfield": "HU", "zscore": "standard deviations"}
"""What intensities are in, by the rule of the preprocessing."""


def record_study(
    study: Study,
    samples: Sequence[SegmentationSamples],
    distances: Mapping[str, DatasetDistance],
    table: DistanceTable,
    *,
    summaries: Mapping[tuple[str, str], Any],
    bootstrap: Bootstrap | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> StudyRecord:
    """What a report says of a run beside its distances.

    Args:
        study: describes the datasets.
        samples: those that were compared, one of each dataset.
        distances: how they were compared, by the name of the method.
        table: the result.
        summaries: what the metrics made of the datasets, by the names of dataset and method.
        bootstrap: how patients were drawn anew; None if they were not.
        progress: told of every dataset.
    """
    datasets = []
    for done, of_dataset in enumerate(samples, start=1):
        manifest = study.dataset(of_dataset.name)
        datasets.append(
            DatasetRecord(
                name=manifest.name,
                modality=manifest.modality,
                samples=len(of_dataset),
                patients=len(of_dataset.patients),
                description=manifest.description,
                license=manifest.license,
                simulated=manifest.simulated,
                histogram=segment_histogram(of_dataset),
                mixture=plane_mixture(summaries.get((manifest.name, "gmm2d"))),
                characteristics=characteristics(of_dataset, UNITS[study.preprocessing.intensity]),
            )
        )
        if progress is not None:
            progress(done, len(samples))
    return StudyRecord(
        name=study.name,
        description=study.description,
        targets=tuple(name for name in study.targets if name in table.targets) or table.targets,
        methods=tuple(_method(method, distances[method], table) for method in table.methods),
        datasets=tuple(datasets),
        preprocessing=study.preprocessing.model_dump(mode="json"),
        fingerprint=study.preprocessing.fingerprint,
        bootstrap=None
        if bootstrap is None
        else BootstrapRecord(replicates=bootstrap.replicates, level=bootstrap.level, seed=bootstrap.seed),
        device=str(samples[0].images.device),
        software={"Python": platform.python_version(), **_versions()},
    )


def segment_histogram(samples: SegmentationSamples, bins: int = MOST_BINS) -> SegmentHistogram:
    """Where the segments of a dataset lie, seen along the slices, each pixel with the mass of its sample.

    Args:
        samples: of slices or volumes.
        bins: along each axis at most.
    """
    total = torch.zeros(samples.grid[-2:], dtype=torch.float64)
    for mask, mass in zip(samples.masks, samples.mass.tolist(), strict=True):
        total += mass * mask.cpu().reshape(-1, *total.shape).sum(0)
    for axis, size in enumerate(total.shape):
        bin_of_line = torch.arange(size) * min(bins, size) // size
        shape = [min(bins, size) if other == axis else length for other, length in enumerate(total.shape)]
        total = torch.zeros(shape, dtype=torch.float64).index_add(axis, bin_of_line, total)
    rows, columns = samples.grid[-2:]
    # Four digits are more than a picture shows.
    mass = [[float(f"{value:.4g}") for value in row] for row in (total / total.sum()).tolist()]
    return SegmentHistogram(extent=(rows, columns), mass=tuple(map(tuple, mass)))


def characteristics(samples: SegmentationSamples, intensity_unit: str = "") -> tuple[Characteristic, ...]:
    """What the segments of a dataset are like: size, share of the grid, number and contrast.

    Args:
        samples: of slices or volumes.
        intensity_unit: what the contrast is in.
    """
    masks = samples.masks.flatten(1)
    inside = masks.sum(1).double().cpu()
    contrast = [_contrast(image, mask) for image, mask in zip(samples.images.flatten(1), masks, strict=True)]
    regions = segment_features(samples.masks, features=["regions"])[:, 0]
    weights = samples.mass.cpu().numpy()
    volume = len(samples.grid) == 3
    unit = "voxels" if volume else "pixels"
    found = (
        ("Segment volume" if volume else "Segment area", unit, inside.numpy()),
        (f"Share of the {'volume' if volume else 'image'}", "%", 100 * inside.numpy() / masks.shape[1]),
        ("Regions in a sample", "", regions.numpy()),
        ("Contrast to the rest of the image", intensity_unit, np.array(contrast)),
    )
    return tuple(_quartiles(name, unit, values, weights) for name, unit, values in found)


def _contrast(image: torch.Tensor, mask: torch.Tensor) -> float:
    """Mean intensity inside minus mean intensity outside; 0 where there is no outside."""
    return float(image[mask].double().mean() - image[~mask].double().mean()) if not bool(mask.all()) else 0.0


def _quartiles(name: str, unit: str, values: np.ndarray, weights: np.ndarray) -> Characteristic:
    """The least values that have at least a quarter, a half and three quarters of the weight up to them."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    # A quarter of equal weights must not be missed by a rounding.
    places = np.searchsorted(reached, np.array([0.25, 0.5, 0.75]) * reached[-1] * (1 - 1e-12))
    low, median, high = values[order][places].tolist()
    return Characteristic(name=name, unit=unit, low=low, median=median, high=high)


def plane_mixture(summary: object) -> PlaneMixture | None:
    """A mixture over ([slice,] row, column), seen along the slices; None for anything else.

    Args:
        summary: what a mask metric made of a dataset.
    """
    if not isinstance(summary, GaussianMixture):
        return None
    return PlaneMixture.model_validate(
        {
            "weights": summary.weights.tolist(),
            "means": summary.means[:, -2:].tolist(),
            "covariances": summary.covariances[:, -2:, -2:].tolist(),
        }
    )


def _method(name: str, distance: DatasetDistance, table: DistanceTable) -> MethodRecord:
    gaps = [row.optimality_gap for row in table.rows if row.method == name and row.optimality_gap is not None]
    return MethodRecord(
        name=name, options=_options(distance.metric), formula=_options(distance), optimality_gap=max(gaps)
    )


def _options(configured: object) -> dict[str, Any]:
    """The options of a metric or a formula that are plain values."""
    if not is_dataclass(configured):
        return {}
    values = {field.name: getattr(configured, field.name) for field in fields(configured) if field.init}
    return {name: value for name, value in values.items() if isinstance(value, bool | int | float | str | tuple | dict)}


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
