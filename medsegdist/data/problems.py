"""What is wrong with cases and datasets, merged so that equal problems are said once."""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from medsegdist.errors import DataError, ManifestError, MedSegDistError
from medsegdist.words import counted, listed, printable, sentence

_DEFAULT_REMEDY = "repair the case, or take it out of the dataset"
# The machine's trouble and not a case's: the next case would fail alike.
_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_MOST_FOUND = 3  # similar problems that differ in what was found are shown one by one up to this number
_WITHOUT_DIGITS = str.maketrans("", "", "0123456789")

Severity = Literal["error", "warning"]
"""An error makes a dataset or a ranking unusable; a warning is to be looked at."""


class SkippedCasesWarning(UserWarning):
    """Cases were left out because something is wrong with them."""


class DoubtfulCasesWarning(UserWarning):
    """Files of cases leave something open and were read as they stand."""


class DoubtfulFileWarning(UserWarning):
    """A file was read as it stands, and something in it is to be looked at."""

    def __init__(self, file: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{file}: {problem}; {remedy}")
        self.problem, self.remedy = problem, remedy


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a dataset."""

    dataset: str
    case: str  # empty if it is several cases, or the dataset as a whole
    problem: str  # what was expected and what was found
    remedy: str
    severity: Severity = "error"
    cases: tuple[str, ...] = ()  # all that it concerns, if there are several
    total: int = 0  # of the dataset; 0 if they were not counted

    def __str__(self) -> str:
        # What concerns several cases begins with their number.
        where = f"case '{self.case}': " if self.case else "" if self.cases else "all cases: "
        return printable(sentence(f"{where}{self.problem}; {self.remedy}" if self.remedy else f"{where}{self.problem}"))


def is_machine_trouble(error: BaseException) -> bool:
    """Whether the error is the machine's (no memory, disk full) and no case is to blame."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _MACHINE)


def check_present(path: Path) -> None:
    """Refuse a path that is no file with content: reading a pipe would wait for ever."""
    if not path.exists():
        if "\\" in str(path) and os.sep == "/":
            raise DataError("the file does not exist; \\ in its path is no separator here", "write / in the listing")
        # A Mac writes an accent as a character of its own (NFD), all others as part of the letter (NFC).
        forms = [unicodedata.normalize(form, str(path)) for form in ("NFC", "NFD")]
        if not str(path).isascii() and any(map(os.path.exists, forms)):
            problem = "the file does not exist, but one whose name looks the same and has its accents in another form"
            raise DataError(problem, "write the name in the listing as the disk has it (Unicode NFC or NFD)")
        raise DataError("the file does not exist", "restore it, or take the case out of the listing")
    status = path.stat()
    is_folder = stat.S_ISDIR(status.st_mode)
    if not is_folder and not stat.S_ISREG(status.st_mode):
        raise DataError("the file is a pipe or a device", "put a regular file in its place")
    if is_folder or status.st_size == 0:
        raise DataError(f"the file is {'a folder' if is_folder else 'empty'}", "copy or download it again")


def damaged_file(error: Exception) -> DataError:
    """That a file cannot be read, and why; the machine's trouble, for which no file is to blame, is raised again."""
    if is_machine_trouble(error):
        raise error
    if isinstance(error, PermissionError):
        return DataError("the file may not be read (permission denied)", "change its permissions")
    return DataError(f"the file cannot be read ({type(error).__name__}: {error})", "copy or download it again")


def case_problem(error: BaseException, dataset: str, case: str) -> Problem:
    """The problem of a case that could not be read; the machine's trouble and the manifest's are raised again."""
    # MONAI wraps what goes wrong inside of transforms in a RuntimeError for each Compose.
    while isinstance(error, RuntimeError) and str(error).startswith("applying transform") and error.__cause__:
        error = error.__cause__
    if isinstance(error, ManifestError) or is_machine_trouble(error):
        raise error from None
    return problem_of(error, dataset, case)


def problem_of(error: BaseException, dataset: str, case: str) -> Problem:
    """The problem that an error describes; the errors of other libraries get their type's name."""
    if isinstance(error, MedSegDistError):
        return Problem(dataset, case, error.problem.strip().rstrip("."), error.remedy.rstrip("."))
    return Problem(dataset, case, f"{type(error).__name__}: {str(error).strip().rstrip('.')}", _DEFAULT_REMEDY)


def noting_doubts(load: Callable[[Any], Mapping[Any, Any]]) -> Callable[[Any], dict[Any, Any]]:
    """`load`, with what it warns of as doubtful noted under "doubts" of the item, as problems with their remedies."""

    def noted(key: Any) -> dict[Any, Any]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DoubtfulFileWarning)
            item = load(key)
        doubts = [one.message for one in caught if isinstance(one.message, DoubtfulFileWarning)]
        for other in (one.message for one in caught if one.message not in doubts):
            warnings.warn(other, stacklevel=2)
        return {**item, "doubts": tuple((one.problem, one.remedy) for one in doubts)}

    return noted


def shared_problem(
    dataset: str, cases: Sequence[str], total: int, problem: str, remedy: str, severity: Severity = "warning"
) -> list[Problem]:
    """One problem for all cases that have it, so that what is wrong with a whole dataset is said once."""
    if len(cases) < 2:
        return [Problem(dataset, case, problem, remedy, severity, total=total) for case in cases]
    text = f"{len(cases)} of {counted(total, 'case')}, {listed(cases, 3, quoted=True)}: {problem}"
    return [Problem(dataset, "", text, remedy, severity, tuple(cases), total)]


def merge_similar(problems: Sequence[Problem]) -> list[Problem]:
    """The problems in their order, with similar ones of single cases of a dataset merged.

    Similar problems differ in the name of the case, in its file, or in numbers only; or, where that leaves more than
    three of them, in what was found. Where texts differ, that of the first case is shown, and says so.
    """
    kinds = [_kind(one) for one in problems]
    similar, groups = defaultdict[object, set[str]](set), defaultdict[object, list[Problem]](list)
    for kind, found in kinds:
        similar[kind].add(found)
    for index, (one, (kind, found)) in enumerate(zip(problems, kinds, strict=True)):
        groups[(kind, found if len(similar[kind]) <= _MOST_FOUND else "") if one.case else index].append(one)
    return [_merged(group) for group in groups.values()]


def as_error(problems: Sequence[Problem], dataset: str, read: int) -> DataError:
    """All problems of a dataset in one error."""
    lines = [f"  {problem}" for problem in merge_similar([replace(problem, total=read) for problem in problems])]
    cases = len({problem.case for problem in problems if problem.case})
    head = f"dataset '{dataset}'" + (f": {cases} of {counted(read, 'case')} cannot be used" if cases else "")
    return DataError("\n".join([f"{head}:", *lines]))


def _merged(group: Sequence[Problem]) -> Problem:
    first = group[0]
    if len(group) == 1:
        return first
    text = _without_name(first.problem, first.case)
    if any((_without_name(one.problem, one.case), one.remedy) != (text, first.remedy) for one in group):
        text = f"{first.problem} (so of '{first.case}'; the others alike)"
    cases = tuple(dict.fromkeys(one.case for one in group))
    total = first.total or len(cases)
    (merged,) = shared_problem(first.dataset, cases, total, text, first.remedy, first.severity)
    return merged


def _kind(problem: Problem) -> tuple[tuple[str, ...], str]:
    """Dataset, severity, and what was expected and is to be done, the same for similar problems; and what was found.

    >>> _kind(Problem("liver", "a", "case a of 3 has 4 axes, found 5 of b", "repair 7"))
    (('liver', 'error', 'case * of  has  axes', 'repair '), ' of b')
    """
    text, remedy = (
        _without_name(text, problem.case).translate(_WITHOUT_DIGITS) for text in (problem.problem, problem.remedy)
    )
    expected, _, found = text.partition(", found ")
    return (problem.dataset, problem.severity, expected, remedy.partition(", found ")[0]), found


def _without_name(text: str, case: str) -> str:
    """`text` with a star for the name of the case, where it is a word of its own or a part of a path."""
    words = text.split(" ")
    named = [not case.isdigit() and ("/" in word or "\\" in word or word.strip("',:;()") == case) for word in words]
    return " ".join(word.replace(case, "*") if here else word for word, here in zip(words, named, strict=True))
