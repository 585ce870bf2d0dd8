"""From one item of a dataset to checked samples, and what the items are called."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from medsegdist.data.case_cache import PreparedCase, save_case
from medsegdist.data.case_statistics import FOUND_LABELS, Foreground, grid_error
from medsegdist.data.layouts.paths import without_suffix
from medsegdist.data.problems import case_problem
from medsegdist.errors import DataError
from medsegdist.words import counted


class ItemDataset(Protocol):
    """Any dataset of MONAI or PyTorch, or a plain list, whose items are samples or lists of samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class CaseTask:
    """Which case to read.

    Args:
        key: what its item is loaded by.
        name: of the case, as far as it is known before it is read.
        file: where its samples are kept; None gives them back.
    """

    key: Any
    name: str
    file: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ReadCase:
    """Function that reads one case; whatever is wrong with it is in the result.

    Args:
        load: from the key of a case to an item, or a list of items, with "image" and "label".
        dataset: name of the dataset.
        delta: what segments will be neutralized by; must lie below the segments' intensities. None: not checked.
        min_pixels: foreground pixels that a sample needs, or each class of it.
        classes: names of the classes, in the order of the label's channels; None for one foreground.
        foreground: the label values that are foreground, where the dataset records labels.
        folder: what names of files are relative to.
        transform: from what `load` gives, with "found_labels", to samples; None takes it as it is.
        sliced: whether a volume then stands for its slices, each a sample.
        observe: called with what `load` gives; the samples are then not given back.
    """

    load: Callable[[Any], Any]
    dataset: str
    delta: float | None = None
    min_pixels: int = 1
    classes: tuple[str, ...] | None = None
    foreground: Foreground = None
    folder: Path | None = None
    transform: Callable[[Any], Any] | None = None
    sliced: bool = False
    observe: Callable[[Any], Any] | None = None

    def __call__(self, task: CaseTask) -> PreparedCase:
        """Read one case.

        Raises:
            ManifestError: the layout cannot read what the manifest describes.
            OSError: the machine is in trouble, as when its disk is full.
        """
        observed = None
        classes = None if self.classes is None else len(self.classes)
        try:
            item = self.load(task.key)
            labels = tuple(item[FOUND_LABELS]) if self.transform is not None else None
            if self.observe is not None:
                observed = self.observe(item)
            if self.transform is not None:
                item = self.transform(item)
            case = prepare_case(item, task.name, self.folder, self.delta, self.min_pixels, classes, sliced=self.sliced)
            case = replace(case, labels=labels)
        # Any transform may fail in any way, and one bad case must not hide the others.
        except Exception as error:  # noqa: BLE001
            return PreparedCase(task.name, problem=case_problem(error, self.dataset, task.name), observed=observed)
        if self.observe is not None:
            return replace(case, images=None, masks=None, observed=observed)
        if task.file is None:
            return case
        save_case(case, task.file)
        return replace(case, images=None, masks=None)


def prepare_case(
    item: Any,
    name: str,
    folder: Path | None,
    delta: float | None,
    min_pixels: int,
    classes: int | None,
    *,
    sliced: bool = False,
) -> PreparedCase:
    """The checked samples of one item of a dataset.

    Args:
        item: dict with "image" (1, *grid) and "label" (1, *grid), or (classes, *grid), of 0 and 1; or a list of them.
        name: of the case, where the item has no "case_id".
        folder: what names of files are relative to, as :func:`case_tasks` gives it.
        delta: what segments will be neutralized by; must lie below the segments' intensities. None: not checked.
        min_pixels: foreground pixels that a sample needs, or each class of it.
        classes: how many channels the label has, one for each class; None for one foreground.
        sliced: whether a volume stands for its slices, each a sample.

    Raises:
        DataError: the item is something else, or no distance can use it.
    """
    parts = list(item) if isinstance(item, (list, tuple)) else [item]
    pairs = [_images_and_masks(part, classes, sliced) for part in parts]
    ids: list[str] = []
    patients: list[str] = []
    for part, (image, _) in zip(parts, pairs, strict=True):
        case_id = _case_id(part, name, folder)
        if image.shape[1:] != pairs[0][0].shape[1:]:
            raise grid_error(image.shape[1:], pairs[0][0].shape[1:], ids[0])
        ids += [case_id] * len(image)
        patients += [str(part.get("patient_id", case_id))] * len(image)
    if not ids:
        return PreparedCase(name)
    images, masks = pairs[0] if len(pairs) == 1 else (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    pixels: np.ndarray = masks.reshape(*masks.shape[:2], -1)
    _check_intensities(images.reshape(len(ids), -1), pixels, delta)
    sizes = np.count_nonzero(pixels, axis=2)
    large = sizes >= min_pixels
    kept = np.flatnonzero(large.any(1)).tolist()
    masks = masks[kept]
    masks[~large[kept]] = False
    return PreparedCase(
        name=ids[0],
        case_ids=tuple(ids[k] for k in kept),
        patient_ids=tuple(patients[k] for k in kept),
        grid=images.shape[1:],
        sizes=tuple(map(tuple, sizes.tolist())),
        images=images if len(kept) == len(ids) else images[kept],
        masks=masks[:, 0] if classes is None else masks,
    )


def case_tasks(dataset: ItemDataset) -> tuple[list[CaseTask], Path | None]:
    """The items of a dataset of MONAI or PyTorch, or of a list, by their index.

    A case is called by its image's file name without the ending. Where names repeat, as in s0001/ct.nii.gz and
    s0002/ct.nii.gz, all cases are called by their paths within the folder they have in common: otherwise all of them
    would be one patient.

    Args:
        dataset: entries of its `data` with a path under "image" are looked at, and nothing is read.

    Returns:
        The tasks, and the folder that the names are relative to; None if file names distinguish the cases.
    """
    entries = getattr(dataset, "data", dataset)
    entries = list(entries) if isinstance(entries, (list, tuple)) else []
    paths = {path for entry in entries if (path := _image_path(entry)) is not None}
    stems = {without_suffix(path.name) for path in paths}
    # A file that is listed twice is one case.
    folder = None if len(stems) == len(paths) else Path(os.path.commonpath([path.parent for path in paths]))
    tasks = []
    for index in range(len(dataset)):
        entry = entries[index] if index < len(entries) else None
        path = _image_path(entry)
        name = str(index) if path is None else _file_name(path, folder)
        if isinstance(entry, Mapping) and "case_id" in entry:
            name = str(entry["case_id"])
        tasks.append(CaseTask(index, name))
    return tasks, folder


def _case_id(item: Mapping[Any, Any], name: str, folder: Path | None) -> str:
    if "case_id" in item:
        return str(item["case_id"])
    # What the image says of its own file counts before its place: a SmartCacheDataset moves on through its data.
    source = getattr(item["image"], "meta", {}).get("filename_or_obj")
    return _file_name(Path(source), folder) if isinstance(source, (str, Path)) else name


def _file_name(path: Path, folder: Path | None) -> str:
    if folder is not None and path.is_relative_to(folder):
        return without_suffix(path.relative_to(folder).as_posix())
    return without_suffix(path.name)


def _image_path(entry: object) -> Path | None:
    image = entry.get("image") if isinstance(entry, Mapping) else None
    return Path(image) if isinstance(image, (str, Path)) else None


def _images_and_masks(item: object, classes: int | None, sliced: bool) -> tuple[np.ndarray, np.ndarray]:
    """(n, *grid) float32 and (n, channels, *grid) bool."""
    if not isinstance(item, Mapping) or "image" not in item or "label" not in item:
        found = f"the keys {sorted(map(str, item))}" if isinstance(item, Mapping) else type(item).__name__
        raise DataError(f'expected a dict with "image" and "label", found {found}', "rename or add the keys")
    image, label = _values(item["image"]), _values(item["label"])
    if image.ndim not in (3, 4) or image.shape[0] != 1:
        raise DataError(
            f"expected an image of shape (1, rows, columns) or (1, slices, rows, columns), found {tuple(image.shape)}",
            "put the channel first and choose one",
        )
    if label.shape != (1 if classes is None else classes, *image.shape[1:]):
        channels = "" if classes is None else f", expected {counted(classes, 'channel')}, one for each class"
        raise DataError(
            f"the image has shape {tuple(image.shape)} but its mask {tuple(label.shape)}{channels}",
            "pair each image with the mask that was drawn on it",
        )
    mask = label.to(torch.bool)
    if not torch.equal(mask.to(label.dtype), label):
        other = label[(label != 0) & (label != 1)]
        values = ", ".join(f"{value:g}" for value in torch.unique(other)[:5].tolist())
        raise DataError(f"expected a mask of 0 and 1, found {values}", "binarize the labels first")
    if sliced and image.ndim == 4:
        return image[0].to(torch.float32).numpy(), mask.numpy().swapaxes(0, 1)
    # A dataset may give the same memory for every item.
    return image.to(torch.float32, copy=True).numpy(), mask.numpy()[None]


def _values(array: Any) -> Tensor:
    # A MetaTensor first of all becomes a plain tensor: every step of it copies its metadata.
    values = array.as_subclass(Tensor) if isinstance(array, Tensor) else torch.as_tensor(array)
    return values.detach().cpu()


def _check_intensities(images: np.ndarray, masks: np.ndarray, delta: float | None) -> None:
    """Refuse images that no distance can use.

    Raises:
        DataError: an image is constant or not finite, or reaches down to delta in its mask.
    """
    # NaN and infinity show in the extremes.
    lows, highs = images.min(axis=1), images.max(axis=1)
    for image, mask, low, high in zip(images, masks, lows.tolist(), highs.tolist(), strict=True):
        if not np.isfinite([low, high]).all():
            raise DataError("the image holds NaN or infinite values", "repair the image")
        if low == high:
            raise DataError(f"the image is constant, {low:g} everywhere", "check its window, and that it is not blank")
        if delta is not None and low <= delta and mask.any() and (least := float(image[mask.any(0)].min())) <= delta:
            raise DataError(
                f"expected intensities above delta = {delta:g} in the segment, found {least:g}",
                "lower delta, or clip the intensities",
            )
