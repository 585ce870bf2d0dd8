"""Hausdorff distance against scipy, MONAI and plain numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_hausdorff_distance
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist, directed_hausdorff

from medsegdist.distance.metrics import HausdorffMetric
from tests.distance.test_dice import between, masks, of_masks
from tests.synthetic import blobs


def surface_points(mask):
    return np.argwhere(mask & ~binary_erosion(mask)).astype(float)


def by_brute_force(a, b, percentile):
    def one_way(x, y):
        return np.percentile(cdist(surface_points(x), surface_points(y)).min(axis=1), percentile)

    pairs = [[max(one_way(x, y), one_way(y, x)) for y in b.masks.numpy()] for x in a.masks.numpy()]
    return np.array(pairs)


def near(grid, n):
    return blobs(n=n, grid=grid, center=[0.5] * len(grid), seed=1)


def far(grid):
    return blobs(n=6, grid=grid, radius=8, center=[0.3] * len(grid), seed=2)


GRIDS = {"slices": (32, 40), "volumes": (8, 16, 20)}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_it_is_scipys(grid):
    a, b = near(grid, n=5), far(grid)
    found = between(HausdorffMetric(), a, b)
    for k, x in enumerate(a.masks.numpy()):
        for i, y in enumerate(b.masks.numpy()):
            points = surface_points(x), surface_points(y)
            expected = max(directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0])
            assert float(found[k, i]) == pytest.approx(expected, rel=1e-15)


# MONAI passes an argument to itself that it has deprecated.
@pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges.always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("percentile", [100, 95, 50])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_it_is_monais(grid, percentile):
    a, b = near(grid, n=6), far(grid)
    expected = compute_hausdorff_distance(
        a.masks[:, None], b.masks[:, None], include_background=True, percentile=percentile
    )
    found = between(HausdorffMetric(percentile=percentile), a, b).diagonal()
    assert found.numpy() == pytest.approx(expected[:, 0].numpy(), abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(masks(), masks(n=2), st.sampled_from([100.0, 95.0, 90.0, 33.3, 0.0]))
def test_any_masks_by_brute_force(a, b, percentile):
    found = between(HausdorffMetric(percentile=percentile), a, b).numpy()
    assert found == pytest.approx(by_brute_force(a, b, percentile), rel=1e-14, abs=0)


@settings(max_examples=60, deadline=None)
@given(masks(n=4))
def test_it_is_a_metric_between_surfaces(samples):
    found = between(HausdorffMetric(), samples, samples)
    assert (found <= (found[:, :, None] + found[None]).amin(dim=1) + 1e-12).all()
    assert torch.equal(found, found.T)
    assert (found.diagonal() == 0).all()


@pytest.mark.parametrize("shift", [(0, 3), (5, 0), (-4, 7)])
def test_moving_a_mask_by_t_is_at_t(shift):
    masks = torch.zeros(4, 64, 64, dtype=torch.bool)
    masks[:, 12:44, 12:52] = blobs(n=4, seed=3).masks
    found = between(HausdorffMetric(), of_masks(masks), of_masks(masks.roll(shift, dims=(1, 2))))
    assert found.diagonal().numpy() == pytest.approx(np.full(4, np.hypot(*shift)), rel=1e-15)


def test_a_percentile_forgives_an_outlier_and_is_no_metric():
    plain, outlier = np.zeros((2, 60, 60), dtype=bool)
    plain[10:30, 10:30] = outlier[10:30, 10:30] = True
    outlier[59, 59] = True
    pair = of_masks([plain]), of_masks([outlier])
    assert between(HausdorffMetric(), *pair).item() == pytest.approx((2 * 30**2) ** 0.5)
    assert between(HausdorffMetric(percentile=95), *pair).item() == 0


def test_a_large_grid_keeps_every_digit():
    wide = np.zeros((2, 1, 60_000), dtype=bool)
    wide[0, 0, 0] = wide[1, 0, 59_999] = True
    assert between(HausdorffMetric(), of_masks(wide[:1]), of_masks(wide[1:])).item() == 59_999


def test_names_and_refusals():
    assert [HausdorffMetric(percentile=p).name for p in (100, 95, 97.5)] == [
        "hausdorff",
        "hausdorff95",
        "hausdorff97.5",
    ]
    for percentile in (-1, 101, float("nan")):
        with pytest.raises(ValueError, match="percentile of 0 to 100, found"):
            HausdorffMetric(percentile=percentile)
