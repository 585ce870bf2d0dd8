"""The `distance` and `transfer` of a study: what they may hold, and that it means what distances and training mean."""

import re

import pytest
import yaml

from medsegdist.data.options import CLASS_RULES as CLASS_WORDS
from medsegdist.data.options import COMPONENT_RULES as COMPONENT_WORDS
from medsegdist.data.options import OF_FORMULA, DistanceOptions, Feature
from medsegdist.data.study import load_study
from medsegdist.distance.classes import CLASS_RULES
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.features import FEATURE_GROUPS, FEATURES
from medsegdist.distance.metrics import (
    PAPER_METHODS,
    FakeClassGmmMetric,
    FakeClassMetric,
    GmmMetric,
    make_metric,
    with_options,
)
from medsegdist.distance.mixture.choice import COMPONENT_RULES
from medsegdist.errors import ManifestError


def study(tmp_path, key, options, **preprocessing):
    datasets = [
        {"name": name, "modality": "CT", "layout": {"kind": "phantom", "organ": name, "patients": 2, "slices": 1}}
        for name in ("liver", "spleen")
    ]
    content = {
        "name": "s",
        "preprocessing": {"grid": [16, 16], **preprocessing},
        "datasets": datasets,
        "targets": ["liver"],
        key: options,
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_both_wings_know_the_same_words():
    assert set(Feature.__args__) == {*FEATURE_GROUPS, *FEATURES}
    assert COMPONENT_WORDS == COMPONENT_RULES
    assert CLASS_WORDS == CLASS_RULES


def test_defaults_are_those_of_the_distances():
    found = DistanceOptions()
    assert (found.of_masks(), found.of_formula()) == ({}, {})
    everything = {name: getattr(found, name) for name in DistanceOptions.model_fields}
    for defaults in (GmmMetric(), FakeClassMetric(), FakeClassGmmMetric()):
        options = {name: value for name, value in everything.items() if name != "p"}
        assert with_options(defaults, options) == defaults
    formula = DatasetDistance(GmmMetric())
    expected = {name: everything[name] for name in OF_FORMULA} | {"normalize": False}
    assert everything["normalize"] is None
    assert {name: getattr(formula, name) for name in OF_FORMULA} == expected


def test_each_option_reaches_the_metrics_that_have_it(tmp_path):
    given = {
        "components": "bic",
        "classes": 4,
        "features": ["shape"],
        "feature_weights": {"area": 2},
        "p": 2,
        "normalize": True,
    }
    options = load_study(study(tmp_path, "distance", given)).distance
    assert options.of_formula() == {"p": 2, "normalize": True}
    metrics = {name: with_options(make_metric(name), options.of_masks()) for name in PAPER_METHODS}
    assert metrics["euclidean"] == make_metric("euclidean")
    assert (metrics["gmm2d"].components, metrics["gmm2d"].intensity) == ("bic", False)
    assert metrics["fake_classes"].classes == 4
    assert metrics["fake_classes"].features == ("shape",)
    assert metrics["fake_classes"].p == 2.0, "the order of W_p, which is no p of Eq. 3"
    assert metrics["fake_class_gmm"].feature_weights == {"area": 2}
    assert metrics["fake_class_gmm"].components == "bic"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"component": 3}, "distance.component: unknown key; did you mean 'components'?"),
        ({"components": "bci"}, "distance.components: expected a number >= 1 or one of bic, elbow, silhouette, found"),
        ({"components": 0}, "distance.components: expected a number >= 1 or one of bic, elbow, silhouette, found 0"),
        ({"classes": "gab"}, "one of elbow, bic, gap, found 'gab'; did you mean 'gap'?"),
        ({"feature_weights": {"area": -1}}, "distance.feature_weights.area: .*greater than or equal to 0, found -1"),
        ({"feature_scale": "jiont"}, "distance.feature_scale: expected .*found 'jiont'; did you mean 'joint'?"),
        ({"p": 0.5}, "distance.p: .*greater than or equal to 1, found 0.5"),
        ({"image_weight": float("inf")}, "distance.image_weight: .*finite"),
    ],
)
def test_what_cannot_be_is_an_error_with_its_place(tmp_path, options, message):
    with pytest.raises(ManifestError, match=message.replace("?", r"\?").replace("distance.", r"distance\.")):
        load_study(study(tmp_path, "distance", options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 5}, "transfer.step: unknown key; did you mean 'steps'?"),
        ({"steps": 250}, "steps: expected a multiple of validate_every (100), found 250"),
        ({"seeds": [1, 1]}, "seeds: expected each seed once, found [1, 1]"),
        ({"network": {"kind": "unets"}}, "expected 'kind' to be one of 'deeplabv3plus', 'unet', found 'unets'"),
        ({"network": {"kind": "unet", "width": 8}}, "transfer.network.width: unknown key"),
        ({"network": {"kind": "deeplabv3plus", "output_stride": 4}}, "transfer.network.output_stride:"),
        ({"test_fraction": 1}, "transfer.test_fraction:"),
        ({"dice_floor": -0.1}, "transfer.dice_floor:"),
        ({"augmentation": {"rotate": 3}}, "transfer.augmentation.rotate: unknown key"),
        ({"patch_size": [8, 32]}, "transfer: patch_size: expected a patch within the grid [16, 16], found [8, 32]"),
    ],
)
def test_what_means_nothing_is_refused_with_its_place(options, message, tmp_path):
    with pytest.raises(ManifestError, match=re.escape(message)):
        load_study(study(tmp_path, "transfer", options))
