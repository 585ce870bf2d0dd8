"""Variations of a whole batch at once, with draws of its own for every sample."""

from __future__ import annotations

import math

import torch
from monai.networks.layers import AffineTransform
from torch import Tensor

from medsegdist.data.transfer_options import Augmentation


def augmented(
    images: Tensor, masks: Tensor, options: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Images and masks, moved alike, and images of changed contrast and brightness.

    MONAI's random transforms take one item at a time, which on small slices costs more than a training step; its
    AffineTransform takes a batch with a matrix for each item.

    Args:
        images: (b, 1, *grid).
        masks: (b, 1, *grid) of 0 and 1.
        options: how far.
        generator: a CPU generator, of all draws.
    """
    theta = affine_matrices(len(images), tuple(images.shape[2:]), options, generator)
    spread = options.intensity * (2 * torch.rand(2, len(images), generator=generator) - 1)
    if theta is not None:
        move = AffineTransform(mode="bilinear", padding_mode="border")
        both = move(torch.cat([images, masks], 1), theta.to(images.device), spatial_size=images.shape[2:])
        images, masks = both[:, :1], (both[:, 1:] > 0.5).to(masks.dtype)
    if options.intensity:
        contrast, brightness = spread.to(images.device).reshape(2, -1, *[1] * (images.ndim - 1))
        images = images * (1 + contrast) + 2 * brightness
    return images, masks


def affine_matrices(n: int, grid: tuple[int, ...], options: Augmentation, generator: torch.Generator) -> Tensor | None:
    """(n, d + 1, d + 1) maps from output to input in grid steps, about the center; None if nothing moves.

    Args:
        n: how many.
        grid: (rows, columns) or (slices, rows, columns); only the last two axes are turned and mirrored.
        options: how far.
        generator: of all draws.
    """
    if not (options.flip or options.rotation or options.scaling or options.shift):
        return None
    d = len(grid)
    angle = math.radians(options.rotation) * _spread(n, generator)
    factor = 1 / (1 + options.scaling * _spread(n, generator))
    mirrored = 1 - 2 * (torch.rand(n, 2, generator=generator) < options.flip).float()
    shift = options.shift * (2 * torch.rand(n, d, generator=generator) - 1) * torch.tensor(grid)
    theta = torch.eye(d + 1).repeat(n, 1, 1)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).reshape(n, 2, 2)
    theta[:, d - 2 : d, d - 2 : d] = turn * mirrored[:, None, :]
    theta[:, :d, :d] *= factor[:, None, None]
    center = (torch.tensor(grid) - 1) / 2
    theta[:, :d, d] = center + shift - theta[:, :d, :d] @ center
    return theta


def _spread(n: int, generator: torch.Generator) -> Tensor:
    """(n,) numbers between -1 and 1."""
    return 2 * torch.rand(n, generator=generator) - 1
