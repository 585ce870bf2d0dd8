"""Files and jobs that people reported as read wrong by some program, each with the right value.

Inputs are synthetic and small. A module holds the reports of one kind of file in its `REPORTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest


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


def each_report(package: ModuleType) -> pytest.MarkDecorator:
    """Runs a test for each row of the tables in a package; no case may be listed twice.

    Args:
        package: each of its modules holds rows in its `REPORTS`.
    """
    (folder,) = package.__path__
    modules = sorted(path.stem for path in Path(folder).glob("[a-z]*.py"))
    reports = [report for one in modules for report in import_module(f"{package.__name__}.{one}").REPORTS]
    cases = [report.case for report in reports]
    assert len(set(cases)) == len(cases)
    return pytest.mark.parametrize(
        "report", reports, ids=lambda report: f"{report.case}: {report.right}".replace(" ", "-")[:80]
    )
