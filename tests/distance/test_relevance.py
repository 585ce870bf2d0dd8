"""What the samples of a source cost, and the order of its cases that follows."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import zscore

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import METHODS, EuclideanMetric, GmmMetric, make_metric
from medsegdist.distance.order import CONSENSUS, rank_cases
from medsegdist.distance.pairs import multiclass_distance
from medsegdist.distance.table import DistanceTable, compare_all
from tests.distance.test_multiclass import EUCLIDEAN, GMM, LEFT, MIDDLE, RIGHT, organs
from tests.laws import Remembering
from tests.synthetic import blobs

GRID = (20, 24)
TARGET = blobs("target", n=9, grid=GRID, center=(0.4, 0.4), radius=4, seed=1, patients=9)
SOURCE = blobs("source", n=11, grid=GRID, center=(0.6, 0.6), radius=4, brightness=200, seed=2, patients=5)
FORMULAS = ({}, {"p": 2.0}, {"image_weight": 0.01, "mask_weight": 3.0, "normalize": True})


def check_sums(table, datasets):
    """Costs by their masses sum to the distance, whatever it is made of."""
    for row in table.rows:
        found = table.sample_costs[row.source, row.target, row.method]
        assert len(found.samples) == row.n_source
        assert float(found.masses.sum()) == pytest.approx(1, rel=1e-9)
        assert float(found.masses @ found.costs) == pytest.approx(row.distance, rel=1e-9)
        assert bool((found.costs >= 0).all())
        assert found.costs.dtype == torch.float64
        if isinstance(datasets[row.source], SegmentationSamples):
            expected = datasets[row.source].take(found.samples.tolist()).mass
            torch.testing.assert_close(found.masses, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_costs_by_their_masses_sum_to_the_distance(method):
    metric = make_metric(method)
    # Of the likeliest mixtures there is nothing to be learned here.
    metric = replace(metric, components=1) if hasattr(metric, "components") else metric
    remembering = Remembering(metric)
    distances = {f"{method} {k}": DatasetDistance(remembering, **one) for k, one in enumerate(FORMULAS)}
    check_sums(compare_all([SOURCE, TARGET], distances), {"source": SOURCE, "target": TARGET})


def test_with_equal_masses_they_are_the_costs_of_the_best_assignment():
    one, other = (replace(side.take(range(9)), weights=torch.ones(9).double()) for side in (SOURCE, TARGET))
    table = compare_all([one, other], {"masks": DatasetDistance(EuclideanMetric(), image_weight=0)})
    segments = [torch.where(side.masks, side.images - (-1), 0.0).flatten(1).double().numpy() for side in (one, other)]
    costs = cdist(*segments)
    rows, columns = linear_sum_assignment(costs)
    for found, expected in (
        (table.sample_costs["source", "target", "masks"], costs[rows, columns]),
        (table.sample_costs["target", "source", "masks"], costs[rows, columns][np.argsort(columns)]),
    ):
        assert found.samples.tolist() == list(range(9))
        np.testing.assert_allclose(found.costs, expected, rtol=1e-6)


def test_samples_that_are_not_compared_have_no_cost():
    few = {"gmm2d": DatasetDistance(GmmMetric(components=1, intensity=False), max_samples=6)}
    table = compare_all([SOURCE, TARGET], few)
    check_sums(table, {"source": SOURCE, "target": TARGET})
    chosen = [SOURCE.case_ids[k] for k in table.sample_costs["source", "target", "gmm2d"].samples.tolist()]
    assert tuple(chosen) == few["gmm2d"].subsample(SOURCE).case_ids
    assert {one.case for one in rank_cases(table, [SOURCE, TARGET], "target")} == set(chosen)


def test_a_class_of_weight_0_leaves_costs_that_are_finite_and_sum_to_the_distance():
    a = organs("a", seed=1, liver=LEFT, kidney=MIDDLE)
    b = organs("b", seed=11, n=9, liver=(0.35, 0.25), kidney=(0.65, 0.55))
    found = multiclass_distance(a, b, EUCLIDEAN, weights={"liver": 1, "kidney": 0})
    for side in found.sample_costs:
        assert float(side.masses.min()) == 0
        assert side.costs[side.masses == 0].tolist() == pytest.approx([found.value] * int((side.masses == 0).sum()))
        assert float(side.masses @ side.costs) == pytest.approx(found.value, rel=1e-9)


def test_of_datasets_with_classes_they_are_those_of_all_classes():
    a = organs("a", seed=1, liver=LEFT, kidney=MIDDLE, spleen=RIGHT)
    b = organs("b", seed=11, n=9, liver=(0.35, 0.25), kidney=(0.65, 0.55))
    table = compare_all([a, b], {"euclidean": EUCLIDEAN, "gmm2d": GMM})
    check_sums(table, {"a": a, "b": b})
    # The spleen has no counterpart: what shows nothing else is compared where all images are, and by no class.
    only_spleen = (a.sizes[:, :2] == 0).all(1).nonzero()[:, 0].tolist()
    assert only_spleen
    assert not set(only_spleen) & set(table.sample_costs["a", "b", "euclidean"].samples.tolist())
    assert set(only_spleen) < set(table.sample_costs["a", "b", "gmm2d"].samples.tolist())


@cache
def metrics():
    return {method: DatasetDistance(Remembering(make_metric(method)), normalize=True) for method in CONSENSUS}


def moved(samples, *, by, seed):
    """Copies, some pixels away and with other noise, as of other patients."""
    noise = torch.randn(samples.images.shape, generator=torch.Generator().manual_seed(seed))
    return replace(
        samples,
        images=(samples.images.roll((by, -by), (1, 2)) + noise),
        masks=samples.masks.roll((by, -by), (1, 2)),
        case_ids=tuple(f"planted {one}" for one in samples.case_ids),
    )


def joined(name, *parts):
    tensors = {field: torch.cat([getattr(one, field) for one in parts]) for field in ("images", "masks", "weights")}
    names = {field: sum((getattr(one, field) for one in parts), ()) for field in ("case_ids", "patient_ids")}
    return SegmentationSamples(name=name, **tensors, **names, preprocessing="synthetic")


PLANTED = joined(
    "planted", SOURCE.take(range(6)), moved(TARGET.take([1, 4, 7]), by=1, seed=3), SOURCE.take(range(6, 11))
)


def test_moved_copies_of_the_targets_own_cases_come_first():
    ranked = rank_cases(compare_all([PLANTED, TARGET], metrics()), [PLANTED, TARGET], "target")
    assert [one.place for one in ranked] == list(range(1, len(PLANTED) + 1))
    first, last = ranked[:3], ranked[3:]
    assert {one.case for one in first} == {"planted case1", "planted case4", "planted case7"}
    assert max(one.score for one in first) < -1 < min(one.score for one in last)
    assert max(one.cost for one in first) < 0.75 * min(one.cost for one in last)


def test_the_order_of_samples_changes_nothing():
    expected = rank_cases(compare_all([PLANTED, TARGET], metrics()), [PLANTED, TARGET], "target")
    shuffled = PLANTED.take(np.random.default_rng(0).permutation(len(PLANTED)).tolist())
    found = rank_cases(compare_all([TARGET.take(range(8, -1, -1)), shuffled], metrics()), [shuffled], "target")
    assert [(one.case, one.place) for one in found] == [(one.case, one.place) for one in expected]
    for name in ("score", "cost"):
        values = [[getattr(one, name) for one in rows] for rows in (found, expected)]
        np.testing.assert_allclose(*values, rtol=1e-6)


def test_a_case_is_the_mean_of_its_samples_and_the_score_that_of_the_methods():
    several = replace(SOURCE, case_ids=("a", "b", "c", "a", "b", "d", "e", "f", "a", "g", "h"))
    equal = replace(several, weights=torch.ones(11).double())
    table = compare_all([equal, TARGET], ("euclidean", "dice"))
    costs = [table.sample_costs["source", "target", method].costs.numpy() for method in table.methods]
    scores, shares = np.mean([zscore(one) for one in costs], 0), np.mean([one / one.mean() for one in costs], 0)
    ranked = {one.case: one for one in rank_cases(table, [equal], "target")}
    assert len(ranked) == 8
    for case, found in ranked.items():
        of_case = np.array([one == case for one in equal.case_ids])
        assert found.samples == of_case.sum()
        assert found.score == pytest.approx(scores[of_case].mean(), rel=1e-9)
        assert found.cost == pytest.approx(shares[of_case].mean(), rel=1e-9)
    by_place = sorted(ranked.values(), key=lambda one: one.place)
    assert [one.score for one in by_place] == sorted(one.score for one in ranked.values())


def test_a_copy_of_the_target_has_no_case_before_another():
    copy = replace(TARGET, name="copy")
    ranked = rank_cases(compare_all([copy, TARGET], {"euclidean": EUCLIDEAN}), [copy], "target")
    assert [one.case for one in ranked] == sorted(TARGET.case_ids)
    assert {(one.score, one.cost) for one in ranked} == {(0.0, 1.0)}


def test_a_table_that_was_saved_has_no_costs(tmp_path):
    table = compare_all([SOURCE, TARGET], {"euclidean": EUCLIDEAN})
    table.save(tmp_path / "distances.csv")
    with pytest.raises(ValueError, match="found no costs of 'source' by 'euclidean'"):
        rank_cases(DistanceTable.load(tmp_path / "distances.csv"), [SOURCE, TARGET], "target")
    with pytest.raises(ValueError, match="expected one of the targets"):
        rank_cases(table, [SOURCE, TARGET], "nobody")
