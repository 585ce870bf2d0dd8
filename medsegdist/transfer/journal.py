"""runs.jsonl: one line for each run that ended, appended and never changed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsegdist.errors import DataError


class Journal:
    """The runs of a folder; a process that is killed while it writes leaves a torn line, which is cut off.

    Args:
        path: the file; made when the first run ends.

    Raises:
        DataError: a line that is not the last one is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries = _read(path)

    def outcome(self, key: str) -> Mapping[str, Any] | None:
        """The last that was written of a run; None if it never ended."""
        return self._entries.get(key)

    def append(self, outcome: Mapping[str, Any]) -> None:
        """Write how a run ended; it is on the disk when this returns.

        Args:
            outcome: values of JSON, among them "run", its key.

        Raises:
            OSError: the disk is full or not writable.
        """
        line = json.dumps(outcome, allow_nan=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            end = file.tell()
            try:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                # No half line stays behind on a full disk.
                os.truncate(self.path, end)
                raise
        self._entries[outcome["run"]] = dict(outcome)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
            os.fsync(file.fileno())
    entries = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            entry = json.loads(line)
            entries[entry["run"]] = entry
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path}: line {number} is damaged; expected a JSON object with the key 'run'. Delete the line, and "
                "its run is done anew."
            ) from error
    return entries
