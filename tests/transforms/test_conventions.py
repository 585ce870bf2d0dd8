"""What MONAI expects of a transform, checked for each of ours in the same way."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import medsegdist.transforms as package
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, MetaTensor, PersistentDataset
from monai.data.utils import pickle_hashing
from monai.transforms import CenterSpatialCropd, Compose, Flipd, MapTransform, Rotate90d, Transform
from monai.utils import convert_to_tensor

PAIRS = (
    "BinarizeLabel",
    "CheckFinite",
    "CheckSameSpace",
    "ClassMasks",
    "ForegroundSlices",
    "OrientAxial",
    "PercentileWindowIntensity",
    "ResampleToGrid",
    "SplitSlices",
    "StandardizeIntensity",
    "WindowIntensity",
)

BOTH = ["image", "label"]
# One use of each dictionary transform, with arguments as a YAML file would give them.
USES: dict[str, dict[str, Any]] = {
    "BinarizeLabeld": {"keys": "label", "foreground": [1]},
    "CheckFinited": {"keys": "image"},
    "CheckSameSpaced": {"keys": "image", "reference_key": "label"},
    "ClassMasksd": {"keys": "label", "classes": [[1], [2, 3]]},
    "ForegroundSlicesd": {"keys": BOTH, "max_slices": 2},
    "OrientAxiald": {"keys": BOTH},
    "PercentileWindowIntensityd": {"keys": "image", "lower": 5, "upper": 95},
    "ResampleToGridd": {"keys": BOTH, "grid": [3, 4, 5], "spacing": [4, 5, 6], "is_mask": [False, True]},
    "SplitSlicesd": {"keys": BOTH},
    "StandardizeIntensityd": {"keys": "image"},
    "WindowIntensityd": {"keys": "image", "low": 0, "high": 100},
}
EVERY_USE = pytest.mark.parametrize("name", sorted(USES))


def build(name: str, **changes: Any) -> MapTransform:
    return getattr(package, name)(**{**USES[name], **changes})


@pytest.fixture
def item() -> dict[str, Any]:
    """A volume of 0..119 with foreground in slices 1 and 2, stored in LAS order."""
    image = torch.arange(120, dtype=torch.float32).reshape(1, 4, 5, 6)
    label = torch.zeros(1, 4, 5, 6)
    label[:, 1:3, 1:4, 2:5] = 1
    affine = torch.diag(torch.tensor([-4.0, 5.0, 6.0, 1.0], dtype=torch.float64))
    return {
        "image": MetaTensor(image, affine=affine, meta={"note": 7}),
        "label": MetaTensor(label, affine=affine, meta={"note": 7}),
        "case_id": "a",
    }


def assert_same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, torch.Tensor):
        torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=0, atol=0)
        if isinstance(expected, MetaTensor):
            torch.testing.assert_close(found.affine, expected.affine)
    else:
        np.testing.assert_array_equal(found, expected)


def test_the_public_names_are_these():
    expected = [f"{name}{suffix}" for name in PAIRS for suffix in ("", "d")]
    assert package.__all__ == sorted([*expected, "preprocessing_pipeline"])
    assert all(hasattr(package, name) for name in package.__all__)
    assert sorted(f"{name}d" for name in PAIRS) == sorted(USES)


@pytest.mark.parametrize("name", PAIRS)
def test_each_has_an_array_and_a_dictionary_class(name):
    array_class, dict_class = getattr(package, name), getattr(package, f"{name}d")
    assert issubclass(array_class, Transform)
    assert not issubclass(array_class, MapTransform)
    assert issubclass(dict_class, MapTransform)
    assert dict_class.backend == array_class.backend
    parameters = list(inspect.signature(dict_class).parameters)
    assert parameters[0] == "keys"
    assert parameters[-1] == "allow_missing_keys"
    assert array_class.__doc__
    assert dict_class.__doc__


@EVERY_USE
def test_nothing_given_is_modified(name, item):
    before = copy.deepcopy(item)
    Compose([build(name)])(item)
    assert_same(item, before)
    assert item["image"].meta["note"] == 7
    assert item["image"].applied_operations == []


@EVERY_USE
def test_metadata_is_kept_and_not_shared(name, item):
    results = build(name)(item)
    for result in results if isinstance(results, list) else [results]:
        for key in BOTH:
            assert isinstance(result[key], MetaTensor)
            assert result[key].meta["note"] == 7
            if result[key] is not item[key]:
                result[key].meta["note"] = 8
                result[key].applied_operations.append({})
                assert item[key].meta["note"] == 7
                assert item[key].applied_operations == []


@EVERY_USE
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_plain_arrays_stay_plain_and_agree_with_metatensors(name, kind, item):
    if name == "OrientAxiald":
        pytest.skip("a volume without affine has no orientation; its own test shows the refusal")
    changes = {"spacing": None} if name == "ResampleToGridd" else {}
    plain = dict(item)
    for key in BOTH:
        plain[key] = item[key].numpy() if kind == "numpy" else item[key].as_tensor()
    results, expected = build(name, **changes)(plain), build(name, **changes)(item)
    assert isinstance(results, list) == isinstance(expected, list)
    for result, other in zip(np.atleast_1d(results), np.atleast_1d(expected), strict=True):
        for key in BOTH:
            assert type(result[key]) is (np.ndarray if kind == "numpy" else torch.Tensor)
            np.testing.assert_array_equal(np.asarray(result[key]), other[key].numpy())


@EVERY_USE
@pytest.mark.parametrize(
    "before",
    [
        [Flipd(BOTH, spatial_axis=1), Rotate90d(BOTH, spatial_axes=(1, 2))],
        [Flipd("label", spatial_axis=1), Rotate90d("label", k=2, spatial_axes=(1, 2))],
        [CenterSpatialCropd(BOTH, (3, 4, 5))],
    ],
    ids=["both turned", "only the label turned", "cropped"],
)
def test_waiting_lazy_operations_are_carried_out_first(name, before, item):
    """Of the mask that a transform only reads, too."""
    transforms = [*before, build(name)]
    if name == "CheckSameSpaced" and len(before) == 2 and before[0].keys == ("label",):
        for lazy in (False, True):
            with pytest.raises(RuntimeError, match="CheckSameSpaced"):
                Compose(transforms, lazy=lazy)(item)
        return
    assert_same(Compose(transforms, lazy=True)(item), Compose(transforms)(item))


@EVERY_USE
def test_missing_keys_are_an_error_unless_allowed(name, item):
    with pytest.raises(KeyError, match="nowhere"):
        build(name, keys=["nowhere"], **({"is_mask": False} if name == "ResampleToGridd" else {}))(item)
    keys = ["nowhere", *np.atleast_1d(USES[name]["keys"]).tolist()]
    changes: dict[str, Any] = {"is_mask": [False, False, True]} if name == "ResampleToGridd" else {}
    assert_same(build(name, keys=keys, allow_missing_keys=True, **changes)(item), build(name)(item))


@EVERY_USE
def test_a_pickled_copy_does_the_same(name, item):
    transform = build(name)
    transform(item)
    assert_same(pickle.loads(pickle.dumps(transform))(item), transform(item))


@EVERY_USE
def test_a_bundle_config_builds_every_one(name, item):
    parser = ConfigParser({"step": {"_target_": f"medsegdist.transforms.{name}", **USES[name]}}, globals=False)
    assert_same(parser.get_parsed_content("step")(item), build(name)(item))


@EVERY_USE
def test_a_persistent_dataset_hashes_and_keeps_its_results(name, tmp_path, item):
    data = [item]
    first = PersistentDataset(data, Compose([build(name)]), tmp_path, hash_transform=pickle_hashing)
    computed = convert_to_tensor(first[0], convert_numeric=False, track_meta=False)  # the cache keeps no metadata
    files = sorted(tmp_path.glob("*.pt"))
    assert len(files) == 1
    again = PersistentDataset(data, Compose([build(name)]), tmp_path, hash_transform=pickle_hashing)
    assert again.transform_hash == first.transform_hash
    assert_same(again[0], computed)
    assert sorted(tmp_path.glob("*.pt")) == files


@EVERY_USE
def test_a_data_loader_collates_the_results(name, item):
    loader = DataLoader([Compose([build(name)])(item)] * 2, batch_size=2)
    batch = next(iter(loader))
    slices_of_each = 4 if name == "SplitSlicesd" else 1
    assert len(batch["image"]) == len(batch["label"]) == 2 * slices_of_each
