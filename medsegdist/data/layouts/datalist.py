"""The datalist of MONAI and Auto3DSeg: a JSON file with sections of cases, often divided into folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, ValidationInfo, field_validator, model_validator

from medsegdist.data.layouts import listing, paths
from medsegdist.errors import DataError, ManifestError
from medsegdist.words import counted

_Name = Annotated[str, Field(min_length=1)]
_LABEL_KEYS = ("label", "mask", "seg", "segmentation")
_PATIENT_KEYS = ("patient_id", "patient", "subject", "subject_id")


class DatalistLayout(listing.FileLayout):
    """Files that a MONAI datalist names, as Auto3DSeg and MONAI's bundles use it.

    The list is a JSON file {"training": [{"image": "a.nii.gz", "label": "b.nii.gz", "fold": 0}, ...], ...}; an image
    may also be a list of files, one for each channel. A case has the name of its image's file without the ending,
    or its path if file names repeat, and is a patient of its own unless `patient_key` or `patient_pattern` says
    otherwise.
    """

    looked_for: ClassVar[str] = '*.json with a list of {"image": ..., "label": ...} (MONAI datalist)'

    kind: Literal["datalist"] = "datalist"
    root: paths.Root | None = None  # None: the folder of `file`, from which absolute paths may lead anywhere
    # Relative to `root`, or without one to the manifest.
    file: Annotated[_Name, Field(validate_default=True)] = "datalist.json"
    section: _Name = "training"  # one with labels, which "testing" often lacks
    folds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] | None = None  # None takes all
    label_key: _Name = "label"
    patient_key: _Name | None = None  # under which an entry says whom it shows
    channel: NonNegativeInt | None = None  # of images that are lists of files or multi-channel (4D) files
    color: paths.Color = "luminance"
    patient_pattern: paths.PatientPattern = None

    @field_validator("file")
    @classmethod
    def _whole_path_without_root(cls, file: str, info: ValidationInfo) -> str:
        alone = info.data.get("root", "") is None
        return str(paths.expand_path(file, (info.context or {}).get(paths.DIRECTORY))) if alone else file

    @model_validator(mode="after")
    def _check_one_patient(self) -> DatalistLayout:
        if self.patient_key is not None and self.patient_pattern is not None:
            raise ValueError("patient_key and patient_pattern both say whom a case shows; choose one")
        return self

    def cases(self) -> list[listing.Case]:
        """The labeled cases, in the order of the list; no voxel is read."""
        path = self._listing()
        read, unlisted = listing.read_entries(path, self._entries(path), self._files)
        ids = paths.case_names([image for image, _, _ in read], self.root)
        found = [
            (name, str(image), str(label), entry.get(self.patient_key))
            for name, (image, label, entry) in zip(ids, read, strict=True)
        ]
        if len({_is_list(entry["image"]) for _, _, entry in read}) > 1:
            # All images of a dataset are loaded as the one or as the other.
            found = []
            unlisted.append(DataError("some images are one file and some are lists of files", "write all in one way"))
        # Before other processes load cases: the answer travels with the layout.
        _ = self._lists_channels
        # One name twice: the same file, or a.nii and a.nii.gz in one folder.
        return listing.build_cases(found, self.patient_pattern, path, unlisted)

    @classmethod
    def recognize(cls, root: Path) -> listing.Recognized | None:
        """What the first datalist in a folder says of it; None if no JSON file in it is one."""
        lists = [root] if root.is_file() else sorted(root.glob("*.json"))
        found = [one for path in lists if (one := _recognize_file(path, named=root.is_file())) is not None]
        if len(found) < 2:
            return found[0] if found else None
        others = ", ".join(one.layout["file"] for one in found[1:])
        remark = f"other datalists here: {others}; write one of them as `file` to use it"
        return replace(found[0], remarks=(*found[0].remarks, remark))

    @property
    def _channel_in_file(self) -> int | None:
        # Of images that are lists of files, the channel has been chosen with the file.
        return None if self._lists_channels else self.channel

    @cached_property
    def _lists_channels(self) -> bool:
        """Whether the images are lists of files; cached, as loading a case would read the list again."""
        entries = [entry for _, entry in self._entries(self._listing()) if isinstance(entry, dict)]
        return any(_is_list(entry.get("image")) for entry in entries)

    def _listing(self) -> Path:
        try:
            path = paths.expand_path(self.file, self.root)
        except ValueError as error:
            raise ManifestError(f"{self.root}: file: {error}") from error
        if not paths.is_file_name(str(path)):
            raise ManifestError(f"expected the name of a JSON file, found {ascii(self.file)[:200]}", "correct `file`")
        return path

    def _entries(self, path: Path) -> list[tuple[int, Any]]:
        """The entries of the section and the folds, with their places in the section."""
        content = listing.read_listing(path, "set `root` and `file` to where the datalist is")
        if not isinstance(content, dict):
            found = type(content).__name__
            raise DataError(f"{path}: expected {{'{self.section}': [...]}}, found {found}", "correct the file")
        section = content.get(self.section)
        if not isinstance(section, list) or not section:
            lists = sorted(ascii(name) for name, value in content.items() if isinstance(value, list) and value)
            raise DataError(
                f"{path}: expected a list '{self.section}' of labeled cases, found {listing.shown(section)}",
                f"set `section` to one of its lists: {', '.join(lists)[:500] or 'it has none'}",
            )
        entries = list(enumerate(section))
        if self.folds is None:
            return entries
        folds: list[Any] = [entry.get("fold") if isinstance(entry, dict) else None for entry in section]
        # Of JSON, True and False are no whole numbers.
        if without := [str(index) for index, fold in enumerate(folds) if type(fold) is not int]:
            raise DataError(
                f"{path}: these entries of '{self.section}' have no whole number as their 'fold': {', '.join(without)}",
                "add it, or leave `folds` out",
            )
        if absent := sorted(set(self.folds) - set(folds)):
            raise DataError(
                f"{path}: no entry of '{self.section}' is in fold {', '.join(map(str, absent))}, found the folds "
                f"{', '.join(map(str, sorted(set(folds))))[:500]}",
                "correct `folds`",
            )
        return [(index, entry) for index, entry in entries if folds[index] in self.folds]

    def _files(self, entry: Any) -> tuple[Path, Path]:
        if not isinstance(entry, dict) or "image" not in entry:
            raise DataError(f'expected {{"image": "path", ...}}, found {listing.shown(entry)}')
        image, label, channel = entry["image"], entry.get(self.label_key), self.channel or 0
        if _is_list(image):
            if self.channel is None and len(image) > 1:
                raise DataError(f"found {len(image)} images", f"say which one by `channel: 0` to {len(image) - 1}")
            if channel >= len(image):
                problem = f"expected channel {channel}, found {counted(len(image), 'image')}"
                raise DataError(problem, "set `channel` below that")
            image = image[channel]
        if not isinstance(image, str):
            raise DataError(f"expected 'image' to be a path or a list of paths, found {listing.shown(image)}")
        if not isinstance(label, str):
            raise DataError(f"expected the path of a mask under '{self.label_key}', found {listing.shown(label)}")
        if self.patient_key is not None:
            listing.check_patient(entry, self.patient_key)
        return self._file(image), self._file(label)

    def _file(self, entry: str) -> Path:
        if self.root is None:
            is_whole = Path(entry).is_absolute() and paths.is_file_name(entry)
            return Path(entry) if is_whole else paths.inside(self._listing().parent, entry)
        try:
            return paths.inside(self.root, entry)
        except ManifestError as error:
            out = "or leave `root` out (for `init`: name the list itself) to follow absolute paths anywhere"
            raise ManifestError(error.problem, f"{error.remedy}, {out}") from None


def _is_list(image: Any) -> bool:
    return isinstance(image, list) and bool(image) and all(isinstance(file, str) for file in image)


def _recognize_file(path: Path, *, named: bool) -> listing.Recognized | None:
    try:
        content = listing.read_listing(path, "restore it")
    except DataError:
        # A dataset may have other JSON files next to it.
        return None
    lists = content.items() if isinstance(content, Mapping) else ()
    sections = {name: key for name, value in lists if (key := _label_key(value))}
    if not sections:
        return None
    section = "training" if "training" in sections else next(iter(sections))
    entries, images = content[section], content[section][0]["image"]
    patient = next((key for key in _PATIENT_KEYS if all(key in entry for entry in entries)), None)
    options = {
        "section": (section, "training"),
        "label_key": (sections[section], "label"),
        "patient_key": (patient, None),
    }
    layout: dict[str, Any] = {"kind": "datalist", "file": path.name}
    layout |= {key: value for key, (value, usual) in options.items() if value != usual}
    several = isinstance(images, list) and len(images) > 1
    first = str((images or [""])[0] if isinstance(images, list) else images)
    if named and Path(first).is_absolute():
        # A list that is named itself is trusted.
        layout |= {"root": None, "file": str(path)}
    remarks: tuple[str, ...] = ()
    if several:
        layout["channel"], remarks = 0, (f"channel: 0 is the first of {len(images)} images of a case",)
    what = f"a MONAI datalist ({path.name}, '{section}')"
    found = listing.recognized_listing(content, what, layout, content.get("modality"), path.name)
    return replace(found, remarks=remarks)


def _label_key(value: Any) -> str | None:
    """Under which key the entries of a section have their mask; None if it is no list of labeled cases."""
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) and "image" in one for one in value):
        return None
    return next((key for key in _LABEL_KEYS if all(isinstance(entry.get(key), str) for entry in value)), None)
