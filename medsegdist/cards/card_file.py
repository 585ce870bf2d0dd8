"""Cards as files of JSON."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from medsegdist.cards.card import Card
from medsegdist.data.card_content import MAKING_ANEW, MOST_BYTES, card_content
from medsegdist.data.options import OF_FORMULA
from medsegdist.data.validation import explain
from medsegdist.errors import DataError
from medsegdist.files import atomic_write


def write_card(card: Card, path: str | Path) -> int:
    """Writes a card as JSON, whole or not at all.

    Args:
        card: what to write.
        path: the file.

    Returns:
        Its size in bytes.

    Raises:
        DataError: it would be larger than 64 KiB, which a card never is with usual numbers of components and classes.
    """
    text = json.dumps(card.model_dump(mode="json", exclude={"fit": set(OF_FORMULA)}), separators=(",", ":"))
    size = len(text.encode()) + 1
    if size > MOST_BYTES:
        raise DataError(
            f"dataset '{card.name}': expected a card of at most {MOST_BYTES:,} bytes, found {size:,}; choose fewer "
            "`components` or `classes` in the study's `distance`."
        )
    with atomic_write(path) as file:
        file.write(text + "\n")
    return size


def read_card(path: str | Path) -> Card:
    """Reads a card, and trusts nothing of it.

    Args:
        path: a file that :func:`write_card` wrote, here or elsewhere.

    Raises:
        DataError: it is too large, no JSON, or no card; every problem is listed with its place.
        OSError: it cannot be read.
    """
    content, _ = card_content(path)
    try:
        return Card.model_validate_json(content, strict=True)
    except ValidationError as error:
        told = "\n".join(explain(error, Card, path)).rstrip(".")
        raise DataError(f"{told}; {MAKING_ANEW}.") from error
