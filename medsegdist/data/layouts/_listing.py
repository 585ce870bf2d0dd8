"""JSON files that list a dataset's cases, written by somebody who may not be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medsegdist.errors import DataError


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
