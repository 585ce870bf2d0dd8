"""The metrics that have a name on the command line, and their replicates."""

import statistics

import pytest

from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import METHODS as CATALOG
from medsegdist.distance.metrics import PAPER_METHODS, OtddMetric, make_metric
from medsegdist.distance.pairs import PairTask, compare_pair, measure_noise, prepare_all
from medsegdist.distance.resampling import Bootstrap
from tests.distance.test_laws import by_size
from tests.synthetic import blobs, resample_patients


def test_the_papers_five_come_first_and_every_metric_has_its_own_name():
    metrics = {name: make_metric(name, delta=-7, seed=3) for name in CATALOG}
    assert tuple(metrics)[:5] == PAPER_METHODS
    assert {name: metric.name for name, metric in metrics.items()} == {name: name for name in metrics}
    for metric in metrics.values():
        assert getattr(metric, "delta", -7) == -7
        assert getattr(metric, "seed", 3) == 3


METHODS = ["dice", "jaccard", "hausdorff", "hausdorff95", "cosine", "angular", "fingerprint"]
METRICS = [*(make_metric(name) for name in METHODS), OtddMetric(by_size)]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_replicates_are_the_distances_of_resampled_datasets(metric):
    a, b = blobs("a", seed=1), blobs("b", n=9, radius=7, seed=2)
    bootstrap, distance = Bootstrap(replicates=5), DatasetDistance(metric, image_weight=0.01)
    sides = prepare_all({"a": a, "b": b}, {"it": distance}, bootstrap, 1)
    found = compare_pair(PairTask("a", "b", sides["a"], sides["b"], {"it": distance}))["it"]
    draws = [resample_patients(one, bootstrap.replicates, bootstrap.seed) for one in (a, b)]
    assert len(found.replicates) == 5
    for k, reflected in enumerate(found.replicates.tolist(), start=1):
        alone = distance(a.reweighted(draws[0][k]), b.reweighted(draws[1][k]))
        assert found.value - (reflected - found.value) == pytest.approx(alone.value, rel=1e-9)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_noise_floor_is_the_median_distance_to_a_resample(metric):
    samples = blobs(seed=1)
    bootstrap, distance = Bootstrap(replicates=5), DatasetDistance(metric, image_weight=0.01)
    prepared = prepare_all({"a": samples}, {"it": distance}, bootstrap, 1)["a"]
    found = measure_noise(PairTask("a", "a", prepared, prepared, {"it": distance}))["it"]
    draws = resample_patients(samples, bootstrap.replicates, bootstrap.seed)
    alone = [distance(samples, samples.reweighted(draws[k])).value for k in range(1, len(draws))]
    assert found == pytest.approx(statistics.median(alone), rel=1e-9)
    assert found > 0
