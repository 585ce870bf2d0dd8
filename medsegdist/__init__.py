"""medsegdist: distances between binary medical segmentation datasets, to choose what to pre-train on.

The public names below are imported when they are first used: `import medsegdist` itself loads nothing but this file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsegdist.data.collect import collect, load_samples
    from medsegdist.data.collect_classes import collect_classes, load_class_samples
    from medsegdist.data.dataset import make_dataset
    from medsegdist.data.manifest import DatasetManifest, load_dataset
    from medsegdist.data.multiclass import MulticlassSamples
    from medsegdist.data.preprocessing import Preprocessing
    from medsegdist.data.samples import SegmentationSamples
    from medsegdist.data.study import Study, load_study
    from medsegdist.distance.dataset_distance import DatasetDistance, Distance, Scales
    from medsegdist.distance.features import FeatureScale, joint_scale
    from medsegdist.distance.metrics import (
        CosineMetric,
        DiceMetric,
        EuclideanMetric,
        FakeClassGmmMetric,
        FakeClassMetric,
        FingerprintMetric,
        GmmMetric,
        HausdorffMetric,
        MaskMetric,
        MmdMetric,
        OtddMetric,
        PatchesMetric,
        PixelsMetric,
        SlicedMetric,
    )
    from medsegdist.distance.mixture.fit import fit_mixture
    from medsegdist.distance.mixture.gaussian import GaussianMixture, mixture_wasserstein
    from medsegdist.distance.multiclass import ClassMatching, MulticlassDistance, match_classes, multiclass_distance
    from medsegdist.distance.resampling import Bootstrap
    from medsegdist.distance.table import DistanceTable, compare_all, rank_sources
    from medsegdist.distance.transport import Transport, solve_transport
    from medsegdist.errors import (
        ConvergenceError,
        DataError,
        ManifestError,
        MedSegDistError,
        MissingDependencyError,
        PreprocessingMismatchError,
    )
    from medsegdist.parallel import dask_cluster
    from medsegdist.transfer.agreement import Agreement, measure_agreement
    from medsegdist.transfer.regression import predict_gain

    __version__: str

__all__ = [
    "Agreement",
    "Bootstrap",
    "ClassMatching",
    "ConvergenceError",
    "CosineMetric",
    "DataError",
    "DatasetDistance",
    "DatasetManifest",
    "DiceMetric",
    "Distance",
    "DistanceTable",
    "EuclideanMetric",
    "FakeClassGmmMetric",
    "FakeClassMetric",
    "FeatureScale",
    "FingerprintMetric",
    "GaussianMixture",
    "GmmMetric",
    "HausdorffMetric",
    "ManifestError",
    "MaskMetric",
    "MedSegDistError",
    "MissingDependencyError",
    "MmdMetric",
    "MulticlassDistance",
    "MulticlassSamples",
    "OtddMetric",
    "PatchesMetric",
    "PixelsMetric",
    "Preprocessing",
    "PreprocessingMismatchError",
    "Scales",
    "SegmentationSamples",
    "SlicedMetric",
    "Study",
    "Transport",
    "__version__",
    "collect",
    "collect_classes",
    "compare_all",
    "dask_cluster",
    "fit_mixture",
    "joint_scale",
    "load_class_samples",
    "load_dataset",
    "load_samples",
    "load_study",
    "make_dataset",
    "match_classes",
    "measure_agreement",
    "mixture_wasserstein",
    "multiclass_distance",
    "predict_gain",
    "rank_sources",
    "solve_transport",
]

# The imports above, for the interpreter; tests/test_public_api.py holds the two together.
_NAMES_OF_MODULE = {
    "medsegdist.data.collect": ("collect", "load_samples"),
    "medsegdist.data.collect_classes": ("collect_classes", "load_class_samples"),
    "medsegdist.data.dataset": ("make_dataset",),
    "medsegdist.data.manifest": ("DatasetManifest", "load_dataset"),
    "medsegdist.data.multiclass": ("MulticlassSamples",),
    "medsegdist.data.preprocessing": ("Preprocessing",),
    "medsegdist.data.samples": ("SegmentationSamples",),
    "medsegdist.data.study": ("Study", "load_study"),
    "medsegdist.distance.resampling": ("Bootstrap",),
    "medsegdist.distance.dataset_distance": ("DatasetDistance", "Distance", "Scales"),
    "medsegdist.distance.mixture.fit": ("fit_mixture",),
    "medsegdist.distance.features": ("FeatureScale", "joint_scale"),
    "medsegdist.distance.metrics": (
        "CosineMetric",
        "DiceMetric",
        "EuclideanMetric",
        "FakeClassGmmMetric",
        "FakeClassMetric",
        "FingerprintMetric",
        "GmmMetric",
        "HausdorffMetric",
        "MaskMetric",
        "MmdMetric",
        "OtddMetric",
        "PatchesMetric",
        "PixelsMetric",
        "SlicedMetric",
    ),
    "medsegdist.distance.mixture.gaussian": ("GaussianMixture", "mixture_wasserstein"),
    "medsegdist.distance.multiclass": ("ClassMatching", "MulticlassDistance", "match_classes", "multiclass_distance"),
    "medsegdist.distance.table": ("DistanceTable", "compare_all", "rank_sources"),
    "medsegdist.distance.transport": ("Transport", "solve_transport"),
    "medsegdist.errors": (
        "ConvergenceError",
        "DataError",
        "ManifestError",
        "MedSegDistError",
        "MissingDependencyError",
        "PreprocessingMismatchError",
    ),
    "medsegdist.transfer.agreement": ("Agreement", "measure_agreement"),
    "medsegdist.transfer.regression": ("predict_gain",),
    "medsegdist.parallel": ("dask_cluster",),
}
_MODULE_OF_NAME = {name: module for module, names in _NAMES_OF_MODULE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("medsegdist")
    elif name in _MODULE_OF_NAME:
        value = getattr(import_module(_MODULE_OF_NAME[name]), name)
    else:
        raise AttributeError(f"module 'medsegdist' has no attribute '{name}'; its public names are in __all__.")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
