"""The one formula against plain POT and scipy, and what it refuses."""

from dataclasses import replace

import numpy as np
import ot
import pytest
import torch
from scipy.spatial.distance import cdist

from medsegdist.distance.classes import fake_classes, unit_scaled
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.features import segment_features
from medsegdist.distance.metrics import (
    EuclideanMetric,
    FakeClassGmmMetric,
    FakeClassMetric,
    GmmMetric,
    OtddMetric,
    make_metric,
)
from medsegdist.errors import DataError, PreprocessingMismatchError
from tests.laws import Remembering
from tests.synthetic import blobs

A = blobs("a", n=14, center=(0.4, 0.4), seed=1)
B = blobs("b", n=11, center=(0.6, 0.55), radius=7, brightness=180, seed=2)


def flat(images):
    return images.reshape(len(images), -1).double().numpy()


def image_cost(a, b):
    return cdist(flat(a.images), flat(b.images))


def exact(cost, a, b):
    return ot.emd2(a.mass.numpy(), b.mass.numpy(), cost, numItermax=10_000_000)


def test_euclidean_is_equation_9():
    segments = [flat(torch.where(one.masks, one.images + 1, torch.zeros(()))) for one in (A, B)]
    cost = image_cost(A, B) + cdist(*segments)
    assert DatasetDistance(EuclideanMetric(delta=-1))(A, B).value == pytest.approx(exact(cost, A, B), rel=1e-9)


@pytest.mark.parametrize("intensity", [False, True])
def test_gmm_is_equation_14_image_transport_plus_a_constant(intensity):
    metric = Remembering(GmmMetric(components=3, intensity=intensity))
    found = DatasetDistance(metric)(A, B)
    assert found.image_term == pytest.approx(exact(image_cost(A, B), A, B), rel=1e-9)
    mixtures = [metric.summarize(one) for one in (A, B)]
    squared = ot.gmm.gmm_ot_loss(
        *(m.means.numpy() for m in mixtures),
        *(m.covariances.numpy() for m in mixtures),
        *(m.weights.numpy() for m in mixtures),
    )
    assert found.mask_term == pytest.approx(squared, rel=1e-6)


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_fake_classes_is_equation_17_by_brute_force(p):
    cost = image_cost(A, B)
    classes = [fake_classes(unit_scaled(segment_features(one.masks)), one.weights).numpy() for one in (A, B)]
    label_cost = np.zeros_like(cost)
    for i in np.unique(classes[0]):
        for j in np.unique(classes[1]):
            rows, columns = classes[0] == i, classes[1] == j
            masses = [m / m.sum() for m in (A.mass.numpy()[rows], B.mass.numpy()[columns])]
            label_cost[np.ix_(rows, columns)] = ot.emd2(*masses, cost[np.ix_(rows, columns)] ** p) ** (1 / p)
    found = DatasetDistance(FakeClassMetric(p=p))(A, B)
    assert found.value == pytest.approx(exact(cost + label_cost, A, B), rel=1e-9)


def test_fake_class_gmm_with_one_class_is_gmm_unsquared():
    one_class = DatasetDistance(FakeClassGmmMetric(classes=1, components=2))(A, B)
    squared = DatasetDistance(GmmMetric(components=2))(A, B)
    assert one_class.mask_term == pytest.approx(squared.mask_term**0.5, rel=1e-9)
    assert one_class.image_term == pytest.approx(squared.image_term, rel=1e-9)


def test_different_preprocessing_is_refused():
    with pytest.raises(PreprocessingMismatchError, match="'a' and 'b' were prepared differently"):
        DatasetDistance(EuclideanMetric())(A, replace(B, preprocessing="other"))


def test_different_grids_are_refused():
    with pytest.raises(PreprocessingMismatchError, match=r"different grids, \(32, 40\) and \(16, 16\)"):
        DatasetDistance(EuclideanMetric())(A, blobs("b", grid=(16, 16)))


@pytest.mark.parametrize("method", ["fake_classes", "fake_class_gmm"])
def test_one_sample_and_one_pixel_are_enough_for_fake_classes(method):
    masks = torch.zeros(1, 32, 40, dtype=torch.bool)
    masks[0, 3, 3] = True
    tiny = replace(A.take([0]), name="tiny", masks=masks)
    found = DatasetDistance(make_metric(method))(tiny, B)
    assert found.value > 0


def test_a_metric_of_the_wrong_shape_is_refused():
    class Wrong(EuclideanMetric):
        def compare(self, source, target, image_cost, /):
            return torch.ones(3, 2, dtype=torch.float64)

    with pytest.raises(DataError, match=r"euclidean between 'a' and 'b': expected a mask distance of shape \(14, 11\)"):
        DatasetDistance(Wrong())(A, B)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DatasetDistance(EuclideanMetric(), image_weight=-1), "weights >= 0"),
        (lambda: DatasetDistance(EuclideanMetric(), image_weight=0, mask_weight=0), "not both 0"),
        (
            lambda: DatasetDistance(EuclideanMetric(), image_weight=float("nan")),
            "finite weights >= 0.*image_weight=nan",
        ),
        (lambda: DatasetDistance(EuclideanMetric(), mask_weight=float("inf")), "finite weights >= 0.*mask_weight=inf"),
        (lambda: DatasetDistance(GmmMetric(power=float("nan"))), "expected a finite power > 0 of 'gmm3d', found nan"),
        (lambda: DatasetDistance(EuclideanMetric(power=0)), "expected a finite power > 0 of 'euclidean', found 0"),
        (lambda: FakeClassMetric(p=float("nan")), "finite order p >= 1, found nan"),
        (lambda: OtddMetric({}, p=float("inf")), "finite order p >= 1, found inf"),
    ],
)
def test_bad_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_metric_of_one_number_that_is_none_is_refused(value):
    class Odd:
        name, power = "odd", 1.0

        def summarize(self, samples, /):
            return None

        def compare(self, source, target, image_cost, /):
            return torch.full((1, 1), value, dtype=torch.float64)

    with pytest.raises(
        DataError, match=f"odd between 'a' and 'b': expected a finite mask distance >= 0, found {value}"
    ):
        DatasetDistance(Odd())(blobs("a", n=3), blobs("b", n=3, seed=2))


@pytest.mark.parametrize("metric", ["gmm2d", GmmMetric])
def test_a_name_or_a_class_in_the_place_of_a_metric_is_refused(metric):
    with pytest.raises(TypeError, match=r"expected a mask metric, found .*; write DatasetDistance\(make_metric"):
        DatasetDistance(metric)
