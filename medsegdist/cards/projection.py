"""Images in a random projection that is the same wherever it is made."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples

DIMENSION = 32
"""Numbers that an image is projected to. The squared norm of one image is then met to about sqrt(2 / 32) = 25%."""

BLOCK = 2**14
"""Pixels whose signs are drawn at once; another number would be another projection."""


def project(samples: SegmentationSamples) -> Tensor:
    """Images in the projection of their preprocessing and grid, by random signs over sqrt(32).

    It keeps squared norms, and so squared d_X, in expectation over projections (Achlioptas, 2003). The signs come from
    SHAKE-256 of fingerprint and grid, so that two machines, or two versions of a library, draw the same ones.

    Args:
        samples: n samples.

    Returns:
        (n, 32) float64 CPU tensor in the unit of d_X.
    """
    images = samples.images.flatten(1)
    total = torch.zeros((len(images), DIMENSION), dtype=torch.float64)
    for start in range(0, images.shape[1], BLOCK):
        pixels = images[:, start : start + BLOCK].cpu().double()
        signs = _signs(f"{samples.preprocessing}|{list(samples.grid)}|{start}", pixels.shape[1])
        total += pixels @ torch.from_numpy(signs)
    return total / math.sqrt(DIMENSION)


def gaussian_of(points: Tensor, mass: Tensor) -> tuple[Tensor, Tensor]:
    """(d,) mean and (d, d) covariance of weighted points.

    Args:
        points: (n, d) float64.
        mass: (n,) float64, sums to 1.
    """
    mean = mass @ points
    away = points - mean
    return mean, away.T @ (mass[:, None] * away)


def _signs(seed: str, pixels: int) -> np.ndarray:
    """(pixels, 32) float64 of 1 and -1."""
    drawn = hashlib.shake_256(f"medsegdist card|{seed}".encode()).digest(pixels * DIMENSION // 8)
    return np.unpackbits(np.frombuffer(drawn, dtype=np.uint8)).reshape(pixels, DIMENSION) * 2.0 - 1.0
