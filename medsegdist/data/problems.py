"""What is wrong with a case, gathered so that all of it can be told at once."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Literal

from medsegdist.errors import ManifestError, MedSegDistError
from medsegdist.words import sentence

_DEFAULT_REMEDY = "repair the case, or take it out of the dataset"
# The machine's trouble and not a case's: the next case would fail alike.
_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


Severity = Literal["error", "warning"]
"""An error makes a dataset or a ranking unusable; a warning is to be looked at."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a dataset.

    Args:
        dataset: name of the dataset.
        case: name of the case; empty if it is several cases, or the dataset as a whole.
        problem: what was expected and what was found.
        remedy: what to do.
        severity: how bad it is.
        cases: names of all cases that it concerns, if there are several.
        total: how many cases the dataset has; 0 if that was not counted.
    """

    dataset: str
    case: str
    problem: str
    remedy: str
    severity: Severity = "error"
    cases: tuple[str, ...] = ()
    total: int = 0

    def __str__(self) -> str:
        # What concerns several cases begins with their number.
        where = f"case '{self.case}': " if self.case else "" if self.cases else "all cases: "
        return printable(sentence(f"{where}{self.problem}; {self.remedy}"))


def printable(text: str) -> str:
    """`text` on one line, with every character that could steer a terminal written out as Python would.

    Names of files may hold anything, and whoever named them may not be trusted.

    Args:
        text: a message, or a part of one.
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class SkippedCasesWarning(UserWarning):
    """Cases were left out because something is wrong with them."""


def root_cause(error: BaseException) -> BaseException:
    """What went wrong inside the transforms: MONAI wraps every error in a RuntimeError for each Compose.

    Args:
        error: what was raised.
    """
    while isinstance(error, RuntimeError) and str(error).startswith("applying transform") and error.__cause__:
        error = error.__cause__
    return error


def is_machine_trouble(error: BaseException) -> bool:
    """Whether the error is the machine's (no memory, disk full) and no case is to blame."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _MACHINE)


def case_problem(error: BaseException, dataset: str, case: str) -> Problem:
    """The problem of a case that could not be read, so that it does not hide those of the others.

    Args:
        error: what was raised.
        dataset: name of the dataset.
        case: name of the case.

    Raises:
        BaseException: the root cause, if it is the machine's trouble or the manifest's, and no case is to blame.
    """
    cause = root_cause(error)
    if isinstance(cause, ManifestError) or is_machine_trouble(cause):
        raise cause from None
    return problem_of(cause, dataset, case)


def problem_of(error: BaseException, dataset: str, case: str) -> Problem:
    """The problem that an error tells of.

    Messages on cases read "what is wrong; what to do."; the errors of other libraries get their type's name.

    Args:
        error: a root cause.
        dataset: name of the dataset.
        case: name of the case.
    """
    if isinstance(error, MedSegDistError) and error.remedy:
        return Problem(dataset, case, error.problem.rstrip("."), error.remedy)
    text = str(error).strip().rstrip(".")
    if not isinstance(error, ValueError):
        return Problem(dataset, case, f"{type(error).__name__}: {text}", _DEFAULT_REMEDY)
    problem, _, remedy = text.rpartition("; ")
    return Problem(dataset, case, problem or text, remedy if problem else _DEFAULT_REMEDY)
