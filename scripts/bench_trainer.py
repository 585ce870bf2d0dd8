#!/usr/bin/env python
"""The trainer's throughput against a bare PyTorch loop of the same network, loss and batches.

python scripts/bench_trainer.py [--quick] [--rows ROWS] [--steps N] [--device DEVICE]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter, process_time

import torch
from _bench import lesions, one_thread, show

from medsegdist.data.options import Augmentation, DeepLabOptions, UNetOptions
from medsegdist.data.samples import SegmentationSamples
from medsegdist.transfer.evaluate import make_loss
from medsegdist.transfer.networks import build_network
from medsegdist.transfer.plan import Recipe, Split
from medsegdist.transfer.train import train

NETWORKS = {
    "small DeepLabV3+": DeepLabOptions(width=16, depths=(1, 1, 1, 1), block="basic", aspp_channels=32, stem_stride=2),
    "small U-Net": UNetOptions(channels=(16, 32, 64), residual_units=1),
    "published DeepLabV3+": DeepLabOptions(),
}
TARGET = ">= 0.95 on CUDA"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--rows", type=int, default=64, help="of a square slice")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5, help="of taking turns; the median ratio counts")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    rows, steps, rounds = (32, 4, 1) if options.quick else (options.rows, options.steps, options.rounds)
    names = list(NETWORKS)[: 2 if options.device == "cpu" else None]
    device = torch.device(options.device)
    samples = lesions("lesions", n=4 * options.batch, rows=rows, radius=rows / 8, seed=0)
    table = []
    with one_thread():
        for name in names:
            for what, augmentation in (("", None), (", augmented", Augmentation())):
                recipe = Recipe(
                    network=NETWORKS[name],
                    steps=steps,
                    validate_every=steps,
                    batch_size=options.batch,
                    augmentation=augmentation,
                )
                here, there = _turns(samples, recipe, device, rounds)
                ratio = median(bare / ours for ours, bare in zip(here, there, strict=True))
                pace = [f"{1000 * median(seconds) / steps:.1f} ms" for seconds in (here, there)]
                table.append((f"{name}{what}, a step", *pace, f"{ratio:.3f}", "" if augmentation else TARGET))
    show(
        f"Trainer against a bare loop, {options.batch} slices of {rows} x {rows} on {device}",
        table,
        ["monai", "pytorch-ignite"],
        ["The bare loop does not vary its samples, validate, or watch its loss; one validation of one sample is here."],
    )


def _turns(
    samples: SegmentationSamples, recipe: Recipe, device: torch.device, rounds: int
) -> tuple[list[float], list[float]]:
    split = Split(tuple(range(1, len(samples))), (0,))
    ours: Callable[[], object] = lambda: train(samples, split, recipe, seed=0, device=device)  # noqa: E731
    bare: Callable[[], object] = lambda: bare_loop(samples, recipe, device)  # noqa: E731
    for work in (ours, bare):
        work()
    here, there = [], []
    for _ in range(rounds):
        here.append(_seconds(ours, device))
        there.append(_seconds(bare, device))
    return here, there


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of the processor on a CPU, which others use, too; of the clock on a GPU."""
    clock = process_time if device.type == "cpu" else perf_counter
    start = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - start


def bare_loop(samples: SegmentationSamples, recipe: Recipe, device: torch.device) -> torch.nn.Module:
    """What anybody would write, with all samples on the device."""
    torch.manual_seed(0)
    amp = device.type == "cuda" and recipe.amp
    network = build_network(recipe.network, 2).to(device)
    if amp:
        network = network.to(memory_format=torch.channels_last)
    images = ((samples.images - recipe.scale.center) / recipe.scale.half_range)[:, None].to(device)
    masks = samples.masks[:, None].float().to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    loss = make_loss(recipe.loss)
    network.train()
    for _ in range(recipe.steps):
        chosen = torch.randperm(len(images), device=device)[: recipe.batch_size]
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=amp):
            value = loss(network(images[chosen]), masks[chosen])
        value.backward()
        optimizer.step()
    return network


if __name__ == "__main__":
    main()
