"""Small datasets that a small network learns in seconds, and the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from medsegdist.data.options import DeepLabOptions, UNetOptions
from medsegdist.data.samples import SegmentationSamples
from medsegdist.transfer.networks import build_network
from medsegdist.transfer.plan import Recipe, Split

TINY = UNetOptions(channels=(8, 16), residual_units=1)
SMALL_DEEPLAB = DeepLabOptions(width=8, depths=(1, 1, 1, 1), block="basic", aspp_channels=16, stem_stride=2)


def disks(
    name: str = "disks",
    *,
    patients: int = 8,
    slices: int = 2,
    grid: tuple[int, ...] = (32, 32),
    bright: float = 200.0,
    seed: int = 0,
) -> SegmentationSamples:
    """One ball a sample, of intensity `bright` on a noisy ground of 80."""
    rng = np.random.default_rng(seed)
    n = patients * slices
    axes = np.meshgrid(*(np.arange(size) for size in grid), indexing="ij")
    images = rng.normal(80, 15, (n, *grid))
    masks = np.zeros((n, *grid), dtype=bool)
    for k in range(n):
        radius = min(grid) * rng.uniform(0.15, 0.25)
        center = [rng.uniform(radius, size - radius) for size in grid]
        masks[k] = sum((axis - c) ** 2 for axis, c in zip(axes, center, strict=True)) <= radius**2
        images[k][masks[k]] += bright - 80
    owners = [str(k // slices) for k in range(n)]
    return SegmentationSamples.from_arrays(
        name, images.clip(0, 255), masks, case_ids=owners, patient_ids=[f"patient {owner}" for owner in owners]
    )


def halves(samples: SegmentationSamples) -> Split:
    """The first half of the samples to train on, the second one to validate and to test on."""
    n = len(samples)
    return Split(tuple(range(n // 2)), *[tuple(range(n // 2, n))] * 2)


def quick(**changes: object) -> Recipe:
    """Six steps and three validations of the tiny network."""
    return Recipe(**{"network": TINY, "steps": 6, "validate_every": 2, "batch_size": 4, **changes})  # type: ignore[arg-type]


class Counting(torch.nn.Module):
    """A network that calls a function with the number of each step of training before it does it."""

    def __init__(self, at_step: Callable[[int], None], start: int = 0, recipe: Recipe | None = None) -> None:
        super().__init__()
        self.network = build_network((recipe or quick()).network, 2)
        self.at_step, self.step = at_step, start

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.step += 1
            self.at_step(self.step)
        found: torch.Tensor = self.network(images)
        return found


def equal_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    """Whether every parameter and buffer is equal to the bit."""
    one, other = a.state_dict(), b.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(autouse=True)
def one_thread_each() -> Iterator[None]:
    """Sums that are split over threads may differ in their last bit, and other work shares the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
