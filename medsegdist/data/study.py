"""Descriptions of studies, and the YAML files that hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from medsegdist.data.card_content import MAKING, MAKING_ANEW, SIMULATED, card_content
from medsegdist.data.distance_options import DistanceOptions
from medsegdist.data.layouts._paths import expand_path
from medsegdist.data.layouts.card import CardLayout
from medsegdist.data.manifest import DatasetManifest, load_dataset
from medsegdist.data.preprocessing import Preprocessing
from medsegdist.data.study_or_dataset import refuse_dataset
from medsegdist.data.transfer_options import TransferOptions
from medsegdist.data.yaml_errors import as_mapping, nearest, read_yaml, validated
from medsegdist.data.yaml_words import found_value
from medsegdist.errors import DataError, ManifestError
from medsegdist.words import sentence


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
        return validated(Study, content, file)
    datasets: list[Any] = []
    problems: list[str] = []
    for index, entry in enumerate(entries):
        try:
            datasets.append(_dataset_of(entry, file, _place_of(index, entry)))
        except ManifestError as error:
            problems.append(str(error))
    try:
        # Without the broken datasets, names could seem to be missing that are only misspelled further in.
        study = validated(Study, {**content, "datasets": entries if problems else datasets}, file)
    except ManifestError as error:
        lines = str(error).splitlines()
        problems += [line for line in lines if not problems or ": datasets" not in line]
    if problems:
        raise ManifestError("\n".join(problems))
    return study


def _place_of(index: int, entry: object) -> str:
    """Where a dataset stands, with its name where it has one: nobody counts entries from 0."""
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return f"datasets.{index} ({found_value(name)})" if isinstance(name, str) and name else f"datasets.{index}"


def _dataset_of(entry: object, file: Path, place: str) -> DatasetManifest:
    if isinstance(entry, str):
        try:
            path = expand_path(entry, file.parent)
            return _of_card(path) if path.suffix.lower() == ".json" else load_dataset(path)
        except ValueError as error:
            if isinstance(error, ManifestError):
                raise
            raise ManifestError(sentence(f"{file}: {place}: {error}")) from error
    return _simulated_as_its_card_says(validated(DatasetManifest, dict(as_mapping(entry, file, place)), file, [place]))


def _simulated_as_its_card_says(manifest: DatasetManifest) -> DatasetManifest:
    if not isinstance(manifest.layout, CardLayout):
        return manifest
    try:
        _, said = card_content(manifest.layout.file)
    except (DataError, OSError):
        return manifest  # Whoever compares the card, or checks the study, says what is wrong with it.
    is_told = bool(manifest.simulated) or said.get("simulated") is not True
    return manifest if is_told else manifest.model_copy(update={"simulated": SIMULATED})


def _of_card(path: Path) -> DatasetManifest:
    """A card as a dataset: what it is called, its modality, and whether it is simulated; the rest is for a ranking."""
    try:
        _, said = card_content(path)
    except DataError as error:
        raise ManifestError(str(error)) from error
    except OSError as error:
        raise ManifestError(
            f"{path}: expected a card here, found none that can be read ({error.strerror}); correct the "
            f"path, or make it: {MAKING}."
        ) from error
    content: dict[str, Any] = {key: said[key] for key in ("name", "modality") if key in said}
    if said.get("simulated") is True:
        content["simulated"] = SIMULATED
    try:
        return validated(DatasetManifest, {**content, "layout": {"kind": "card", "file": str(path)}}, path)
    except ManifestError as error:
        raise ManifestError(f"{str(error).rstrip('.')}; {MAKING_ANEW}.") from error
