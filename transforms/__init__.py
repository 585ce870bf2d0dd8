"""MONAI transforms for binary segmentation datasets."""

from __future__ import annotations

from .geometry import CheckSameSpace, CheckSameSpaced, OrientAxial, OrientAxiald
from .grid import ResampleToGrid, ResampleToGridd
from .intensity import (
    CheckFinite,
    CheckFinited,
    PercentileWindowIntensity,
    PercentileWindowIntensityd,
    StandardizeIntensity,
    StandardizeIntensityd,
    WindowIntensity,
    WindowIntensityd,
)
from .labels import BinarizeLabel, BinarizeLabeld, ClassMasks, ClassMasksd
from .pipeline import preprocessing_pipeline
from .slices import ForegroundSlices, ForegroundSlicesd, SplitSlices, SplitSlicesd

__all__ = [
    "BinarizeLabel",
    "BinarizeLabeld",
    "CheckFinite",
    "CheckFinited",
    "CheckSameSpace",
    "CheckSameSpaced",
    "ClassMasks",
    "ClassMasksd",
    "ForegroundSlices",
    "ForegroundSlicesd",
    "OrientAxial",
    "OrientAxiald",
    "PercentileWindowIntensity",
    "PercentileWindowIntensityd",
    "ResampleToGrid",
    "ResampleToGridd",
    "SplitSlices",
    "SplitSlicesd",
    "StandardizeIntensity",
    "StandardizeIntensityd",
    "WindowIntensity",
    "WindowIntensityd",
    "preprocessing_pipeline",
]
