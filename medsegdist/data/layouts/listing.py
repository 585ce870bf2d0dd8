"""What the layouts share of cases: JSON listings, patients, and the error for cases that cannot be used."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from medsegdist.errors import DataError, ManifestError
from medsegdist.files import read_text
from medsegdist.words import counted, listed

# A pattern that is wrong pairs none of thousands.
_MOST_NAMED = 20


class PartialListingError(DataError):
    """Some cases cannot be listed, and the others can.

    Args:
        where: the folder or file that lists them.
        unlisted: what keeps each case from being listed, with the case, file or entry as `case`; empty for the dataset
            as a whole.
        usable: (`listed`) what could be listed, as the function that raises would have returned it.
    """

    def __init__(self, where: str, unlisted: Sequence[DataError] = (), usable: Sequence[Any] = ()) -> None:
        names: dict[tuple[str, str], list[str]] = {}
        for one in unlisted:
            names.setdefault((one.problem, one.remedy), []).append(one.case)
        lines = [f"{where}: {counted(len(unlisted), 'problem')} with its files or cases:"]
        for (problem, remedy), cases in names.items():
            whom = f"{listed(cases, _MOST_NAMED)}: " if any(cases) else ""
            lines.append(f"  {whom}{problem}; {remedy}.")
        if any(len(cases) > _MOST_NAMED for cases in names.values()):
            lines.append("  `medsegdist check` lists all by --json.")
        super().__init__("\n".join(lines))
        self.unlisted = tuple(unlisted)
        self.listed = tuple(usable)


def read_listing(path: Path, remedy: str) -> Any:
    """The content of a JSON file.

    Args:
        path: the file.
        remedy: what to do if there is no such file.

    Raises:
        DataError: the file is missing or is no JSON.
    """
    try:
        # Windows editors put a mark at the beginning of UTF-8.
        return json.loads(read_text(path, encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", remedy) from error
    # Nesting without end is a RecursionError.
    except (OSError, ValueError, RecursionError) as error:
        problem = f"{path} cannot be read as JSON ({str(error).rstrip('.')})"
        raise DataError(problem, "download or write it again") from error


def as_json(value: Any) -> str:
    """`value` as JSON, for a message: its first 200 characters."""
    try:
        return json.dumps(value)[:200]
    except RecursionError:
        return f"{type(value).__name__} within {type(value).__name__} without end"


def describe(value: Any) -> str:
    """What is found in the place of a list: "none", "an empty one" or its type."""
    if value is None:
        return "none"
    return "an empty one" if value == [] else type(value).__name__


def check_patient(entry: dict[str, Any], key: str) -> None:
    """Refuse an entry whose patient is neither a name nor a number.

    Args:
        entry: of a listing.
        key: where it names the patient.

    Raises:
        DataError: it names none, or something else.
    """
    patient = entry.get(key)
    if not isinstance(patient, (str, int)) or isinstance(patient, bool) or patient == "":
        raise DataError(f"expected a name or number under '{key}', found {as_json(patient)}")


def read_entries(
    listing: Path, entries: Iterable[tuple[int, Any]], read: Callable[[Any], tuple[Path, Path]]
) -> tuple[list[tuple[Path, Path, Any]], list[DataError]]:
    """The files that the entries of a listing name.

    Args:
        listing: the JSON file.
        entries: each with its place in the list.
        read: image and mask of an entry; raises DataError for one that cannot be used.

    Returns:
        Image, mask and entry of each that can be used; and what is wrong with each of the others.

    Raises:
        ManifestError: paths that leave the folder, all of them.
    """
    found, wrong, escaping = [], [], []
    for index, entry in entries:
        try:
            found.append((*read(entry), entry))
        except ManifestError as error:
            escaping.append(f"  entry {index}: {error}")
        except DataError as error:
            remedy = error.remedy or "correct the entry, or take it out of the list"
            wrong.append(DataError(error.problem, remedy, case=f"entry {index}"))
    if escaping:
        raise ManifestError("\n".join([f"{listing}: paths that leave the folder:", *escaping]))
    return found, wrong


def listed_twice(case_ids: Iterable[str]) -> list[DataError]:
    """The problems of images that a listing names more than once.

    Args:
        case_ids: names of these cases.
    """
    names = sorted(set(case_ids))
    return [DataError("the image is listed more than once", "list each once", case=name) for name in names]


def patients_of(case_ids: Sequence[str], pattern: str | None) -> tuple[list[str], list[DataError]]:
    """The patient of each case, by a pattern in the case's name.

    Args:
        case_ids: names of the cases.
        pattern: regular expression with one group, which is the patient; None makes every case a patient of its own.

    Returns:
        The patient of each case, its own name if none is found; and the problems of the cases without one.
    """
    if pattern is None:
        return list(case_ids), []
    matches = [re.search(pattern, case_id) for case_id in case_ids]
    patients = [match.group(1) if match else None for match in matches]
    problem = f"patient_pattern '{pattern}' finds no patient in the case's name"
    remedy = "correct the pattern, or leave it out to make every case a patient of its own"
    missed = [name for name, patient in zip(case_ids, patients, strict=True) if not patient]
    return (
        [patient or name for name, patient in zip(case_ids, patients, strict=True)],
        [DataError(problem, remedy, case=name) for name in missed],
    )
