"""Files and jobs that people reported as read wrong by some program, each with the right value.

Inputs are synthetic and small. A module holds the reports of one kind of file in its `REPORTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Report:
    """One reported case.

    Args:
        address: of the public report, such as "Project-MONAI/MONAI#1234"; empty where the case was found here.
        case: what is built.
        right: the right value.
        check: builds the case in a new folder and asserts the right value.
    """

    address: str
    case: str
    right: str
    check: Callable[[Path], None]
