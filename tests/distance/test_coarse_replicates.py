"""Replicates that are compared more coarsely: what that keeps, and by how much it can be wrong."""

import statistics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import PixelsMetric, SlicedMetric, pixels
from medsegdist.distance.pairs import PairTask, compare_pair, measure_noise, prepare_all
from medsegdist.distance.resampling import Bootstrap
from tests.synthetic import blobs, resample_patients

NOTHING = torch.ones(1, 1, dtype=torch.float64)
A = blobs("a", n=12, patients=6, seed=1)
B = blobs("b", n=10, patients=5, center=(0.65, 0.6), radius=7, brightness=180, seed=2)


@given(
    limit=st.integers(16, 200),
    intensity=st.booleans(),
    seed=st.integers(0, 100),
    grid=st.sampled_from([(32, 40), (6, 18, 20)]),
)
@settings(max_examples=20, deadline=None)
def test_coarser_bins_keep_mass_and_mean_and_know_their_error(limit, intensity, seed, grid):
    samples = blobs(n=6, grid=grid, center=[0.5] * len(grid), seed=seed)
    fine = SlicedMetric(intensity=intensity).summarize(samples)
    coarse = fine.coarser(limit)
    assert len(coarse) <= min(limit, len(fine))
    assert float(coarse.masses.sum()) == pytest.approx(1, rel=1e-12)
    torch.testing.assert_close(coarse.masses @ coarse.points, fine.masses @ fine.points)
    # All pixels spread around the common mean as before: what bins lose, their error has.
    spread = [float(one.masses @ (one.points**2).sum(1)) + one.error**2 for one in (fine, coarse)]
    assert spread[1] == pytest.approx(spread[0], rel=1e-9)


@pytest.mark.parametrize("limit", [16, 40, 150])
def test_w2_of_coarser_bins_is_wrong_by_no_more_than_their_errors(limit):
    metric = PixelsMetric()
    fine = [metric.summarize(samples) for samples in (A, B)]
    coarse = [one.coarser(limit) for one in fine]
    error = sum(one.error for one in coarse)
    assert len(coarse[0]) < len(fine[0])
    found, expected = (float(metric.compare(*pair, NOTHING)) for pair in (coarse, fine))
    assert 0 < abs(found - expected) <= error


@pytest.mark.parametrize("metric", [PixelsMetric(), SlicedMetric()], ids=lambda metric: metric.name)
def test_the_width_hangs_on_the_dataset_and_not_on_who_was_drawn(metric):
    whole = metric.summarize(A)
    few = whole.counted.reweighted(torch.eye(len(A), dtype=torch.float64)[0])
    most = len(few) + 10
    coarse, of_few = ({tuple(bin) for bin in one.coarser(most).index.tolist()} for one in (whole, few))
    assert of_few < coarse
    assert len(of_few) < len(few)
    assert whole.coarser(len(whole)) is whole


COARSE = {
    "pixels": (PixelsMetric(), pixels, "COARSE_BINS", 60),
    "sliced": (SlicedMetric(), pixels, "COARSE_SLICED_BINS", 200),
}


@pytest.mark.parametrize(("metric", "module", "limit", "few"), COARSE.values(), ids=COARSE.keys())
def test_differences_of_replicates_are_nearly_those_of_all_there_is(metric, module, limit, few, monkeypatch):
    distance = DatasetDistance(metric, image_weight=0)
    bootstrap = Bootstrap(replicates=30)
    found = []
    for most in (few, 10**9):
        monkeypatch.setattr(module, limit, most)
        sides = prepare_all({"a": A, "b": B}, {"it": distance}, bootstrap, 1)
        found.append(compare_pair(PairTask("a", "b", sides["a"], sides["b"], {"it": distance}))["it"])
    coarse, fine = ((one.value - one.replicates).numpy() for one in found)
    assert found[0].value == found[1].value, "the distance itself is of all there is"
    assert not np.array_equal(coarse, fine), "or this proves nothing"
    assert np.corrcoef(coarse, fine)[0, 1] > 0.9
    assert 0.8 < coarse.std() / fine.std() < 1.25


@pytest.mark.parametrize("name", ["pixels", "sliced"])
def test_the_noise_floor_is_of_all_there_is(name, monkeypatch):
    metric, module, limit, few = COARSE[name]
    monkeypatch.setattr(module, limit, few)
    bootstrap, distance = Bootstrap(replicates=5), DatasetDistance(metric, image_weight=0)
    prepared = prepare_all({"a": A}, {"it": distance}, bootstrap, 1)["a"]
    draws = resample_patients(A, bootstrap.replicates, bootstrap.seed)
    alone = [distance(A, A.reweighted(draws[k])).value for k in range(1, len(draws))]
    found = measure_noise(PairTask("a", "a", prepared, prepared, {"it": distance}))["it"]
    assert found == pytest.approx(statistics.median(alone), rel=1e-9)
