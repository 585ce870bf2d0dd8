"""Reading a dataset item by item, with every sample checked: what collecting and checking have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from medsegdist.data.case_reading import CaseContent, ItemDataset, ReadCase
from medsegdist.data.case_tally import EMPTY_MASK, OFF_GRID, too_small
from medsegdist.data.file_names import FileNames
from medsegdist.data.label_tally import Foreground, LabelTally, all_empty
from medsegdist.data.parallel import WorkerLostError, ordered_results
from medsegdist.data.problems import Problem, problem_of
from medsegdist.data.sample import Sample
from medsegdist.errors import DataError, MedSegDistError
from medsegdist.words import counted

Progress = Callable[[int, int], None]
"""Called with (items read, items there are)."""


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
        workers: processes that read items; 1 reads in this one, None starts one for each core where it saves time.
        notes: a list that the dataset fills as it reads an item; the reader then gathers notes and yields no samples.

    Attributes:
        problems: what was wrong with each case that could not be used.
        noted: all notes, in the order of the items.
        names: what each item that can be used is called, by its index.
        without_sample: why each such item that yielded no sample did not, by its index.
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
        workers: int | None = 1,
        notes: list[Any] | None = None,
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"expected workers >= 1, or None to choose, found {workers}.")
        channels = None if classes is None else len(classes)
        self._read_case = ReadCase(dataset, name, delta, min_pixels, FileNames(dataset), channels, notes)
        self._name = name
        self._min_pixels = min_pixels
        self._workers = workers
        self._labels = LabelTally(foreground)
        self._grid: tuple[int, ...] | None = None
        self._first = ""
        self._classes = None if classes is None else tuple(classes)
        # For every channel of the label:
        self._usable = np.zeros(1 if classes is None else len(classes), dtype=np.int64)
        self._largest = np.zeros_like(self._usable)
        self.problems: list[Problem] = []
        self.noted: list[Any] = []
        self.names: dict[int, str] = {}
        self.without_sample: dict[int, str] = {}
        self.read = 0

    def samples(self, progress: Progress | None = None) -> Iterator[tuple[Sample, ...]]:
        """The samples with enough foreground, item by item, a few of them in memory at a time.

        An item with anything wrong yields no samples and is added to `problems`.

        Args:
            progress: called after each item.

        Raises:
            DataError: the dataset is empty.
            ManifestError: the layout cannot read what the manifest describes.
            MedSegDistError: a process that reads items was killed.
            OSError: the machine is in trouble, as when its disk is full.
        """
        total = len(self._read_case.dataset)
        if not total:
            raise DataError(f"dataset '{self._name}' is empty; expected at least one item.")
        try:
            for index, content in enumerate(ordered_results(self._read_case, total, self._workers)):
                yield self._accepted(content, index)
                self.read += 1
                if progress is not None:
                    progress(self.read, total)
        except WorkerLostError as error:
            names = {index: self._read_case.names.of_entry(index) for index in error.indices}
            raise MedSegDistError(error.told(self._name, names)) from None

    def whole_dataset_problems(self) -> list[Problem]:
        """What only shows once every case has been read: labels that no case has, or nothing left."""
        found = [self._whole(*text) for text in self._labels.problems(self.read, complete=not self.problems)]
        if not found and not self.problems:
            found = [self._whole(*self._why_nothing_left(k)) for k in np.flatnonzero(self._usable == 0).tolist()]
        return found

    def _accepted(self, content: CaseContent, index: int) -> tuple[Sample, ...]:
        if content.trouble is not None:
            raise content.trouble
        self.noted += content.noted
        problem = content.problem
        name = self._read_case.names.of_entry(index)
        if problem is None:
            problem = self._other_grid(content, name)
        if problem is not None:
            self.problems.append(problem)
            return ()
        if self._grid is None and content.grids:
            self._first, self._grid = content.grids[0]
        for case_id, found in content.labels:
            self._labels.note(found, case_id)
        sizes = np.array(content.sizes, dtype=np.int64).reshape(len(content.sizes), len(self._usable))
        self._largest = np.maximum(self._largest, sizes.max(0, initial=0))
        self._usable += (sizes >= self._min_pixels).sum(0)
        self.names[index] = content.grids[0][0] if content.grids else name
        if not content.samples:
            self.without_sample[index] = self._why_no_sample(content)
        return content.samples

    def _why_no_sample(self, content: CaseContent) -> str:
        if any(map(any, content.sizes)):
            return too_small(self._min_pixels)
        # What the mask held before it was cut to the grid is known of some datasets only.
        return OFF_GRID if any(self._labels.is_foreground(found) for _, found in content.labels) else EMPTY_MASK

    def _other_grid(self, content: CaseContent, case: str) -> Problem | None:
        """The problem of a case whose samples do not fit each other or the cases before it."""
        if not content.grids:
            return None
        first, grid = content.grids[0] if self._grid is None else (self._first, self._grid)
        for _, other in content.grids:
            if other != grid:
                error = DataError(
                    f"expected the grid {grid}, as in case '{first}', found {other}; resample all cases to one grid."
                )
                return problem_of(error, self._name, case)
        return None

    def _why_nothing_left(self, channel: int) -> tuple[str, str]:
        which = "" if self._classes is None else f"class '{self._classes[channel]}': "
        if not self._largest[channel]:
            problem, remedy = all_empty(self.read)
            return f"{which}{problem}", remedy
        problem = (
            f"{which}no sample has min_pixels = {self._min_pixels} foreground pixels, the largest segment of "
            f"{counted(self.read, 'case')} has {self._largest[channel]}"
        )
        return problem, "lower min_pixels, or take a finer grid"

    def _whole(self, problem: str, remedy: str) -> Problem:
        return Problem(self._name, "", problem, remedy)
