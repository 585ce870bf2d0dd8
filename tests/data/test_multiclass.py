"""Masks of several classes: each class is the binary dataset that its label values alone would give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medsegdist.data.check import check_dataset
from medsegdist.data.class_samples import MulticlassSamples
from medsegdist.data.collect import load_class_samples, load_samples
from medsegdist.data.export import export_task
from medsegdist.data.manifest import DatasetManifest, Preprocessing
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import GmmMetric
from medsegdist.distance.pairs import multiclass_distance
from medsegdist.errors import DataError, ManifestError
from tests.data.making import PREPROCESSING, labels, real_hippocampus, task_manifest, write_task, write_volume
from tests.data.test_collect import assert_equal

CLASSES = {"liver": [1, 3], "kidney": 2}


def write_organs(root: Path) -> Path:
    """Four cases with 1, 2 and 3; with 2 only; with 1 and 3 only; with a single voxel of 2 next to 3."""
    write_task(root, ("p1_a", "p1_b", "p2_a", "p3_a"))
    single = labels(3)
    single[9, 9, 1] = 2
    for name, label in (("p1_a", labels(1, 2, 3)), ("p1_b", labels(7, 2)), ("p2_a", labels(1, 3)), ("p3_a", single)):
        write_volume(root / "labelsTr" / f"{name}.nii.gz", label)
    return root


@pytest.fixture
def manifest(tmp_path) -> DatasetManifest:
    return task_manifest(write_organs(tmp_path / "task"), classes=CLASSES)


def binary(manifest: DatasetManifest, name: str) -> DatasetManifest:
    fields = {field: getattr(manifest, field) for field in ("modality", "layout")}
    return DatasetManifest(name=f"{manifest.name} ({name})", foreground=manifest.classes[name], **fields)


def assert_each_class_is_its_binary_dataset(manifest: DatasetManifest, preprocessing: Preprocessing) -> None:
    samples = load_class_samples(manifest, preprocessing)
    assert samples.classes == tuple(manifest.classes)
    for name in samples.classes:
        assert_equal(samples.by_class[name], load_samples(binary(manifest, name), preprocessing))


@pytest.mark.parametrize("min_pixels", [1, 2, 9])
@pytest.mark.parametrize("options", [{"grid": (10, 12)}, {"grid": (10, 12), "intensity": "zscore"}, {"grid": (7, 5)}])
def test_each_class_is_its_binary_dataset(manifest, options, min_pixels):
    assert_each_class_is_its_binary_dataset(
        manifest, Preprocessing(**options, min_pixels=1 if options["grid"] == (7, 5) else min_pixels)
    )


def test_the_cache_keeps_classes(manifest, tmp_path):
    first = load_class_samples(manifest, PREPROCESSING, cache=tmp_path / "cache")
    again = load_class_samples(manifest, PREPROCESSING, cache=tmp_path / "cache")
    assert again.classes == first.classes
    assert torch.equal(again.masks, first.masks)
    for name in CLASSES:
        assert_equal(again.by_class[name], first.by_class[name])
    changed = manifest.model_copy(update={"classes": {"liver": (1,), "kidney": (2, 3)}})
    load_class_samples(changed, PREPROCESSING, cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_labels_that_no_case_has_are_named_with_their_class(tmp_path):
    manifest = task_manifest(write_organs(tmp_path), classes={"liver": [1, 5], "kidney": 2, "spleen": 4})
    expected = [
        f"all cases: label {label} of class '{name}' is in none of the 4 cases; correct `classes` to labels that exist."
        for label, name in ((5, "liver"), (4, "spleen"))
    ]
    found = check_dataset(manifest, PREPROCESSING).problems
    assert [str(problem) for problem in found if problem.severity == "error"] == expected
    with pytest.raises(DataError) as caught:
        load_class_samples(manifest, PREPROCESSING, cache=tmp_path / "cache")
    assert str(caught.value).splitlines()[1:] == [f"  {line}" for line in expected]


def test_a_class_whose_segments_are_too_small_is_named(tmp_path):
    root = write_task(tmp_path, values=(1,))
    label = labels(1)
    label[9, 9, 1] = 2
    write_volume(root / "labelsTr" / "p1_a.nii.gz", label)
    manifest = task_manifest(root, classes={"liver": 1, "lesion": 2})
    expected = (
        "all cases: class 'lesion': no sample has min_pixels = 4 foreground pixels, the largest segment of 3 cases has "
        "1; lower min_pixels, or take a finer grid."
    )
    preprocessing = Preprocessing(grid=(10, 12), min_pixels=4)
    assert [str(problem) for problem in check_dataset(manifest, preprocessing).problems] == [expected]
    with pytest.raises(DataError, match="class 'lesion': no sample has min_pixels = 4"):
        load_class_samples(manifest, preprocessing)


def test_a_good_dataset_has_no_problem_but_a_label_that_no_class_names(manifest):
    (problem,) = check_dataset(manifest, PREPROCESSING).problems
    assert problem.severity == "warning"
    assert "values besides 0 that `classes` does not name, which count as background: 7" in problem.problem
    assert check_dataset(manifest, PREPROCESSING, full=False).problems == ()


def test_a_class_that_falls_to_the_limit_of_samples_is_named(manifest):
    found = []
    for seed in range(8):
        one = Preprocessing(grid=(10, 12), min_pixels=2, max_samples=1, seed=seed)
        try:
            load_class_samples(manifest, one)
        except DataError as error:
            found.append(str(error))
    assert found
    assert {error.split(", found ")[1] for error in found} <= {
        f"'{name}' in none of 1; take more samples, or leave the class out." for name in CLASSES
    }


def test_one_foreground_is_not_taken_for_classes_nor_classes_for_one(manifest, tmp_path):
    message = r"dataset 'tiny': expected one foreground, found the classes liver, kidney; .*`foreground`.*multiclass_d"
    with pytest.raises(ManifestError, match=message):
        load_samples(manifest, PREPROCESSING)
    with pytest.raises(ManifestError, match=message):
        export_task(manifest, tmp_path / "Task11_Organs")
    assert not (tmp_path / "Task11_Organs").exists()
    with pytest.raises(
        ManifestError, match=r"dataset 'tiny \(liver\)': expected `classes`, found none; .*load_samples"
    ):
        load_class_samples(binary(manifest, "liver"), PREPROCESSING)


def arrays(**changes):
    rng = np.random.default_rng(0)
    label = np.zeros((3, 4, 5), dtype=np.int16)
    label[:, 0], label[1:, 1], label[2, 2] = 1, 2, 5
    return {"name": "mine", "images": rng.normal(size=(3, 4, 5)), "labels": label, "classes": CLASSES, **changes}


def test_label_maps_of_ones_own():
    samples = MulticlassSamples.from_arrays(**arrays())
    assert samples.sizes.tolist() == [[5, 0], [5, 5], [5, 5]]
    assert samples.shares == pytest.approx({"liver": 3 / 5, "kidney": 2 / 5})
    assert torch.equal(samples.whole.masks, samples.masks.any(1))
    assert samples.by_class["kidney"].name == "mine (kidney)"
    assert len(samples.spread(2)) == 2
    assert samples.spread(3) is samples
    assert torch.equal(samples.take([2, 0]).masks, samples.masks[[2, 0]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": {}}, "label values of at least one class, found none"),
        ({"classes": {"liver": 1, "lung": 4}}, "dataset 'mine': expected every class in some sample, found 'lung' in"),
        ({"classes": {"kidney": 2}}, "dataset 'mine', case '0': the mask is empty"),
        ({"labels": np.ones((3, 4, 4))}, "expected masks of the images' shape, found"),
    ],
)
def test_label_maps_that_make_no_dataset(changes, message):
    with pytest.raises(DataError, match=message):
        MulticlassSamples.from_arrays(**arrays(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("x", "x")}, r"at least one class, all named differently, found 2: \['x', 'x'\]"),
        ({"classes": ("x",)}, r"expected masks \(n, 1, \*grid\).*classes x, found \(3, 2, 4, 5\) and \(3, 4, 5\)"),
        ({"weights": torch.zeros(3, dtype=torch.float64)}, "expected weights between 1e-100"),
    ],
)
def test_tensors_that_make_no_dataset(changes, message):
    samples = MulticlassSamples.from_arrays(**arrays())
    fields = {field: getattr(samples, field) for field in samples.__dataclass_fields__}
    with pytest.raises(DataError, match=message):
        MulticlassSamples(**fields | changes)


HIPPOCAMPUS = {"anterior": 1, "posterior": 2}


@pytest.mark.realdata
def test_real_hippocampus_in_two_classes(tmp_path, data_root):
    manifest = real_hippocampus(data_root, tmp_path, slice(6), classes=HIPPOCAMPUS)
    assert_each_class_is_its_binary_dataset(manifest, Preprocessing(grid=(48, 32), max_samples=10_000))
    assert check_dataset(manifest, Preprocessing(grid=(48, 32))).problems == ()


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.realdata
def test_real_classes_of_two_halves_are_assigned_to_their_names(tmp_path, data_root):
    """Head and body of the hippocampus in two halves of the patients: the classes find each other without names."""
    preprocessing = Preprocessing(dimensions=3, grid=(24, 32, 24), spacing=(1.5, 1.5, 1.5))
    halves = {
        "one": (slice(0, 24, 2), HIPPOCAMPUS),
        "other": (slice(1, 24, 2), HIPPOCAMPUS),
        "turned": (slice(1, 24, 2), {"body and tail": 2, "head": 1}),
    }
    one, other, turned = (
        load_class_samples(real_hippocampus(data_root, tmp_path / name, chosen, classes=classes), preprocessing)
        for name, (chosen, classes) in halves.items()
    )
    for metric in (GmmMetric(components=2, intensity=False), GmmMetric(components=1, intensity=True)):
        distance = DatasetDistance(metric)
        masks = replace(distance, image_weight=0)
        near, far = (
            [
                masks(one.by_class[k], other.by_class[m]).value
                for k in one.classes
                for m in other.classes
                if (k == m) == same
            ]
            for same in (True, False)
        )
        # The same class of other patients is nearer than the other class.
        assert max(near) < min(far)
        named = multiclass_distance(one, other, distance)
        unnamed = multiclass_distance(one, turned, distance)
        pairs = [(part.source_class, part.target_class) for part in unnamed.parts]
        assert pairs == [("anterior", "head"), ("posterior", "body and tail")]
        assert unnamed.value == named.value
        for weights in (None, {"anterior": 1, "posterior": 1}):
            direct = multiclass_distance(one, other, distance, weights=weights, extension="direct")
            separate = multiclass_distance(one, other, distance, weights=weights)
            # Every volume shows both.
            assert direct.value == separate.value
