"""What every reader of a card does first: somebody else's file, told from what is no card at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medsegdist.errors import DataError

MOST_BYTES = 2**16
"""A card is smaller than this, or is none."""

FORMAT = "medsegdist card 1"
"""The version of cards that are written and read."""

FAMILY = FORMAT.rpartition(" ")[0]
"""What the format of every card begins with, of whatever version."""

SIMULATED = "in whole or in part, as its card says"
"""What a study says of a card that says so."""

_COMMAND = "`medsegdist summarize DATASET.yaml --like STUDY.yaml -o card.json`"

MAKING = f"{_COMMAND} makes one"
"""What to say to whoever has none."""

MAKING_ANEW = f"make the card anew by {_COMMAND}"
"""What to say to whoever has one that is wrong."""


def card_content(path: str | Path) -> tuple[bytes, dict[str, Any]]:
    """The bytes of a card, and what its JSON says, numbers as texts; nothing but its being one is checked.

    Args:
        path: the file.

    Raises:
        DataError: it is too large, no JSON, or JSON of something else.
        OSError: it cannot be read.
    """
    with Path(path).open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DataError(f"{path}: expected a card of at most {MOST_BYTES:,} bytes, found a larger file; {MAKING}.")
    try:
        # Numbers are not read: some of them take JSON's reader long, or are none for other readers.
        parsed = json.loads(content, object_pairs_hook=_distinct, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: expected the JSON of a card, found {type(error).__name__}: {error}; {MAKING}."
        ) from error
    if not isinstance(parsed, dict) or not str(parsed.get("format")).startswith(FAMILY):
        raise DataError(f"{path}: expected a card, whose `format` is '{FORMAT}', found other JSON; {MAKING}.")
    return content, parsed


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found
