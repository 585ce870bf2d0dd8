"""A dataset of which some cases cannot be listed, and the others can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medsegdist.errors import DataError


@dataclass(frozen=True, slots=True)
class Unlisted:
    """What keeps one case, or the dataset as a whole, from being listed.

    Args:
        case: the case, or the file or entry that belongs to none; empty for the dataset as a whole.
        problem: what was expected and what was found; the same text for the same trouble of several cases.
        remedy: what to do.
    """

    case: str
    problem: str
    remedy: str


class PartialListingError(DataError):
    """Some cases cannot be listed.

    Args:
        message: all that is wrong, in words.
        unlisted: the same, case by case.
        listed: what could be listed, as the function that raises would have given it.
    """

    def __init__(self, message: str, unlisted: Sequence[Unlisted], listed: Sequence[Any]) -> None:
        super().__init__(message)
        self.unlisted = tuple(unlisted)
        self.listed = tuple(listed)
