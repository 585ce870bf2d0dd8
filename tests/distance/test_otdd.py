"""The original OTDD against a reference that shares no code with it, and what it refuses."""

from dataclasses import replace

import numpy as np
import ot
import pytest
import torch
from scipy.spatial.distance import cdist

from medsegdist.distance.classes import class_distances
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import OtddMetric
from medsegdist.errors import DataError
from tests.synthetic import blobs

A = blobs("a", n=14, center=(0.4, 0.4), seed=1)
B = blobs("b", n=11, center=(0.6, 0.55), radius=7, brightness=180, seed=2)
LABELS = {
    "a": {f"case{k}": "benign" if k % 3 else "malignant" for k in range(14)},
    "b": {f"case{k}": ("I", "II", "III")[k % 3] for k in range(11)},
}


def reference(a, b, labels_a, labels_b, p):
    """Alvarez-Melis and Fusi's distance, pair by pair of samples, with d_X + W_p as ground cost."""
    cost = cdist(*(one.images.flatten(1).double().numpy() for one in (a, b)))
    masses = a.mass.numpy(), b.mass.numpy()
    total = np.empty_like(cost)
    for k, of_k in enumerate(labels_a):
        for i, of_i in enumerate(labels_b):
            rows = [j for j, label in enumerate(labels_a) if label == of_k]
            columns = [j for j, label in enumerate(labels_b) if label == of_i]
            own = masses[0][rows] / masses[0][rows].sum(), masses[1][columns] / masses[1][columns].sum()
            total[k, i] = cost[k, i] + ot.emd2(*own, cost[np.ix_(rows, columns)] ** p) ** (1 / p)
    return ot.emd2(*masses, total)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_it_is_equation_4_by_brute_force(p):
    found = DatasetDistance(OtddMetric(LABELS, p=p))(A, B)
    expected = reference(A, B, [LABELS["a"][c] for c in A.case_ids], [LABELS["b"][c] for c in B.case_ids], p)
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert found.mask_term > 0


def test_a_class_of_its_own_for_every_sample_makes_d_y_the_image_cost():
    metric = OtddMetric(lambda samples: samples.case_ids)
    cost = torch.rand(len(A), len(B), dtype=torch.float64)
    assert torch.allclose(metric.compare(metric.summarize(A), metric.summarize(B), cost), cost, rtol=1e-12, atol=0)


def test_a_case_gives_its_class_to_all_its_slices():
    slices = replace(A, case_ids=tuple(f"case{k // 3}" for k in range(14)))
    summary = OtddMetric(LABELS).summarize(slices)
    assert summary.classes.tolist() == [0] * 3 + [1] * 6 + [0] * 3 + [1] * 2


def test_summaries_under_other_weights_are_those_of_the_samples_that_are_there():
    metric = OtddMetric(LABELS)
    weights = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (5, 14)).astype(float))
    weights[0] = torch.tensor([LABELS["a"][case_id] == "benign" for case_id in A.case_ids])  # a class is gone
    weights[1:, 0] = 1
    other = metric.summarize(B)
    cost = torch.rand(14, 11, dtype=torch.float64)
    for row, found in zip(weights, metric.resample(A, metric.summarize(A), weights), strict=True):
        drawn = (row > 0).nonzero()[:, 0]
        alone = metric.summarize(replace(A.take(drawn.tolist()), weights=row[drawn]))
        expected, compared = (class_distances(one, other, cost[drawn], 2.0) for one in (alone, found))
        assert torch.allclose(compared, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"b": LABELS["b"]}, r"dataset 'a': expected its classes, found those of b; add them"),
        ({}, r"dataset 'a': expected its classes, found those of no dataset"),
        ({"a": {"case0": 1}}, r"dataset 'a', case 'case1': expected a class, found none \(cases without one: 13\)"),
        ({"a": {**LABELS["a"], "case3": None}}, r"dataset 'a', case 'case3': expected a class, found None"),
        ({"a": {**LABELS["a"], "case4": float("nan")}}, r"dataset 'a', case 'case4': expected a class, found nan"),
        (lambda samples: [1, 2], r"dataset 'a': expected one class for each of 14 samples, found 2"),
    ],
)
def test_missing_classes_are_refused(classes, message):
    with pytest.raises(DataError, match=message):
        OtddMetric(classes).summarize(A)


def test_an_order_below_1_is_refused():
    with pytest.raises(ValueError, match=r"order p >= 1, found 0\.5"):
        OtddMetric(LABELS, p=0.5)
