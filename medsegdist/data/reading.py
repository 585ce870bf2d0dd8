"""Reading a dataset item by item, with every sample checked: what collecting and checking have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from medsegdist.data.file_names import FileNames
from medsegdist.data.label_tally import Foreground, LabelTally
from medsegdist.data.problems import Problem, is_machine_trouble, problem_of, root_cause
from medsegdist.errors import DataError, ManifestError

FOUND_LABELS = "found_labels"
"""Entry of an item that says which label values its mask held before it was made binary."""

Progress = Callable[[int, int], None]
"""Called with (items read, items there are)."""


class ItemDataset(Protocol):
    """Any dataset of MONAI or PyTorch, or a plain list, whose items are samples or lists of samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One checked sample.

    Args:
        case_id: the case it was taken from.
        patient_id: whom it shows.
        image: (*grid) float32, finite, not constant.
        mask: (*grid) bool, or (classes, *grid) where the dataset has classes.
    """

    case_id: str
    patient_id: str
    image: np.ndarray
    mask: np.ndarray


class CaseReader:
    """Reads a dataset once, yields its samples, and remembers all that is wrong.

    Args:
        dataset: items are dicts with "image" (1, *grid) and "label" (1, *grid) of 0 and 1, or lists of such dicts;
            optional entries "case_id" and "patient_id". With classes, "label" is (classes, *grid).
        name: the dataset's name.
        delta: what segments will be neutralized by; must lie below each segment's intensities. None: not checked.
        min_pixels: foreground pixels a sample needs; smaller ones are passed over. With classes, every class of a
            sample needs as many, or is taken off it.
        foreground: label values that were asked for; None if unknown.
        classes: names of the classes, in the order of the label's channels; None for one foreground.

    Attributes:
        problems: what was wrong with each case that could not be used.
        read: how many items have been read.
    """

    def __init__(
        self,
        dataset: ItemDataset,
        *,
        name: str,
        delta: float | None,
        min_pixels: int,
        foreground: Foreground = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self._dataset = dataset
        self._name = name
        self._delta = delta
        self._min_pixels = min_pixels
        self._names = FileNames(dataset)
        self._labels = LabelTally(foreground)
        self._grid: tuple[int, ...] | None = None
        self._first = ""
        self._classes = None if classes is None else tuple(classes)
        # For every channel of the label:
        self._usable = np.zeros(1 if classes is None else len(classes), dtype=np.int64)
        self._largest = np.zeros_like(self._usable)
        self.problems: list[Problem] = []
        self.read = 0

    def samples(self, progress: Progress | None = None) -> Iterator[Sample]:
        """The samples with enough foreground, one item of the dataset in memory at a time.

        A case with anything wrong yields none of its samples and is added to `problems`.

        Args:
            progress: called after each item.
        """
        total = len(self._dataset)
        if not total:
            raise DataError(f"dataset '{self._name}' is empty; expected at least one item.")
        for index in range(total):
            yield from self._case(index)
            self.read += 1
            if progress is not None:
                progress(self.read, total)

    def whole_dataset_problems(self) -> list[Problem]:
        """What only shows once every case has been read: labels that no case has, or nothing left."""
        found = [self._whole(*text) for text in self._labels.problems(self.read, complete=not self.problems)]
        if not found and not self.problems:
            found = [self._whole(*self._why_nothing_left(k)) for k in np.flatnonzero(self._usable == 0).tolist()]
        return found

    def _case(self, index: int) -> list[Sample]:
        try:
            item = self._dataset[index]
            items = item if isinstance(item, (list, tuple)) else [item]
            grid, first = self._grid, self._first
            samples = []
            for part in items:
                sample = self._checked(part, index, grid, first)
                if grid is None:
                    grid, first = sample.image.shape, sample.case_id
                samples.append(sample)
        except ManifestError:
            raise
        # Any transform may fail in any way, and one bad case must not hide the others.
        except Exception as error:  # noqa: BLE001
            cause = root_cause(error)
            if is_machine_trouble(cause):
                raise cause from None
            self.problems.append(problem_of(cause, self._name, self._names.of_entry(index)))
            return []
        self._grid, self._first = grid, first
        for part, sample in zip(items, samples, strict=True):
            if FOUND_LABELS in part:
                self._labels.note(part[FOUND_LABELS], sample.case_id)
        return [large for sample in samples if (large := self._large_part(sample)) is not None]

    def _large_part(self, sample: Sample) -> Sample | None:
        """The sample without the masks that are too small; None if none is left."""
        masks = sample.mask if self._classes is not None else sample.mask[None]
        sizes = masks.reshape(len(masks), -1).sum(1)
        self._largest = np.maximum(self._largest, sizes)
        large = sizes >= self._min_pixels
        self._usable += large
        if large.all() or not large.any():
            return sample if large.any() else None
        # A copy: the mask may be the dataset's own.
        return replace(sample, mask=masks & large.reshape(-1, *[1] * (masks.ndim - 1)))

    def _checked(self, item: object, index: int, grid: tuple[int, ...] | None, first: str) -> Sample:
        if not isinstance(item, Mapping) or "image" not in item or "label" not in item:
            found = f"the keys {sorted(map(str, item))}" if isinstance(item, Mapping) else type(item).__name__
            raise DataError(f'expected a dict with "image" and "label", found {found}; rename or add the keys.')
        image, label = _values(item["image"]), _values(item["label"])
        if image.ndim not in (3, 4) or image.shape[0] != 1:
            raise DataError(
                f"expected an image of shape (1, rows, columns) or (1, slices, rows, columns), found "
                f"{tuple(image.shape)}; put the channel first and choose one."
            )
        if label.shape != (len(self._usable), *image.shape[1:]):
            channels = "" if self._classes is None else f", expected {len(self._usable)} channels, one for each class"
            raise DataError(
                f"the image has shape {tuple(image.shape)} but its mask {tuple(label.shape)}{channels}; "
                "pair each image with the mask that was drawn on it."
            )
        if grid is not None and tuple(image.shape[1:]) != grid:
            raise DataError(
                f"expected the grid {grid}, as in case '{first}', found {tuple(image.shape[1:])}; "
                "resample all cases to one grid."
            )
        pixels = image[0].to(torch.float32)
        mask = _binary(label[0] if self._classes is None else label)
        self._check_intensities(pixels, mask if self._classes is None else mask.any(0))
        case_id = self._names.of_item(item, index)
        return Sample(case_id, str(item.get("patient_id", case_id)), pixels.numpy(), mask.numpy())

    def _check_intensities(self, pixels: Tensor, mask: Tensor) -> None:
        low, high = (float(value) for value in torch.aminmax(pixels))
        # NaN and infinity show in the extremes.
        if not np.isfinite([low, high]).all():
            raise DataError("the image holds NaN or infinite values; repair the image.")
        if low == high:
            raise DataError(f"the image is constant, {low:g} everywhere; check its window, and that it is not blank.")
        if self._delta is None or low > self._delta or not bool(mask.any()):
            return
        least = float(pixels[mask].min())
        if least <= self._delta:
            raise DataError(
                f"expected intensities above delta = {self._delta:g} in the segment, found {least:g}; "
                "lower delta, or clip the intensities."
            )

    def _why_nothing_left(self, channel: int) -> tuple[str, str]:
        which = "" if self._classes is None else f"class '{self._classes[channel]}': "
        if not self._largest[channel]:
            problem = f"{which}all masks are empty, {self.read} cases read"
            return problem, "check the masks, and which labels are foreground"
        problem = (
            f"{which}no sample has min_pixels = {self._min_pixels} foreground pixels, the largest segment of "
            f"{self.read} cases has {self._largest[channel]}"
        )
        return problem, "lower min_pixels, or take a finer grid"

    def _whole(self, problem: str, remedy: str) -> Problem:
        return Problem(self._name, "", problem, remedy)


def _values(array: Any) -> Tensor:
    # A MetaTensor first of all becomes a plain tensor: every step of it copies its metadata.
    values = array.as_subclass(Tensor) if isinstance(array, Tensor) else torch.as_tensor(array)
    return values.detach().cpu()


def _binary(label: Tensor) -> Tensor:
    mask = label.to(torch.bool)
    if not torch.equal(mask.to(label.dtype), label):
        other = label[(label != 0) & (label != 1)]
        values = ", ".join(f"{value:g}" for value in torch.unique(other)[:5].tolist())
        raise DataError(f"expected a mask of 0 and 1, found {values}; binarize the labels first.")
    return mask
