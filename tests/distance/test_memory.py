"""How much memory comparisons take, measured by the system: tracemalloc does not see torch."""

import json
import subprocess
import sys

import pytest

from medsegdist.distance import dataset_distance
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.image_cost import BLOCK_BYTES
from medsegdist.distance.mask_metrics import CosineMetric, DiceMetric, EuclideanMetric, GmmMetric, euclidean
from medsegdist.distance.memory import LEAST_BLOCK, MIXING, within
from medsegdist.distance.ranking import compare_all
from medsegdist.distance.transport import SOLVING
from medsegdist.errors import MedSegDistError
from tests.synthetic import blobs

MIB = 2**20

# VmHWM is the most memory that was ever resident; writing 5 to clear_refs makes it what is resident now.
MEASURE = """
import json, sys
from pathlib import Path
import torch
from medsegdist.distance.image_cost import image_cost
from medsegdist.distance.transport import solve_transport

def resident(kind):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind))

def peak_of(function):
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    result = function()
    return result, resident("VmHWM") - before

n, rows, block = (int(argument) for argument in sys.argv[1:])
torch.set_num_threads(1)
small = torch.rand(64, 32, 32) * 255
weights = torch.ones(64)
solve_transport(image_cost(small, small + 1), weights, weights)  # libraries take what they take once
one, other = (torch.rand(n, rows, rows) * 255 for _ in range(2))
cost, of_cost = peak_of(lambda: image_cost(one, other, block_bytes=block))
weights = torch.ones(n)
_, of_transport = peak_of(lambda: solve_transport(cost, weights, weights))
print(json.dumps([of_cost, of_transport]))
"""


@pytest.mark.slow
def test_peak_of_a_comparison_is_what_is_promised():
    """n = m = 1500 at 128 x 128: samples of 196 MB are read in place, and 18 MB of costs grow by half at most."""
    n, block = 1500, 16 * MIB
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(n), "128", str(block)], capture_output=True, text=True, check=True
    )
    of_cost, of_transport = json.loads(done.stdout)
    matrix = 8 * n * n
    buffers = 8 * MIB  # of the matrix product
    assert matrix < of_cost <= 1.5 * matrix + block + buffers
    assert of_transport <= (SOLVING - 1) * matrix + buffers


def blocks(memory, distances):
    found = within(memory, [blobs(n=90), blobs(n=100)], distances)
    assert list(found) == list(distances)
    return [distance.block_bytes for distance in found.values()]


def test_a_budget_leaves_to_blocks_what_costs_do_not_take():
    two = {"gmm2d": DatasetDistance(GmmMetric()), "euclidean": DatasetDistance(EuclideanMetric())}
    costs = 8 * 100 * 100 * (1 + 2 + SOLVING)
    assert blocks(costs + 3 * MIB, two) == [3 * MIB] * 2
    assert blocks(2**40, two) == [BLOCK_BYTES] * 2
    assert blocks(costs + LEAST_BLOCK, two) == [LEAST_BLOCK] * 2
    with pytest.raises(
        MedSegDistError, match=r"at least 2MiB to compare 100 with 100 samples by 2 methods, found 1MiB"
    ):
        blocks(MIB, two)


def test_a_budget_knows_what_methods_compare():
    few = {"few": DatasetDistance(GmmMetric(), max_samples=10), "mixed": DatasetDistance(GmmMetric(), p=2)}
    copies = 2 * 10 * 32 * 40 * 5  # of ten samples a side
    assert blocks(4 * MIB, few) == [
        4 * MIB - 8 * 10**2 * (2 + SOLVING) - copies,
        4 * MIB - 8 * 100**2 * (2 + SOLVING + MIXING),
    ]


def test_a_table_takes_blocks_of_that_size(monkeypatch):
    seen = []
    image_cost, segment_cost = dataset_distance.image_cost, euclidean.segment_cost
    for module, function in ((dataset_distance, image_cost), (euclidean, segment_cost)):
        monkeypatch.setattr(
            module,
            function.__name__,
            lambda *args, block_bytes, function=function: (
                seen.append(block_bytes) or function(*args, block_bytes=block_bytes)
            ),
        )
    a, b = (blobs(name, n=6, seed=seed) for seed, name in enumerate("ab"))
    compare_all([a, b], {"euclidean": DatasetDistance(EuclideanMetric())}, memory=2 * MIB)
    assert seen == [2 * MIB - 8 * 6 * 6 * (1 + 1 + SOLVING)] * 2


@pytest.mark.parametrize("metric", [EuclideanMetric(), DiceMetric(), CosineMetric()], ids=lambda metric: metric.name)
def test_a_smaller_block_gives_the_same_distances(metric):
    a, b = (blobs(name, n=6, seed=seed) for seed, name in enumerate("ab"))
    distance = DatasetDistance(metric)
    small = distance.in_blocks_of(2000)
    assert small.metric.block_bytes == small.block_bytes == 2000
    assert small(a, b).value == pytest.approx(distance(a, b).value, rel=1e-9)


def test_a_metric_takes_the_block_size_of_its_distance():
    distance = DatasetDistance(EuclideanMetric(delta=-7), seed=3).in_blocks_of(12345)
    assert distance == DatasetDistance(EuclideanMetric(delta=-7, block_bytes=12345), seed=3, block_bytes=12345)
    gmm = DatasetDistance(GmmMetric()).in_blocks_of(12345)
    assert gmm == DatasetDistance(GmmMetric(), block_bytes=12345)
