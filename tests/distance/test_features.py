"""Features of segments against closed forms and scikit-image, their choice, weights and scale."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.stats import entropy

from medsegdist.distance.classes import ClassOptions, fake_classes, refit_classes, unit_scaled
from medsegdist.distance.features import (
    FEATURES,
    FeatureScale,
    feature_factors,
    feature_names,
    joint_scale,
    segment_features,
)
from medsegdist.distance.metrics import FakeClassGmmMetric, FakeClassMetric
from tests.synthetic import blobs, resample_patients


def test_perimeter_of_a_disk_is_that_of_a_circle():
    row, column = np.mgrid[:101, :101]
    disk = torch.from_numpy((row - 50) ** 2 + (column - 50) ** 2 <= 40**2)[None]
    assert segment_features(disk)[0, 2].item() == pytest.approx(2 * math.pi * 40, rel=0.02)


def test_volume_and_surface_of_a_ball():
    axes = np.mgrid[:41, :41, :41] - 20
    ball = torch.from_numpy((axes**2).sum(0) <= 15**2)[None]
    regions, volume, surface, *centroid = segment_features(ball)[0].tolist()
    assert regions == 1
    assert volume == pytest.approx(4 / 3 * math.pi * 15**3, rel=0.01)
    assert surface == pytest.approx(4 * math.pi * 15**2, rel=0.1)
    assert centroid == pytest.approx([20, 20, 20])


@pytest.mark.parametrize("shape", [(24, 30), (9, 14, 12)])
def test_random_masks_agree_with_scipys_labels(shape):
    rng = np.random.default_rng(0)
    masks = ndimage.gaussian_filter(rng.normal(size=(20, *shape)), (0, *[1.5] * len(shape))) > 0.1
    features = segment_features(torch.from_numpy(masks))
    for mask, found in zip(masks, features.numpy(), strict=True):
        labels, count = ndimage.label(mask, structure=np.ones([3] * mask.ndim))
        areas = ndimage.sum_labels(mask, labels, np.arange(1, count + 1))
        largest = ndimage.center_of_mass(mask, labels, 1 + int(areas.argmax()))
        np.testing.assert_allclose([found[0], found[1], *found[3:]], [count, areas.mean(), *largest])


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="found an empty one"):
        segment_features(torch.zeros(1, 4, 4, dtype=torch.bool))


SHAPES = {"slices": (24, 30), "volumes": (9, 14, 12)}


def ellipsoid(shape):
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    return torch.from_numpy(sum(axis**2 for axis in axes) < 0.5)[None]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_choice_of_features_is_a_choice_of_columns(shape):
    samples = blobs(grid=shape, n=5, center=[0.5] * len(shape))
    everything = segment_features(samples.masks, samples.images, FEATURES)
    columns = feature_names(len(shape), FEATURES)
    assert everything.shape == (5, len(columns))
    for names in (["texture"], ["perimeter", "intensity_entropy"], None):
        wanted = [columns.index(column) for column in feature_names(len(shape), names)]
        assert torch.equal(segment_features(samples.masks, samples.images, names), everything[:, wanted])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_textures_of_a_ramp(shape):
    mask = ellipsoid(shape)
    ramp = torch.from_numpy(np.tensordot([3.0, -4, 12][-len(shape) :], np.indices(shape), 1)).float()[None]
    mean, deviation, bits, gradient = segment_features(mask, ramp, ["texture"])[0].tolist()
    inside = ramp[mask].double().numpy()
    assert mean == pytest.approx(inside.mean(), rel=1e-12)
    assert deviation == pytest.approx(inside.std(), rel=1e-12)
    assert gradient == pytest.approx(math.sqrt(16 + 144 + (9 if len(shape) == 3 else 0)), rel=1e-9)
    counts = np.bincount(np.minimum((32 * (inside - inside.min()) / np.ptp(inside)).astype(int), 31))
    assert bits == pytest.approx(entropy(counts, base=2), rel=1e-2)


def test_entropy_ignores_the_unit_and_knows_its_ends():
    mask = torch.ones(1, 8, 8, dtype=torch.bool)
    levels = (torch.arange(64) % 32).reshape(1, 8, 8).float()
    for image in (levels, 1000 - 7 * levels):
        assert segment_features(mask, image, ["intensity_entropy"]).item() == pytest.approx(5)
    halves = (torch.arange(64) >= 32).reshape(1, 8, 8).float()
    assert segment_features(mask, halves, ["intensity_entropy"]).item() == pytest.approx(1)
    flat = segment_features(mask, torch.full((1, 8, 8), 7.0), ["texture"])
    assert flat.tolist() == [[7, 0, 0, 0]]


def test_the_gradient_reaches_one_pixel_out_of_the_segment_and_no_farther():
    mask = torch.zeros(1, 9, 9, dtype=torch.bool)
    mask[0, 4, 4] = True
    image = torch.zeros(1, 9, 9)
    image[0, 4, 5] = 10.0
    image[0, 4, 7] = image[0, 1, 4] = 1e6
    assert segment_features(mask, image, ["intensity_gradient"]).item() == 5
    corner = torch.zeros(1, 1, 2, dtype=torch.bool)
    corner[0, 0, 0] = True
    assert segment_features(corner, torch.tensor([[[0.0, 3.0]]]), ["intensity_gradient"]).item() == 3


def test_textures_need_images():
    with pytest.raises(ValueError, match=r"expected images for the features intensity_mean.*found none"):
        segment_features(ellipsoid((9, 9)), None, ["texture"])


def test_weights_are_factors_of_scaled_features():
    factors = feature_factors(2, ["shape", "location"], {"shape": 2, "centroid": 0.5})
    assert factors.tolist() == [2, 2, 2, 0.5, 0.5]
    samples = blobs(n=24, seed=1)
    without = ClassOptions(feature_weights={"location": 0}).classify(samples)
    assert torch.equal(without, ClassOptions(features=["shape"]).classify(samples))
    assert torch.equal(
        ClassOptions(feature_weights={"shape": 3, "location": 3}).classify(samples), ClassOptions().classify(samples)
    )
    assert torch.equal(
        ClassOptions().classify(samples), fake_classes(unit_scaled(segment_features(samples.masks)), samples.weights)
    )


def test_a_joint_scale_makes_classes_of_two_datasets_comparable():
    small, large = (blobs(name, n=12, radius=radius, seed=seed) for name, radius, seed in (("s", 2, 1), ("l", 9, 2)))
    scale = joint_scale([small, large], ["area"])
    both = torch.cat([segment_features(one.masks, None, ["area"]) for one in (small, large)])
    scaled = scale.scaled(both, ["mean_area"])
    assert (float(scaled.min()), float(scaled.max())) == (0, 1)
    assert float(scale.scaled(torch.tensor([[scale.high[0] * 3]]).double(), ["mean_area"])) > 1
    # A dataset that is one group on the joint scale is stretched to [0, 1] by its own.
    alone = ClassOptions(features=["area"], classes=2)
    assert torch.equal(replace(alone, scale=joint_scale([small], ["area"])).classify(small), alone.classify(small))


@pytest.mark.parametrize("scaling", ["dataset", "joint"])
def test_a_refit_uses_the_same_features_weights_and_scale(scaling):
    samples, other = blobs(n=24, patients=12, seed=4), blobs(n=10, radius=9, seed=5)
    names = ("area", "intensity_mean", "centroid")
    options = ClassOptions(
        features=names,
        feature_weights={"area": 3},
        scale=joint_scale([samples, other], names) if scaling == "joint" else None,
    )
    classes = options.classify(samples)
    weights = resample_patients(samples, 4, seed=0)
    points = options.points(samples)
    found = refit_classes(points, classes, weights)
    assert torch.equal(found[0], classes)
    for row, of_replicate in zip(weights, found, strict=True):
        there = row > 0
        held, mass = points[there], row[there]
        centers = {
            c: (mass[of_replicate[there] == c, None] * held[of_replicate[there] == c]).sum(0)
            / mass[of_replicate[there] == c].sum()
            for c in set(of_replicate[there].tolist())
        }
        nearest = [min(centers, key=lambda c: float((point - centers[c]).norm())) for point in held]
        assert nearest == of_replicate[there].tolist(), "each sample is in the class of the nearest center"


@pytest.mark.parametrize("metric", [FakeClassMetric, FakeClassGmmMetric])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": ["aera"]}, "expected a feature to be one of shape, .*found 'aera'; did you mean 'area'"),
        ({"features": "area"}, r"expected a list of features, found the word 'area'; write \['area'\]"),
        ({"features": []}, "at least 1 feature, found none"),
        ({"feature_weights": {"area": -1}}, "finite weight >= 0 of the feature 'area', found -1"),
        ({"feature_weights": {"area": float("nan")}}, "finite weight >= 0 of the feature 'area', found nan"),
        ({"feature_weights": {"texture": 1}}, "weights of the features regions, area.*found one of 'intensity_mean'"),
        ({"feature_weights": {"shape": 1, "area": 2}}, "one weight of the feature 'area', found two"),
        ({"feature_weights": {"shape": 0, "location": 0}}, "at least 1 feature with a weight > 0"),
        ({"feature_weights": {"sape": 0}}, "found 'sape'; did you mean 'shape'"),
    ],
)
def test_features_that_cannot_be_are_refused(metric, options, message):
    with pytest.raises(ValueError, match=message):
        metric(**options)


def test_scales_that_cannot_be_are_refused():
    flat, deep = blobs(n=3), blobs(n=3, grid=(6, 8, 8), center=(0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match=r"slices or of volumes.*found 2 datasets with 2 and 3 dimensions"):
        joint_scale([flat, deep])
    with pytest.raises(ValueError, match="found 0 datasets with no dimensions"):
        joint_scale([])
    with pytest.raises(ValueError, match=r"found one without largest_row, largest_column.*the same `features`"):
        FakeClassMetric(scale=joint_scale([flat], ["shape"])).summarize(flat)
    with pytest.raises(ValueError, match="low <= high for every feature"):
        FeatureScale(("area",), (2.0,), (1.0,))
    with pytest.raises(ValueError, match="one low and one high end for each feature, found 1, 2 and 1"):
        FeatureScale(("area",), (2.0, 3.0), (1.0,))
