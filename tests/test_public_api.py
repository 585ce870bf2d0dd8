"""The public names: pinned, lazy, and the same for the interpreter as for a type checker."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import medsegdist
from tests.laws import check_mask_metric
from tests.synthetic import blobs

PUBLIC_NAMES = {
    "Agreement": "medsegdist.transfer.agreement",
    "Bootstrap": "medsegdist.distance.resampling",
    "ClassMatching": "medsegdist.distance.multiclass",
    "ConvergenceError": "medsegdist.errors",
    "CosineMetric": "medsegdist.distance.metrics.euclidean",
    "DataError": "medsegdist.errors",
    "DatasetDistance": "medsegdist.distance.dataset_distance",
    "DatasetManifest": "medsegdist.data.manifest",
    "DiceMetric": "medsegdist.distance.metrics.dice",
    "Distance": "medsegdist.distance.dataset_distance",
    "DistanceTable": "medsegdist.distance.table",
    "EuclideanMetric": "medsegdist.distance.metrics.euclidean",
    "FakeClassGmmMetric": "medsegdist.distance.metrics.fake_classes",
    "FakeClassMetric": "medsegdist.distance.metrics.fake_classes",
    "FeatureScale": "medsegdist.distance.features",
    "FingerprintMetric": "medsegdist.distance.metrics.fingerprint",
    "GaussianMixture": "medsegdist.distance.mixture.gaussian",
    "GmmMetric": "medsegdist.distance.metrics.gmm",
    "HausdorffMetric": "medsegdist.distance.metrics.hausdorff",
    "ManifestError": "medsegdist.errors",
    "MaskMetric": "medsegdist.distance.metrics.mask_metric",
    "MedSegDistError": "medsegdist.errors",
    "MissingDependencyError": "medsegdist.errors",
    "MmdMetric": "medsegdist.distance.metrics.pixels",
    "MulticlassDistance": "medsegdist.distance.multiclass",
    "MulticlassSamples": "medsegdist.data.class_samples",
    "OtddMetric": "medsegdist.distance.metrics.otdd",
    "PatchesMetric": "medsegdist.distance.metrics.patches",
    "PixelsMetric": "medsegdist.distance.metrics.pixels",
    "Preprocessing": "medsegdist.data.preprocessing",
    "PreprocessingMismatchError": "medsegdist.errors",
    "Scales": "medsegdist.distance.dataset_distance",
    "SegmentationSamples": "medsegdist.data.samples",
    "SlicedMetric": "medsegdist.distance.metrics.sliced",
    "Study": "medsegdist.data.study",
    "Transport": "medsegdist.distance.transport",
    "collect": "medsegdist.data.collect",
    "collect_classes": "medsegdist.data.collect",
    "compare_all": "medsegdist.distance.table",
    "dask_cluster": "medsegdist.parallel",
    "fit_mixture": "medsegdist.distance.mixture.fit",
    "joint_scale": "medsegdist.distance.features",
    "load_class_samples": "medsegdist.data.collect",
    "load_dataset": "medsegdist.data.manifest",
    "load_samples": "medsegdist.data.collect",
    "load_study": "medsegdist.data.study",
    "make_dataset": "medsegdist.data.dataset",
    "match_classes": "medsegdist.distance.multiclass",
    "measure_agreement": "medsegdist.transfer.agreement",
    "mixture_wasserstein": "medsegdist.distance.mixture.gaussian",
    "multiclass_distance": "medsegdist.distance.multiclass",
    "predict_gain": "medsegdist.transfer.regression",
    "rank_sources": "medsegdist.distance.table",
    "solve_transport": "medsegdist.distance.transport",
}


def test_the_public_names_are_pinned() -> None:
    assert medsegdist.__all__ == sorted(PUBLIC_NAMES)


@pytest.mark.parametrize(("name", "home"), PUBLIC_NAMES.items())
def test_a_public_name_is_the_thing_its_module_defines(name: str, home: str) -> None:
    found = getattr(medsegdist, name)
    assert found is getattr(import_module(home), name)
    assert found.__module__ == home
    assert inspect.getdoc(found)


def test_a_type_checker_sees_the_names_the_interpreter_sees() -> None:
    tree = ast.parse(Path(medsegdist.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    listed = next(node.value for node in tree.body if isinstance(node, ast.Assign))
    assert ast.literal_eval(listed) == medsegdist.__all__


def test_the_version_is_that_of_pyproject(project_root: Path) -> None:
    project = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert medsegdist.__version__ == project["version"]


def test_dir_lists_the_public_names() -> None:
    assert set(medsegdist.__all__) <= set(dir(medsegdist))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="No medsegdist attribute rank_source"):
        _ = medsegdist.rank_source


def test_the_metric_that_contributing_shows_obeys_the_laws(project_root: Path) -> None:
    text = (project_root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    scope: dict[str, Any] = {}
    exec(compile(shown, "CONTRIBUTING.md", "exec"), scope)
    check_mask_metric(scope["AreaMetric"](), blobs(seed=1), blobs(seed=2, radius=7.0))
