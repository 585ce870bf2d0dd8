"""What a run leaves beside its tables, so that a report can be written without the data: `study.json`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from medsegdist.distance.mixture import GaussianMixture
from medsegdist.report.json_files import JsonFile, Part

FILE_NAME = "study.json"

MOST_BINS = 64
"""Bins along an axis of a histogram at most: enough to see where segments lie, too coarse to see a patient."""

_Row = Annotated[tuple[Annotated[FiniteFloat, Field(ge=0)], ...], Field(min_length=1, max_length=MOST_BINS)]


class SegmentHistogram(Part):
    """Where the segment pixels of a dataset lie, seen along the slices.

    Args:
        extent: rows and columns of the grid, in pixels.
        mass: up to 64 x 64 parts of all segment pixels, row by row; they sum to 1. Of a card they are parts of those in
            its cells that are shown, and None where it shows no cell.
    """

    extent: tuple[PositiveInt, PositiveInt]
    mass: Annotated[tuple[_Row, ...], Field(min_length=1, max_length=MOST_BINS)] | None

    @model_validator(mode="after")
    def _check(self) -> SegmentHistogram:
        if self.mass is not None and len({len(row) for row in self.mass}) != 1:
            raise ValueError("expected rows of one length")
        return self


class PlaneMixture(Part):
    """A Gaussian mixture over (row, column), in pixels.

    Args:
        weights: of k Gaussians.
        means: k times (row, column).
        covariances: k times 2 x 2.
    """

    weights: Annotated[tuple[Annotated[FiniteFloat, Field(gt=0)], ...], Field(min_length=1)]
    means: tuple[tuple[FiniteFloat, FiniteFloat], ...]
    covariances: tuple[tuple[tuple[FiniteFloat, FiniteFloat], tuple[FiniteFloat, FiniteFloat]], ...]

    @model_validator(mode="after")
    def _check(self) -> PlaneMixture:
        if not len(self.weights) == len(self.means) == len(self.covariances):
            raise ValueError("expected as many weights as means and covariances")
        GaussianMixture.from_dict(self.model_dump())
        return self


class Characteristic(Part):
    """One number of a dataset, as :mod:`medsegdist.distance.characteristics` computes it.

    Args:
        name: which one.
        unit: of mean and deviation; empty where there is none.
        mean: over the samples, by their weights; None where no sample has one.
        deviation: standard deviation over the samples, likewise.
    """

    name: Annotated[str, Field(min_length=1)]
    unit: str = ""
    mean: FiniteFloat | None
    deviation: FiniteFloat | None


class DatasetRecord(Part):
    """One dataset of a study, without any of its cases.

    Args:
        name: as in the tables.
        modality: CT, MR or other.
        samples: how many were read; of a card, as coarse as it tells.
        patients: of how many patients, likewise.
        cases: how many cases were read; None where that is not known.
        without_sample: how many of them gave no sample, by the reason.
        description: what it shows, as its manifest says.
        license: as its manifest says.
        simulated: what of it is simulated; empty if nothing is.
        oriented: whether rows run from anterior to posterior and columns from the patient's right to left: slices of
            CT or MR volumes do, pictures and radiographs need not; None where that is not known.
        histogram: where its segments lie.
        mixture: the mixture of `gmm2d`; None where that was not computed.
        characteristics: what its segments are like.
    """

    name: Annotated[str, Field(min_length=1)]
    modality: str = ""
    samples: PositiveInt
    patients: PositiveInt
    cases: PositiveInt | None = None
    without_sample: dict[str, PositiveInt] = Field(default_factory=dict)
    description: str = ""
    license: str = ""
    simulated: str = ""
    oriented: bool | None = None
    histogram: SegmentHistogram
    mixture: PlaneMixture | None = None
    characteristics: tuple[Characteristic, ...] = ()


class BootstrapRecord(Part):
    """How patients were drawn anew.

    Args:
        replicates: how often.
        level: of the intervals.
        seed: of the draws.
    """

    replicates: PositiveInt
    level: Annotated[float, Field(gt=0, lt=1)]
    seed: NonNegativeInt


class MethodRecord(Part):
    """One method, and how it was set.

    Args:
        name: as in the tables.
        options: of its metric, seed included, by the name of the option.
        formula: weights, p and choice of samples, likewise.
        optimality_gap: the largest one of its transports; None where distances are of cards, which have none.
    """

    name: Annotated[str, Field(min_length=1)]
    options: dict[str, Any] = Field(default_factory=dict)
    formula: dict[str, Any] = Field(default_factory=dict)
    optimality_gap: FiniteFloat | None


class StudyRecord(JsonFile):
    """How the distances of a study came about: what `study.json` holds.

    Args:
        format: tells the file from others.
        version: of the format.
        name: the study's name.
        description: what it is about.
        targets: names of the datasets that sources are ranked for.
        methods: in the order of the tables.
        datasets: in the order of the study.
        preprocessing: as in the study's YAML, defaults included.
        fingerprint: the same for equal preprocessing, and for no other.
        bootstrap: how patients were drawn anew; None if they were not.
        device: what it was computed on.
        software: versions by the name of the package.
        cards: names of the datasets that were cards. If there are any, all were compared by cards.
        left_out: of methods that were left out, the cards that lack them.
    """

    written_by: ClassVar[str] = "rank"

    format: Literal["medsegdist study"] = "medsegdist study"
    version: Literal[1] = 1
    name: Annotated[str, Field(min_length=1)]
    description: str = ""
    targets: tuple[str, ...]
    methods: tuple[MethodRecord, ...]
    datasets: tuple[DatasetRecord, ...]
    preprocessing: dict[str, Any]
    fingerprint: str = ""
    bootstrap: BootstrapRecord | None = None
    device: str = ""
    software: dict[str, str] = Field(default_factory=dict)
    cards: tuple[str, ...] = ()
    left_out: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        # Without cards the file is the same to the byte as before there were any.
        if not self.cards:
            content.pop("cards", None)
            content.pop("left_out", None)
        return content

    def dataset(self, name: str) -> DatasetRecord | None:
        """The dataset called `name`; None if there is none."""
        return next((dataset for dataset in self.datasets if dataset.name == name), None)
