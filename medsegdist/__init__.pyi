"""The public names; each is imported when it is first used."""

from .data.class_samples import MulticlassSamples
from .data.collect import collect, load_class_samples, load_samples
from .data.manifest import DatasetManifest, load_dataset, make_dataset
from .data.options import Preprocessing
from .data.samples import SegmentationSamples
from .data.study import Study, load_study
from .distance.dataset_distance import DatasetDistance, Distance, Scales
from .distance.features import FeatureScale, joint_scale
from .distance.metrics import (
    BoundaryMetric,
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
from .distance.mixture.fit import fit_mixture
from .distance.mixture.gaussian import GaussianMixture, mixture_wasserstein
from .distance.order import rank_cases
from .distance.pairs import multiclass_distance
from .distance.resampling import Bootstrap
from .distance.table import DistanceTable, compare_all
from .distance.transport import Transport, solve_transport
from .errors import (
    ConvergenceError,
    DataError,
    ManifestError,
    MedSegDistError,
    MissingDependencyError,
    PreprocessingMismatchError,
)
from .parallel import dask_cluster
from .recommend.learned import LearnedRanking
from .recommend.library import Library, read_library
from .transfer.agreement import Agreement, measure_agreement
from .transfer.regression import predict_gain

__version__: str

__all__ = [
    "Agreement",
    "Bootstrap",
    "BoundaryMetric",
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
    "LearnedRanking",
    "Library",
    "ManifestError",
    "MaskMetric",
    "MedSegDistError",
    "MissingDependencyError",
    "MmdMetric",
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
    "collect",
    "compare_all",
    "dask_cluster",
    "fit_mixture",
    "joint_scale",
    "load_class_samples",
    "load_dataset",
    "load_samples",
    "load_study",
    "make_dataset",
    "measure_agreement",
    "mixture_wasserstein",
    "multiclass_distance",
    "predict_gain",
    "rank_cases",
    "read_library",
    "solve_transport",
]
