"""JSON files that list a dataset's cases, written by somebody who may not be trusted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medsegdist.data.partial_listing import PartialListingError, Unlisted
from medsegdist.errors import DataError

_MEND = "mend the entry, or take it out of the list"


def read_listing(path: Path, remedy: str) -> Any:
    """What a JSON file holds.

    Args:
        path: the file.
        remedy: what to do if there is no such file.

    Raises:
        DataError: the file is missing or is no JSON.
    """
    try:
        # Windows editors put a mark at the beginning of UTF-8.
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; {remedy}.") from error
    # Nesting without end is a RecursionError.
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}); download or write it again.") from error


def as_json(value: Any) -> str:
    """`value` as JSON, for a message: its first 200 characters."""
    try:
        return json.dumps(value)[:200]
    except RecursionError:
        return f"{type(value).__name__} within {type(value).__name__} without end"


def described(value: Any) -> str:
    """What stands in the place of a list: "none", "an empty one" or its type."""
    if value is None:
        return "none"
    return "an empty one" if value == [] else type(value).__name__


def bad_entry(index: int, error: DataError) -> Unlisted:
    """What keeps an entry of a list from being used.

    Args:
        index: its place in the list.
        error: "what is wrong; what to do." or what is wrong alone.
    """
    text = str(error).rstrip(".")
    problem, _, remedy = text.rpartition("; ")
    return Unlisted(f"entry {index}", problem or text, remedy if problem else _MEND)


def refuse_entries(
    listing: Path,
    section: str,
    malformed: Sequence[Unlisted],
    doubled: Sequence[str],
    unlisted: Sequence[Unlisted],
    lines: Sequence[str],
    listed: Sequence[Any],
) -> None:
    """Refuse a list of cases for what is wrong with some of them.

    Args:
        listing: the JSON file.
        section: name of the list.
        malformed: entries that cannot be used.
        doubled: names of cases that are listed more than once.
        unlisted: what else is wrong.
        lines: what to say of the rest.
        listed: the cases that remain.

    Raises:
        PartialListingError: anything is wrong.
    """
    said = []
    if malformed:
        said = [f"{listing}: entries of '{section}' that cannot be used:"]
        said += [f"  {one.case}: {one.problem}{f'; {one.remedy}' if one.remedy != _MEND else ''}." for one in malformed]
    if doubled:
        said.append(f"{listing}: these images are listed more than once: {', '.join(doubled)}; list each once.")
    wrong = [
        *malformed,
        *(Unlisted(case, "the image is listed more than once", "list each once") for case in doubled),
        *unlisted,
    ]
    if wrong:
        raise PartialListingError("\n".join([*said, *lines]), wrong, listed)
