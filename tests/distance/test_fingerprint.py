"""Fingerprints: closed forms, what they are blind to, and that no other dataset has a say in them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.measure import label, regionprops

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import FingerprintMetric
from tests.synthetic import blobs


def squares(size, n=3, grid=16, bright=100.0, dark=20.0):
    masks = np.zeros((n, grid, grid), dtype=bool)
    masks[:, 2 : 2 + size, 4 : 4 + size] = True
    return SegmentationSamples.from_arrays(f"squares{size}", np.where(masks, bright, dark), masks)


def test_a_square_of_twice_the_side_is_at_the_square_root_of_6():
    found = DatasetDistance(FingerprintMetric(intensity_unit=10), image_weight=0)(squares(4), squares(8))
    assert found.value == pytest.approx((2**2 + 1 + 1) ** 0.5, rel=1e-12)


def test_one_unit_of_brightness_is_as_much_as_a_doubling():
    pair = squares(4), squares(4, bright=132, dark=52)
    assert DatasetDistance(FingerprintMetric(intensity_unit=32), image_weight=0)(*pair).value == pytest.approx(6**0.5)
    assert DatasetDistance(FingerprintMetric(), image_weight=0)(*pair).value == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("grid", [(32, 40), (10, 20, 24)], ids=["slices", "volumes"])
def test_geometry_and_intensities_against_skimage_and_numpy(grid):
    samples = blobs(grid=grid, center=[0.5] * len(grid), seed=3)
    rows = []
    for image, mask in zip(samples.images.double().numpy(), samples.masks.numpy(), strict=True):
        (whole,) = regionprops(mask.astype(int))
        low, high = np.split(np.array(whole.bbox), 2)
        z = (image - image.mean()) / image.std()
        percentiles = [np.percentile(z[side], q) for side in (mask, ~mask) for q in (5, 50, 95)]
        rows.append([*np.log2([whole.area, label(mask).max(), *(high - low)]), *percentiles])
    expected = np.average(rows, axis=0, weights=samples.weights)
    assert FingerprintMetric().summarize(samples).numpy() == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_brightness_and_contrast_of_whole_images_change_nothing_without_a_unit():
    a, b = blobs("a", seed=1), blobs("b", radius=8, seed=2)
    affine = replace(a, images=a.images * 8 - 1024)
    expected = DatasetDistance(FingerprintMetric(), image_weight=0)(a, b).value
    assert DatasetDistance(FingerprintMetric(), image_weight=0)(affine, b).value == pytest.approx(expected, rel=1e-6)
    with_unit = DatasetDistance(FingerprintMetric(intensity_unit=32), image_weight=0)
    assert with_unit(affine, b).value > 2 * with_unit(a, b).value


@pytest.mark.parametrize("unit", [None, 32.0])
def test_degenerate_samples_have_finite_fingerprints(unit):
    flat = torch.full((1, 8, 8), 0.1)
    dot, everything = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    dot[0, 3, 3], everything[:] = True, True
    for images in (flat, torch.arange(64.0).reshape(1, 8, 8)):
        for mask in (dot, everything):
            found = FingerprintMetric(unit).summarize(SegmentationSamples.from_arrays("odd", images, mask))
            assert torch.isfinite(found).all()
            if images is flat:
                p50 = found[5].item()  # after size, regions, rows, columns and p5
                assert p50 == pytest.approx(0 if unit is None else 0.1 / 32)


def test_fingerprints_under_other_weights():
    samples, metric = blobs(seed=1), FingerprintMetric()
    weights = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (6, 12)).astype(float))
    weights[:, 0] = 1
    for row, found in zip(weights, metric.resample(samples, metric.summarize(samples), weights), strict=True):
        drawn = (row > 0).nonzero()[:, 0]
        alone = metric.summarize(replace(samples.take(drawn.tolist()), weights=row[drawn]))
        assert found.numpy() == pytest.approx(alone.numpy(), rel=1e-12)


@pytest.mark.parametrize("unit", [0, -1, float("nan")])
def test_a_unit_that_is_not_positive_is_refused(unit):
    with pytest.raises(ValueError, match="intensity_unit > 0, found"):
        FingerprintMetric(intensity_unit=unit)
