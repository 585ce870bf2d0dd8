"""From the samples of a dataset to its card."""

from __future__ import annotations

import hashlib
import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from medsegdist.cards.card import DIMENSION, FORMAT, Card, FakeClass, ImageNumbers
from medsegdist.data.options import DistanceOptions
from medsegdist.data.preprocessing import Preprocessing
from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import FakeClassGmmMetric, GmmMetric, with_options
from medsegdist.distance.metrics.fake_classes import ClassMixtures
from medsegdist.errors import DataError
from medsegdist.parallel import one_thread
from medsegdist.report.describe import characteristics, segment_histogram
from medsegdist.report.record import MixtureNumbers

MIN_PATIENTS = 10  # parts of a dataset with fewer patients are not shown by default
CELLS = 8  # cells of the segment histogram along each axis
BLOCK = 2**14  # pixels whose signs are drawn at once; another number would be another projection


@one_thread()
def summarize_samples(
    samples: SegmentationSamples,
    *,
    modality: Literal["CT", "MR", "other"],
    simulated: bool = False,
    preprocessing: Preprocessing | None = None,
    fit: DistanceOptions | None = None,
    min_patients: int = MIN_PATIENTS,
    seed: int = 0,
    exact_counts: bool = False,
) -> Card:
    """The card of a dataset: what may be said of it if its images may not travel.

    Aggregates are no proof of privacy. From two cards of a dataset that differ in one patient, that patient's part can
    be computed; a Gaussian of a mixture may describe the segment of one patient alone; the images in a known projection
    are 32 known sums of the pixels of their mean.

    Of more than 2,000 samples, those count that distances compare. With the `preprocessing` of the samples, a card that
    does not fit can say why. `fit` holds options of mixtures and fake classes. Cells of the histogram with fewer than
    `min_patients` read 0, and fake classes are left out where one has fewer. A card that stays where the images are may
    have `exact_counts` of samples and patients.

    Raises:
        DataError: there are fewer patients than that, the segments have too few pixels for the mixtures, or features
            are to be on a scale of several datasets.
        ValueError: the samples were prepared otherwise than `preprocessing` says.
    """
    if preprocessing is not None and preprocessing.fingerprint != samples.preprocessing:
        raise ValueError(
            f"dataset '{samples.name}': expected samples of the preprocessing {preprocessing.fingerprint}, found those "
            f"of {samples.preprocessing}."
        )
    fit = fit or DistanceOptions()
    if fit.feature_scale == "joint":
        raise DataError(
            "expected `feature_scale: dataset`, found joint",
            "leave it out: a card is made of one dataset and knows no other",
            dataset=samples.name,
        )
    options = fit.of_masks()
    metrics = {
        "gmm2d": with_options(GmmMetric(intensity=False, seed=seed), options),
        "gmm3d": with_options(GmmMetric(seed=seed), options),
        "fake_class_gmm": with_options(FakeClassGmmMetric(seed=seed), options),
    }
    samples = DatasetDistance(metrics["gmm2d"], seed=seed).subsample(samples)
    patients = len(samples.patients)
    if patients < min_patients:
        raise DataError(
            f"expected at least {min_patients} patients to make a card of, found {patients}",
            "if so few of them agree to a card, lower --min-patients (min_patients)",
            dataset=samples.name,
        )
    projected, mass = project(samples), samples.mass.cpu()
    rounded = int if exact_counts else coarse
    return Card(
        format=FORMAT,
        name=samples.name,
        modality=modality,
        simulated=simulated,
        preprocessing=samples.preprocessing,
        prepared=preprocessing,
        grid=samples.grid,
        fit=DistanceOptions(**options),
        seed=seed,
        min_patients=min_patients,
        patients=rounded(patients),
        samples=rounded(len(samples)),
        gmm2d=MixtureNumbers.of(metrics["gmm2d"].summarize(samples)),
        gmm3d=MixtureNumbers.of(metrics["gmm3d"].summarize(samples)),
        fake_classes=_fake_classes(samples, metrics["fake_class_gmm"].summarize(samples), projected, min_patients),
        segment_histogram=segment_histogram(samples, CELLS, min_patients=min_patients),
        characteristics=characteristics(samples, "intensity"),
        images=ImageNumbers.of(mass @ projected, torch.cov(projected.T, correction=0, aweights=mass)),
    )


def coarse(count: int) -> int:
    """A `count` rounded down: from 100 on to two digits, from 5 to 99 to a multiple of 5; fewer than 5 stay."""
    if count < 5:
        return count
    step = 5 if count < 100 else 10 ** (len(str(count)) - 2)
    return count - count % step


def project(samples: SegmentationSamples) -> Tensor:
    """(n, 32) images of n `samples` in the projection of their preprocessing and grid, by random signs over sqrt(32).

    It keeps squared norms, and so squared d_X, in expectation over projections (Achlioptas, 2003). The signs come from
    SHAKE-256 of fingerprint and grid, so that two machines, or two versions of a library, draw the same ones.
    """
    images = samples.images.flatten(1)
    total = torch.zeros((len(images), DIMENSION), dtype=torch.float64)
    for start in range(0, images.shape[1], BLOCK):
        pixels = images[:, start : start + BLOCK].cpu().double()
        signs = _signs(f"{samples.preprocessing}|{list(samples.grid)}|{start}", pixels.shape[1])
        total += pixels @ torch.from_numpy(signs)
    return total / math.sqrt(DIMENSION)


def _fake_classes(
    samples: SegmentationSamples, summary: ClassMixtures, projected: Tensor, min_patients: int
) -> tuple[FakeClass, ...] | None:
    found = []
    mass = samples.mass.cpu()
    for c, mixture in enumerate(summary.mixtures):
        members = (summary.classes == c).nonzero()[:, 0]
        if len({samples.patient_ids[k] for k in members.tolist()}) < min_patients:
            return None
        share = mass[members].sum()
        mean = mass[members] @ projected[members] / share
        found.append(FakeClass(share=float(share), image_mean=tuple(mean.tolist()), mixture=MixtureNumbers.of(mixture)))
    return tuple(found)


def _signs(seed: str, pixels: int) -> np.ndarray:
    """(pixels, 32) float64 of 1 and -1."""
    drawn = hashlib.shake_256(f"medsegdist card|{seed}".encode()).digest(pixels * DIMENSION // 8)
    return np.unpackbits(np.frombuffer(drawn, dtype=np.uint8)).reshape(pixels, DIMENSION) * 2.0 - 1.0
