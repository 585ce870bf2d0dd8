"""What a run saves next to its tables, so that a report can be written without the data.

`study.json`, `transfer.json`, `agreement.json` and `thumbnails.json`, each read as what it is, or refused with the
place that is wrong. None of them names a case or a patient.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import pandas as pd
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    TypeAdapter,
    field_validator,
    model_validator,
)

from medsegdist.distance.mixture.gaussian import GaussianMixture
from medsegdist.distance.resampling import Bootstrap
from medsegdist.files import read_json, write_text
from medsegdist.words import counted

MAX_BINS = 64  # along an axis of a histogram: enough to see where segments are, too coarse to see a patient

_Name = Annotated[str, Field(min_length=1)]
_Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
_Row = Annotated[tuple[_Share, ...], Field(min_length=1, max_length=MAX_BINS)]

Number = Annotated[FiniteFloat, Field(ge=-1e18, le=1e18)]
"""Squares and sums of such numbers stay far from overflow; no intensity times the largest grid comes near."""


class Part(BaseModel):
    """A part of such a file; what a later version adds is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class JsonFile(Part):
    """All of such a file; `written_by` names the command that writes it, for messages."""

    written_by: ClassVar[str]

    def save(self, path: str | Path) -> None:
        """Writes it as JSON, whole or not at all."""
        write_text(path, self.model_dump_json())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads what :meth:`save` wrote, or raises a DataError."""
        return read_json(path, TypeAdapter(cls), cls.written_by)


class SegmentHistogram(Part):
    """Where the segment pixels of a dataset lie, seen along the slices."""

    model_config = ConfigDict(extra="forbid")

    extent: tuple[PositiveInt, PositiveInt]  # rows and columns of the grid, in pixels
    # Up to 64 x 64 parts of all segment pixels, row by row; they sum to 1. Of a card they are parts of those in its
    # cells that are shown, and None if it shows no cell.
    mass: Annotated[tuple[_Row, ...], Field(min_length=1, max_length=MAX_BINS)] | None

    @field_validator("mass")
    @classmethod
    def _check(cls, mass: tuple[tuple[float, ...], ...] | None) -> tuple[tuple[float, ...], ...] | None:
        if mass is not None and len({len(row) for row in mass}) != 1:
            raise ValueError("expected rows of one length")
        if mass is not None and abs((total := sum(map(sum, mass))) - 1) > 1e-2:  # they are rounded
            raise ValueError(f"expected parts that sum to 1, found {total:g}")
        return mass


class MixtureNumbers(Part):
    """A Gaussian mixture as JSON has it, in float64, so that distances lose nothing."""

    model_config = ConfigDict(extra="forbid")

    weights: Annotated[tuple[_Share, ...], Field(min_length=1, max_length=64)]  # k of them, summing to 1
    means: tuple[tuple[Number, ...], ...]  # k times d, in pixels (and intensity units)
    covariances: tuple[tuple[tuple[Number, ...], ...], ...]  # k times d times d, positive semidefinite

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.mixture
        return self

    @cached_property
    def mixture(self) -> GaussianMixture:
        """The mixture."""
        return GaussianMixture.from_dict(dict(self))

    @classmethod
    def of(cls, mixture: GaussianMixture) -> Self:
        """The numbers of a mixture in pixels (and intensity units)."""
        return cls.model_validate(mixture.to_dict())


class Characteristic(Part):
    """One number of a dataset, as :mod:`medsegdist.distance.characteristics` computes it."""

    model_config = ConfigDict(extra="forbid")

    name: _Name  # which one
    unit: str = ""  # of mean and deviation; empty if there is none
    mean: Number | None  # over the samples, by their weights; None if no sample has one
    deviation: Number | None  # standard deviation over the samples


class DatasetRecord(Part):
    """One dataset of a study, without any of its cases."""

    name: _Name  # as in the tables
    modality: str = ""  # CT, MR or other
    family: str = ""  # the first dataset of its organ and modality; its own name if the study has none of it
    samples: PositiveInt  # how many were read; of a card, as coarse as its count
    patients: PositiveInt  # of how many patients
    patients_known: bool | None = None  # False if each case counts as a patient; None if that is not known
    cases: PositiveInt | None = None  # how many cases were read; None if that is not known
    without_sample: dict[str, PositiveInt] = Field(default_factory=dict)  # how many of them, by the reason
    doubtful: NonNegativeInt = 0  # how many of them have files that leave something open
    description: str = ""  # what it shows, as its manifest says
    license: str = ""  # as its manifest says
    simulated: str = ""  # what of it is simulated; empty if nothing is
    # Whether rows run from anterior to posterior and columns from the patient's right to left: slices of CT or MR
    # volumes do, pictures and radiographs need not; None if that is not known.
    oriented: bool | None = None
    histogram: SegmentHistogram  # where its segments lie
    mixture: MixtureNumbers | None = None  # of `gmm2d` over (row, column), in pixels
    # By method, how far mixtures that are nearly as likely lie from the fitted one at most, as a share of the median
    # distance to the mixtures of the other datasets.
    fit_spread: dict[str, FiniteFloat] = Field(default_factory=dict)
    characteristics: tuple[Characteristic, ...] = ()  # what its segments are like

    @field_validator("mixture")
    @classmethod
    def _check(cls, found: MixtureNumbers | None) -> MixtureNumbers | None:
        if found is not None and found.mixture.dimensions != 2:
            raise ValueError(f"expected a mixture over 2 axes, found {found.mixture.dimensions}")
        return found

    @property
    def patients_said(self) -> str:
        """How many patients it has; of cases where nobody knows who they show."""
        return counted(self.patients, "case" if self.patients_known is False else "patient")


class MethodRecord(Part):
    """One method, and how it was set."""

    name: _Name  # as in the tables
    options: dict[str, Any] = Field(default_factory=dict)  # of its metric, seed included, by name
    formula: dict[str, Any] = Field(default_factory=dict)  # weights, p and choice of samples, by name
    # The largest one of its transports; None for distances of cards.
    optimality_gap: FiniteFloat | None


class StudyRecord(JsonFile):
    """How the distances of a study came about: what `study.json` holds."""

    written_by: ClassVar[str] = "rank"

    format: Literal["medsegdist study"] = "medsegdist study"
    version: Literal[1] = 1
    name: _Name
    description: str = ""
    targets: tuple[str, ...]  # names of the datasets that sources are ranked for
    methods: tuple[MethodRecord, ...]  # in the order of the tables
    datasets: tuple[DatasetRecord, ...]  # in the order of the study
    preprocessing: dict[str, Any]  # as in the study's YAML, defaults included
    fingerprint: str = ""  # the same for equal preprocessing, and for no other
    bootstrap: Bootstrap | None = None  # how patients were resampled; None if they were not
    device: str = ""
    software: dict[str, str] = Field(default_factory=dict)
    cards: tuple[str, ...] = ()  # datasets that were cards; if there are any, all were compared by cards
    left_out: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # by method, the cards that lack it
    shared_images: bool = False  # whether sources may hold images or patients of a target

    @property
    def means(self) -> pd.DataFrame:
        """Mean characteristics, a row per dataset and a column for each, and the number of samples."""
        found = {
            one.name: {"samples": one.samples, **{value.name: value.mean for value in one.characteristics}}
            for one in self.datasets
        }
        return pd.DataFrame.from_dict(found, orient="index", dtype="float64")

    def dataset(self, name: str) -> DatasetRecord | None:
        """The dataset called `name`; None if there is none."""
        return next((dataset for dataset in self.datasets if dataset.name == name), None)


class TransferRecord(JsonFile):
    """How the gains of a study came about."""

    written_by: ClassVar[str] = "transfer"

    format: Literal["medsegdist transfer"] = "medsegdist transfer"
    version: Literal[1] = 1
    name: _Name
    description: str = ""
    targets: tuple[str, ...]  # names of the datasets that were trained on in the end
    options: dict[str, Any]  # `transfer` of the study's YAML, defaults included
    preprocessing: dict[str, Any] = Field(default_factory=dict)  # as in the study's YAML, defaults included
    simulated: dict[str, str] = Field(default_factory=dict)  # what is simulated of a dataset, by its name
    not_converged: tuple[str, ...] = ()  # titles of pre-trainings and baselines that learned nothing
    undefined: tuple[str, ...] = ()  # sources, targets and seeds of fine-tunings over a baseline whose Dice is 0
    # Titles of runs that failed, or rest on one that did; why stands in `runs.jsonl` only, for it may name a file.
    failed: tuple[str, ...] = ()
    done: int = 0  # runs that ended well
    device: str = ""
    software: dict[str, str] = Field(default_factory=dict)
