"""The datalist of MONAI and Auto3DSeg: a JSON file with sections of cases, often divided into folds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from medsegdist.data.case import Case
from medsegdist.data.layouts._listing import as_json, bad_entry, described, read_listing, refuse_entries
from medsegdist.data.layouts._paths import (
    Color,
    PatientPattern,
    Root,
    expand_path,
    inside,
    is_file_name,
    listed_patients,
    without_suffix,
)
from medsegdist.data.partial_listing import PartialListingError, Unlisted
from medsegdist.errors import DataError, ManifestError
from medsegdist.words import counted

_Name = Annotated[str, Field(min_length=1)]


class DatalistLayout(BaseModel):
    """Files that a MONAI datalist names, as Auto3DSeg and MONAI's bundles use it.

    The list is a JSON file {"training": [{"image": "a.nii.gz", "label": "b.nii.gz", "fold": 0}, ...], ...}; an image
    may also be a list of files, one for each channel. A case is called by its image's file name without the ending,
    or by its path where file names repeat, and is a patient of its own unless `patient_key` or `patient_pattern` says
    otherwise.

    Args:
        root: the folder that the listed paths are relative to; may hold ${VARIABLES} and ~.
        file: the JSON file, relative to `root`; may hold ${VARIABLES} and ~.
        section: which list of it. A section without labels, as "testing" often is, cannot be used.
        folds: take the entries of these folds only; None takes all.
        image_key: under which key an entry has its image.
        label_key: under which key it has its mask.
        patient_key: under which key it says whom it shows; None if it does not.
        channel: which channel, from 0, of images that are lists of files or multi-channel (4D) files.
        color: how an RGB picture becomes one channel: its luminance (ITU-R BT.601) or one of its colors.
        patient_pattern: regular expression with one group, searched for in the case's id; the group is the patient.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["datalist"] = "datalist"
    root: Root
    file: _Name = "datalist.json"
    section: _Name = "training"
    folds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] | None = None
    image_key: _Name = "image"
    label_key: _Name = "label"
    patient_key: _Name | None = None
    channel: NonNegativeInt | None = None
    color: Color = "luminance"
    patient_pattern: PatientPattern = None

    @model_validator(mode="after")
    def _check_keys(self) -> DatalistLayout:
        if self.image_key == self.label_key:
            raise ValueError(f"image_key and label_key are both '{self.image_key}'; name each by its own")
        if self.patient_key is not None and self.patient_pattern is not None:
            raise ValueError("patient_key and patient_pattern both say whom a case shows; choose one")
        return self

    def cases(self) -> list[Case]:
        """The labeled cases, in the order of the list; no voxel is read.

        Raises:
            DataError: the list is missing or not of this form.
            PartialListingError: entries that cannot be used, are listed twice or are of unknown patients; all of them.
            ManifestError: a path in it is absolute or leaves the folder, or `file` cannot be a file.
        """
        try:
            return [case for case, _ in self._cases(self.folds)]
        except PartialListingError as error:
            raise PartialListingError(str(error), error.unlisted, [case for case, _ in error.listed]) from None

    def cases_with_folds(self) -> list[tuple[Case, int | None]]:
        """The labeled cases of all folds, each with its own; None where an entry names none.

        Raises:
            DataError: as for :meth:`cases`.
            PartialListingError: as for :meth:`cases`; what could be listed has its folds.
            ManifestError: as for :meth:`cases`.
        """
        return self._cases(None)

    def _cases(self, folds: tuple[int, ...] | None) -> list[tuple[Case, int | None]]:
        """The cases of some folds, each with its own."""
        listing = self._listing()
        entries = self._entries(listing, folds)
        escaping: list[str] = []
        malformed: list[Unlisted] = []
        found: dict[Path, tuple[Path, dict[str, Any]]] = {}
        doubled: list[Path] = []
        for index, entry in entries:
            try:
                image, label = inside(self.root, self._image(entry)), inside(self.root, self._label(entry))
            except ManifestError as error:
                escaping.append(f"  entry {index}: {error}")
            except DataError as error:
                malformed.append(bad_entry(index, error))
            else:
                if image in found:
                    doubled.append(image)
                found.setdefault(image, (label, entry))
        if escaping:
            raise ManifestError("\n".join([f"{listing}: paths that leave the folder:", *escaping]))
        ids = self._ids(list(found))
        first: dict[str, Path] = {}
        for image, case_id in ids.items():
            first.setdefault(case_id, image)
        # As a.nii and a.nii.gz in one folder.
        doubled += [image for image, case_id in ids.items() if first[case_id] != image]
        found = {image: found[image] for image in first.values()}
        patients, unlisted, lines = listed_patients([ids[image] for image in found], self.patient_pattern, str(listing))
        if self.patient_key is not None:
            patients = [str(entry[self.patient_key]) for _, entry in found.values()]
        cases = [
            (Case(ids[image], patient, str(image), str(label)), fold if _is_fold(fold := entry.get("fold")) else None)
            for patient, (image, (label, entry)) in zip(patients, found.items(), strict=True)
        ]
        if len({_is_list(entry[self.image_key]) for _, entry in found.values()}) > 1:
            # The loader takes all images of a dataset for the one or for the other.
            cases = []
            unlisted.append(
                Unlisted("", "some images are one file and some are lists of files", "write all in one way")
            )
            lines.append(f"{listing}: some images are one file and some are lists of files; write all in one way.")
        twice = sorted({ids[image] for image in doubled})
        refuse_entries(listing, self.section, malformed, twice, unlisted, lines, cases)
        return cases

    def loader(self) -> Any:
        """A MONAI transform that reads the files of an item as (1, *spatial) float32 tensors.

        Raises:
            DataError: the list is missing or not of this form.
            ManifestError: `file` cannot be a file.
        """
        from medsegdist.data.layouts._file_reading import ReadFiles

        # Of images that are lists of files, the channel has been chosen with the file.
        entries = [entry for _, entry in self._entries(self._listing(), self.folds) if isinstance(entry, dict)]
        listed = any(_is_list(entry.get(self.image_key)) for entry in entries)
        return ReadFiles(channel=None if listed else self.channel, color=self.color)

    def _listing(self) -> Path:
        try:
            listing = expand_path(self.file, self.root)
        except ValueError as error:
            raise ManifestError(f"{self.root}: file: {error}.") from error
        if not is_file_name(str(listing)):
            raise ManifestError(f"expected the name of a JSON file, found {ascii(self.file)[:200]}; correct `file`.")
        return listing

    def _entries(self, listing: Path, wanted: tuple[int, ...] | None) -> list[tuple[int, Any]]:
        """The entries of the section and the folds, with their places in the section."""
        content = read_listing(listing, "set `root` and `file` to where the datalist lies")
        if not isinstance(content, dict):
            raise DataError(
                f"{listing}: expected {{'{self.section}': [...]}}, found {type(content).__name__}; mend it."
            )
        section = content.get(self.section)
        if not isinstance(section, list) or not section:
            lists = sorted(ascii(name) for name, value in content.items() if isinstance(value, list) and value)
            raise DataError(
                f"{listing}: expected a list '{self.section}' of labeled cases, found {described(section)}; "
                f"set `section` to one of its lists: {', '.join(lists)[:500] or 'it has none'}."
            )
        entries = list(enumerate(section))
        if wanted is None:
            return entries
        folds: list[Any] = [entry.get("fold") if isinstance(entry, dict) else None for entry in section]
        without = [str(index) for index, fold in enumerate(folds) if not _is_fold(fold)]
        if without:
            raise DataError(
                f"{listing}: these entries of '{self.section}' have no whole number as their 'fold': "
                f"{', '.join(without)}; add it, or leave `folds` out."
            )
        absent = sorted(set(wanted) - set(folds))
        if absent:
            raise DataError(
                f"{listing}: no entry of '{self.section}' is in fold {', '.join(map(str, absent))}, found the folds "
                f"{', '.join(map(str, sorted(set(folds))))[:500]}; correct `folds`."
            )
        return [(index, entry) for index, entry in entries if folds[index] in wanted]

    def _image(self, entry: Any) -> str:
        if not isinstance(entry, dict) or self.image_key not in entry:
            raise DataError(f'expected {{"{self.image_key}": "path", ...}}, found {as_json(entry)}.')
        image = entry[self.image_key]
        if isinstance(image, str):
            return image
        if not _is_list(image):
            raise DataError(f"expected '{self.image_key}' to be a path or a list of paths, found {as_json(image)}.")
        if self.channel is None and len(image) > 1:
            raise DataError(f"found {len(image)} images; say which one by `channel: 0` to {len(image) - 1}.")
        if (self.channel or 0) >= len(image):
            raise DataError(
                f"expected channel {self.channel}, found {counted(len(image), 'image')}; set `channel` below that."
            )
        return str(image[self.channel or 0])

    def _label(self, entry: dict[str, Any]) -> str:
        label = entry.get(self.label_key)
        if not isinstance(label, str):
            raise DataError(f"expected the path of a mask under '{self.label_key}', found {as_json(label)}.")
        if self.patient_key is not None:
            patient = entry.get(self.patient_key)
            if not isinstance(patient, (str, int)) or isinstance(patient, bool) or patient == "":
                raise DataError(f"expected a name or number under '{self.patient_key}', found {as_json(patient)}.")
        return label

    def _ids(self, images: list[Path]) -> dict[Path, str]:
        """What each image's case is called."""
        ids = [without_suffix(image.name) for image in images]
        if len(set(ids)) < len(ids):
            ids = [without_suffix(image.relative_to(self.root).as_posix()) for image in images]
        return dict(zip(images, ids, strict=True))


def _is_list(image: Any) -> bool:
    return isinstance(image, list) and bool(image) and all(isinstance(file, str) for file in image)


def _is_fold(fold: Any) -> bool:
    return isinstance(fold, int) and not isinstance(fold, bool)
