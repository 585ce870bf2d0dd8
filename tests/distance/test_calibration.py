"""Intervals hold what they promise: in 100 studies of two known populations, they hold the true distance 95 times."""

import numpy as np
import pytest

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import EuclideanMetric, GmmMetric
from medsegdist.distance.resampling import Bootstrap
from medsegdist.distance.table import compare_all

METHODS = {
    "gmm3d": DatasetDistance(GmmMetric(components=2), max_samples=4000),
    "euclidean": DatasetDistance(EuclideanMetric(), max_samples=4000),
}
STUDIES, PATIENTS, SLICES = 100, 40, 2


def population(name, row, brightness, *, patients, slices, seed):
    """Patients with one round lesion each, whose place, size and brightness differ; slices of one patient are alike."""
    rng = np.random.default_rng(seed)
    axis = np.arange(20)
    images, masks, who = [], [], []
    for patient in range(patients):
        center, radius = rng.normal((row, 10), 1), rng.uniform(2.5, 4.5)
        inside, outside = rng.normal(brightness, 15), rng.normal(60, 12)
        for _ in range(slices):
            y, x = center + rng.normal(0, 0.5, 2)
            mask = (axis[:, None] - y) ** 2 + (axis - x) ** 2 <= (radius + rng.normal(0, 0.3)) ** 2
            mask[round(y), round(x)] = True
            images.append(np.clip(np.where(mask, inside, outside) + rng.normal(0, 4, mask.shape), 0, 255))
            masks.append(mask)
            who.append(f"patient{patient}")
    return SegmentationSamples.from_arrays(name, np.stack(images), np.stack(masks), patient_ids=who)


def two_populations(*, patients, slices, seed):
    return (
        population("a", 10, 120, patients=patients, slices=slices, seed=seed),
        population("b", 13, 150, patients=patients, slices=slices, seed=seed + 1),
    )


@pytest.mark.slow
def test_95_percent_intervals_cover_the_distance_of_the_populations():
    a, b = two_populations(patients=1500, slices=1, seed=10**6)
    true = {method: distance(a, b).value for method, distance in METHODS.items()}
    covered = dict.fromkeys(METHODS, 0)
    plain = dict.fromkeys(METHODS, 0)
    for study in range(STUDIES):
        a, b = two_populations(patients=PATIENTS, slices=SLICES, seed=2 * study)
        table = compare_all([a, b], METHODS, targets=[a.name], bootstrap=Bootstrap(seed=study))
        for row in table.rows:
            covered[row.method] += row.low <= true[row.method] <= row.high
            # The interval turned around, as percentiles of the replicates would have it.
            plain[row.method] += 2 * row.distance - row.high <= true[row.method] <= 2 * row.distance - row.low
    for method in METHODS:
        assert 0.90 * STUDIES <= covered[method] <= 0.99 * STUDIES, covered
    assert plain["euclidean"] < 0.8 * STUDIES, "percentiles lie on the wrong side of the bias"
