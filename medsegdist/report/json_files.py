"""JSON files that a run leaves for its report: read as what they are, or refused with the place that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from medsegdist.errors import DataError
from medsegdist.files import atomic_write

T = TypeVar("T")


class Part(BaseModel):
    """A part of such a file; what a later version adds is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class JsonFile(Part):
    """A part that is all of such a file; `written_by` names the command that writes it, for messages."""

    written_by: ClassVar[str]

    def save(self, path: str | Path) -> None:
        """Writes it as JSON, whole or not at all.

        Args:
            path: the file; one that is there is replaced.
        """
        with atomic_write(path) as file:
            file.write(self.model_dump_json())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads what :meth:`save` wrote.

        Args:
            path: the file.

        Raises:
            DataError: it is no such file.
        """
        return read_json(path, TypeAdapter(cls), cls.written_by)


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
