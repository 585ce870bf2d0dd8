"""Dataset cards: what they hold, how they are made, and their files, of which every number is checked."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)
from torch import Tensor

from medsegdist.data.options import LARGEST_GRID, OF_FORMULA, DistanceOptions, Preprocessing
from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.validation import explain
from medsegdist.distance.characteristics import CHARACTERISTICS
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import FakeClassGmmMetric, GmmMetric, with_options
from medsegdist.distance.metrics.fake_classes import ClassMixtures
from medsegdist.distance.mixture.gaussian import GaussianMixture
from medsegdist.errors import DataError
from medsegdist.files import atomic_write, read_bytes
from medsegdist.parallel import one_thread
from medsegdist.report.describe import characteristics, segment_histogram
from medsegdist.report.record import Characteristic, MixtureNumbers, Number, SegmentHistogram
from medsegdist.words import check_choice

DIMENSION = 32
"""Numbers that an image is projected to. The squared norm of one image is then met to about sqrt(2 / 32) = 25%."""

MIN_PATIENTS = 10  # parts of a dataset with fewer patients are not shown by default
CELLS = 8  # cells of the segment histogram along each axis
BLOCK = 2**14  # pixels whose signs are drawn at once; another number would be another projection
MAX_BYTES = 2**16  # a card is smaller than this, or is none
FORMAT: Final = "medsegdist card 2"  # the version of cards that are written and read

_MAKE = "`medsegdist cards make DATASET.yaml --like STUDY.yaml -o DIR`"
_REMEDY = f"{_MAKE} makes one"

_Projected = Annotated[tuple[Number, ...], Field(min_length=DIMENSION, max_length=DIMENSION)]
# What rounding to float32 can do to the spectrum of a covariance, as a part of its largest eigenvalue.
_ROUNDING = 1e-5


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageNumbers(_Part):
    """Mean and covariance of the projected images, in the unit of d_X and its square."""

    mean: _Projected
    # The 32 rows of its lower triangle.
    covariance: Annotated[tuple[tuple[Number, ...], ...], Field(min_length=DIMENSION, max_length=DIMENSION)]

    @field_validator("covariance")
    @classmethod
    def _check(cls, rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        if [len(row) for row in rows] != list(range(1, DIMENSION + 1)):
            raise ValueError(f"expected the {DIMENSION} rows of a lower triangle, found rows of other lengths")
        _check_positive(_symmetric(rows), "covariance")
        return rows

    @property
    def matrix(self) -> Tensor:
        """(32, 32) float64 covariance."""
        return _symmetric(self.covariance)

    @classmethod
    def of(cls, mean: Tensor, covariance: Tensor) -> ImageNumbers:
        """A (32,) `mean` and a (32, 32) `covariance`, the latter rounded to float32.

        Means are large compared with their differences, which are what counts: they keep all digits.
        """
        rows = tuple(tuple(_rounded(row[: k + 1])) for k, row in enumerate(covariance))
        return cls(mean=tuple(mean.tolist()), covariance=rows)


class FakeClass(_Part):
    """A fake class: a cluster of samples with segments alike."""

    share: Annotated[float, Field(gt=0, le=1)]  # its part of the samples, by their weights
    image_mean: _Projected  # mean of its projected images
    mixture: MixtureNumbers  # of its segment pixels


class Card(_Part):
    """A dataset in a few kilobytes: no pixel, no case, no patient, but aggregates of all of them."""

    format: Literal["medsegdist card 2"]
    name: Annotated[str, Field(pattern=r"^\w[\w .+()-]*$", max_length=80)]  # the dataset's
    modality: Literal["CT", "MR", "other"]
    simulated: bool  # something of it is
    preprocessing: Annotated[str, Field(pattern=r"^[\w-]{1,64}$")]  # its fingerprint, which makes the projection
    prepared: Preprocessing | None  # the options behind the fingerprint, to say what differs; None if not known
    grid: Annotated[tuple[PositiveInt, ...], Field(min_length=2, max_length=3)]  # of a sample
    fit: DistanceOptions  # of mixtures and fake classes; those of the formula are not among them
    seed: NonNegativeInt  # of the fits and of the choice of samples
    min_patients: PositiveInt  # the fewest patients of a cell or fake class that is shown
    patients: PositiveInt  # how many; coarse, as are samples
    samples: PositiveInt
    gmm2d: MixtureNumbers  # over (slice,) row and column of all segment pixels
    gmm3d: MixtureNumbers  # with the intensity as well
    # None if one of them has fewer patients than `min_patients`.
    fake_classes: Annotated[tuple[FakeClass, ...], Field(min_length=1, max_length=32)] | None
    # Where segments lie; cells that fewer than `min_patients` patients touch read 0, as empty ones do.
    segment_histogram: SegmentHistogram
    characteristics: Annotated[tuple[Characteristic, ...], Field(max_length=len(CHARACTERISTICS))]
    images: ImageNumbers

    @model_validator(mode="after")
    def _check(self) -> Card:
        if math.prod(self.grid) > LARGEST_GRID:
            raise ValueError(f"grid: expected at most {LARGEST_GRID:,} points, found {list(self.grid)}")
        if self.prepared is not None and self.prepared.grid != self.grid:
            raise ValueError(f"grid: expected {list(self.prepared.grid)} as in `prepared`, found {list(self.grid)}")
        if self.fit.of_formula():
            raise ValueError(
                f"fit: expected no {', '.join(self.fit.of_formula())}; they are chosen when cards are compared"
            )
        for one in self.characteristics:
            check_choice("the name of a characteristic", one.name, CHARACTERISTICS)
        if self.segment_histogram.extent != self.grid[-2:]:
            raise ValueError(
                f"segment_histogram: expected the extent {list(self.grid[-2:])}, found "
                f"{list(self.segment_histogram.extent)}"
            )
        axes = len(self.grid)
        for place, numbers, dimensions in (
            ("gmm2d", self.gmm2d, axes),
            ("gmm3d", self.gmm3d, axes + 1),
            *((f"fake_classes.{c}", one.mixture, axes + 1) for c, one in enumerate(self.fake_classes or ())),
        ):
            if numbers.mixture.dimensions != dimensions:
                raise ValueError(
                    f"{place}: expected a mixture over {dimensions} axes, found {numbers.mixture.dimensions}"
                )
        if self.fake_classes is not None:
            total = sum(one.share for one in self.fake_classes)
            if abs(total - 1) > 1e-9:
                raise ValueError(f"fake_classes: expected shares that sum to 1, found {total:g}")
            scale = float(torch.linalg.eigvalsh(self.images.matrix)[-1])
            _check_positive(self.within_classes, "covariance of the images within fake_classes", scale)
        return self

    @property
    def class_shares(self) -> Tensor:
        """(c,) float64 shares of the fake classes."""
        return torch.tensor([one.share for one in self.fake_classes or ()], dtype=torch.float64)

    @property
    def class_means(self) -> Tensor:
        """(c, 32) float64 means of the projected images of the fake classes."""
        return torch.tensor([one.image_mean for one in self.fake_classes or ()], dtype=torch.float64)

    @property
    def within_classes(self) -> Tensor:
        """(32, 32) float64 covariance of the projected images within fake classes, all classes alike.

        That of all images is this one and that of the class means, so a card need not hold it.
        """
        away = self.class_means - torch.tensor(self.images.mean, dtype=torch.float64)
        return self.images.matrix - away.T @ (self.class_shares[:, None] * away)

    @property
    def class_mixtures(self) -> tuple[GaussianMixture, ...]:
        """The mixtures of the fake classes."""
        return tuple(one.mixture.mixture for one in self.fake_classes or ())


def write_card(card: Card, path: str | Path) -> int:
    """Write a card as JSON, whole or not at all, and return its size in bytes; one of more than 64 KiB is refused."""
    text = json.dumps(card.model_dump(mode="json", exclude={"fit": set(OF_FORMULA)}), separators=(",", ":"))
    size = len(text.encode()) + 1
    if size > MAX_BYTES:
        raise DataError(
            f"expected a card of at most {MAX_BYTES:,} bytes, found {size:,}",
            "choose fewer `components` or `classes` in the study's `distance`",
            dataset=card.name,
        )
    with atomic_write(path) as file:
        file.write(text + "\n")
    return size


def read_card(path: str | Path) -> Card:
    """Read a card that was written here or elsewhere, and trust nothing of it; every problem is listed."""
    try:
        content = read_bytes(path, max_bytes=MAX_BYTES)
    except OSError as error:
        found = f"none that can be read ({error.strerror})"
        raise DataError(
            f"{path}: expected a card here, found {found}", f"correct the path, or make it: {_MAKE}"
        ) from error
    except DataError as error:
        raise DataError(f"expected a card; {error.problem}", _REMEDY) from error
    try:
        return Card.model_validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] in ("json_invalid", "model_type") or (first["type"], first["loc"]) == ("missing", ("format",)):
            found = "found something else"
            raise DataError(f"{path}: expected a card, JSON whose `format` is '{FORMAT}', {found}", _REMEDY) from error
        raise DataError("\n".join(explain(error, Card, path)), f"make the card again by {_MAKE}") from error


def _rounded(values: Tensor) -> list[float]:
    """The shortest decimals that give the same float32."""
    return [float(str(value)) for value in values.numpy().astype(np.float32)]


def _check_positive(matrix: Tensor, what: str, scale: float = 0.0) -> None:
    """Refuse a symmetric matrix that has a negative eigenvalue, but for rounding: of itself, or of something larger."""
    spectrum = torch.linalg.eigvalsh(matrix)
    if float(spectrum[0]) < -_ROUNDING * max(float(spectrum[-1]), scale):
        raise ValueError(f"expected a {what} without negative eigenvalues, found {float(spectrum[0]):g}")


def _symmetric(rows: tuple[tuple[float, ...], ...]) -> Tensor:
    lower = torch.zeros((len(rows), len(rows)), dtype=torch.float64)
    for k, row in enumerate(rows):
        lower[k, : k + 1] = torch.tensor(row, dtype=torch.float64)
    return lower + lower.tril(-1).T


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
