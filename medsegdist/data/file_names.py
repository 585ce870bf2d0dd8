"""What cases are called that somebody else's dataset reads from files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsegdist.data.layouts.paths import without_suffix


class FileNames:
    """Names of cases by the files of their images.

    A case is called by its file's name without the ending; where names repeat, as in s0001/ct.nii.gz and
    s0002/ct.nii.gz, all cases are called by their paths within the folder they have in common: otherwise all of them
    would be one patient.

    Args:
        dataset: any dataset, or a list; entries with a path under "image" are looked at, and nothing is read.
    """

    def __init__(self, dataset: object) -> None:
        entries = getattr(dataset, "data", dataset)
        self._entries: list[Any] = list(entries) if isinstance(entries, (list, tuple)) else []
        paths = {path for entry in self._entries if (path := _image_of(entry)) is not None}
        stems = {without_suffix(path.name) for path in paths}
        # A file that is listed twice is one case.
        self._common = None if len(stems) == len(paths) else Path(os.path.commonpath([path.parent for path in paths]))

    def of_item(self, item: Mapping[Any, Any], index: int) -> str:
        """The name of a case that has been read.

        What the image says of its own file counts before its place: a SmartCacheDataset moves on through its data.

        Args:
            item: a dict with "image".
            index: its place in the dataset.
        """
        if "case_id" in item:
            return str(item["case_id"])
        source = getattr(item["image"], "meta", {}).get("filename_or_obj")
        return self._of_file(Path(source)) if isinstance(source, (str, Path)) else self.of_entry(index)

    def of_entry(self, index: int) -> str:
        """The name of a case that may not have been read.

        Args:
            index: its place in the dataset.
        """
        entry = self._entries[index] if index < len(self._entries) else None
        if isinstance(entry, Mapping) and "case_id" in entry:
            return str(entry["case_id"])
        path = _image_of(entry)
        return str(index) if path is None else self._of_file(path)

    def _of_file(self, path: Path) -> str:
        if self._common is not None and path.is_relative_to(self._common):
            return without_suffix(path.relative_to(self._common).as_posix())
        return without_suffix(path.name)


def _image_of(entry: object) -> Path | None:
    image = entry.get("image") if isinstance(entry, Mapping) else None
    return Path(image) if isinstance(image, (str, Path)) else None
