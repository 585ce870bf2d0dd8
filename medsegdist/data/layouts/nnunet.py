"""The layout of nnU-Net v2: imagesTr with one file for each channel, labelsTr, and a dataset.json about them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, StrictStr, ValidationError

from medsegdist.data.case import Case
from medsegdist.data.layouts._listing import read_listing
from medsegdist.data.layouts._paths import (
    PICTURE_SUFFIXES,
    VOLUME_SUFFIXES,
    Color,
    PatientPattern,
    Root,
    check_names,
    inside,
    is_picture,
    listed_patients,
)
from medsegdist.data.partial_listing import PartialListingError, Unlisted
from medsegdist.data.validation import explain
from medsegdist.errors import DataError, ManifestError
from medsegdist.words import counted


def _label_values(labels: dict[str, Any]) -> dict[str, Any]:
    for name, values in labels.items():
        whole = values if isinstance(values, list) and values else [values]
        if not all(isinstance(value, int) and not isinstance(value, bool) for value in whole):
            raise ValueError(f"label {ascii(name)[:80]}: expected a whole number or a list of them")
    return labels


_Name = Annotated[StrictStr, Field(min_length=1)]


class _ExplicitCase(BaseModel):
    images: Annotated[tuple[StrictStr, ...], Field(min_length=1)]
    label: StrictStr


class _DatasetJson(BaseModel):
    """What is read of dataset.json; nnU-Net writes more into it."""

    channel_names: Annotated[dict[StrictStr, Any], Field(min_length=1)]
    labels: Annotated[dict[StrictStr, Any], Field(min_length=1), AfterValidator(_label_values)]
    file_ending: StrictStr
    numTraining: NonNegativeInt | None = None  # noqa: N815, nnU-Net's own word
    dataset: Annotated[dict[_Name, _ExplicitCase], Field(min_length=1)] | None = None


class NnunetLayout(BaseModel):
    """A raw dataset of nnU-Net v2, such as `nnUNet_raw/Dataset004_Hippocampus`.

    The cases are those of imagesTr and labelsTr, or those that "dataset" in dataset.json lists. A case is called as
    nnU-Net calls it, and is a patient of its own unless `patient_pattern` says otherwise. Where dataset.json has a
    label "ignore", those voxels count as background unless `foreground` names their value.

    Args:
        root: the dataset's folder; may hold ${VARIABLES} and ~.
        channel: which channel, from 0: the number at the end of the image files' names.
        color: how an RGB picture becomes one channel: its luminance (ITU-R BT.601) or one of its colors.
        patient_pattern: regular expression with one group, searched for in the case's id; the group is the patient.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["nnunet"] = "nnunet"
    root: Root
    channel: NonNegativeInt = 0
    color: Color = "luminance"
    patient_pattern: PatientPattern = None

    def cases(self) -> list[Case]:
        """The labeled cases, in the order of their names; no voxel is read.

        Raises:
            DataError: dataset.json is missing or wrong, or `channel` is not there.
            PartialListingError: dataset.json does not agree with the files (all that is missing, too much or misnamed
                is listed), or cases are of unknown patients.
            ManifestError: a path in dataset.json is absolute or leaves the folder.
        """
        content = self._dataset_json()
        files = _Files(self.root, content.file_ending)
        if content.dataset is None:
            files.find()
        else:
            files.take(content.dataset)
        files.check(len(content.channel_names), content.numTraining)
        check_names(sorted(files.images.keys() | files.labels.keys()), str(self.root))
        channels = {channel for images in files.images.values() for channel in images}
        if channels and self.channel not in channels:
            raise DataError(
                f"{self.root}: expected channel {self.channel}, found the channels {sorted(channels)}; "
                "set `channel` to one of them."
            )
        ids = files.usable(self.channel)
        patients, unlisted, lines = listed_patients(ids, self.patient_pattern, str(self.root))
        cases = [
            Case(
                id=name, patient_id=patient, image=str(files.images[name][self.channel]), label=str(files.labels[name])
            )
            for name, patient in zip(ids, patients, strict=True)
        ]
        if files.problems:
            lines = [
                f"{self.root}: dataset.json, imagesTr and labelsTr do not agree; add what is missing, or correct it.",
                *(f"  {f'case {one.case!r}: ' if one.case else ''}{one.problem}" for one in files.problems),
                *lines,
            ]
        if files.problems or unlisted:
            raise PartialListingError("\n".join(lines), [*files.problems, *unlisted], cases)
        return cases

    def loader(self) -> Any:
        """A MONAI transform that reads the files of an item as (1, *spatial) float32 tensors."""
        from medsegdist.data.layouts._file_reading import ReadFiles

        return ReadFiles(color=self.color)

    def _dataset_json(self) -> _DatasetJson:
        path = self.root / "dataset.json"
        found = read_listing(path, "set `root` to the folder that holds dataset.json, imagesTr and labelsTr")
        if isinstance(found, dict) and "channel_names" not in found and "modality" in found:
            raise DataError(
                f"{path}: expected 'channel_names' as nnU-Net v2 has it, found the 'modality' of the Decathlon and of "
                "nnU-Net v1; use `kind: decathlon`, or convert the dataset to nnU-Net v2."
            )
        try:
            content = _DatasetJson.model_validate(found)
        except ValidationError as error:
            raise DataError("\n".join(explain(error, _DatasetJson, path))) from error
        if content.file_ending not in (*VOLUME_SUFFIXES, *PICTURE_SUFFIXES):
            raise DataError(
                f"{path}: expected a file_ending of {', '.join((*VOLUME_SUFFIXES, *PICTURE_SUFFIXES))}, "
                f"found {ascii(content.file_ending)[:80]}; convert the files."
            )
        return content


class _Files:
    """The files of each case, and all that is wrong with them."""

    def __init__(self, root: Path, ending: str) -> None:
        self._root = root
        self._ending = ending
        self.problems: list[Unlisted] = []
        self.images: dict[str, dict[int, Path]] = {}
        self.labels: dict[str, Path] = {}

    def find(self) -> None:
        """Take the files that lie in imagesTr and labelsTr."""
        for path in self._in_folder("imagesTr"):
            match = re.fullmatch(r"(.+)_([0-9]{4})", path.name.removesuffix(self._ending), flags=re.DOTALL)
            if match:
                self.images.setdefault(match.group(1), {})[int(match.group(2))] = path
            else:
                expected = f"{path.name.removesuffix(self._ending)}_0000{self._ending}"
                problem = f"imagesTr/{path.name} has no channel in its name, as in {expected}"
                self.problems.append(Unlisted("", problem, "rename the file"))
        self.labels = {path.name.removesuffix(self._ending): path for path in self._in_folder("labelsTr")}

    def take(self, listed: dict[str, _ExplicitCase]) -> None:
        """Take the files that dataset.json lists."""
        escaping = []
        for name, case in listed.items():
            try:
                self.labels[name] = inside(self._root, case.label)
                self.images[name] = {k: inside(self._root, image) for k, image in enumerate(case.images)}
            except ManifestError as error:
                escaping.append(f"  case '{name}': {error}")
        if escaping:
            raise ManifestError("\n".join([f"{self._root / 'dataset.json'}: paths that leave the folder:", *escaping]))
        for name in listed:
            self.problems += [
                Unlisted(name, f"{path.relative_to(self._root)} does not exist", "restore the file, or unlist the case")
                for path in (*self.images[name].values(), self.labels[name])
                if not path.is_file()
            ]

    def check(self, channels: int, number: int | None) -> None:
        """Note files that do not agree with each other and with dataset.json.

        Args:
            channels: how many channels dataset.json names.
            number: how many cases dataset.json says there are.
        """
        found = {channel for files in self.images.values() for channel in files}
        # nnU-Net keeps the colors of a picture in one file, under several channel names.
        one_file = is_picture(self._ending) and found == {0}
        expected = {0} if one_file else set(range(channels))
        for name in sorted(self.images.keys() | self.labels.keys()):
            if name not in self.images:
                problem = f"label without image: expected imagesTr/{name}_0000{self._ending}"
                self.problems.append(Unlisted(name, problem, "add the image, or move the label away"))
                continue
            if name not in self.labels:
                problem = f"image without label: expected labelsTr/{name}{self._ending}"
                self.problems.append(Unlisted(name, problem, "add the label, or move the image away"))
            present = self.images[name].keys()
            missing = [f"{name}_{channel:04d}{self._ending}" for channel in sorted(expected - present)]
            unnamed = [f"{channel:04d}" for channel in sorted(present - expected)]
            if missing:
                self.problems.append(Unlisted(name, f"missing channel files {', '.join(missing)}", "add the files"))
            if unnamed:
                problem = f"channels {', '.join(unnamed)} are not in 'channel_names'"
                self.problems.append(Unlisted(name, problem, "add them to 'channel_names', or move the files away"))
        if number is not None and number != len(self.images):
            having = counted(len(self.images), "case has", "cases have")
            self.problems.append(
                Unlisted("", f"'numTraining' is {number}, but {having} images", "correct it in dataset.json")
            )
        if not self.problems and not self.images:
            self.problems.append(Unlisted("", f"imagesTr and labelsTr hold no file *{self._ending}", "correct `root`"))

    def usable(self, channel: int) -> list[str]:
        """The cases whose image and label are there, in order.

        Args:
            channel: which channel of the image.
        """
        pairs = {name: (images.get(channel), self.labels.get(name)) for name, images in self.images.items()}
        return sorted(
            name for name, files in pairs.items() if all(file is not None and file.is_file() for file in files)
        )

    def _in_folder(self, name: str) -> list[Path]:
        folder = self._root / name
        if not folder.is_dir():
            self.problems.append(Unlisted("", f"the folder {name} does not exist", "correct `root`"))
            return []
        return sorted(p for p in folder.iterdir() if p.name.endswith(self._ending) and not p.name.startswith("."))
