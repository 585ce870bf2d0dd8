"""What the metrics between segment pixels have in common."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from medsegdist.distance.metrics import MmdMetric, PixelsMetric, SlicedMetric
from tests.laws import mask_distance
from tests.synthetic import blobs, dots

METRICS = {metric.name: metric for metric in (MmdMetric(), PixelsMetric(intensity=True), SlicedMetric())}
OF_PLACES = {
    "mmd": (MmdMetric(intensity=False), 0.5),
    "pixels": (PixelsMetric(bin=1), 1),
    "sliced": (SlicedMetric(intensity=False), 1),
}


@pytest.mark.parametrize(("metric", "power"), OF_PLACES.values(), ids=OF_PLACES.keys())
def test_a_blown_up_dataset_is_farther_by_a_power_of_the_factor(metric, power):
    rng = np.random.default_rng(0)
    one, other = (np.unique(rng.integers(0, 12, size=(20, 2)), axis=0) for _ in range(2))
    small, large = (mask_distance(metric, dots("a", [k * one]), dots("b", [k * other])) for k in (1, 4))
    assert large == pytest.approx(4**power * small, rel=1e-9)


def moved(samples, shift):
    return replace(samples, masks=samples.masks.roll(shift, -1), images=samples.images.roll(shift, -1))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
def test_they_grow_with_a_growing_shift_and_with_brightness(metric):
    a = blobs("a", n=4, center=(0.3, 0.3), radius=3, seed=1)
    shifted = [moved(a, shift) for shift in range(0, 16, 3)]
    brighter = [replace(a, images=a.images + more) for more in range(0, 60, 12)]
    for series in (shifted, brighter):
        far = [mask_distance(metric, a, one) for one in series]
        assert far[0] == 0
        assert far == sorted(far)


@pytest.mark.parametrize("metric", [metric for metric, _ in OF_PLACES.values()], ids=OF_PLACES.keys())
def test_of_places_brightness_says_nothing(metric):
    a = blobs("a", seed=1)
    assert mask_distance(metric, a, replace(a, images=a.images + 48)) == 0


@pytest.mark.parametrize("metric", [metric for metric, _ in OF_PLACES.values()], ids=OF_PLACES.keys())
def test_reweighted_samples_are_counted_as_if_they_were_all_there_is(metric):
    samples, other = blobs(n=6, seed=4), metric.summarize(blobs("b", seed=5))
    nothing = torch.zeros(1, 1, dtype=torch.float64)
    weights = torch.tensor([[1.0, 0, 3, 0, 0, 2], [0.0, 0, 0, 0, 5, 0]], dtype=torch.float64)
    for row, found in zip(weights, metric.resample(samples, metric.summarize(samples), weights), strict=True):
        there = row.nonzero()[:, 0]
        expected = metric.summarize(replace(samples.take(there.tolist()), weights=row[there]))
        assert float(metric.compare(found, other, nothing)) == pytest.approx(
            float(metric.compare(expected, other, nothing)), rel=1e-9
        )


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (MmdMetric, {"max_bins": 3}, "expected max_bins of at least 16, found 3"),
        (SlicedMetric, {"directions": 0}, "expected at least 1 direction, found 0"),
        (SlicedMetric, {"max_bins": 3}, "expected max_bins of at least 16, found 3"),
        (PixelsMetric, {"bin": 0}, "expected a bin of at least 1 pixel, found 0"),
    ],
)
def test_bad_options_are_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)
