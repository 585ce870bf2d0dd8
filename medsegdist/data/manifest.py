"""Descriptions of datasets and studies, and the YAML files that hold them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from medsegdist.data.card_content import card_content
from medsegdist.data.case import Case
from medsegdist.data.distance_options import DistanceOptions
from medsegdist.data.layouts._paths import DIRECTORY, expand_path, is_picture
from medsegdist.data.layouts.card import ONLY_RANK, CardLayout
from medsegdist.data.layouts.datalist import DatalistLayout
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.layouts.dicom import DicomLayout
from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.layouts.lidc import LidcLayout
from medsegdist.data.layouts.nnunet import NnunetLayout
from medsegdist.data.layouts.phantom import PhantomLayout
from medsegdist.data.preprocessing import Preprocessing, Window
from medsegdist.data.study_or_dataset import refuse_dataset, refuse_study
from medsegdist.data.transfer_options import TransferOptions
from medsegdist.data.yaml_errors import as_mapping, explain, nearest, read_yaml
from medsegdist.data.yaml_words import found_value
from medsegdist.errors import DataError, ManifestError
from medsegdist.words import sentence

__all__ = ["DatasetManifest", "Layout", "Preprocessing", "Study", "load_dataset", "load_study"]

Layout = Annotated[
    DecathlonLayout
    | NnunetLayout
    | DatalistLayout
    | FolderLayout
    | DicomLayout
    | LidcLayout
    | PhantomLayout
    | CardLayout,
    Field(discriminator="kind"),
]
"""Any layout; in YAML its key `kind` says which."""

# Masks are read as 32-bit floats, which tell no greater whole numbers apart.
_LABELS_END = 2**24
_NAME = re.compile(r"\w[\w .+()-]*")
_Model = TypeVar("_Model", bound=BaseModel)


def _named(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError(
            "expected a name of letters, digits, spaces and _ . + - ( ) that begins with a letter, a digit or _, found "
            f"{name!r}; it becomes part of file names"
        )
    return name


def _label_values(values: tuple[int, ...]) -> tuple[int, ...]:
    if 0 in values:
        raise ValueError("0 is the background; name the other label values")
    if any(abs(value) >= _LABELS_END for value in values):
        raise ValueError(f"expected label values between -{_LABELS_END} and {_LABELS_END}, found {found_value(values)}")
    if len(set(values)) != len(values):
        raise ValueError(f"a label value is named twice in {list(values)}")
    return values


def _one_or_more(values: object) -> object:
    return (values,) if isinstance(values, int) else values


def _disjoint(classes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    class_of: dict[int, str] = {}
    for name, values in classes.items():
        for value in values:
            if value in class_of:
                raise ValueError(f"the label value {value} is named in two classes, '{class_of[value]}' and '{name}'")
            class_of[value] = name
    return classes


_LabelValues = Annotated[tuple[int, ...], AfterValidator(_label_values), Field(min_length=1)]
_Name = Annotated[str, Field(max_length=80), AfterValidator(_named)]
_Classes = Annotated[
    dict[_Name, Annotated[_LabelValues, BeforeValidator(_one_or_more)]], AfterValidator(_disjoint), Field(min_length=1)
]


class DatasetManifest(BaseModel):
    """One dataset: where it lies, what it shows, and which labels are foreground.

    Args:
        name: what tables and messages call it; also part of file names.
        modality: "CT" (intensities in HU unless `window` says otherwise), "MR", or "other".
        layout: how the files lie on disk.
        foreground: label values that count as the segment; None demands masks of 0 and one other value, the same in
            every case.
        classes: label values of each class by its name, for masks of several classes that are to be told apart; in
            place of `foreground`.
        window: (low, high) of this dataset's own intensities, for CT that is no longer in HU or pictures whose full
            range is known; None takes the study's CT window, or percentiles for other modalities.
        description: what it shows, in a sentence.
        license: its license, as its origin states it.
        simulated: what of it is simulated; empty if nothing is. Layouts that invent images say so by themselves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Name
    modality: Literal["CT", "MR", "other"]
    layout: Layout
    foreground: _LabelValues | None = None
    classes: _Classes | None = None
    window: Window | None = None
    description: str = ""
    license: str = ""
    simulated: Annotated[str, Field(validate_default=True)] = ""

    @field_validator("simulated")
    @classmethod
    def _own_words_or_the_layouts(cls, words: str, info: ValidationInfo) -> str:
        """What is simulated is so whether the description says it or not."""
        layout = info.data.get("layout")
        if not words.strip() and isinstance(layout, PhantomLayout | LidcLayout):
            return layout.simulates
        return words

    @model_validator(mode="after")
    def _check_labels(self) -> DatasetManifest:
        if self.foreground is not None and self.classes is not None:
            raise ValueError("expected `foreground` or `classes`, found both; keep the one that is meant")
        useless = [key for key in ("foreground", "classes", "window") if getattr(self, key) is not None]
        if self.is_card and useless:
            raise ValueError(f"expected no {', '.join(useless)} beside a card, which holds no images; leave it out")
        return self

    @property
    def is_card(self) -> bool:
        """Whether a card stands in the place of images."""
        return isinstance(self.layout, CardLayout)

    @property
    def label_values(self) -> tuple[int, ...] | None:
        """All values that are foreground, of whatever class; None if there is only one beside 0."""
        if self.classes is None:
            return self.foreground
        return tuple(value for values in self.classes.values() for value in values)

    def check_one_foreground(self) -> None:
        """Refuse a dataset of several classes, or without images, where images of one foreground are needed.

        Raises:
            ManifestError: it has classes, or is a card.
        """
        if isinstance(self.layout, CardLayout):
            raise ManifestError(
                f"dataset '{self.name}' is a card ({self.layout.file}) and holds no images; {ONLY_RANK}."
            )
        if self.classes is not None:
            raise ManifestError(
                f"dataset '{self.name}': expected one foreground, found the classes {', '.join(self.classes)}; give "
                "the label values of `foreground` in place of `classes`, or load them with load_class_samples and "
                "compare them with multiclass_distance."
            )

    def check_fits(self, preprocessing: Preprocessing, cases: Sequence[Case] = ()) -> None:
        """Refuse a preprocessing that has no meaning for this dataset.

        Args:
            preprocessing: how the study prepares its datasets.
            cases: the dataset's cases where they are known; some layouts tell by them only what they hold.

        Raises:
            ManifestError: Hounsfield units of something that has none; pictures where mm or volumes are asked for.
        """
        if preprocessing.intensity == "hounsfield" and (self.modality != "CT" or self.window is not None):
            what = "has a window of its own" if self.modality == "CT" else f"is of modality '{self.modality}'"
            raise ManifestError(
                f"dataset '{self.name}' {what}, so it is not in HU, but the study's intensity is 'hounsfield'; "
                "choose 'window' or 'zscore', or leave the dataset out."
            )
        named_so = isinstance(self.layout, FolderLayout) and self.layout.holds_pictures
        if named_so or any(is_picture(case.image) for case in cases):
            if preprocessing.spacing is not None:
                raise ManifestError(
                    f"dataset '{self.name}' holds pictures, whose size in mm is unknown, but the study has a spacing; "
                    "leave `spacing` out to resize every sample to the grid."
                )
            if preprocessing.dimensions == 3:
                raise ManifestError(
                    f"dataset '{self.name}' holds pictures, but the study compares volumes; "
                    "choose `dimensions: 2`, or leave the dataset out."
                )


class Study(BaseModel):
    """Datasets prepared alike, and which of them need a source to pre-train on.

    Args:
        name: the study's name.
        description: what it is about.
        preprocessing: the one way in which all datasets are prepared.
        datasets: at least two, each with a name of its own; some may be cards, which only a ranking can use.
        targets: names of the datasets that sources are ranked for.
        sources: names of the datasets that may be sources; None is all. A target is never its own source.
        methods: names of the distances to compute; None leaves the choice to the caller.
        distance: how the distances are computed where that is to differ from the paper.
        transfer: how the transfer learning is run where that is to differ from the paper.
        shared_images: whether a source may hold images or patients of a target. "refuse" makes that an error of
            `medsegdist check`. "allow" makes it a warning, for several tasks on the same images; the sources then
            hold the target's own images, and the ranking rewards them for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    description: str = ""
    preprocessing: Preprocessing
    datasets: Annotated[tuple[DatasetManifest, ...], Field(min_length=2)]
    targets: Annotated[tuple[str, ...], Field(min_length=1)]
    sources: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    methods: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    distance: DistanceOptions = DistanceOptions()
    transfer: TransferOptions = TransferOptions()
    shared_images: Literal["refuse", "allow"] = "refuse"

    @model_validator(mode="after")
    def _check_names(self) -> Study:
        names = [dataset.name for dataset in self.datasets]
        for what, values in (("datasets", names), ("targets", self.targets), ("sources", self.sources or ())):
            doubled = [name for name, count in Counter(values).items() if count > 1]
            if doubled:
                raise ValueError(f"{what}: the name '{doubled[0]}' is given twice")
        for what, values in (("targets", self.targets), ("sources", self.sources or ())):
            for value in values:
                if value not in names:
                    hint = nearest(value, names)
                    raise ValueError(
                        f"{what}: '{value}' is no dataset of this study, which has {', '.join(names)}{hint}"
                    )
        for target in self.targets:
            if not self.sources_of(target):
                raise ValueError(f"sources: the target '{target}' has no source left but itself")
        for dataset in self.datasets:
            dataset.check_fits(self.preprocessing)
        try:
            self.transfer.check_grid(self.preprocessing.grid)
        except ValueError as error:
            raise ValueError(f"transfer: {error}") from error
        return self

    def dataset(self, name: str) -> DatasetManifest:
        """The dataset called `name`.

        Raises:
            ManifestError: there is none.
        """
        for dataset in self.datasets:
            if dataset.name == name:
                return dataset
        names = [dataset.name for dataset in self.datasets]
        raise ManifestError(
            sentence(f"study '{self.name}': no dataset '{name}' among {', '.join(names)}{nearest(name, names)}")
        )

    def sources_of(self, target: str) -> tuple[str, ...]:
        """Names of the datasets that `target` could be pre-trained on, in the study's order."""
        allowed = [dataset.name for dataset in self.datasets] if self.sources is None else self.sources
        return tuple(name for name in allowed if name != target)

    def compared(self, targets: Sequence[str]) -> tuple[DatasetManifest, ...]:
        """The datasets that a ranking rests on, in the study's order.

        Args:
            targets: names of datasets, each of which is to be compared with all of its sources.
        """
        names = {name for target in targets for name in (target, *self.sources_of(target))}
        return tuple(dataset for dataset in self.datasets if dataset.name in names)


def load_dataset(path: str | Path) -> DatasetManifest:
    """Read a dataset's description.

    Args:
        path: a YAML file; relative folders in it are relative to the file.

    Raises:
        ManifestError: the file cannot be read, or something in it is wrong; every problem is listed with its place.
    """
    file = Path(path).absolute()
    content = read_yaml(file)
    refuse_study(content, file)
    return _validated(DatasetManifest, content, file)


def load_study(path: str | Path) -> Study:
    """Read a study's description, and those of its datasets.

    Args:
        path: a YAML file; each entry of its `datasets` is a description or the path of a dataset's YAML file or card
            (.json), relative to this file.

    Raises:
        ManifestError: a file cannot be read, or something in it is wrong; every problem is listed with its place.
    """
    file = Path(path).absolute()
    content = read_yaml(file)
    refuse_dataset(content, file)
    entries = content.get("datasets")
    if not isinstance(entries, list):
        return _validated(Study, content, file)
    datasets: list[Any] = []
    problems: list[str] = []
    for index, entry in enumerate(entries):
        try:
            datasets.append(_dataset_of(entry, file, f"datasets.{index}"))
        except ManifestError as error:
            problems.append(str(error))
    try:
        # Without the broken datasets, names could seem to be missing that are only misspelled further in.
        study = _validated(Study, {**content, "datasets": entries if problems else datasets}, file)
    except ManifestError as error:
        lines = str(error).splitlines()
        problems += [line for line in lines if not problems or ": datasets" not in line]
    if problems:
        raise ManifestError("\n".join(problems))
    return study


def _dataset_of(entry: object, file: Path, place: str) -> DatasetManifest:
    if isinstance(entry, str):
        try:
            path = expand_path(entry, file.parent)
            return _of_card(path) if path.suffix.lower() == ".json" else load_dataset(path)
        except ValueError as error:
            if isinstance(error, ManifestError):
                raise
            raise ManifestError(sentence(f"{file}: {place}: {error}")) from error
    return _validated(DatasetManifest, dict(as_mapping(entry, file, place)), file, place.split("."))


def _of_card(path: Path) -> DatasetManifest:
    """A card as a dataset: its name and modality are read, whatever else it says is left to whoever compares it."""
    try:
        _, said = card_content(path)
    except DataError as error:
        raise ManifestError(str(error)) from error
    except OSError as error:
        raise ManifestError(f"{path}: expected a card here, found none that can be read ({error.strerror}).") from error
    layout = {"kind": "card", "file": str(path)}
    return _validated(
        DatasetManifest, {key: said[key] for key in ("name", "modality") if key in said} | {"layout": layout}, path
    )


def _validated(model: type[_Model], content: dict[str, Any], file: Path, prefix: list[str] | None = None) -> _Model:
    try:
        return model.model_validate(content, context={DIRECTORY: file.parent})
    except ValidationError as error:
        raise ManifestError("\n".join(explain(error, model, file, prefix or ()))) from error
