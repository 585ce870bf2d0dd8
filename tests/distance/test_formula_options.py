"""p of Eq. 3 against plain POT, and distances without a unit."""

from dataclasses import replace

import numpy as np
import ot
import pytest
import torch
from scipy.spatial.distance import cdist

from medsegdist.distance.dataset_distance import DatasetDistance, Scales, common_scales
from medsegdist.distance.metrics import EuclideanMetric, FakeClassMetric, GmmMetric, make_metric
from medsegdist.distance.resampling import Bootstrap
from medsegdist.distance.table import compare_all
from tests.synthetic import blobs

A = blobs("a", n=14, center=(0.4, 0.4), seed=1)
B = blobs("b", n=11, center=(0.6, 0.55), radius=7, brightness=180, seed=2)
C = blobs("c", n=9, center=(0.5, 0.3), radius=4, brightness=90, seed=3)
PAIRS = [(A, B), (A, C), (B, C)]
GMM = GmmMetric(components=1, intensity=False)


def flat(images):
    return images.reshape(len(images), -1).double().numpy()


def costs(a, b):
    segments = [flat(torch.where(one.masks, one.images + 1, torch.zeros(()))) for one in (a, b)]
    return cdist(flat(a.images), flat(b.images)), cdist(*segments)


def exact(cost, a, b):
    return ot.emd2(a.mass.numpy(), b.mass.numpy(), cost, numItermax=10_000_000)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 7.0])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_p_is_that_of_equation_3(p, power):
    image, mask = costs(A, B)
    cost = (0.7 * image**p + 0.2 * (mask**power) ** p) ** (1 / p)
    found = DatasetDistance(EuclideanMetric(power=power), image_weight=0.7, mask_weight=0.2, p=p)(A, B)
    assert found.value == pytest.approx(exact(cost, A, B), rel=1e-9)
    assert found.power == power
    assert found.value == found.image_term + found.mask_term
    assert found.value == pytest.approx(found.transport.value, rel=1e-12)
    plan = found.transport.plan.numpy()
    assert found.image_term == pytest.approx((plan * cost * 0.7 * image**p / cost**p).sum(), rel=1e-9)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_a_constant_leaves_the_integral_for_p_1_only(p):
    image = costs(A, B)[0]
    constant = float(GMM.compare(GMM.summarize(A), GMM.summarize(B), torch.from_numpy(image))) ** 2
    found = DatasetDistance(GMM, p=p)(A, B)
    assert found.value == pytest.approx(exact((image**p + constant**p) ** (1 / p), A, B), rel=1e-9)
    assert found.value == found.image_term + found.mask_term
    outside = (exact(image, A, B) ** p + constant**p) ** (1 / p)
    assert (found.value == pytest.approx(outside, rel=1e-9)) == (p == 1)


def test_the_terms_go_over_into_those_of_p_1():
    almost, one = (DatasetDistance(EuclideanMetric(), p=p)(A, B) for p in (1 + 1e-9, 1.0))
    assert almost.value == pytest.approx(one.value, rel=1e-7)
    assert almost.image_term == pytest.approx(one.image_term, rel=1e-6)


def test_a_large_p_takes_the_larger_term_and_does_not_overflow():
    image, mask = costs(A, B)
    found = DatasetDistance(EuclideanMetric(), p=1000.0)(A, B)
    assert found.value == pytest.approx(exact(np.maximum(image, mask), A, B), rel=1e-2)
    only = DatasetDistance(EuclideanMetric(), p=3.0, mask_weight=0)(A, B)
    assert only.value == pytest.approx(exact(image, A, B), rel=1e-9)
    assert only.mask_term == 0


def test_a_pair_alone_is_divided_by_its_own_means():
    image, mask = costs(A, B)
    means = [float(A.mass.numpy() @ cost @ B.mass.numpy()) for cost in (image, mask)]
    found = DatasetDistance(EuclideanMetric(), normalize=True)(A, B)
    assert found.value == pytest.approx(exact(image / means[0] + mask / means[1], A, B), rel=1e-9)
    assert (found.scales.image, found.scales.mask) == pytest.approx(tuple(means), rel=1e-9)
    assert DatasetDistance(GMM, normalize=True, mask_weight=0.3)(A, B).mask_term == pytest.approx(0.3, rel=1e-12)


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_a_table_has_one_scale_the_median_of_its_pairs(p):
    methods = {"euclidean": EuclideanMetric(), "gmm2d": GMM, "fake_classes": FakeClassMetric()}
    table = compare_all([A, B, C], {name: DatasetDistance(one, normalize=True, p=p) for name, one in methods.items()})
    images = {(x.name, y.name): costs(x, y)[0] for x, y in PAIRS}
    for name, metric in methods.items():
        means = []
        for x, y in PAIRS:
            image = torch.from_numpy(images[x.name, y.name])
            powered = metric.compare(metric.summarize(x), metric.summarize(y), image) ** metric.power
            powered = powered.expand_as(image)
            means.append([float(x.mass @ cost @ y.mass) for cost in (image, powered)])
        scales = Scales(*np.median(means, axis=0).tolist())
        alone = DatasetDistance(metric, normalize=True, scales=scales, p=p)
        for x, y in PAIRS:
            assert table.matrix(name).loc[x.name, y.name] == pytest.approx(alone(x, y).value, rel=1e-9)
            assert table.matrix(name).loc[y.name, x.name] == table.matrix(name).loc[x.name, y.name]


@pytest.mark.parametrize("method", ["euclidean", "gmm2d", "fake_classes"])  # in the others pixels meet intensities
def test_normalized_distances_do_not_know_the_unit_of_intensities(method):
    metric = make_metric(method)
    metric = replace(metric, components=2) if hasattr(metric, "components") else metric
    tables = []
    for factor in (1.0, 8.0):
        sets = [replace(one, images=factor * one.images) for one in (A, B, C)]
        if method == "euclidean":
            metric = replace(metric, delta=-factor)
        tables.append(compare_all(sets, {method: DatasetDistance(metric, normalize=True)}))
    for one, other in zip(*(table.rows for table in tables), strict=True):
        assert other.distance == pytest.approx(one.distance, rel=1e-6)


def test_replicates_have_the_scale_of_the_table():
    options = {"bootstrap": Bootstrap(replicates=8)}
    methods = {"gmm2d": DatasetDistance(GMM, normalize=True)}
    table = compare_all([A, B, C], methods, **options)
    for row in table.rows:
        assert row.low < row.distance < row.high
        # Had each replicate a scale of its own, its mask term would always be 1.
        assert row.high - row.low > 1e-3
        assert 0 < row.noise_floor < row.distance


def test_equal_masks_are_no_distance_at_all():
    sets = [replace(one, masks=A.masks[:1].expand(len(one), -1, -1).clone()) for one in (A, B, C)]
    table = compare_all(sets, {"gmm2d": DatasetDistance(GmmMetric(components=1, intensity=False), normalize=True)})
    # The masses of the mixtures differ by rounding, which must not be blown up to a distance of 1.
    assert max(row.mask_term for row in table.rows) < 1e-20
    assert all(row.image_term > 0 for row in table.rows)


def test_scales_are_medians_unless_these_vanish():
    assert common_scales([(2.0, 0.0), (4.0, 0.0), (9.0, 6.0)]) == Scales(4.0, 2.0)
    assert common_scales([(2.0, 0.0)]) == Scales(2.0, 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 0.5}, r"expected a finite p >= 1 \(Eq. 3\), found 0.5"),
        ({"p": float("nan")}, "finite p >= 1.*found nan"),
        ({"scales": Scales(1.0, 1.0)}, "expected normalize=True with scales"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DatasetDistance(EuclideanMetric(), **options)
    with pytest.raises(ValueError, match=r"expected finite scales > 0, found 0.0 and 1.0"):
        Scales(0.0, 1.0)
