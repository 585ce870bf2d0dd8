"""Metrics keep `--memory`: their blocks are as small as asked, and what they take beside them is what they say."""

import json
import os
import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.mask_metrics import (
    BlockwiseMetric,
    DemandingMetric,
    DiceMetric,
    EuclideanMetric,
    HausdorffMetric,
    MmdMetric,
    PatchesMetric,
    PixelsMetric,
    SlicedMetric,
    all_metrics,
)
from medsegdist.distance.memory import COMPARING, LEAST_BLOCK, within
from medsegdist.distance.transport import SOLVING
from medsegdist.errors import MedSegDistError
from tests.synthetic import blobs

MIB = 2**20
GRIDS = {"slices": (72, 64), "volumes": (12, 28, 32)}
OF_NUMPY = {  # whose arrays tracemalloc sees
    "hausdorff": HausdorffMetric(),
    "hausdorff95": HausdorffMetric(percentile=95),
    "mmd": MmdMetric(),
    "sliced": SlicedMetric(),
    "patches by slices": PatchesMetric(width=3, solver="sliced", count=2000),
}


def two(grid, n=40):
    return [
        blobs(name, n=n, grid=grid, center=[0.5] * len(grid), radius=18, brightness=120 + 40 * seed, seed=seed)
        for seed, name in enumerate("ab")
    ]


def noise(grid):
    """Masks that are all surface, and pixels that share no bin."""
    rng = np.random.default_rng(0)
    for name in "ab":
        images, masks = rng.uniform(0, 255, (40, *grid)), rng.random((40, *grid)) < 0.4
        yield SegmentationSamples.from_arrays(name, images, masks, patient_ids=["p", "q"] * 20)


def traced_peak(function):
    tracemalloc.start()
    try:
        return function(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
@pytest.mark.parametrize("metric", OF_NUMPY.values(), ids=OF_NUMPY.keys())
def test_small_blocks_take_little_memory_and_change_nothing(metric, grid):
    a, b = (metric.summarize(samples) for samples in noise(grid))
    cost = torch.ones(40, 40, dtype=torch.float64)
    metric.compare(a, b, cost)  # what is imported once is imported
    block = MIB // 4
    whole, usual = traced_peak(lambda: metric.compare(a, b, cost))
    parts, peak = traced_peak(lambda: metric.in_blocks_of(block).compare(a, b, cost))
    least = metric.least_bytes(grid) if isinstance(metric, DemandingMetric) else 0
    matrices, rest = COMPARING * 8 * 40 * 40, MIB // 2  # vectors over bins
    assert peak <= least + block + matrices + rest
    assert peak < usual, "or this proves nothing"
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "metric",
    [
        PixelsMetric(solver="sinkhorn"),
        PixelsMetric(intensity=True, bin=12),
        PatchesMetric(width=5, count=60),
        PatchesMetric(width=5, count=60, solver="sinkhorn", blur=1),
    ],
    ids=["pixels by Sinkhorn", "pixels", "patches", "patches by Sinkhorn"],
)
def test_small_blocks_change_nothing_where_torch_computes(metric):
    a, b = (metric.summarize(samples) for samples in two((32, 40), n=8))
    cost = torch.ones(8, 8, dtype=torch.float64)
    small = metric.in_blocks_of(5000)
    assert small.block_bytes == 5000
    torch.testing.assert_close(small.compare(a, b, cost), metric.compare(a, b, cost), rtol=1e-9, atol=0)
    assert float(small.compare(a, a, cost)) <= 1e-9


# VmHWM is the most memory that was ever resident; writing 5 to clear_refs makes it what is resident now.
MEASURE = """
import json, re, sys
from pathlib import Path
import torch
from medsegdist.distance.bootstrap import Bootstrap
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.memory import within
from medsegdist.distance.pairs import PreparedDataset, compare_pair, noise_floors_of, prepare
from medsegdist.errors import MedSegDistError
from tests.distance.test_metric_memory import MEASURED
from tests.synthetic import blobs

def resident(kind):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind))

def named_by_the_refusal(sets, distances):
    try:
        within(0, sets, distances)
    except MedSegDistError as error:
        return int(re.search("at least ([0-9]+)MiB", str(error))[1]) * 2**20

def compared(metric, sets, budget=None):
    distances = {"it": DatasetDistance(metric)}
    budget = budget or named_by_the_refusal(sets, distances)
    distances = within(budget, sets, distances)
    distance = distances["it"]
    both = [PreparedDataset(one, {"it": prepare(one, distance, Bootstrap(replicates=3))}) for one in sets]
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    compare_pair(*both, distances)
    noise_floors_of(both[0], distances)
    return budget, resident("VmHWM") - before

torch.set_num_threads(1)
tiny = [blobs(name, n=6, seed=seed) for seed, name in enumerate("ab")]
large = [blobs(n, n=250, grid=(64, 72), radius=16, seed=s, brightness=120 + 40 * s) for s, n in enumerate("ab")]
found = {}
for name, metric in MEASURED.items():
    compared(metric, tiny, 2**40)  # libraries take what they take once
    found[name] = compared(metric, large)
print(json.dumps(found))
"""

MEASURED = {
    **all_metrics(),
    "pixels with intensities": PixelsMetric(intensity=True, bin=6),
    "pixels by Sinkhorn": PixelsMetric(solver="sinkhorn"),
    "patches by slices": PatchesMetric(solver="sliced"),
    "patches by Sinkhorn": PatchesMetric(solver="sinkhorn", count=700, width=5, blur=2),
}


@pytest.mark.slow
def test_the_budget_that_a_refusal_asks_for_is_enough_for_every_metric():
    # What is freed goes back to the system, and is seen when it is taken again.
    settings = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", MEASURE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **settings})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == list(MEASURED)
    over = {name: (budget, peak) for name, (budget, peak) in found.items() if peak > budget + 4 * MIB}
    assert not over


@pytest.mark.parametrize("metric", MEASURED.values(), ids=MEASURED.keys())
def test_what_takes_blocks_takes_those_of_its_budget(metric):
    sets = two((32, 40), n=10)
    budget = 2**30
    (limited,) = within(budget, sets, {"it": DatasetDistance(metric)}).values()
    least = metric.least_bytes((32, 40)) if isinstance(metric, DemandingMetric) else 0
    spared = budget - limited.block_bytes
    assert spared >= least
    if isinstance(metric, BlockwiseMetric):
        assert limited.metric.block_bytes == limited.block_bytes


def test_a_budget_below_what_a_metric_needs_is_refused_with_its_name():
    sets = two((32, 40), n=10)
    distances = {"dice": DatasetDistance(DiceMetric()), "patches": DatasetDistance(PatchesMetric())}
    own = 8 * ((2 + SOLVING) * 1200**2 + 4 * 1200 * 11**2)
    needed = own + 8 * 10 * 10 * (1 + 2 + COMPARING) + LEAST_BLOCK
    expected = (
        f"expected a memory of at least {-(-needed // MIB)}MiB to compare 10 with 10 samples by 2 methods, "
        f"{-(-own // MIB)}MiB of it for 'patches' alone, found 20MiB; allow more (--memory), or compare fewer samples "
        "or methods at once."
    )
    with pytest.raises(MedSegDistError, match=re.escape(expected)):
        within(20 * MIB, sets, distances)
    assert within(20 * MIB, sets, {"dice": distances["dice"]})["dice"].block_bytes < 20 * MIB
    assert within(needed, sets, distances)["patches"].metric.block_bytes == LEAST_BLOCK


def test_samples_that_are_chosen_of_larger_datasets_are_counted():
    small, large = blobs("small", n=8), blobs("large", n=30)
    pixels, costs = 32 * 40, 8 * 10 * 10 * (1 + 1 + SOLVING)
    distances = {"euclidean": DatasetDistance(EuclideanMetric(), max_samples=10)}
    for sets, copies in (([small], 0), ([small, large], 1), ([large] * 3, 2)):
        if copies:
            block = within(2 * MIB, sets, distances)["euclidean"].block_bytes
            assert block == 2 * MIB - costs - copies * 10 * pixels * 5
        else:
            assert within(2 * MIB, sets, distances)["euclidean"].block_bytes == 2 * MIB - 8 * 8 * 8 * (2 + SOLVING)
