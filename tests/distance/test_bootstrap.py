"""The replicates of a distance, against the same distances computed from scratch."""

from dataclasses import dataclass, replace

import pytest
import torch

from medsegdist.distance.dataset_distance import DatasetDistance, pair_images
from medsegdist.distance.metrics import PAPER_METHODS, EuclideanMetric, FakeClassMetric, GmmMetric, make_metric
from medsegdist.distance.resampling import (
    Bootstrap,
    replicate_distances,
    summarize_resamples,
)
from medsegdist.distance.table import compare_all
from tests.synthetic import blobs, resample_patients

A = blobs("a", n=24, patients=12, center=(0.45, 0.4), seed=1)
B = blobs("b", n=30, patients=15, center=(0.6, 0.55), radius=7, brightness=180, seed=2)
FEW = Bootstrap(replicates=4)


def replicates(metric, a=A, b=B, bootstrap=FEW, **options):
    distance = DatasetDistance(metric, **options)
    summaries = [metric.summarize(one) for one in (a, b)]
    images = pair_images(a, b)
    sides = [
        {"it": summarize_resamples(one, metric, resample_patients(one, bootstrap.replicates, bootstrap.seed))}
        for one in (a, b)
    ]
    costs = {"it": metric.compare(*summaries, images.image_cost)}
    return replicate_distances({"it": distance}, images, costs, *sides), sides


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
    found, sides = replicates(metric, image_weight=0.5, mask_weight=2.0)
    resamples = [side["it"].weights for side in sides]
    for b, value in enumerate(found["it"].tolist()):
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
    assert found["it"][0].item() == pytest.approx(value, rel=1e-3)
    assert (found["it"][1:] > 0.5 * value).all()
    assert (found["it"][1:] < 2 * value).all()
    assert len(found["it"].unique()) == 21


def test_clusters_of_a_replicate_are_those_of_its_own_samples():
    metric = FakeClassMetric()
    _, sides = replicates(metric)
    for b in range(5):
        summary = sides[0]["it"].replicates[b]
        drawn = A.reweighted(sides[0]["it"].weights[b])
        assert summary.classes.shape == (len(drawn),)
        assert torch.allclose(summary.mass, drawn.mass)
        assert set(summary.classes.tolist()) == set(range(int(summary.classes.max()) + 1))


def test_the_noise_floor_is_the_distance_to_the_own_resample():
    metric = EuclideanMetric()
    side = {"it": summarize_resamples(A, metric, resample_patients(A, 3, 0))}
    images = pair_images(A, A)
    costs = {"it": metric.compare(side["it"].summary, side["it"].summary, images.image_cost)}
    own = [(0, b) for b in range(4)]
    found = replicate_distances({"it": DatasetDistance(metric)}, images, costs, side, side, own)
    expected = [DatasetDistance(metric)(A, A.reweighted(side["it"].weights[b])).value for b in (1, 2, 3)]
    assert found["it"][1:].tolist() == pytest.approx(expected, rel=1e-9)


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


def test_a_table_with_its_uncertainty_survives_the_disk(tmp_path):
    table = compare_all([A, B], {"euclidean": DatasetDistance(EuclideanMetric())}, bootstrap=FEW)
    table.save(tmp_path / "distances.csv")
    assert type(table).load(tmp_path / "distances.csv").rows == table.rows


def test_comparisons_lie_beside_the_distances_and_old_ones_go(tmp_path):
    c = blobs("c", n=12, patients=6, seed=7)
    methods = {"euclidean": DatasetDistance(EuclideanMetric())}
    compare_all([A, B, c], methods, targets=[A.name], bootstrap=FEW).save(tmp_path / "distances.csv")
    header, line = (tmp_path / "comparisons.csv").read_text().splitlines()
    assert header == "target,method,nearer,farther,probability,patients"
    assert line.startswith("a,euclidean,c,b,")
    compare_all([A, B, c], methods, targets=[A.name]).save(tmp_path / "distances.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["distances.csv"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"replicates": 1}, "at least 2 replicates, found 1"), ({"level": 1.0}, "level between 0 and 1, found 1.0")],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Bootstrap(**options)
