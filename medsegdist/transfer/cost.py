"""What runs will cost, from the pace of a few steps."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter

import torch

from medsegdist.threads import one_thread
from medsegdist.transfer.evaluate import check_device
from medsegdist.transfer.losses import make_loss
from medsegdist.transfer.networks import build_network
from medsegdist.transfer.plan import Recipe, Run

_STEPS = 3
# A validation runs forward only: a third of a training step.
_FORWARD = 1 / 3


def seconds_per_step(recipe: Recipe, grid: tuple[int, ...], device: torch.device | str = "cpu") -> float:
    """Seconds of a training step on random samples, the median of three, without the first one.

    Args:
        recipe: of a run.
        grid: of the samples.
        device: where the run will be.

    Raises:
        MedSegDistError: the device is not there.
    """
    target = check_device(device)
    with one_thread(), torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
        shape = (recipe.batch_size, 1, *(recipe.patch_size or grid))
        images, masks = torch.randn(shape, device=target), (torch.rand(shape, device=target) > 0.5).float()
        network, loss = build_network(recipe.network, len(grid)).to(target), make_loss(recipe.loss)
        optimizer = torch.optim.Adam(network.parameters())
        seconds = []
        for _ in range(_STEPS + 1):
            start = perf_counter()
            optimizer.zero_grad()
            loss(network(images), masks).backward()
            optimizer.step()
            if target.type == "cuda":
                torch.cuda.synchronize(target)
            seconds.append(perf_counter() - start)
    return sorted(seconds[1:])[_STEPS // 2]


def estimated_seconds(runs: Iterable[Run], pace: float, validation_samples: int) -> float:
    """Seconds of work that runs take on one device or core.

    Args:
        runs: to be done.
        pace: seconds of a step.
        validation_samples: of a validation, about.
    """
    total = 0.0
    for run in runs:
        recipe = run.recipe
        validations = recipe.steps // recipe.validate_every
        total += pace * (recipe.steps + validations * validation_samples / recipe.batch_size * _FORWARD)
    return total
