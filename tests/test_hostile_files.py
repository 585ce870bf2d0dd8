"""Every hostile or broken file ends as it should: one row of the tables in `tests/hostile_files/` at a time."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from tests import hostile_files
from tests.public_reports import Report

MODULES = sorted(path.stem for path in Path(hostile_files.__file__).parent.glob("[a-z]*.py"))
REPORTS = [report for module in MODULES for report in import_module(f"tests.hostile_files.{module}").REPORTS]


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: f"{report.case}: {report.right}".replace(" ", "-")[:80])
def test_it_ends_as_it_should(report: Report, tmp_path: Path) -> None:
    report.check(tmp_path)


def test_no_case_is_listed_twice() -> None:
    cases = [report.case for report in REPORTS]
    assert len(set(cases)) == len(cases)
