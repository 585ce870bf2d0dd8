"""1 - Dice and 1 - IoU against scipy and MONAI."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_dice
from scipy.spatial.distance import cdist

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.metrics import DiceMetric
from tests.synthetic import blobs


def of_masks(masks, name="masks"):
    masks = torch.as_tensor(np.asarray(masks), dtype=torch.bool)
    return SegmentationSamples.from_arrays(name, torch.zeros(masks.shape), masks)


def between(metric, a, b):
    return metric.compare(metric.summarize(a), metric.summarize(b), torch.zeros(len(a), len(b), dtype=torch.float64))


@st.composite
def masks(draw, n=3, grid=(9, 11)):
    """Masks from a single pixel to nearly full ones."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found = rng.random((n, *grid)) < rng.uniform(0.01, 0.95, size=(n, *(1 for _ in grid)))
    found[:, 4, 5] = True
    return of_masks(found)


@pytest.mark.parametrize("grid", [(40, 48), (8, 20, 24)], ids=["slices", "volumes"])
@pytest.mark.parametrize("radius", [2, 14], ids=["sparse product", "dense product"])
@pytest.mark.parametrize("jaccard", [False, True])
def test_it_is_scipys(grid, radius, jaccard):
    a, b = (blobs(n=n, grid=grid, center=[0.5] * len(grid), radius=radius, seed=n) for n in (9, 7))
    expected = cdist(*(one.masks.flatten(1).numpy() for one in (a, b)), "jaccard" if jaccard else "dice")
    assert between(DiceMetric(jaccard=jaccard), a, b).numpy() == pytest.approx(expected, rel=1e-14, abs=0)


def test_it_is_monais():
    a, b = blobs(n=6, seed=1), blobs(n=6, seed=2)
    expected = 1 - compute_dice(a.masks[:, None].float(), b.masks[:, None].float())[:, 0].double()
    assert between(DiceMetric(), a, b).diagonal().numpy() == pytest.approx(expected.numpy(), abs=1e-6)


def test_dice_breaks_the_triangle_inequality_and_jaccard_does_not():
    one, other, both = np.zeros((3, 2, 2), dtype=bool)
    one[0, 0] = other[1, 1] = both[0, 0] = both[1, 1] = True
    samples = of_masks([one, both, other])
    dice, jaccard = (between(DiceMetric(jaccard=option), samples, samples) for option in (False, True))
    assert dice[0, 2] == 1 > dice[0, 1] + dice[1, 2]
    assert jaccard[0, 2] == 1 == jaccard[0, 1] + jaccard[1, 2]


@settings(max_examples=100, deadline=None)
@given(masks())
def test_jaccard_is_a_metric(samples):
    found = between(DiceMetric(jaccard=True), samples, samples)
    through = (found[:, :, None] + found[None]).amin(dim=1)
    assert (found <= through + 1e-15).all()
    assert torch.equal(found, found.T)
    equal = (samples.masks[:, None] == samples.masks[None]).flatten(2).all(2)
    assert torch.equal(found == 0, equal)
