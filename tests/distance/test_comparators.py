"""Dice, IoU, cosine and Hausdorff distance against scipy, MONAI and plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_hausdorff_distance
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.metrics import CosineMetric, DiceMetric, HausdorffMetric
from medsegdist.errors import DataError
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
def test_dice_and_iou_are_scipys(grid, radius, jaccard):
    a, b = (blobs(n=n, grid=grid, center=[0.5] * len(grid), radius=radius, seed=n) for n in (9, 7))
    expected = cdist(*(one.masks.flatten(1).numpy() for one in (a, b)), "jaccard" if jaccard else "dice")
    assert between(DiceMetric(jaccard=jaccard), a, b).numpy() == pytest.approx(expected, rel=1e-14, abs=0)


@settings(max_examples=100, deadline=None)
@given(masks())
def test_jaccard_is_a_metric(samples):
    found = between(DiceMetric(jaccard=True), samples, samples)
    through = (found[:, :, None] + found[None]).amin(dim=1)
    assert (found <= through + 1e-15).all()
    assert torch.equal(found, found.T)
    equal = (samples.masks[:, None] == samples.masks[None]).flatten(2).all(2)
    assert torch.equal(found == 0, equal)


def segments(samples, delta):
    return torch.where(samples.masks, samples.images.double() - delta, 0).flatten(1).numpy()


@pytest.mark.parametrize("delta", [-1, -2048])
@pytest.mark.parametrize("grid", [(40, 48), (8, 20, 24)], ids=["slices", "volumes"])
@pytest.mark.parametrize("radius", [2, 14], ids=["sparse product", "dense product"])
def test_cosine_is_scipys(grid, radius, delta):
    a, b = (blobs(n=n, grid=grid, center=[0.5] * len(grid), radius=radius, seed=n) for n in (9, 7))
    expected = cdist(segments(a, delta), segments(b, delta), "cosine")
    assert between(CosineMetric(delta=delta), a, b).numpy() == pytest.approx(expected, abs=1e-12)
    angles = between(CosineMetric(delta=delta, angular=True), a, b).numpy() * (np.pi / 2)
    assert angles == pytest.approx(np.arccos(np.clip(1 - expected, 0, 1)), abs=1e-7)


def vectors(rows):
    """Segments of four pixels with these intensities; -1 is outside."""
    images = torch.tensor(rows, dtype=torch.float32).reshape(len(rows), 2, 2)
    return SegmentationSamples.from_arrays("vectors", images, images > -1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_angle_obeys_it_and_both_stay_within_0_and_1(seed):
    rng = np.random.default_rng(seed)
    rows = np.where(rng.random((5, 4)) < 0.6, rng.uniform(0, 255, (5, 4)), -1)
    rows[rows.max(axis=1) < 0, 0] = 7
    samples = vectors(rows.tolist())
    for angular in (False, True):
        found = between(CosineMetric(angular=angular), samples, samples)
        assert found.min() >= 0
        assert found.max() <= 1
        assert found.numpy() == pytest.approx(found.T.numpy(), abs=1e-15)
        assert (found.diagonal() == 0).all()
    assert (found <= (found[:, :, None] + found[None]).amin(dim=1) + 1e-12).all()


def test_small_angles_keep_their_digits():
    base = 255.0
    samples = vectors([[base, 0, -1, -1], [base, 2**-10, -1, -1]])
    u, v = (np.array([base + 1, x + 1]) for x in (0, 2**-10))
    angle = np.arctan2(abs(u[0] * v[1] - u[1] * v[0]), u @ v)
    found = between(CosineMetric(angular=True), samples, samples)[0, 1].item()
    assert found * np.pi / 2 == pytest.approx(angle, rel=1e-9)
    assert between(CosineMetric(), samples, samples)[0, 1].item() == pytest.approx(2 * np.sin(angle / 2) ** 2, rel=1e-9)


def test_delta_inside_the_range_is_refused():
    with pytest.raises(
        DataError, match=r"dataset 'blobs', case 'case3': expected intensities above delta = 100, found 99"
    ):
        CosineMetric(delta=100).summarize(blobs())


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


# MONAI passes an argument to itself that it has deprecated.
@pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges.always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("percentile", [100, 95, 50])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_hausdorff_is_monais(grid, percentile):
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
