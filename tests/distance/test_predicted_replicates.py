"""Replicates beyond the first fifty, which dual potentials predict: they spread as exact ones do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.distance import pairs
from medsegdist.distance.dataset_distance import DatasetDistance, Scales
from medsegdist.distance.metrics import (
    BoundaryMetric,
    FakeClassGmmMetric,
    FakeClassMetric,
    GmmMetric,
    PatchesMetric,
    fake_classes,
    patches,
)
from medsegdist.distance.pairs import PairTask, compare_pair, prepare_all
from medsegdist.distance.resampling import Bootstrap
from medsegdist.distance.transport import predicted, solve_transport
from tests.synthetic import blobs

REPLICATES = 300


def replicates(distance, one, other, monkeypatch, *, exact):
    """(300,) reflected replicates of two datasets, with so many exact ones."""
    for module in (pairs, fake_classes):
        monkeypatch.setattr(module, "EXACT_REPLICATES", exact)
    if exact == REPLICATES:
        monkeypatch.setattr(patches, "SOLVED", (REPLICATES,))
    methods = {"m": distance}
    sides = prepare_all({one.name: one, other.name: other}, methods, Bootstrap(REPLICATES), 1)
    found = compare_pair(PairTask(one.name, other.name, sides[one.name], sides[other.name], methods))["m"]
    return found.replicates.numpy()


METHODS = {
    "one number for all samples": DatasetDistance(GmmMetric(components=1)),
    "normalized": DatasetDistance(GmmMetric(components=1), normalize=True, scales=Scales(900.0, 60.0)),
    "costs of samples": DatasetDistance(BoundaryMetric(), image_weight=0.01),
    "patches": DatasetDistance(PatchesMetric(width=5, count=120), image_weight=0),
    "costs to the power of 2": DatasetDistance(GmmMetric(components=1), p=2),
    "classes that change": DatasetDistance(FakeClassMetric(classes=2)),
    "mixtures of classes that change": DatasetDistance(FakeClassGmmMetric(classes=2, components=1)),
    "changing classes alone": DatasetDistance(FakeClassMetric(classes=2), image_weight=0),
}
UNPREDICTED = {"changing classes alone"}
"""Potentials know nothing of costs that change: the residuals alone give the spread."""


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("patients", [20, 4])
def test_predicted_replicates_spread_as_exact_ones_do(name, patients, monkeypatch):
    one = blobs("a", n=40, patients=patients, seed=1)
    other = blobs("b", n=36, patients=patients, center=(0.6, 0.6), radius=8, brightness=150, seed=2)
    exact = replicates(METHODS[name], one, other, monkeypatch, exact=REPLICATES)
    found = replicates(METHODS[name], one, other, monkeypatch, exact=50)
    first = patches.SOLVED[0] if name == "patches" else 50
    np.testing.assert_allclose(found[:first], exact[:first], rtol=1e-9)
    rest, truth = found[50:], exact[50:]
    # A mean of 250 replicates is known to 0.06 of their deviation, and the residuals of 50 add to that.
    assert abs(rest.mean() - truth.mean()) < 0.25 * truth.std()
    assert 0.8 < rest.std() / truth.std() < 1.25
    # At the worst they are known as well as from 50 replicates, with a standard error of 0.38 deviations.
    for end in (0.025, 0.975):
        assert np.quantile(rest, end) == pytest.approx(np.quantile(truth, end), abs=0.76 * truth.std())
    if patients == 20 and name not in UNPREDICTED:
        assert np.corrcoef(rest, truth)[0, 1] > 0.5


@given(st.integers(2, 8), st.integers(2, 8), st.integers(0, 1000))
def test_potentials_bound_the_transport_of_other_masses_from_below(n, m, seed):
    rng = np.random.default_rng(seed)
    cost = torch.from_numpy(rng.random((n, m)))
    whole = solve_transport(cost, torch.ones(n).double(), torch.ones(m).double())
    a, b = (torch.from_numpy(rng.dirichlet(np.ones(size))) for size in (n, m))
    linear = float(a @ whole.source_potential + b @ whole.target_potential)
    assert linear <= solve_transport(cost, a, b).value + 1e-12


def test_what_is_linear_is_predicted_exactly_and_residuals_are_taken_in_turn():
    linear = [10.0, 10.0, 11.0, 20.0, 30.0, 40.0]
    assert predicted([0.0, 21.0, 23.0], linear) == pytest.approx([0, *(2 * one + 1 for one in linear[1:])])
    # A line through (1, 0), (2, 3), (3, 0) is level; what it misses is -1, 2 and -1.
    assert predicted([9.0, 0.0, 3.0, 0.0], [9.0, 1, 2, 3, 50, 60, 70, 80]) == [9, 0, 3, 0, 0, 3, 0, 0]
    # Equal predictions have no line.
    assert predicted([5.0, 6.0, 8.0], [1.0] * 5) == [5, 6, 8, 6, 8]
