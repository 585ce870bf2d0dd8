"""Which label values the masks of a dataset hold, and what is wrong with them as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

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

    def note(self, found: Any, case_id: str) -> None:
        """Add one mask.

        Args:
            found: a bool for each wanted value, or the mask's value farthest from 0 where none was asked for.
            case_id: whose mask it is.
        """
        values = np.atleast_1d(np.asarray(found))
        if self._foreground is None:
            for value in values[values != 0].tolist():
                self._other_values.setdefault(value, case_id)
        else:
            self._found |= {label for label, here in zip(self._foreground, values, strict=True) if here}

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
        return [(f"{self._called(label)} is in none of the {cases} cases", self._remedy) for label in absent]

    def _called(self, label: int) -> str:
        return f"label {label}" + (f" of class '{self._class_of[label]}'" if self._class_of else "")

    @property
    def _remedy(self) -> str:
        return f"correct `{'classes' if self._class_of else 'foreground'}` to labels that exist"
