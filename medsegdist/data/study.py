"""Descriptions of studies, and the YAML files that hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from medsegdist.data.layouts.paths import DIRECTORY, expand_path
from medsegdist.data.manifest import DatasetManifest, load_dataset
from medsegdist.data.options import DistanceOptions, Preprocessing, TransferOptions
from medsegdist.data.validation import explain, read_yaml, refuse_booleans, validate
from medsegdist.errors import ManifestError
from medsegdist.words import did_you_mean

_GROUPS = ("same_images", "families")


class Preparation(BaseModel, frozen=True, extra="forbid"):
    """What datasets must have in common to be compared.

    Args:
        name: of the study; empty if it has none.
        preprocessing: the one way in which all datasets are prepared.
        distance: options of the distances; those left out are as in the paper.
        shared_images: whether a source may hold images or patients of a target. "refuse" makes that an error of
            `medsegdist check`. "allow" makes it a warning, for several tasks on the same images; the sources then
            hold the target's own images, and the ranking rewards them for it.
    """

    name: str = ""
    preprocessing: Preprocessing
    distance: DistanceOptions = DistanceOptions()
    shared_images: Literal["refuse", "allow"] = "refuse"


class Study(Preparation, frozen=True, extra="forbid"):
    """Datasets prepared alike, and which of them need a source to pre-train on.

    Args:
        name: the study's name.
        description: what it is about.
        datasets: at least two, each with a name of its own.
        targets: names of the datasets that sources are ranked for.
        sources: names of the datasets that may be sources; None is all. A target is never its own source.
        methods: names of the distances to compute; None leaves the choice to the caller.
        same_images: groups of datasets that are several tasks on the same images; none is a source of another.
        families: groups of datasets of one organ and modality, which a test of a learned ranking leaves out together.
        transfer: options of the transfer learning; those left out are as in the paper.
    """

    name: Annotated[str, Field(min_length=1)]
    description: str = ""
    datasets: Annotated[tuple[DatasetManifest, ...], Field(min_length=2)]
    targets: Annotated[tuple[str, ...], Field(min_length=1)]
    sources: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    methods: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    transfer: TransferOptions = TransferOptions()
    same_images: tuple[tuple[str, ...], ...] = ()
    families: tuple[tuple[str, ...], ...] = ()

    @model_validator(mode="after")
    def _check_names(self) -> Study:
        names = [dataset.name for dataset in self.datasets]
        grouped = {what: [name for group in getattr(self, what) for name in group] for what in _GROUPS}
        named = {"targets": self.targets, "sources": self.sources or (), **grouped}
        for what, values in {"datasets": names, **named}.items():
            for value, count in Counter(values).items():
                if count > 1:
                    raise ValueError(f"{what}: the name '{value}' is given twice")
                if value not in names:
                    hint = did_you_mean(value, names)
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
        datasets = {dataset.name: dataset for dataset in self.datasets}
        if name not in datasets:
            hint = did_you_mean(name, datasets) or "."
            raise ManifestError(f"study '{self.name}': no dataset '{name}' among {', '.join(datasets)}{hint}")
        return datasets[name]

    def sources_of(self, target: str) -> tuple[str, ...]:
        """Names of the datasets that `target` could be pre-trained on, in the study's order."""
        allowed = [dataset.name for dataset in self.datasets] if self.sources is None else self.sources
        same = {target, *(name for group in self.same_images if target in group for name in group)}
        return tuple(name for name in allowed if name not in same)

    def family_of(self, name: str) -> str:
        """The first dataset of the family that `name` belongs to; `name` itself if it has none."""
        return next((group[0] for group in self.families if name in group), name)

    def compared(self, targets: Sequence[str]) -> tuple[DatasetManifest, ...]:
        """The datasets that a ranking rests on, in the study's order: each of `targets` and all of its sources."""
        names = {name for target in targets for name in (target, *self.sources_of(target))}
        return tuple(dataset for dataset in self.datasets if dataset.name in names)


def load_study(path: str | Path) -> Study:
    """Read a study's description, and those of its datasets.

    Args:
        path: a YAML file; each entry of its `datasets` is a description or the path of a dataset's YAML file,
            relative to this file.

    Raises:
        ManifestError: a file cannot be read, or something in it is wrong; every problem is listed with its place.
    """
    file = Path(path).absolute()
    content = _read_study(file)
    entries = content.get("datasets")
    datasets: list[Any] = list(entries) if isinstance(entries, list) else []
    problems: dict[tuple[str | int, ...], str] = {}
    for index, entry in enumerate(datasets):
        if isinstance(entry, str):
            try:
                datasets[index] = load_dataset(expand_path(entry, file.parent))
            except ManifestError as error:
                problems["datasets", index] = str(error)
            except ValueError as error:
                problems["datasets", index] = f"{file}: datasets.{index}: {error}."
    try:
        # A dataset that cannot be read stays a text here, which keeps names from seeming to be missing.
        whole = {**content, "datasets": datasets} if datasets else content
        study = Study.model_validate(whole, context={DIRECTORY: file.parent})
    except ValidationError as error:
        raise ManifestError("\n".join(explain(error, Study, file, content, known=problems))) from error
    refuse_booleans(whole, study, file)
    return study


def load_datasets(path: str | Path, names: Sequence[str] = ()) -> list[DatasetManifest]:
    """Read the datasets that a YAML file describes: those of a study, or the one of a dataset's own file.

    Args:
        path: of either.
        names: of those to take from a study; empty takes all.

    Raises:
        ManifestError: the file cannot be read, something in it is wrong, or a name is not in it.
    """
    if not names and "layout" in read_yaml(Path(path).absolute()):
        return [load_dataset(path)]
    study = load_study(path)
    return [study.dataset(name) for name in names or [one.name for one in study.datasets]]


def load_preparation(path: str | Path) -> Preparation:
    """Read `preprocessing` and `distance` of a study; its datasets need not be here, nor be named at all.

    Args:
        path: a YAML file of a study, or of these two keys alone.

    Raises:
        ManifestError: the file cannot be read, or something in it is wrong; every problem is listed with its place.
    """
    file = Path(path).absolute()
    others = Study.model_fields.keys() - Preparation.model_fields.keys()
    content = {key: value for key, value in _read_study(file).items() if key not in others}
    return validate(Preparation, content, file)


def _read_study(file: Path) -> dict[str, Any]:
    """The keys of a study's file, unchecked but for not being those of a dataset."""
    content = read_yaml(file)
    if "layout" in content:
        raise ManifestError(
            f"{file}: expected a study, found the description of a dataset",
            "list this file under `datasets` of a study, with a `preprocessing` and `targets`, or let "
            "`medsegdist init` write a study of your folders",
        )
    return content
