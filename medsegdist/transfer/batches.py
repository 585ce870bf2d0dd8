"""Batches to train on, whose order and variations are a function of seed and step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import torch
from monai.networks.layers import AffineTransform
from monai.transforms import RandCropByPosNegLabel
from torch import Tensor

from medsegdist.data.options import Augmentation
from medsegdist.data.samples import SegmentationSamples
from medsegdist.transfer.plan import IntensityScale, Recipe

# What the draws of one step are for; each has a generator of its own.
_ORDER, _CHOICE, _CROP, _VARIATION = range(4)
# Share of a device's free memory that samples may take.
_MOST_OF_DEVICE = 0.4


class NetworkInputs:
    """Samples as a network takes them, on the device if there is room, else moved batch by batch.

    On a CPU they stay where they are: memory-mapped samples are read when a batch needs them.
    """

    def __init__(
        self, samples: SegmentationSamples, indices: Sequence[int], scale: IntensityScale, device: torch.device
    ) -> None:
        self.images, self.masks = samples.images, samples.masks
        self.rows = torch.as_tensor(indices, dtype=torch.int64)
        self.scale, self.device = scale, device
        each = self.images[0].numel() * (self.images.element_size() + self.masks.element_size())
        if device.type == "cuda" and len(indices) * each <= _MOST_OF_DEVICE * torch.cuda.mem_get_info(device)[0]:
            self.images, self.masks = self.images[self.rows].to(device), self.masks[self.rows].to(device)
            self.rows = torch.arange(len(self.rows))

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """(b, 1, *grid) scaled images, and their masks as 0 and 1, both float32 on the device."""
        rows = self.rows[positions].to(self.images.device)
        images = self.images[rows].to(self.device, non_blocking=True)
        masks = self.masks[rows].to(self.device, non_blocking=True)
        return images.sub_(self.scale.center).div_(self.scale.half_range)[:, None], masks[:, None].float()


class TrainingBatches:
    """Endless batches of {"image", "label"}, from step `start` on.

    Every sample is seen once before any is seen again, in a new order each time; with `balanced`, half of a batch is
    drawn in proportion to the foreground instead.
    """

    def __init__(self, inputs: NetworkInputs, recipe: Recipe, *, seed: int, start: int = 0) -> None:
        self.inputs, self.recipe, self.seed, self.start = inputs, recipe, seed, start
        if recipe.balanced:
            self.foreground = torch.stack([inputs.masks[row].sum() for row in inputs.rows.tolist()]).cpu().double()

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return map(self.at, count(self.start))

    def at(self, step: int) -> dict[str, Tensor]:
        """The batch of one step, counted from 0."""
        images, masks = self.inputs.batch(self._positions(step))
        if self.recipe.patch_size is not None:
            images, masks = self._patches(images, masks, self.recipe.patch_size, step)
        if self.recipe.augmentation is not None:
            generator = torch.Generator().manual_seed(_seed(self.seed, _VARIATION, step))
            images, masks = augmented(images, masks, self.recipe.augmentation, generator)
        return {"image": images, "label": masks}

    def _positions(self, step: int) -> Tensor:
        n, size = len(self.inputs), self.recipe.batch_size
        places = range(step * size, (step + 1) * size)
        orders = {turn: self._order(turn) for turn in {place // n for place in places}}
        in_turn = torch.tensor([orders[place // n][place % n] for place in places])
        if not self.recipe.balanced:
            return in_turn
        generator = torch.Generator().manual_seed(_seed(self.seed, _CHOICE, step))
        drawn = size - size // 2
        chosen = torch.multinomial(self.foreground, drawn, replacement=True, generator=generator)
        return torch.cat([chosen, in_turn[drawn:]])

    def _order(self, turn: int) -> list[int]:
        order: list[int] = np.random.default_rng([self.seed, _ORDER, turn]).permutation(len(self.inputs)).tolist()
        return order

    def _patches(self, images: Tensor, masks: Tensor, size: tuple[int, ...], step: int) -> tuple[Tensor, Tensor]:
        crop = RandCropByPosNegLabel(spatial_size=size, pos=3.0 if self.recipe.balanced else 1.0)
        crop.set_random_state(_seed(self.seed, _CROP, step))
        # One crop for both: they are channels of one array.
        both = [
            torch.as_tensor(crop(torch.cat([image, mask]), label=mask)[0])
            for image, mask in zip(images, masks, strict=True)
        ]
        patches = torch.stack([one.as_subclass(Tensor) for one in both])
        return patches[:, :1], patches[:, 1:]


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def augmented(
    images: Tensor, masks: Tensor, options: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(b, 1, *grid) images and masks, moved alike, and images of changed contrast and brightness.

    MONAI's random transforms take one item at a time, which on small slices costs more than a training step; its
    AffineTransform takes a batch with a matrix for each item.
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

    Only the last two axes of the grid, rows and columns, are turned and mirrored.
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
