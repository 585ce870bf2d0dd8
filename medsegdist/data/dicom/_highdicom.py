"""The optional package highdicom."""

from __future__ import annotations

from typing import Any

from medsegdist.errors import MissingDependencyError


def require_highdicom() -> Any:
    """The package highdicom.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import highdicom
    except ImportError as error:
        raise MissingDependencyError(
            "DICOM segmentation objects and multi-frame images are read by highdicom, which is not installed; "
            "run: pip install medsegdist[dicom]"
        ) from error
    return highdicom
