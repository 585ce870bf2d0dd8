"""Dice of cases and samples, compared with MONAI's own."""

import pytest
import torch
from monai.metrics import DiceMetric

from medsegdist.data.options import UNetOptions
from medsegdist.transfer.evaluate import evaluate, mean_dice, overlap_counts
from medsegdist.transfer.networks import build_network
from tests.transfer.making import disks, quick


def random_pair(n=6, grid=(9, 7), seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, 1, *grid, generator=generator)
    return logits, (torch.rand(n, 1, *grid, generator=generator) > 0.6).float()


def monai_dice(prediction, reference):
    metric = DiceMetric(include_background=True, ignore_empty=False)
    metric(prediction, reference)
    return float(metric.aggregate())


def test_a_case_is_the_volume_of_its_slices():
    logits, masks = random_pair()
    cases = ["a", "b", "a", "a", "b", "c"]
    found = mean_dice(overlap_counts(logits, masks), cases)
    volumes = []
    for case in "abc":
        rows = [k for k, one in enumerate(cases) if one == case]
        volumes.append(monai_dice(*((part[rows, 0])[None, None] for part in ((logits > 0).float(), masks))))
    assert found == pytest.approx(sum(volumes) / 3)
    each = mean_dice(overlap_counts(logits, masks), [str(k) for k in range(6)])
    assert each == pytest.approx(monai_dice((logits > 0).float(), masks), abs=1e-6)


def test_empty_references_follow_the_stated_policy():
    logits = torch.full((3, 1, 4, 4), -1.0)
    masks = torch.zeros(3, 1, 4, 4)
    logits[1, 0, 0, 0] = 1.0
    masks[2, 0, 0, 0] = 1.0
    counts = overlap_counts(logits, masks)
    assert [mean_dice(one[None], ["a"]) for one in counts] == [1.0, 0.0, 0.0]


def test_the_batch_size_does_not_change_an_evaluation():
    samples = disks(patients=4, slices=3)
    # Pointwise: sums over a larger batch may differ in their last bit, and a point may lie on the threshold.
    network = torch.nn.Conv2d(1, 1, 1)
    # The order is not that of the cases.
    indices = [7, 0, 3, 8, 1, 11]
    found = [evaluate(network, samples, indices, quick(batch_size=size)) for size in (1, 4, 6)]
    assert found[0] == found[1] == found[2]


def test_evaluating_leaves_a_network_in_its_mode():
    network = build_network(UNetOptions(channels=(4, 8), dropout=0.5), 2).train()
    first, again = (evaluate(network, disks(), [0, 1], quick()) for _ in range(2))
    assert first == again
    assert network.training
