"""Patients drawn with replacement, the replicates of a distance, and the intervals, ranks and ties that follow."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import METHODS as CATALOG
from medsegdist.distance.metrics import (
    PAPER_METHODS,
    EuclideanMetric,
    GmmMetric,
    OtddMetric,
    make_metric,
)
from medsegdist.distance.pairs import PairTask, compare_pair, measure_noise, prepare_all, replicate_distances
from medsegdist.distance.resampling import (
    Bootstrap,
    draw_patients,
    interval,
    probability_nearer,
    rank_with_ties,
    reflect,
)
from medsegdist.distance.table import compare_all
from tests.distance.test_laws import by_size
from tests.synthetic import blobs, resample_patients

A = blobs("a", n=24, patients=12, center=(0.45, 0.4), seed=1)
B = blobs("b", n=30, patients=15, center=(0.6, 0.55), radius=7, brightness=180, seed=2)
FEW = Bootstrap(replicates=4)


def replicates(metric, bootstrap=FEW, **options):
    methods = {"it": DatasetDistance(metric, **options)}
    sides = prepare_all({"a": A, "b": B}, methods, bootstrap, 1)
    ((one, other, images, _, costs),) = PairTask("a", "b", sides["a"], sides["b"], methods).compared()
    return replicate_distances(methods, images, costs, one, other)["it"], (one.weights, other.weights)


@dataclass(frozen=True)
class MeanArea:
    """A third party's metric that knows nothing of resampling."""

    name: str = "mean_area"
    power: float = 1.0

    def summarize(self, samples, /):
        return samples.mass @ samples.masks.flatten(1).sum(1).double()

    def compare(self, source, target, image_cost, /):
        return (source - target).abs().reshape(1, 1)


@pytest.mark.parametrize("metric", [EuclideanMetric(), MeanArea(), GmmMetric(components=1, intensity=False)])
def test_a_replicate_is_the_distance_of_the_resampled_datasets(metric):
    found, resamples = replicates(metric, image_weight=0.5, mask_weight=2.0)
    for b, value in enumerate(found.tolist()):
        drawn = [one.reweighted(r[b]) for r, one in zip(resamples, (A, B), strict=True)]
        assert value == pytest.approx(
            DatasetDistance(metric, image_weight=0.5, mask_weight=2.0)(*drawn).value, rel=1e-6
        )


@pytest.mark.parametrize("method", PAPER_METHODS)
def test_the_first_is_the_distance_itself_and_the_others_scatter_around_it(method):
    metric = make_metric(method)
    if hasattr(metric, "components"):
        metric = replace(metric, components=1 if hasattr(metric, "classes") else 2)
    found, _ = replicates(metric, bootstrap=Bootstrap(replicates=20))
    value = DatasetDistance(metric)(A, B).value
    assert found[0].item() == pytest.approx(value, rel=1e-3)
    assert (found[1:] > 0.5 * value).all()
    assert (found[1:] < 2 * value).all()
    assert len(found.unique()) == 21


def test_a_table_says_how_sure_it_is():
    far = blobs("far", n=20, patients=10, center=(0.25, 0.3), radius=9, brightness=230, seed=5)
    twin = blobs("twin", n=24, patients=12, center=(0.45, 0.4), seed=8)
    near = blobs("near", n=24, patients=12, center=(0.45, 0.4), seed=9)
    methods = {"gmm2d": DatasetDistance(GmmMetric(components=2, intensity=False))}
    table = compare_all([A, far, twin, near], methods, targets=[A.name], bootstrap=Bootstrap(replicates=60))
    rows = {row.source: row for row in table.rows}
    assert rows["far"].rank == 3
    assert not rows["far"].tied
    assert {rows["near"].rank, rows["twin"].rank} == {1}
    assert rows["near"].tied
    for row in table.rows:
        assert 0 <= row.low < row.distance < row.high
        assert row.noise_floor == table.rows[0].noise_floor > 0
    certain = {(one.nearer, one.farther): one.probability for one in table.comparisons}
    assert len(certain) == 3
    assert min(p for (_, farther), p in certain.items() if farther == "far") > 0.99
    assert {one.patients for one in table.comparisons} == {10, 12}


@pytest.mark.gpu
def test_a_table_is_the_same_on_cuda():
    methods = {
        name: DatasetDistance(replace(metric, components=2) if hasattr(metric, "components") else metric)
        for name, metric in {**{name: make_metric(name) for name in PAPER_METHODS}, "mean_area": MeanArea()}.items()
    }
    tables = [compare_all([A.to(device), B.to(device)], methods, bootstrap=FEW) for device in ("cpu", "cuda")]
    for cpu, cuda in zip(*(table.rows for table in tables), strict=True):
        for name in ("distance", "image_term", "mask_term", "low", "high", "noise_floor"):
            assert getattr(cuda, name) == pytest.approx(getattr(cpu, name), rel=1e-6)


def test_one_patient_gives_no_interval_rather_than_a_width_of_zero():
    alone = blobs("alone", patients=1, seed=3)
    methods = {"euclidean": DatasetDistance(EuclideanMetric()), "mean_area": DatasetDistance(MeanArea())}
    table = compare_all([A, B, alone], methods, bootstrap=FEW)
    for row in table.rows:
        known = "alone" not in (row.source, row.target)
        assert (row.low is not None) == (row.high is not None) == known
        assert (row.noise_floor is not None) == (row.target != "alone")
    assert table.comparisons == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"replicates": 1}, "at least 2 replicates, found 1"), ({"level": 1.0}, "level between 0 and 1, found 1.0")],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Bootstrap(**options)


SAMPLES = blobs("a", n=12, patients=4)


def test_row_0_is_the_dataset_and_every_other_row_draws_as_many_patients_as_there_are():
    weights = resample_patients(SAMPLES, 50, seed=3)
    assert torch.equal(weights[0], SAMPLES.weights)
    times = weights[1:] / SAMPLES.weights
    assert torch.allclose(times, times.round(), rtol=0, atol=1e-12)
    for patient in SAMPLES.patients:
        own = [k for k, name in enumerate(SAMPLES.patient_ids) if name == patient]
        together = times[:, own] - times[:, own[:1]]
        assert together.abs().max() < 1e-12, "a patient's samples come and go together"
    first_of_each = [SAMPLES.patient_ids.index(patient) for patient in SAMPLES.patients]
    assert torch.allclose(times[:, first_of_each].sum(1), torch.tensor(4.0).double())


def test_draws_are_as_often_as_chance_has_it():
    weights = resample_patients(SAMPLES, 20_000, seed=0)[1:] / SAMPLES.weights
    assert (weights.mean(0) - 1).abs().max() < 0.03
    # A patient stays away with probability (3/4)^4.
    assert ((weights == 0).double().mean(0) - 0.75**4).abs().max() < 0.02


def test_the_order_of_the_samples_does_not_matter_but_seed_and_name_do():
    order = [5, 3, 11, 0, 7, 1, 9, 2, 10, 4, 8, 6]
    drawn = resample_patients(SAMPLES, 20, seed=1)
    assert torch.equal(resample_patients(SAMPLES.take(order), 20, seed=1), drawn[:, order])
    assert not torch.equal(resample_patients(SAMPLES, 20, seed=2), drawn)
    assert not torch.equal(resample_patients(replace(SAMPLES, name="b"), 20, seed=1), drawn)


def test_every_replicate_has_a_patient_of_every_class():
    times = draw_patients("a", [["p", "q", "r", "s"], ["s"]], Bootstrap(200, seed=1))
    assert times["s"].min() >= 1
    assert {int(sum(times[patient][k] for patient in times)) for k in range(200)} == {4}


def estimate(value, *, spread=1.0, bias=0.0, seed=0, r=4000):
    """What is looked for, of replicates around `value` + `bias`."""
    drawn = value + bias + spread * torch.randn(r, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return reflect(value, torch.cat([torch.tensor([value], dtype=torch.float64), drawn]))


def test_the_interval_lies_on_the_other_side_of_what_resampling_adds():
    low, high = interval(estimate(100.0, spread=2.0, bias=5.0), 0.95)
    assert low == pytest.approx(95 - 1.96 * 2, abs=0.2)
    assert high == pytest.approx(95 + 1.96 * 2, abs=0.2)


def test_the_offset_of_the_first_replicate_does_not_count():
    # Replicates of a mixture are fitted to coarser cells than the mixture itself.
    replicates = torch.tensor([100.0, 98.0, 101.0, 104.0], dtype=torch.float64)
    assert interval(reflect(103.0, replicates), 0.9) == pytest.approx(
        tuple(end + 3 for end in interval(reflect(100.0, replicates), 0.9)), abs=1e-9
    )


def test_a_distance_is_never_below_zero():
    low, high = interval(estimate(1.0, spread=3.0), 0.95)
    assert low == 0
    assert high > 1


@pytest.mark.parametrize("gap", [0.0, 0.5, 2.0])
def test_the_probability_is_that_of_two_normal_distances(gap):
    found = probability_nearer(estimate(10.0, seed=1), estimate(10.0 + gap, seed=2))
    assert found == pytest.approx(norm.cdf(gap / 2**0.5), abs=0.02)


def test_common_replicates_tell_apart_what_separate_ones_do_not():
    target = torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    near, far = (
        reflect(value, torch.cat([torch.tensor([value]).double(), value + 5 * target])) for value in (10.0, 10.5)
    )
    assert interval(near, 0.95)[1] > interval(far, 0.95)[0], "the intervals overlap"
    assert probability_nearer(near, far) == 1
    found = rank_with_ties({"near": 10.0, "far": 10.5}, {"near": near, "far": far}, 0.95)
    assert found == {"near": (1, False), "far": (2, False)}


@given(st.floats(5, 50), st.floats(5, 50), st.integers(0, 99), st.integers(0, 99))
def test_one_of_two_is_nearer(a, b, seed_a, seed_b):
    one, other = estimate(a, seed=seed_a, r=50), estimate(b, seed=seed_b, r=50)
    assert probability_nearer(one, other) + probability_nearer(other, one) == pytest.approx(1, abs=1e-12)


def ranked(values):
    replicates = {name: estimate(value, seed=ord(name)) for name, value in values.items()}
    return rank_with_ties(values, replicates, 0.95)


def test_groups_share_the_rank_of_their_first_and_the_next_rank_counts_them():
    values = {"c": 12.0, "a": 10.0, "b": 10.5, "e": 30.0, "d": 29.5}
    found = ranked(values)
    assert found == {"a": (1, True), "b": (1, True), "c": (1, True), "d": (4, True), "e": (4, True)}


def test_a_source_joins_a_group_by_its_first_member_not_by_its_last():
    # b is like a, and c like b, but c is not like a.
    found = ranked(dict(zip("abc", (10, 12, 14), strict=True)))
    assert found == {"a": (1, True), "b": (1, True), "c": (3, False)}


def test_without_replicates_only_equal_distances_are_one_rank():
    found = rank_with_ties({"a": 1.0, "b": 1.0 + 1e-12, "c": 1.001}, {"a": None}, 0.95)
    assert found == {"a": (1, True), "b": (1, True), "c": (3, False)}


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


def test_the_papers_five_come_first_and_every_metric_has_its_own_name():
    metrics = {name: make_metric(name, delta=-7, seed=3) for name in CATALOG}
    assert tuple(metrics)[:5] == PAPER_METHODS
    for name, metric in metrics.items():
        assert (metric.name, getattr(metric, "delta", -7), getattr(metric, "seed", 3)) == (name, -7, 3)
