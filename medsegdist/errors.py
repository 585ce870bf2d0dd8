"""Everything medsegdist raises on purpose.

    MedSegDistError
    ├── ManifestError                (ValueError)    a study or dataset description is wrong
    ├── DataError                    (ValueError)    files, images or masks are not what was described
    ├── PreprocessingMismatchError   (ValueError)    two datasets were not prepared alike
    ├── ConvergenceError             (RuntimeError)  a solver stopped before its optimum
    └── MissingDependencyError       (ImportError)   an optional package is not installed

A message says what was expected, what was found, in which dataset and case, and what to do.
A wrong argument of a function is a plain ValueError or TypeError.
"""

from __future__ import annotations


class MedSegDistError(Exception):
    """Base of every error that medsegdist raises on purpose.

    Args:
        problem: what was expected and what was found.
        remedy: what to do about it; empty if `problem` says it already.
        dataset: name of the dataset concerned; empty if there is none, or none is known yet.
        case: name of the case concerned; empty if there is none.
    """

    def __init__(self, problem: str = "", remedy: str = "", *, dataset: str = "", case: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.dataset = dataset
        self.case = case

    def __str__(self) -> str:
        names = (("dataset", self.dataset), ("case", self.case))
        where = ", ".join(f"{kind} '{name}'" for kind, name in names if name)
        text = f"{self.problem.rstrip('.')}; {self.remedy.rstrip('.')}." if self.remedy else self.problem
        return f"{where}: {text}" if where else text

    def __reduce__(self) -> tuple[type[MedSegDistError], tuple[str], dict[str, object]]:
        # The fields, and notes, survive the way back from another process.
        return type(self), (self.problem,), self.__dict__


class ManifestError(MedSegDistError, ValueError):
    """A study or dataset description is wrong."""


class DataError(MedSegDistError, ValueError):
    """Files, images or masks are not what was described."""


class PreprocessingMismatchError(MedSegDistError, ValueError):
    """Two datasets were not prepared in the same way, so their distance would measure the preparation."""


class ConvergenceError(MedSegDistError, RuntimeError):
    """A solver stopped before its optimum."""


class MissingDependencyError(MedSegDistError, ImportError):
    """An optional package is not installed."""
