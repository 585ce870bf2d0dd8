"""Distances between the masks of two datasets, d_Y of the paper's Eq. 3: one per file."""

from medsegdist.distance.mask_metrics.catalog import all_metrics as all_metrics
from medsegdist.distance.mask_metrics.cosine import CosineMetric as CosineMetric
from medsegdist.distance.mask_metrics.dice import DiceMetric as DiceMetric
from medsegdist.distance.mask_metrics.euclidean import EuclideanMetric as EuclideanMetric
from medsegdist.distance.mask_metrics.fake_class_gmm import FakeClassGmmMetric as FakeClassGmmMetric
from medsegdist.distance.mask_metrics.fake_classes import FakeClassMetric as FakeClassMetric
from medsegdist.distance.mask_metrics.fingerprint import FingerprintMetric as FingerprintMetric
from medsegdist.distance.mask_metrics.gmm import GmmMetric as GmmMetric
from medsegdist.distance.mask_metrics.hausdorff import HausdorffMetric as HausdorffMetric
from medsegdist.distance.mask_metrics.mask_metric import BlockwiseMetric as BlockwiseMetric
from medsegdist.distance.mask_metrics.mask_metric import DemandingMetric as DemandingMetric
from medsegdist.distance.mask_metrics.mask_metric import MaskMetric as MaskMetric
from medsegdist.distance.mask_metrics.mask_metric import PairwiseMetric as PairwiseMetric
from medsegdist.distance.mask_metrics.mask_metric import RepeatableMetric as RepeatableMetric
from medsegdist.distance.mask_metrics.mask_metric import ResamplingMetric as ResamplingMetric
from medsegdist.distance.mask_metrics.mmd import MmdMetric as MmdMetric
from medsegdist.distance.mask_metrics.otdd import OtddMetric as OtddMetric
from medsegdist.distance.mask_metrics.paper import PAPER_METHODS as PAPER_METHODS
from medsegdist.distance.mask_metrics.paper import paper_metrics as paper_metrics
from medsegdist.distance.mask_metrics.patches import PatchesMetric as PatchesMetric
from medsegdist.distance.mask_metrics.pixels import PixelsMetric as PixelsMetric
from medsegdist.distance.mask_metrics.sliced import SlicedMetric as SlicedMetric
