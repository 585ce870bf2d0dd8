"""Which label values the masks of a dataset hold, and what is wrong with them as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np


class LabelTally:
    """Label values that the masks held before they were made binary, gathered over the cases.

    Args:
        foreground: the values that were asked for; None if each mask should hold one value beside 0, the same in all.
    """

    def __init__(self, foreground: tuple[int, ...] | None) -> None:
        self._foreground = foreground
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
        return [
            (f"label {label} is in none of the {cases} cases", "correct `foreground` to labels that exist")
            for label in absent
        ]
