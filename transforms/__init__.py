"""MONAI transforms for binary segmentation datasets."""

from __future__ import annotations

from .checks import (
    CheckFinite,
    CheckFiniteD,
    CheckFinited,
    CheckFiniteDict,
    CheckSameSpace,
    CheckSameSpaceD,
    CheckSameSpaced,
    CheckSameSpaceDict,
)
from .geometry import OrientAxial, OrientAxialD, OrientAxiald, OrientAxialDict
from .grid import ResampleToGrid, ResampleToGridD, ResampleToGridd, ResampleToGridDict
from .intensity import (
    PercentileWindowIntensity,
    PercentileWindowIntensityD,
    PercentileWindowIntensityd,
    PercentileWindowIntensityDict,
    StandardizeIntensity,
    StandardizeIntensityD,
    StandardizeIntensityd,
    StandardizeIntensityDict,
    WindowIntensity,
    WindowIntensityD,
    WindowIntensityd,
    WindowIntensityDict,
)
from .labels import (
    BinarizeLabel,
    BinarizeLabelD,
    BinarizeLabeld,
    BinarizeLabelDict,
    ClassMasks,
    ClassMasksD,
    ClassMasksd,
    ClassMasksDict,
)
from .pipeline import preprocessing_pipeline
from .segments import NeutralizeSegment, NeutralizeSegmentD, NeutralizeSegmentd, NeutralizeSegmentDict
from .slices import ForegroundSlices, ForegroundSlicesD, ForegroundSlicesd, ForegroundSlicesDict
from .stack import StackedPipeline

__all__ = [
    "BinarizeLabel",
    "BinarizeLabelD",
    "BinarizeLabelDict",
    "BinarizeLabeld",
    "CheckFinite",
    "CheckFiniteD",
    "CheckFiniteDict",
    "CheckFinited",
    "CheckSameSpace",
    "CheckSameSpaceD",
    "CheckSameSpaceDict",
    "CheckSameSpaced",
    "ClassMasks",
    "ClassMasksD",
    "ClassMasksDict",
    "ClassMasksd",
    "ForegroundSlices",
    "ForegroundSlicesD",
    "ForegroundSlicesDict",
    "ForegroundSlicesd",
    "NeutralizeSegment",
    "NeutralizeSegmentD",
    "NeutralizeSegmentDict",
    "NeutralizeSegmentd",
    "OrientAxial",
    "OrientAxialD",
    "OrientAxialDict",
    "OrientAxiald",
    "PercentileWindowIntensity",
    "PercentileWindowIntensityD",
    "PercentileWindowIntensityDict",
    "PercentileWindowIntensityd",
    "ResampleToGrid",
    "ResampleToGridD",
    "ResampleToGridDict",
    "ResampleToGridd",
    "StackedPipeline",
    "StandardizeIntensity",
    "StandardizeIntensityD",
    "StandardizeIntensityDict",
    "StandardizeIntensityd",
    "WindowIntensity",
    "WindowIntensityD",
    "WindowIntensityDict",
    "WindowIntensityd",
    "preprocessing_pipeline",
]
