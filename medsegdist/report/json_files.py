"""JSON files that a run leaves for its report: read as what they are, or refused with the place that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from medsegdist.errors import DataError

T = TypeVar("T")


class Part(BaseModel):
    """A part of such a file; what a later version adds is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def read_json(path: str | Path, kind: TypeAdapter[T], command: str) -> T:
    """What a JSON file holds.

    Args:
        path: the file.
        kind: what it is to hold.
        command: the one that writes it, for messages.

    Raises:
        DataError: it holds something else.
    """
    try:
        return kind.validate_json(Path(path).read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{path}: expected what `medsegdist {command}` writes there, found{f' in {place}' if place else ''}: "
            f"{first['msg']}; run it again, or remove the file to report without it."
        ) from error
