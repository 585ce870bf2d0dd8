"""The layout of nnU-Net v2: imagesTr with one file for each channel, labelsTr, and a dataset.json about them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, Field, NonNegativeInt, StrictInt, StrictStr, ValidationError

from medsegdist.data.layouts import listing, paths
from medsegdist.data.validation import explain
from medsegdist.errors import DataError, ManifestError
from medsegdist.words import counted

_Name = Annotated[StrictStr, Field(min_length=1)]
_AsList = BeforeValidator(lambda values: values if isinstance(values, list) else [values])
_Values = Annotated[list[StrictInt], Field(min_length=1), _AsList]


class _ExplicitCase(BaseModel):
    images: Annotated[tuple[StrictStr, ...], Field(min_length=1)]
    label: StrictStr


class _DatasetJson(BaseModel):
    """What is read of dataset.json; nnU-Net writes more into it."""

    channel_names: Annotated[dict[StrictStr, Any], Field(min_length=1)]
    labels: Annotated[dict[StrictStr, _Values], Field(min_length=1)]
    file_ending: StrictStr
    numTraining: NonNegativeInt | None = None  # noqa: N815, nnU-Net's own word
    dataset: Annotated[dict[_Name, _ExplicitCase], Field(min_length=1)] | None = None


class NnunetLayout(listing.FileLayout):
    """A raw dataset of nnU-Net v2, such as `nnUNet_raw/Dataset004_Hippocampus`.

    The cases are those of imagesTr and labelsTr, or those that "dataset" in dataset.json lists. A case has nnU-Net's
    name for it, and is a patient of its own unless `patient_pattern` says otherwise. If dataset.json has a label
    "ignore", those voxels count as background unless `foreground` names their value.
    """

    looked_for: ClassVar[str] = (
        'dataset.json with "channel_names" and "file_ending", next to imagesTr and labelsTr (nnU-Net v2)'
    )

    kind: Literal["nnunet"] = "nnunet"
    root: paths.Root
    channel: NonNegativeInt = 0  # the number at the end of the image files' names
    color: paths.Color = "luminance"
    patient_pattern: paths.PatientPattern = None

    def cases(self) -> list[listing.Case]:
        """The labeled cases, in the order of their names; no voxel is read."""
        content = self._dataset_json()
        images, labels, unlisted = self._files(content)
        names = sorted(images.keys() | labels.keys())
        unlisted += _disagreements(content, images, labels)
        if not unlisted and not images:
            unlisted = [DataError(f"imagesTr and labelsTr hold no file *{content.file_ending}", "correct `root`")]
        paths.check_names(names, str(self.root))
        channels = {channel for files in images.values() for channel in files}
        if channels and self.channel not in channels:
            problem = f"{self.root}: expected channel {self.channel}, found the channels {sorted(channels)}"
            raise DataError(problem, "set `channel` to one of them")
        pairs = ((name, images.get(name, {}).get(self.channel), labels.get(name)) for name in names)
        usable = [pair for pair in pairs if all(file is not None and file.is_file() for file in pair[1:])]
        found = [(name, str(image), str(label), None) for name, image, label in usable]
        return listing.build_cases(found, self.patient_pattern, self.root / "dataset.json", unlisted)

    @property
    def _channel_in_file(self) -> int | None:
        # Each channel has a file of its own.
        return None

    @classmethod
    def recognize(cls, root: Path) -> listing.Recognized | None:
        """What the dataset.json of a folder says of it; None if there is none of nnU-Net's form."""
        content = listing.read_dataset_json(root)
        if not {"channel_names", "file_ending"} <= content.keys():
            return None
        what = "an nnU-Net v2 dataset (dataset.json)"
        return listing.recognized_listing(content, what, {"kind": "nnunet"}, content["channel_names"])

    def _dataset_json(self) -> _DatasetJson:
        path = self.root / "dataset.json"
        found = listing.read_listing(path, "set `root` to the folder that holds dataset.json, imagesTr and labelsTr")
        if isinstance(found, dict) and "channel_names" not in found and "modality" in found:
            raise DataError(
                f"{path}: expected 'channel_names' as nnU-Net v2 has it, found the 'modality' of the Decathlon and of "
                "nnU-Net v1",
                "use `kind: decathlon`, or convert the dataset to nnU-Net v2",
            )
        try:
            content = _DatasetJson.model_validate(found)
        except ValidationError as error:
            raise DataError("\n".join(explain(error, _DatasetJson, path))) from error
        if content.file_ending not in paths.SUFFIXES:
            known = ", ".join(paths.SUFFIXES)
            problem = f"{path}: expected a file_ending of {known}, found {ascii(content.file_ending)[:80]}"
            raise DataError(problem, "convert the files")
        return content

    def _files(self, content: _DatasetJson) -> tuple[dict[str, dict[int, Path]], dict[str, Path], list[DataError]]:
        """Images by case and channel, labels by case, and what is wrong with single files."""
        images: dict[str, dict[int, Path]] = {}
        labels: dict[str, Path] = {}
        wrong, escaping = [], []
        for name, case in (content.dataset or {}).items():
            try:
                labels[name] = paths.inside(self.root, case.label)
                images[name] = {k: paths.inside(self.root, image) for k, image in enumerate(case.images)}
            except ManifestError as error:
                escaping.append(f"  case '{name}': {error}")
        if escaping:
            raise ManifestError("\n".join([f"{self.root / 'dataset.json'}: paths that leave the folder:", *escaping]))
        for name, files in images.items():
            absent = [path.relative_to(self.root) for path in (*files.values(), labels[name]) if not path.is_file()]
            remedy = "restore the file, or unlist the case"
            wrong += [DataError(f"{path} does not exist", remedy, case=name) for path in absent]
        if content.dataset is not None:
            return images, labels, wrong
        ending, found = content.file_ending, {}
        for folder in ("imagesTr", "labelsTr"):
            if not (self.root / folder).is_dir():
                wrong.append(DataError(f"the folder {folder} does not exist", "correct `root`"))
            inner = (self.root / folder).glob("*")
            found[folder] = sorted(one for one in inner if one.name.endswith(ending) and not one.name.startswith("."))
        for path in found["imagesTr"]:
            stem = path.name.removesuffix(ending)
            if match := re.fullmatch(r"(.+)_([0-9]{4})", stem, flags=re.DOTALL):
                images.setdefault(match.group(1), {})[int(match.group(2))] = path
            else:
                problem = f"imagesTr/{path.name} has no channel in its name, as in {stem}_0000{ending}"
                wrong.append(DataError(problem, "rename the file"))
        return images, {path.name.removesuffix(ending): path for path in found["labelsTr"]}, wrong


def _disagreements(
    content: _DatasetJson, images: Mapping[str, Mapping[int, Path]], labels: Mapping[str, Path]
) -> Iterator[DataError]:
    """What does not agree among images, labels and dataset.json."""
    ending, number = content.file_ending, content.numTraining
    found = {channel for files in images.values() for channel in files}
    # nnU-Net keeps the colors of a picture in one file, under several channel names.
    one_file = paths.is_picture(ending) and found == {0}
    expected = {0} if one_file else set(range(len(content.channel_names)))
    for name in sorted(images.keys() | labels.keys()):
        files = images.get(name, {})
        if not files:
            problem = f"label without image: expected imagesTr/{name}_0000{ending}"
            yield DataError(problem, "add the image, or move the label away", case=name)
        elif name not in labels:
            problem = f"image without label: expected labelsTr/{name}{ending}"
            yield DataError(problem, "add the label, or move the image away", case=name)
        else:
            if missing := [f"{name}_{channel:04d}{ending}" for channel in sorted(expected - files.keys())]:
                yield DataError(f"missing channel files {', '.join(missing)}", "add the files", case=name)
            if unnamed := [f"{channel:04d}" for channel in sorted(files.keys() - expected)]:
                problem = f"channels {', '.join(unnamed)} are not in 'channel_names'"
                yield DataError(problem, "add them to 'channel_names', or move the files away", case=name)
    if number is not None and number != len(images):
        having = counted(len(images), "case has", "cases have")
        yield DataError(f"'numTraining' is {number}, but {having} images", "correct it in dataset.json")
