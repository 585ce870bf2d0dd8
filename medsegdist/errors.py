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


class MedSegDistError(Exception):
    """Base of every error that medsegdist raises on purpose."""


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
