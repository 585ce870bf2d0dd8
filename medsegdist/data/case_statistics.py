"""What the cases of a dataset have in common: label values, a grid, enough foreground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from medsegdist.data.problems import Problem, problem_of
from medsegdist.errors import DataError
from medsegdist.words import counted

Foreground = tuple[int, ...] | Mapping[str, tuple[int, ...]] | None
"""Label values that are foreground: some, those of each class, or None for the only one besides 0."""

_MAX_OTHERS = 8


@dataclass(frozen=True, slots=True, eq=False)
class PreparedCase:
    """The samples of one case, or what is wrong with it."""

    name: Any  # this and the ids are texts, or else what `shown_names` makes texts of
    case_ids: tuple[Any, ...] = ()  # (n,) of the samples; an item of another's dataset may hold several cases
    patient_ids: tuple[Any, ...] = ()
    # Of the samples, also of those with too little foreground; None if there are none at all.
    grid: tuple[int, ...] | None = None
    # Foreground pixels in each channel of the label, of each sample, also of those with too little.
    sizes: tuple[tuple[int, ...], ...] = ()
    # What its mask held before it was made binary; None if that was not recorded.
    labels: tuple[float, ...] | None = None
    images: np.ndarray | None = None  # (n, *grid) float32; None if they are in the cache only
    # (n, *grid) bool, or (n, classes, *grid), without the classes that have too little foreground.
    masks: np.ndarray | None = None
    axes: str = ""  # where those of its volumes lead, as "RAS"; empty if that is unknown or the same in all cases
    problem: Problem | None = None  # why it cannot be used
    # Problem and remedy of what its files leave open; they were read as they stand.
    doubts: tuple[tuple[str, str], ...] = ()
    observed: Any = None  # what was observed of the item before it was transformed


def find_labels(label: Any, foreground: Foreground) -> tuple[float, ...]:
    """Which of the label values that are foreground a mask holds; or others but 0 if it holds none of them.

    Where there are none to look for, the mask's value farthest from 0, which is the only one besides 0 if the mask is
    as it should be. Empty if all of it is 0.
    """
    # numpy goes through the values as they lie, torch through the axes, and modulo 256 where labels have 8 bits.
    stored = torch.as_tensor(label).as_subclass(torch.Tensor).cpu().numpy()
    if foreground is None:
        smallest, largest = (float(stored.min()), float(stored.max())) if stored.size else (0.0, 0.0)
        return tuple(filter(None, [largest if largest >= -smallest else smallest]))
    held = [float(value) for value in _values(foreground) if (stored == value).any()]
    return tuple(held or map(float, np.unique(stored[stored != 0])[:_MAX_OTHERS]))


def holds_foreground(found: Sequence[float], foreground: Foreground) -> bool:
    """Whether a mask in which :func:`find_labels` found this holds any foreground."""
    return bool(found) if foreground is None else not set(found).isdisjoint(_values(foreground))


def other_labels(label: Any, foreground: Foreground) -> tuple[tuple[float, ...], bool]:
    """Values of a mask that are neither foreground nor 0, in order, and whether all of it is foreground."""
    stored = np.asarray(label)
    held = stored[stored != 0]
    others = held[:0] if foreground is None else held[~np.isin(held, _values(foreground))]
    return tuple(map(float, np.unique(others))), 0 < stored.size == len(held) - len(others)


def all_empty(cases: int) -> tuple[str, str]:
    """What is wrong with a dataset whose masks are all empty, and what to do."""
    return f"all masks are empty, {counted(cases, 'case')} read", "check the masks, and which labels are foreground"


class LabelStatistics:
    """Label values that the masks held before they were made binary, over all cases of a dataset.

    Without a `foreground`, each mask should hold one value besides 0, the same in all.
    """

    def __init__(self, foreground: Foreground) -> None:
        classes = foreground.items() if isinstance(foreground, Mapping) else ()
        self._called = {value: f"label {value} of class '{name}'" for name, values in classes for value in values}
        self._foreground = None if foreground is None else _values(foreground)
        self.first_case: dict[float, str] = {}
        self._masks = 0

    def add(self, found: Sequence[float], case_id: str) -> None:
        """Add what :func:`find_labels` found in one mask."""
        self._masks += 1
        for value in found:
            self.first_case.setdefault(value, case_id)

    def problems(self, *, complete: bool) -> list[tuple[str, str]]:
        """What is wrong, and what to do; if not `complete`, a mask that could not be read may hold a label."""
        if self._foreground is None and len(self.first_case) > 1:
            named = ", ".join(f"{value:g} (case '{case}')" for value, case in sorted(self.first_case.items()))
            problem = f"expected masks of 0 and one other value, the same in every case, found {named}"
            return [(problem, "name the values that are foreground")]
        if not complete or not self._masks:
            return []
        if not self.first_case:
            return [all_empty(self._masks)]
        wanted = self._foreground or ()
        absent = [label for label in wanted if label not in self.first_case]
        where = f"is in none of the {counted(self._masks, 'case')}"
        remedy = f"correct `{'classes' if self._called else 'foreground'}` to labels that exist"
        # Where any wanted label is there, the others that some masks hold are background on purpose.
        if len(absent) == len(wanted):
            first, *more = [f"{value:g}" for value in sorted(self.first_case)]
            held = ", ".join([first, *more])
            where = f"is in none of the {counted(self._masks, 'mask')}, which hold {held} besides 0"
            if not self._called:
                remedy = f"write {'those that are meant, as ' if more else ''}`foreground: [{first}]`"
        return [(f"{self._called.get(label, f'label {label}')} {where}", remedy) for label in absent]


class CaseStatistics:
    """All cases of a dataset, judged one after another and as a whole; `foreground` where it records labels."""

    def __init__(
        self, dataset: str, min_pixels: int, foreground: Foreground = None, classes: Sequence[str] | None = None
    ) -> None:
        self._dataset = dataset
        self._min_pixels = min_pixels
        self._foreground = foreground
        self._classes = classes
        self._labels = LabelStatistics(foreground)
        self.grid: tuple[int, ...] = ()  # of all samples; empty if there are none
        self._first: Any = ""  # the case that it is known from
        self._axes: tuple[str, Any] = "", ""  # the first ones that are known, and the case that they are known from
        # For every channel of the label:
        self._usable = np.zeros(1 if classes is None else len(classes), dtype=np.int64)
        self._largest = np.zeros_like(self._usable)
        self.problems: list[Problem] = []
        self.with_sample: dict[str, None] = {}
        self.without_sample: dict[str, str] = {}
        self.doubts: list[Problem] = []
        self.read = 0

    def add(self, case: PreparedCase, name: Any) -> bool:
        """Add one case, and say whether it can be used."""
        self.read += 1
        problem = case.problem
        if problem is None and self.grid and case.grid and case.grid != self.grid:
            problem = problem_of(grid_error(case.grid, self.grid, self._first), self._dataset, name)
        if problem is not None:
            self.problems.append(problem)
            return False
        if not self.grid and case.grid:
            self._first, self.grid = case.name, case.grid
        if case.labels is not None:
            self._labels.add(case.labels, case.name)
        self.doubts += [Problem(self._dataset, case.name, *doubt, "warning") for doubt in case.doubts]
        if case.axes and not self._axes[0]:
            self._axes = case.axes, case.name
        if case.axes and case.axes != self._axes[0]:
            text = f"expected the axes {self._axes[0]}, as in case '{self._axes[1]}', found {case.axes}"
            remedy = "bring all to one orientation, as by MONAI's Orientationd"
            self.doubts.append(Problem(self._dataset, case.name, text, remedy, "warning"))
        sizes = np.array(case.sizes, dtype=np.int64).reshape(-1, len(self._usable))
        self._largest = np.maximum(self._largest, sizes.max(0, initial=0))
        self._usable += (sizes >= self._min_pixels).sum(0)
        if case.case_ids:
            self.with_sample.setdefault(case.name)
            self.without_sample.pop(case.name, None)
        # Of a case with several items, one that gives a sample is enough.
        elif case.name not in self.with_sample:
            self.without_sample[case.name] = self._why_no_sample(case)
        return True

    def rename(self, names: Mapping[Any, str]) -> None:
        """Call cases by other names, also where a problem compares one with the first."""
        firsts = [(f"'{case}'", f"'{names[case]}'") for case in (self._first, self._axes[1]) if case in names]

        def renamed(one: Problem) -> Problem:
            text = one.problem
            for old, new in firsts:
                text = text.replace(old, new)
            return replace(one, case=names[one.case], problem=text)

        self.problems, self.doubts = ([renamed(one) for one in found] for found in (self.problems, self.doubts))
        self.with_sample = {names[case]: None for case in self.with_sample}
        self.without_sample = {names[case]: why for case, why in self.without_sample.items()}

    def whole_dataset_problems(self) -> list[Problem]:
        """What only shows once every case has been read: labels that no case has, or nothing left."""
        found = self._labels.problems(complete=not self.problems)
        if not found and not self.problems:
            found = [self._why_nothing_left(k) for k in np.flatnonzero(self._usable == 0).tolist()]
        return [Problem(self._dataset, "", problem, remedy) for problem, remedy in found]

    def _why_no_sample(self, case: PreparedCase) -> str:
        if any(map(any, case.sizes)):
            return f"segment below min_pixels = {self._min_pixels}"
        # What the mask held before it was cut to the grid is known of some datasets only.
        if case.labels is not None and holds_foreground(case.labels, self._foreground):
            return "no foreground left on the grid"
        return "mask without foreground"

    def _why_nothing_left(self, channel: int) -> tuple[str, str]:
        cases = counted(self.read, "case")
        if self._largest[channel]:
            problem = (
                f"no sample has min_pixels = {self._min_pixels} foreground pixels, the largest segment of {cases} "
            )
            problem, remedy = f"{problem}has {self._largest[channel]}", "lower min_pixels, or take a finer grid"
        elif self._labels.first_case:
            problem, remedy = f"no foreground is left on the grid, {cases} read", "take a finer one"
        else:
            problem, remedy = all_empty(self.read)
        return (problem if self._classes is None else f"class '{self._classes[channel]}': {problem}"), remedy


def grid_error(found: Sequence[int], expected: Sequence[int], case: str) -> DataError:
    """What is wrong with a sample on another grid."""
    return DataError(
        f"expected the grid {tuple(expected)}, as in case '{case}', found {tuple(found)}",
        "resample all cases to one grid",
    )


def _values(foreground: tuple[int, ...] | Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    if isinstance(foreground, Mapping):
        return tuple(value for values in foreground.values() for value in values)
    return foreground
