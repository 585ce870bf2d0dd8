"""Reading one item of a dataset, in whatever process: its samples, or what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from medsegdist.data.file_names import FileNames
from medsegdist.data.problems import Problem, is_machine_trouble, problem_of, root_cause
from medsegdist.data.sample import Sample, checked_sample, large_part
from medsegdist.errors import ManifestError

FOUND_LABELS = "found_labels"
"""Entry of an item that says which label values its mask held before it was made binary."""


class ItemDataset(Protocol):
    """Any dataset of MONAI or PyTorch, or a plain list, whose items are samples or lists of samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False)
class CaseContent:
    """What one item held. It has no tensor, which would need shared memory on its way between processes.

    Args:
        samples: those with enough foreground, without the classes of them that have too little.
        grids: (case id, grid) of all of them.
        labels: (case id, what its mask held before it was made binary), where the item tells.
        sizes: foreground pixels of all of them, in every channel of the label.
        problem: why the case cannot be used; the other fields are then empty.
        trouble: what ends the reading as a whole.
        noted: what was noted of the item as it was read, whether it can be used or not.
    """

    samples: tuple[Sample, ...] = ()
    grids: tuple[tuple[str, tuple[int, ...]], ...] = ()
    labels: tuple[tuple[str, Any], ...] = ()
    sizes: tuple[tuple[int, ...], ...] = ()
    problem: Problem | None = None
    trouble: Exception | None = None
    noted: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ReadCase:
    """A function from the index of an item to what it holds.

    Args:
        dataset: items are dicts, or lists of dicts, as for :func:`~medsegdist.data.collect.collect`, or stacks.
        name: the dataset's name.
        delta: what segments will be neutralized by; None: not checked.
        min_pixels: foreground pixels a sample needs, or each class of it.
        names: what the cases are called.
        classes: how many channels the label has, one for each class; None for one foreground.
        notes: a list that the dataset fills as it reads an item. What it holds afterwards is given back in place of
            the samples; None gives the samples.
    """

    dataset: ItemDataset
    name: str
    delta: float | None
    min_pixels: int
    names: FileNames
    classes: int | None = None
    notes: list[Any] | None = None

    def __call__(self, index: int) -> CaseContent:
        """Read one item; whatever is wrong with it is in the result.

        Args:
            index: which item.
        """
        content = self._content(index)
        if self.notes is None:
            return content
        noted = tuple(self.notes)
        self.notes.clear()
        return replace(content, samples=(), noted=noted)

    def _content(self, index: int) -> CaseContent:
        try:
            return self._read(index)
        # Any transform may fail in any way, and one bad case must not hide the others.
        except Exception as error:  # noqa: BLE001
            cause = root_cause(error)
            if isinstance(cause, ManifestError) or is_machine_trouble(cause):
                return CaseContent(trouble=cause if isinstance(cause, Exception) else error)
            return CaseContent(problem=problem_of(cause, self.name, self.names.of_entry(index)))

    def _read(self, index: int) -> CaseContent:
        item = self.dataset[index]
        labels: list[tuple[str, Any]] = []
        parts = item if isinstance(item, (list, tuple)) else [item]
        samples = [
            checked_sample(part, lambda item: self.names.of_item(item, index), self.delta, self.classes)
            for part in parts
        ]
        labels += [
            (sample.case_id, np.asarray(part[FOUND_LABELS]))
            for part, sample in zip(parts, samples, strict=True)
            if FOUND_LABELS in part
        ]
        sizes = tuple(sample.sizes for sample in samples)
        large = [large_part(sample, size, self.min_pixels) for sample, size in zip(samples, sizes, strict=True)]
        return CaseContent(
            samples=tuple(sample for sample in large if sample is not None),
            grids=tuple((sample.case_id, sample.image.shape) for sample in samples),
            labels=tuple(labels),
            sizes=sizes,
        )
