"""Which label values the masks of a dataset hold, and what is wrong with them as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from medsegdist.words import counted

Foreground = tuple[int, ...] | Mapping[str, tuple[int, ...]] | None
"""Label values that were asked for: some, those of each class, or the only one beside 0."""


class LabelTally:
    """Label values that the masks held before they were made binary, gathered over the cases.

    Args:
        foreground: the values that were asked for, or those of each class by its name; None if each mask should hold
            one value beside 0, the same in all.
    """

    def __init__(self, foreground: Foreground) -> None:
        self._class_of = (
            {value: name for name, values in foreground.items() for value in values}
            if isinstance(foreground, Mapping)
            else {}
        )
        self._foreground = tuple(self._class_of) if isinstance(foreground, Mapping) else foreground
        self._found: set[int] = set()
        self._other_values: dict[float, str] = {}
        self._unasked: set[float] = set()

    def note(self, found: Any, case_id: str) -> None:
        """Add one mask.

        Args:
            found: a number for each wanted value, not 0 if the mask holds it, then, if it holds none of them, the
                others that it holds; or the mask's value farthest from 0 where none was asked for.
            case_id: whose mask it is.
        """
        values = np.atleast_1d(np.asarray(found))
        if self._foreground is None:
            for value in values[values != 0].tolist():
                self._other_values.setdefault(value, case_id)
        else:
            count = len(self._foreground)
            self._found |= {label for label, here in zip(self._foreground, values[:count], strict=True) if here}
            self._unasked.update(values[count:].tolist())

    def is_foreground(self, found: Any) -> bool:
        """Whether a mask held any foreground.

        Args:
            found: of that mask, as for :meth:`note`.
        """
        return holds_foreground(found, self._foreground)

    def problems(self, cases: int, *, complete: bool) -> list[tuple[str, str]]:
        """What is wrong, and what to do.

        Args:
            cases: how many were read.
            complete: whether all of them could be read; one that could not may be the one that holds a label.
        """
        if len(self._other_values) > 1:
            named = ", ".join(f"{value:g} (case '{case}')" for value, case in sorted(self._other_values.items()))
            return [
                (
                    f"expected masks of 0 and one other value, the same in every case, found {named}",
                    "name the values that are foreground",
                )
            ]
        absent = [label for label in self._foreground or () if label not in self._found] if complete else []
        # Where any wanted label is there, the others that some masks hold are background on purpose.
        others = "" if self._found else ", ".join(f"{value:g}" for value in sorted(self._unasked))
        where = f"is in none of the {counted(cases, 'case')}"
        if others:
            where = f"is in none of the {counted(cases, 'mask')}, which hold {others} beside 0"
        return [(f"{self._called(label)} {where}", self._remedy(others)) for label in absent]

    def _called(self, label: int) -> str:
        return f"label {label}" + (f" of class '{self._class_of[label]}'" if self._class_of else "")

    def _remedy(self, others: str) -> str:
        if self._class_of:
            return "correct `classes` to labels that exist"
        if not others:
            return "correct `foreground` to labels that exist"
        first, *more = others.split(", ")
        return f"write those that are meant, as `foreground: [{first}]`" if more else f"write `foreground: [{first}]`"


def all_empty(cases: int) -> tuple[str, str]:
    """What is wrong with a dataset whose masks are all empty, and what to do.

    Args:
        cases: how many were read.
    """
    return f"all masks are empty, {counted(cases, 'case')} read", "check the masks, and which labels are foreground"


def holds_foreground(found: Any, foreground: tuple[int, ...] | None) -> bool:
    """Whether a mask holds any foreground.

    Args:
        found: as :meth:`LabelTally.note` takes it.
        foreground: the label values that were asked for, of whatever class; None if each mask should hold one.
    """
    values = np.atleast_1d(np.asarray(found))
    return bool((values[: None if foreground is None else len(foreground)] != 0).any())
