"""Small datasets whose geometry is known, and small studies of phantoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.resampling import Bootstrap, draw_patients, replicate_weights


def resample_patients(samples: SegmentationSamples, replicates: int, seed: int) -> Tensor | None:
    """Weights of the samples in replicates, drawn as for a table; row 0 holds the samples' own."""
    times = draw_patients(samples.name, [samples.patient_ids], Bootstrap(replicates, seed=seed))
    return times and replicate_weights(samples, times)


def blobs(
    name: str = "blobs",
    *,
    n: int = 12,
    grid: Sequence[int] = (32, 40),
    center: Sequence[float] = (0.5, 0.5),
    radius: float = 5.0,
    brightness: float = 120.0,
    seed: int = 0,
    patients: int = 4,
) -> SegmentationSamples:
    """Noisy images with one to three ellipsoid segments around `center` (as a fraction of the grid)."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.arange(size) for size in grid), indexing="ij")
    images = np.empty((n, *grid), dtype=np.float32)
    masks = np.zeros((n, *grid), dtype=bool)
    for k in range(n):
        for _ in range(rng.integers(1, 4)):
            middle = [size * part + rng.uniform(-0.12, 0.12) * size for size, part in zip(grid, center, strict=True)]
            radii = [max(1.2, radius * rng.uniform(0.6, 1.3) * min(1.0, size / 32)) for size in grid]
            masks[k] |= sum(((axis - m) / r) ** 2 for axis, m, r in zip(axes, middle, radii, strict=True)) <= 1
        background = 40 + 30 * np.cos(axes[-1] / grid[-1] * 3)
        images[k] = np.where(masks[k], brightness, background) + rng.normal(0, 8, size=grid)
    return SegmentationSamples.from_arrays(
        name,
        np.clip(images, 0, 255),
        masks,
        case_ids=[f"case{k}" for k in range(n)],
        patient_ids=[f"patient{k % patients}" for k in range(n)],
        weights=rng.uniform(0.5, 2.0, size=n),
        preprocessing="synthetic",
    )


def two_places(
    name: str = "two places", *, n: int = 12, grid: Sequence[int] = (14, 18), radius: float = 4.0, seed: int = 0
) -> SegmentationSamples:
    """Segments in two places, so that which two Gaussians are meant is beyond doubt, and a fit ends after few steps."""
    parts = [
        blobs(n=n // 2, grid=grid, center=[center] * len(grid), radius=radius, brightness=brightness, seed=seed + k)
        for k, (center, brightness) in enumerate(((0.3, 90.0), (0.7, 180.0)))
    ]
    images, masks, weights = (
        np.concatenate([getattr(part, field) for part in parts]) for field in ("images", "masks", "weights")
    )
    patients = [f"patient{k // 2}" for k in range(len(images))]
    return SegmentationSamples.from_arrays(
        name, images, masks, patient_ids=patients, weights=weights, preprocessing="synthetic"
    )


def dots(
    name: str,
    pixels: Sequence[Sequence[Sequence[int]]],
    *,
    grid: Sequence[int] = (48, 48),
    intensities: Sequence[Sequence[float]] | None = None,
    weights: Sequence[float] | None = None,
) -> SegmentationSamples:
    """One sample for each list of pixels, which are its segment; images are 0 but where `intensities` says more."""
    masks = np.zeros((len(pixels), *grid), dtype=bool)
    images = np.zeros(masks.shape, dtype=np.float32)
    for k, of_sample in enumerate(pixels):
        places = tuple(np.array(of_sample).T)
        masks[k][places] = True
        if intensities is not None:
            images[k][places] = intensities[k]
    return SegmentationSamples.from_arrays(name, images, masks, weights=weights, preprocessing="synthetic")


TRAINING: dict[str, Any] = {
    "network": {"kind": "unet", "channels": [8, 16], "residual_units": 1},
    "steps": 4,
    "validate_every": 2,
    "batch_size": 4,
    "seeds": [0],
    "dice_floor": 0,
}
"""The `transfer:` of a study that is trained in seconds."""


def phantom_study(organs: Mapping[str, str], *, patients: int = 4, slices: int = 2, **parts: Any) -> dict[str, Any]:
    """A study of simulated organs by the names of their datasets, of which the first is the target."""
    datasets = [
        {
            "name": name,
            "modality": "CT",
            "layout": {"kind": "phantom", "organ": organ, "patients": patients, "slices": slices},
        }
        for name, organ in organs.items()
    ]
    first = next(iter(organs))
    preprocessing = {"grid": [32, 32], "min_pixels": 1}
    return {"name": "small", "preprocessing": preprocessing, "datasets": datasets, "targets": [first], **parts}
