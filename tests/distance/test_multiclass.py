"""Several classes: the binary distances they are made of, and what must not matter to them."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medsegdist.data.class_samples import MulticlassSamples
from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import EuclideanMetric, FakeClassMetric, GmmMetric
from medsegdist.distance.multiclass import DirectMetric
from medsegdist.distance.pairs import multiclass_distance
from medsegdist.distance.resampling import Bootstrap
from medsegdist.distance.table import compare_all
from medsegdist.errors import DataError, PreprocessingMismatchError
from tests.synthetic import blobs

EUCLIDEAN = DatasetDistance(EuclideanMetric())
GMM = DatasetDistance(GmmMetric(components=1, intensity=False))
GMM3D = DatasetDistance(GmmMetric(components=1, intensity=True))
METHODS = pytest.mark.parametrize(
    "distance", [EUCLIDEAN, GMM, GMM3D, DatasetDistance(FakeClassMetric())], ids=lambda distance: distance.metric.name
)
LEFT, MIDDLE, RIGHT = (0.3, 0.2), (0.7, 0.5), (0.3, 0.8)


def organs(name: str = "organs", *, seed: int = 0, n: int = 10, **centers: tuple[float, float]) -> MulticlassSamples:
    """Blobs at the center of each class; every third sample shows one of the classes only, in turn."""
    parts = {each: blobs(n=n, center=center, seed=seed + k) for k, (each, center) in enumerate(centers.items())}
    masks = torch.stack([part.masks for part in parts.values()], dim=1).clone()
    for k in range(0, n, 3):
        masks[k, [each for each in range(len(parts)) if each != (k // 3) % len(parts)]] = False
    first = next(iter(parts.values()))
    return MulticlassSamples(
        name=name,
        classes=tuple(parts),
        images=torch.stack([part.images for part in parts.values()]).amax(0),
        masks=masks,
        case_ids=first.case_ids,
        patient_ids=first.patient_ids,
        weights=first.weights,
        preprocessing=first.preprocessing,
    )


def renamed(samples: MulticlassSamples, names: dict[str, str]) -> MulticlassSamples:
    return replace(samples, classes=tuple(names.get(name, name) for name in samples.classes))


def reordered(samples: MulticlassSamples, order: tuple[int, ...]) -> MulticlassSamples:
    return replace(samples, classes=tuple(samples.classes[k] for k in order), masks=samples.masks[:, list(order)])


def with_one_class(samples: SegmentationSamples, name: str = "lesion") -> MulticlassSamples:
    return MulticlassSamples(
        samples.name, samples.images, samples.masks[:, None], samples.case_ids, samples.patient_ids,
        samples.weights, samples.preprocessing, classes=(name,),
    )  # fmt: skip


@pytest.fixture(scope="module")
def a() -> MulticlassSamples:
    return organs("a", seed=1, liver=LEFT, kidney=MIDDLE, spleen=RIGHT)


@pytest.fixture(scope="module")
def b() -> MulticlassSamples:
    return organs("b", seed=11, n=9, liver=(0.35, 0.25), kidney=(0.65, 0.55), spleen=(0.4, 0.75))


@METHODS
def test_one_class_is_the_binary_distance(distance):
    one, other = blobs("a", seed=1), blobs("b", seed=2, radius=7.0, center=LEFT)
    lesions = [with_one_class(each) for each in (one, other)]
    binary = distance(one, other)
    for weights in (None, {"lesion": 0.3}):
        found = multiclass_distance(*lesions, distance, weights=weights)
        assert (found.value, found.image_term, found.mask_term) == (binary.value, binary.image_term, binary.mask_term)


@METHODS
def test_it_is_the_weighted_sum_of_the_binary_distances(distance, a, b):
    weights = {"liver": 2.0, "kidney": 0.0, "spleen": 6.0}
    found = multiclass_distance(a, b, distance, weights=weights)
    expected = {name: distance(a.by_class[name], b.by_class[name]).value for name in a.classes}
    assert found.value == pytest.approx(0.25 * expected["liver"] + 0.75 * expected["spleen"], rel=1e-12)
    assert [part.weight for part in found.parts] == [0.25, 0.0, 0.75]
    assert {part.source_class: part.distance.value for part in found.parts} == expected
    assert (found.source, found.target, found.method) == ("a", "b", distance.metric.name)
    assert 0 <= found.optimality_gap < 1e-9


def columns(images):
    return images.double().mean(1)


@METHODS
def test_an_embedding_is_that_of_the_binary_distances(distance, a, b):
    embedded = replace(distance, embedding=columns)
    found = multiclass_distance(a, b, embedded)
    for part in found.parts:
        binary = embedded(a.by_class[part.source_class], b.by_class[part.target_class])
        assert (part.distance.image_term, part.distance.mask_term) == (binary.image_term, binary.mask_term)


def numbered(samples: MulticlassSamples) -> MulticlassSamples:
    """The same classes under names that no other dataset has."""
    return renamed(samples, {name: f"{name} 2" for name in samples.classes})


def pairs_of(distance) -> tuple[tuple[str, str], ...]:
    return tuple((part.source_class, part.target_class) for part in distance.parts)


@METHODS
@pytest.mark.parametrize("rename", [lambda samples: samples, numbered], ids=["names", "assignment"])
def test_it_vanishes_on_itself_and_is_symmetric(distance, rename, a, b):
    there, back = (multiclass_distance(*pair, distance) for pair in ((a, rename(b)), (rename(b), a)))
    assert there.value > 0
    assert back.value == pytest.approx(there.value, rel=1e-9)
    assert {(t, s) for s, t in pairs_of(back)} == set(pairs_of(there))
    itself = multiclass_distance(a, rename(a), distance)
    assert itself.value <= 1e-9 * there.value
    assert pairs_of(itself) == tuple(zip(a.classes, rename(a).classes, strict=True))
    weights = {"liver": 1.0, "kidney": 2.0, "spleen": 3.0}
    there, back = (multiclass_distance(*pair, distance, weights=weights) for pair in ((a, b), (b, a)))
    assert back.value == pytest.approx(there.value, rel=1e-9)


@pytest.mark.parametrize("rename", [lambda samples: samples, numbered], ids=["names", "assignment"])
@pytest.mark.parametrize("extension", ["decomposition", "direct"])
def test_the_order_of_classes_does_not_matter(rename, extension, a, b):
    expected = multiclass_distance(a, rename(b), GMM, extension=extension)
    for order in itertools.permutations(range(3)):
        found = multiclass_distance(reordered(a, order), rename(b), GMM, extension=extension)
        assert found.value == expected.value
        assert set(pairs_of(found)) == set(pairs_of(expected))


def test_an_assignment_is_the_cheapest_of_all_by_the_mask_distances_alone(a):
    b = organs("b", seed=5, n=8, one=RIGHT, two=(0.5, 0.35), three=LEFT, four=MIDDLE)
    masks = replace(GMM, image_weight=0)
    costs = {(s, t): masks(a.by_class[s], b.by_class[t]).value for s in a.classes for t in b.classes}
    orders = itertools.permutations(b.classes, 3)
    least = min(orders, key=lambda order: sum(costs[pair] for pair in zip(a.classes, order, strict=True)))
    there, back = (multiclass_distance(*pair, GMM) for pair in ((a, b), (b, a)))
    assert pairs_of(there) == tuple(zip(a.classes, least, strict=True))
    assert {(t, s) for s, t in pairs_of(back)} == set(pairs_of(there))
    assert dict(pairs_of(there)) == {"spleen": "one", "liver": "three", "kidney": "four"}


def test_classes_without_counterpart_are_left_out(a):
    b = organs("b", seed=11, liver=LEFT, kidney=MIDDLE, lung=RIGHT)
    found = multiclass_distance(a, b, GMM)
    assert pairs_of(found) == (("liver", "liver"), ("kidney", "kidney"))
    assert math.fsum(part.weight for part in found.parts) == pytest.approx(1)
    only_liver = multiclass_distance(a, b, GMM, weights={"liver": 1, "kidney": 0})
    assert only_liver.value == GMM(a.by_class["liver"], b.by_class["liver"]).value


def test_frequency_is_the_share_of_foreground_pixels():
    """Areas by hand: 6 and 2 pixels in one dataset, 3 and 9 in the other."""
    images = np.random.default_rng(0).uniform(0, 255, (2, 6, 6))

    def dataset(name, *areas):
        labels = np.zeros((2, 36), dtype=np.uint8)
        for k, (first, second) in enumerate(areas):
            labels[k, :first], labels[k, 18 : 18 + second] = 1, 2
        return MulticlassSamples.from_arrays(name, images, labels.reshape(2, 6, 6), {"x": 1, "y": [2]})

    a, b = dataset("a", (4, 0), (2, 2)), dataset("b", (0, 9), (3, 0))
    found = multiclass_distance(a, b, EUCLIDEAN)
    assert [part.weight for part in found.parts] == pytest.approx([(0.75 + 0.25) / 2, (0.25 + 0.75) / 2])
    heavier = replace(a, weights=torch.tensor([3.0, 1.0], dtype=torch.float64))
    assert heavier.shares == pytest.approx({"x": (12 + 2) / 16, "y": 2 / 16})
    twice = replace(a, weights=2 * a.weights)
    assert multiclass_distance(twice, b, EUCLIDEAN).value == pytest.approx(found.value, rel=1e-12)


@settings(max_examples=25)
@given(st.lists(st.floats(0, 100), min_size=3, max_size=3).filter(lambda w: sum(w) > 1e-3), st.floats(1e-3, 1e3))
def test_only_the_ratios_of_weights_matter(a, b, weights, factor):
    found, scaled = (
        multiclass_distance(a, b, EUCLIDEAN, weights=dict(zip(a.classes, (scale * w for w in weights), strict=True)))
        for scale in (1, factor)
    )
    assert math.fsum(part.weight for part in found.parts) == pytest.approx(1, rel=1e-12)
    assert scaled.value == pytest.approx(found.value, rel=1e-9)
    values = [part.distance.value for part in found.parts]
    assert min(values) * (1 - 1e-12) <= found.value <= max(values) * (1 + 1e-12)


@pytest.mark.parametrize("weights", [None, {"liver": 1, "kidney": 1, "spleen": 1}], ids=["frequency", "uniform"])
def test_direct_is_one_transport_of_images_and_a_mixture_for_each_class(weights, a, b):
    found = multiclass_distance(a, b, GMM, weights=weights, extension="direct")
    both = GMM(a.whole, b.whole)
    assert found.image_term == pytest.approx(both.image_term, rel=1e-12)
    separate = multiclass_distance(a, b, GMM, weights=weights)
    assert found.mask_term == separate.mask_term
    assert found.image_term != pytest.approx(separate.image_term, rel=1e-6), "some samples show one class only"


def test_where_every_sample_shows_every_class_both_extensions_are_one(a, b):
    everywhere = [each.take((each.sizes > 0).all(1).nonzero()[:, 0].tolist()) for each in (a, b)]
    # Shares are those of the samples that are compared together, so that a limit changes them.
    for distance, weights in ((GMM, None), (replace(GMM, max_samples=4), {"liver": 1, "kidney": 2, "spleen": 3})):
        direct, separate = (
            multiclass_distance(*everywhere, distance, weights=weights, extension=name)
            for name in ("direct", "decomposition")
        )
        assert (direct.image_term, direct.mask_term) == (separate.image_term, separate.mask_term)
    counts = {(one.n_source, one.n_target) for one in (direct, *(part.distance for part in separate.parts))}
    assert counts == {(4, 4)}, "the limit of the second distance"


@METHODS
def test_direct_needs_one_number_for_a_dataset(distance, a, b):
    if distance in (GMM, GMM3D):
        found = multiclass_distance(a, b, distance, extension="direct").value
        assert DatasetDistance(DirectMetric(distance.metric))(a, b).value == pytest.approx(found, rel=1e-9)
        return
    with pytest.raises(ValueError, match=r"one number for a whole dataset .*found '\w+'.*use the decomposition"):
        multiclass_distance(a, b, distance, extension="direct")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"liver": -1, "kidney": 1, "spleen": 1}}, r"finite weights >= 0 that are not all 0, found \{.*-1"),
        ({"weights": {"liver": 0, "kidney": 0, "spleen": 0}}, r"finite weights >= 0 that are not all 0"),
        ({"weights": {"liver": math.nan, "kidney": 1, "spleen": 1}}, r"finite weights >= 0"),
        ({"weights": {"liver": math.inf, "kidney": 1, "spleen": 1}}, r"finite weights >= 0"),
        ({"weights": {"liver": 1, "kidney": 1}}, r"weight for each of .*liver, kidney, spleen, found none for"),
        ({"weights": {"liver": 1, "kidney": 1, "spleen": 1, "lung": 1}}, r"found one for 'lung', which it has not"),
        ({"extension": "mixture"}, r"expected the extension to be one of decomposition, direct, found 'mixture'"),
    ],
)
def test_options_that_mean_nothing(a, b, options, message):
    with pytest.raises(ValueError, match=message):
        multiclass_distance(a, b, EUCLIDEAN, **options)


def test_a_class_that_no_compared_sample_shows(a, b):
    absent = replace(a, masks=a.masks & torch.tensor([True, False, True])[:, None, None])
    with pytest.raises(DataError, match="'a': expected every class in some sample, found 'kidney' in none of 10"):
        multiclass_distance(absent, b, GMM)


@pytest.mark.parametrize("extension", ["decomposition", "direct"])
def test_datasets_prepared_differently(a, b, extension):
    with pytest.raises(PreprocessingMismatchError, match="prepared differently"):
        multiclass_distance(a, replace(b, preprocessing="other"), GMM, extension=extension)


def test_a_class_that_cannot_be_summarized_is_named(a, b):
    with pytest.raises(DataError, match=r"dataset 'a \(liver\)'"):
        multiclass_distance(a, b, DatasetDistance(GmmMetric(components=10_000, intensity=False)))


@pytest.mark.gpu
def test_it_is_the_same_on_cuda(a, b):
    for extension in ("decomposition", "direct"):
        on_cpu, on_cuda = (
            multiclass_distance(a.to(device), b.to(device), GMM, extension=extension) for device in ("cpu", "cuda")
        )
        assert on_cuda.value == pytest.approx(on_cpu.value, rel=1e-6)


TABLE = {
    "euclidean": EUCLIDEAN,
    "gmm2d": GMM,
    "fake_classes": DatasetDistance(FakeClassMetric()),
    "normalized": DatasetDistance(EuclideanMetric(), normalize=True),
}
FEW = Bootstrap(replicates=5)


@pytest.mark.parametrize("names", ["equal", "different"])
def test_a_table_of_datasets_with_one_class_is_that_of_binary_ones(names):
    sets = [blobs(name, seed=k, patients=4, center=(0.4 + 0.1 * k, 0.5)) for k, name in enumerate("abc")]
    binary = compare_all(sets, TABLE, bootstrap=FEW)
    classes = ["lesion"] * 3 if names == "equal" else ["lesion", "organ", "tumor"]
    found = compare_all([*map(with_one_class, sets[:2], classes), sets[2]], TABLE, bootstrap=FEW)
    for one, other in zip(found.rows, binary.rows, strict=True):
        assert (one.source, one.target, one.method, one.rank) == (other.source, other.target, other.method, other.rank)
        for name in ("distance", "image_term", "mask_term", "low", "high", "noise_floor"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9, abs=1e-12)
        assert (one.n_source, one.n_target) == (other.n_source, other.n_target)
    assert found.matches == binary.matches
    assert [one.patients for one in found.comparisons] == [one.patients for one in binary.comparisons]


def test_a_table_is_the_weighted_sum_of_its_classes(a, b):
    table = compare_all([a, b], {name: TABLE[name] for name in ("euclidean", "gmm2d", "fake_classes")})
    for row in table.rows:
        extension = "direct" if row.method == "gmm2d" else "decomposition"
        alone = multiclass_distance(a, b, TABLE[row.method], extension=extension)
        assert row.distance == pytest.approx(alone.value, rel=1e-9)
        assert row.image_term == pytest.approx(alone.image_term, rel=1e-9)
        assert row.mask_term == pytest.approx(alone.mask_term, rel=1e-9)
        assert {row.n_source, row.n_target} == {len(a), len(b)}
    for match in table.matches["a", "b", "euclidean"]:
        assert bool((a.masks[match.source].flatten(1).any(1) & b.masks[match.target].flatten(1).any(1)).any())


def test_a_table_of_a_dataset_and_its_copy_is_zero_and_intervals_hold_all_classes(a, b):
    table = compare_all([a, replace(a, name="copy"), b], TABLE, bootstrap=FEW, workers=2)
    assert table == compare_all([a, replace(a, name="copy"), b], TABLE, bootstrap=FEW)
    for row in table.rows:
        if {row.source, row.target} == {"a", "copy"}:
            assert row.distance < 1e-6
        else:
            assert 0 <= row.low <= row.high
            assert row.noise_floor > 0


def test_datasets_without_a_common_name_are_assigned_and_a_binary_one_takes_the_nearest_class(a, b):
    others = renamed(b, {"liver": "x", "kidney": "y", "spleen": "z"})
    alone = blobs("alone", center=(0.7, 0.5), seed=30)
    table = compare_all([a, others, alone], {"gmm2d": GMM, "euclidean": EUCLIDEAN})
    for method, extension in (("gmm2d", "direct"), ("euclidean", "decomposition")):
        expected = multiclass_distance(a, others, TABLE[method], extension=extension)
        assert table.matrix(method).loc["a", others.name] == pytest.approx(expected.value, rel=1e-9)
    kidney = EUCLIDEAN(a.by_class["kidney"], alone).value
    assert table.matrix("euclidean").loc["a", "alone"] == pytest.approx(kidney, rel=1e-9)
